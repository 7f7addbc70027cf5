"""The database's schema: Alembic for the live one, the contracts for a rebuild's."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.pool import NullPool

from etl.config import ROOT
from etl.errors import SchemaError


def engine(url: str) -> Engine:
    """An SQLAlchemy engine on the psycopg 3 driver that keeps no connection open."""
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"options": "-c timezone=UTC"},
    )


def alembic_config(url: str) -> Config:
    """Alembic's settings for this database."""
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.set_main_option("script_location", str(ROOT / "migrations").replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the schema to the newest migration."""
    try:
        command.upgrade(alembic_config(url), "head")
    except CommandError as error:
        raise SchemaError(
            f"The database cannot be brought to the newest migration: {error}.",
            "The database may have been migrated by newer code: use that code.",
        ) from error
