"""The live schemas, brought to what the declarations and the texts of ``sql/`` say.

Alembic and SQLAlchemy take half a second to import, and on most days there is nothing to migrate:
they are imported where they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from etl.config import ROOT
from etl.db.connection import connect
from etl.errors import SchemaError
from etl.schema import layout, repeatable, revisions
from etl.schema.revisions import MIGRATIONS

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Engine

# A column that goes, or gets another type, while a view reads it.
_NEEDED = (psycopg.errors.DependentObjectsStillExist, psycopg.errors.FeatureNotSupported)


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


def migrate(url: str) -> None:
    """Bring the tables to the newest migration and all else to its text, in one transaction."""
    from alembic import command
    from alembic.util.exc import CommandError
    from sqlalchemy.exc import DBAPIError

    config = alembic_config(url)
    with engine(url).begin() as connection:
        config.attributes["connection"] = connection
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        if not revisions.is_newest(driver):
            layout.refuse_migration(driver)
        try:
            with connection.begin_nested():
                command.upgrade(config, "head")
        except CommandError as error:
            raise SchemaError(
                f"The database cannot be brought to the newest migration: {error}.",
                "The database may have been migrated by newer code: use that code.",
            ) from error
        except DBAPIError as error:
            if not isinstance(error.orig, _NEEDED):
                raise
            with repeatable.dropped(driver):
                command.upgrade(config, "head")
        repeatable.ensure(driver)
