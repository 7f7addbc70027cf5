"""The database's schema: Alembic for the live one, the contracts for a rebuild's.

Alembic and SQLAlchemy take half a second to import, and on most days there is nothing to migrate:
they are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from etl.config import ROOT
from etl.db.connection import connect
from etl.db.statements import scalar
from etl.errors import SchemaError

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Engine

MIGRATIONS = ROOT / "migrations"


def engine(url: str) -> Engine:
    """An SQLAlchemy engine on the psycopg 3 driver that keeps no connection open."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    return create_engine(
        "postgresql+psycopg://",
        # An address is for libpq to read: SQLAlchemy knows fewer forms of it.
        creator=lambda: connect(url, "aca-warehouse schema", autocommit=False),
        poolclass=NullPool,
    )


def alembic_config(url: str) -> Config:
    """Alembic's settings for this database."""
    from alembic.config import Config

    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def is_newest(connection: psycopg.Connection[Any]) -> bool:
    """Whether the schema is at the newest migration; their files are numbered in order."""
    newest = max(path.name for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    return (
        bool(scalar(connection, "ledger/session.is_migrated"))
        and scalar(connection, "ledger/session.revision") == newest.partition("_")[0]
    )


def migrate(url: str) -> None:
    """Bring the schema to the newest migration."""
    from alembic import command
    from alembic.util.exc import CommandError

    try:
        command.upgrade(alembic_config(url), "head")
    except CommandError as error:
        raise SchemaError(
            f"The database cannot be brought to the newest migration: {error}.",
            "The database may have been migrated by newer code: use that code.",
        ) from error
