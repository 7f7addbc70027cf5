"""Alembic's environment: which database, and what the schema should be."""

from __future__ import annotations

import re
from typing import Any

from alembic import context
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import DOMAIN

from etl.config import settings
from etl.schema.migrations import engine
from etl.schema.warehouse_tables import build
from etl.server.server import ensure_running

SCHEMAS = ("staging", "warehouse", "cubes", "as_known", "ledger", "quality")


def include_name(name: str | None, kind: str, parents: dict[str, Any]) -> bool:
    """Look at our schemas only."""
    return name in SCHEMAS if kind == "schema" else True


def include_object(
    item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
) -> bool:
    """Partitions and cubes are made of the data; they are no part of the schema."""
    is_partition = re.fullmatch(r"fact_claim_\d{4}_\d{2}", str(name)) is not None
    is_cube = getattr(item, "schema", None) == "cubes"
    return not (kind == "table" and reflected and (is_partition or is_cube))


def compare_type(
    _context: Any, _column: Any, _metadata: Any, found: Any, wanted: Any
) -> bool | None:
    """Two domains are the same if their names are; anything else is for Alembic to compare."""
    if isinstance(found, DOMAIN) or isinstance(wanted, DOMAIN):
        return getattr(found, "name", None) != getattr(wanted, "name", None)
    return None


def run() -> None:
    """Run the migrations on the database that the command names."""
    url = context.config.attributes.get("url") or ensure_running(settings())
    with engine(url).connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=build(),
            include_schemas=True,
            include_name=include_name,
            include_object=include_object,
            compare_type=compare_type,
            compare_server_default=False,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.execute(text("select 1"))


run()
