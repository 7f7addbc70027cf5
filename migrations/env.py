"""Alembic's environment: which database, and what the schema should be."""

from __future__ import annotations

import re
from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import DOMAIN

from etl.config import settings
from etl.schema.autogenerate import render_item
from etl.schema.migrations import engine
from etl.schema.revisions import SCHEMAS
from etl.schema.warehouse_tables import all_tables
from etl.server.server import ensure_running
from etl.warehouse import staging


def include_name(name: str | None, kind: str, parents: Any) -> bool:
    """Look at our schemas only."""
    return name in SCHEMAS if kind == "schema" else True


def include_object(
    item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any
) -> bool:
    """Partitions and cubes are made of the data; they are no part of the schema."""
    of_month = re.fullmatch(r"\w+_\d{4}_\d{2}", str(name)) is not None
    is_partition = of_month or staging.is_partition(str(name))
    is_cube = getattr(item, "schema", None) == "cubes"
    return not (kind == "table" and reflected and (is_partition or is_cube))


def compare_type(
    _context: Any, _column: Any, _metadata: Any, found: Any, wanted: Any
) -> bool | None:
    """Two domains are the same if their names are; anything else is for Alembic to compare."""
    if isinstance(found, DOMAIN) or isinstance(wanted, DOMAIN):
        return getattr(found, "name", None) != getattr(wanted, "name", None)
    return None


def run(connection: Connection) -> None:
    """Run the migrations."""
    context.configure(
        connection=connection,
        target_metadata=all_tables(),
        include_schemas=True,
        include_name=include_name,
        include_object=include_object,
        compare_type=compare_type,
        compare_server_default=False,
        autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes
if "connection" in given:
    run(given["connection"])
else:
    with engine(given.get("url") or ensure_running(settings())).begin() as opened:
        run(opened)
