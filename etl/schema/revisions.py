"""Which migration a database is at, and whether this version of the code can work on it."""

from __future__ import annotations

from functools import cache
from typing import Any

import psycopg
from psycopg import sql

from etl.config import ROOT
from etl.db.connection import set_config
from etl.db.statements import run, scalar
from etl.errors import SchemaError
from etl.schema.dependents import LOCK_PATIENCE
from etl.warehouse.tables import KEPT, LIVE, NEXT

MIGRATIONS = ROOT / "migrations"
SCHEMAS = [*LIVE.schemas.names, *KEPT]
# The names of a warehouse from before the baseline, while and after a new one is made.
_OLD_NAMES = {f"{name}_before": name for name in SCHEMAS}


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
    """Whether the tables are at the newest migration; raises as ``refuse_of_before`` does."""
    refuse_of_before(connection)
    return _current(connection) == newest()


def refuse_of_before(connection: psycopg.Connection[Any]) -> None:
    """Raise ``SchemaError`` for a warehouse from before the baseline.

    No migration leads on from it, and its tables are not those that statements ask for.
    """
    if is_of_before(connection):
        raise SchemaError(
            f"This warehouse was made by an earlier version (migration {_current(connection)}), "
            "which this one cannot bring up to date.",
            "make full-load rebuilds it from the inbox and keeps the old one under other names.",
        )


def is_of_before(connection: psycopg.Connection[Any]) -> bool:
    """Whether a warehouse is from before the baseline."""
    revision = _current(connection)
    return revision is not None and revision < known()[0]


def kept_old(connection: psycopg.Connection[Any]) -> list[str]:
    """The schemas of a warehouse from before the baseline that was given other names."""
    return _present(connection, list(_OLD_NAMES))


def keep_old(connection: psycopg.Connection[Any]) -> list[str]:
    """Give a warehouse from before the baseline other names, so that a new one can be made.

    Returns the names of its schemas. Raises ``SchemaError`` where an older one has them.
    """
    found = _present(connection, SCHEMAS)
    new_names = {name: new_name for new_name, name in _OLD_NAMES.items() if name in found}
    try:
        with connection.transaction():
            _rename(connection, new_names)
            ledger = sql.Identifier(new_names["ledger"])
            run(connection, "schema/migration.keep_revision", ledger=ledger)
    except psycopg.errors.DuplicateSchema as error:
        raise SchemaError(
            f"A warehouse of an earlier version is still kept in the schemas "
            f"{', '.join(new_names.values())}.",
            "Drop them if nobody needs them, then run again.",
        ) from error
    return sorted(new_names.values())


def put_back(connection: psycopg.Connection[Any]) -> bool:
    """Give an old warehouse its names again unless a new one has gone live; whether it did.

    ``connection`` resolves names in the live schemas. Raises ``LockNotAvailable`` where somebody
    reads the empty tables for long.
    """
    kept = kept_old(connection)
    is_made = bool(_present(connection, ["ledger"]))
    if not kept or (is_made and scalar(connection, "ledger/ledger.ever_loaded")):
        return False
    with connection.transaction():
        set_config(connection, "lock_timeout", LOCK_PATIENCE)
        for name in (*NEXT.schemas.names, *SCHEMAS):
            run(connection, "rebuild/swap.drop_schema", schema=sql.Identifier(name))
        _rename(connection, {name: _OLD_NAMES[name] for name in kept})
        run(connection, "schema/migration.drop_revision")
        run(connection, "schema/migration.restore_revision")
    return True


def _present(connection: psycopg.Connection[Any], schemas: list[str]) -> list[str]:
    found = run(connection, "schema/migration.present", {"schemas": schemas})
    return [name for (name,) in found]


def _rename(connection: psycopg.Connection[Any], new_names: dict[str, str]) -> None:
    for name, new_name in new_names.items():
        run(
            connection,
            "rebuild/swap.rename_schema",
            schema=sql.Identifier(name),
            new_name=sql.Identifier(new_name),
        )
