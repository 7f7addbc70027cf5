"""Which migration a database is at, and whether this version of the code can work on it."""

from __future__ import annotations

from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from etl.config import ROOT
from etl.db.statements import run, scalar
from etl.errors import SchemaError
from etl.warehouse.tables import KEPT, LIVE

MIGRATIONS = ROOT / "migrations"
SCHEMAS = [*LIVE.schemas.names, *KEPT]


@cache
def known() -> tuple[str, ...]:
    """The numbers of the migrations in their order; the first is the baseline."""
    files = (MIGRATIONS / "versions").glob("[0-9]*_*.py")
    return tuple(sorted(path.name.partition("_")[0] for path in files))


def newest() -> str:
    """The number of the newest migration."""
    return known()[-1]


def _current(connection: psycopg.Connection[Any]) -> str | None:
    """The number of the newest migration that ran on a database; none if none ever did."""
    if not scalar(connection, "ledger/session.is_migrated"):
        return None
    return scalar(connection, "ledger/session.revision")


def is_newest(connection: psycopg.Connection[Any]) -> bool:
    """Whether the tables are at the newest migration.

    Raises ``SchemaError`` for a warehouse from before the baseline: no migration leads on from it.
    """
    if is_of_before(connection):
        raise SchemaError(
            f"This warehouse was made by an earlier version (migration {_current(connection)}), "
            "which this one cannot bring up to date.",
            "make full-load rebuilds it from the inbox and keeps the old one under other names.",
        )
    return _current(connection) == newest()


def is_of_before(connection: psycopg.Connection[Any]) -> bool:
    """Whether a warehouse is from before the baseline."""
    revision = _current(connection)
    return revision is not None and revision < known()[0]


def keep_old(connection: psycopg.Connection[Any]) -> list[str]:
    """Give a warehouse from before the baseline other names, so that a new one can be made.

    Returns the names of its schemas. Raises ``SchemaError`` where an older one has them.
    """
    found = [name for (name,) in run(connection, "schema/migration.present", {"schemas": SCHEMAS})]
    new_names = [f"{name}_before" for name in found]
    try:
        with connection.transaction():
            for name, new_name in zip(found, new_names, strict=True):
                run(
                    connection,
                    "rebuild/swap.rename_schema",
                    schema=sql.Identifier(name),
                    new_name=sql.Identifier(new_name),
                )
            run(connection, "schema/migration.forget_revision")
    except psycopg.errors.DuplicateSchema as error:
        raise SchemaError(
            f"A warehouse of an earlier version is still kept in the schemas "
            f"{', '.join(new_names)}.",
            "Drop them if nobody needs them, then run again.",
        ) from error
    return new_names
