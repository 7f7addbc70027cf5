"""The end of a deprecated cube: it goes when nobody has read it for a while.

Its declaration goes first, by a person: code is the only place that says which cubes there are, and
as long as it does every run would make the cube again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import run
from etl.errors import SchemaError, UsageError, one_line
from etl.operations import use
from etl.warehouse.deprecated import DEPRECATED
from etl.warehouse.tables import CUBES, LIVE, TABLE, VIEW

# A cube that somebody read in so many days is not dropped.
QUIET_DAYS = 30
_PAGE = "docs/operations/plans-and-use.md"


def drop(
    connection: psycopg.Connection[Any],
    cube: str,
    replicas: Sequence[psycopg.Connection[Any]] = (),
) -> Iterator[str]:
    """Drop a deprecated cube and its masked views; lines for a person.

    ``replicas``: sessions on them, where it may be read too.
    Raises ``UsageError`` while somebody reads it, it is declared, or was never declared deprecated;
    ``SchemaError`` where views of people read from it.
    """
    found = run(connection, "operations/use.cube", _place(cube)).fetchone()
    if found is None:
        raise UsageError(
            f"There is no cube {one_line(cube)!r} to drop." if cube else "Which cube is meant?",
            "Name one that is deprecated: make usage lists them.",
        )
    kind, comment = found
    if DEPRECATED not in (comment or ""):
        raise UsageError(
            f"The cube {cube} was never declared deprecated.",
            f"Declare deprecated= and let its readers know first: {_PAGE}",
        )
    use.collect(connection, replicas)
    _require_unread(connection, cube)
    if cube in CUBES:
        raise UsageError(
            f"Nobody reads the cube {cube}, but the code declares it: the next run would make it "
            "again.",
            f"Remove its entry from etl/warehouse/tables.py and sql/cubes/{cube}.sql, then run "
            f"this again. {_PAGE} has the steps.",
        )
    _drop(connection, cube, VIEW if kind == "m" else TABLE)
    yield f"The cube {cube} was dropped, and the masked views on it."
    yield f"Reads are counted since {use.first_day(connection) or 'now'}."


def _require_unread(connection: psycopg.Connection[Any], cube: str) -> None:
    readers = [
        f"{reader.role} ({reader.calls:,} times, last {reader.last_day})"
        for reader in use.used(connection, QUIET_DAYS)
        if (reader.schema, reader.relation) == (LIVE.schemas.cubes, cube)
    ]
    if readers:
        raise UsageError(
            f"The cube {cube} was read in the last {QUIET_DAYS} days by {', '.join(readers)}.",
            "Ask these to read its successor, and wait.",
        )


def _drop(connection: psycopg.Connection[Any], cube: str, kind: Any) -> None:
    try:
        with connection.transaction():
            for schema in (LIVE.schemas.mart, *LIVE.schemas.masked):
                run(connection, "operations/use.drop_view", view=sql.Identifier(schema, cube))
            name = sql.Identifier(LIVE.schemas.cubes, cube)
            run(connection, "cubes/build.drop", table_or_view=sql.SQL(kind), cube=name)
            run(connection, "operations/use.forget_cube", _place(cube))
    except psycopg.errors.DependentObjectsStillExist as error:
        raise SchemaError(
            f"Views of people read the cube {cube}.",
            r"Have them dropped or changed (\d+ in psql lists them), then run this again.",
        ) from error


def _place(cube: str) -> dict[str, str]:
    return {"schema": LIVE.schemas.cubes, "cube": cube}
