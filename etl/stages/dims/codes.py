"""The codes that members and their surrogate keys have in the masked schemas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
from psycopg import sql

from etl.access.classification import MEMBER_LIMITED_ROWS
from etl.contracts.types import SHOWN_FOR_NO_KEY
from etl.db.statements import Parts, run, scalar
from etl.stages import bulk, tables
from etl.warehouse.tables import MEMBER_LIMITED, MEMBER_SCOPE

_LIMITED: dict[str, Parts] = {
    "copy": sql.Identifier(MEMBER_LIMITED),
    "due": sql.Identifier(MEMBER_LIMITED_ROWS),
    "scope": sql.Identifier(MEMBER_SCOPE),
}


def give_codes(
    connection: psycopg.Connection[Any], *, whole: bool = False, of_load: int | None = None
) -> None:
    """Give codes to members and keys of the dimension that have none, and show these masked.

    ``whole``: look at all members, as after a rebuild, in which a key can be another member's.
    ``of_load``: look only at versions that this load made, as after its facts: its dimensions came
    before, and all were looked at then. The connection resolves names in the dimension's schema; in
    the caller's transaction.
    """
    keys = [] if whole else _lacking(connection, of_load)
    values = {"whole": whole, "keys": keys, "no_member": SHOWN_FOR_NO_KEY}
    with _first_codes(connection):
        run(connection, "access/crosswalk.add_members", values)
        added = run(connection, "access/crosswalk.add_keys").rowcount
    if added and whole:
        run(connection, "access/crosswalk.analyze")
    if whole:
        _copy_whole(connection)
    elif keys:
        # Triggers brought the versions whose keys and members had codes when they came.
        run(connection, "access/limited.add", {"keys": keys}, **_LIMITED)
        run(connection, "access/limited.add_scope", {"keys": keys})


def _lacking(connection: psycopg.Connection[Any], of_load: int | None) -> list[int]:
    """The surrogate keys of versions that the limited copy lacks, of a load or of all."""
    if of_load is None:
        found = scalar(connection, "access/limited.lacking", **_LIMITED)
    else:
        values = {"load_id": of_load}
        found = scalar(connection, "access/limited.lacking_of_load", values, **_LIMITED)
    return list(found)


@contextmanager
def _first_codes(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Do without keys and indexes of the codes where there are none yet, and nobody reads them.

    Codes are random: each of very many would come to another page of each index.
    """
    with ExitStack() as kept:
        if scalar(connection, "access/crosswalk.is_empty"):
            for table in ("access.member_crosswalk", "access.member_key"):
                kept.enter_context(bulk.without_indexes(connection, table))
        yield


def _copy_whole(connection: psycopg.Connection[Any]) -> None:
    """Complete the limited copy of a dimension that nobody reads yet."""
    with bulk.without_indexes(connection, MEMBER_LIMITED):
        run(connection, "access/limited.add_missing", **_LIMITED)
    run(connection, "access/limited.remove_scopes", **_LIMITED)
    run(connection, "access/limited.add_scopes", **_LIMITED)
    tables.analyze(connection, MEMBER_LIMITED)
