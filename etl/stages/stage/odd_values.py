"""Values: keys that are none or look like others, dates far ahead, ends that are none.

They are found in one pass over the rows of a load, whatever way the rows came into staging; what
costs a row is looked up only where that pass saw it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.column import Column
from etl.contracts.feed import Feed
from etl.contracts.reasons import Reason
from etl.contracts.types import Type
from etl.db.statements import run
from etl.render import values
from etl.stages.stage.staged import Rejected, Staged

Faults = dict[str, sql.Composed]


def set_aside(
    connection: psycopg.Connection[Any],
    load_id: int,
    as_of: datetime,
    feed: Feed,
    staged: Staged,
    *,
    is_printable: bool,
) -> None:
    """Take rows out of staging whose values no row can stay with, and note what others say.

    ``is_printable``: the file has no byte but visible ASCII, and so no key with odd characters.
    """
    bound = {"load_id": load_id, "as_of": as_of}
    faults = _faults(feed, staged.columns, is_printable=is_printable)
    nothing = _null_words(feed, staged.columns, Type.REFERENCE)
    kinds = {**{reason.name.lower(): found for reason, found in faults.items()}, "empty": nothing}
    kinds = {kind: found for kind, found in kinds.items() if found}
    open_ends = [c for c in _present(feed, staged.columns) if c.open_end is not None]
    if not kinds and not open_ends:
        return
    seen, ends = _look(connection, feed, bound, kinds, open_ends)
    for reason, found in faults.items():
        if reason.name.lower() in seen:
            staged.rejected += _take_out(connection, feed, bound, reason, found)
    if "empty" in seen:
        n = _empty(connection, feed, bound, nothing)
        staged.findings["null_words"] = n
        staged.notes.append(f"{n:,} keys of other feeds are NULL or the like: taken as none")
    for name, rows in ends.items():
        staged.findings.setdefault("open_ends", {})[name] = rows
        staged.notes.append(f"{rows:,} rows say by a day far off that they run on ({name})")


def _present(feed: Feed, columns: list[str]) -> list[Column]:
    """The columns of a feed that a file has."""
    return [c for c in feed.staged if c.name in columns]


def _faults(feed: Feed, columns: list[str], *, is_printable: bool) -> dict[Reason, Faults]:
    """For each reason for which a value costs its row, the columns that may have such a value."""
    present = _present(feed, columns)
    odd = [] if is_printable else [c for c in present if c.type.names_a_thing]
    return {
        Reason.NO_KEY: _null_words(feed, columns, Type.KEY),
        Reason.ODD_KEY: {c.name: values.is_odd_key(c) for c in odd},
        Reason.TOO_FAR_AHEAD: {
            c.name: values.is_too_far_ahead(c) for c in present if c.ahead_days is not None
        },
    }


def _null_words(feed: Feed, columns: list[str], kind: Type) -> Faults:
    return {c.name: values.is_null_word(c) for c in _present(feed, columns) if c.type is kind}


def _look(
    connection: psycopg.Connection[Any],
    feed: Feed,
    bound: dict[str, Any],
    kinds: dict[str, Faults],
    open_ends: list[Column],
) -> tuple[set[str], dict[str, int]]:
    """The kinds of values that the load has, and how many rows say that a column is open."""
    counts = [
        sql.SQL("count(*) filter (where {})").format(values.is_open_end(c)) for c in open_ends
    ]
    row = run(
        connection,
        "stage/values.look",
        bound,
        table=sql.Identifier(feed.table),
        kinds=sql.SQL(", ").join(
            sql.SQL("bool_or({})").format(_any(found)) for found in kinds.values()
        )
        if kinds
        else sql.SQL("null"),
        open_ends=sql.SQL("array[{}]::bigint[]").format(sql.SQL(", ").join(counts)),
    ).fetchone()
    assert row is not None  # an aggregate always gives a row
    *found, ends = row
    seen = {kind for kind, is_there in zip(kinds, found, strict=False) if is_there}
    return seen, {c.name: n for c, n in zip(open_ends, ends, strict=True) if n}


def _take_out(
    connection: psycopg.Connection[Any],
    feed: Feed,
    bound: dict[str, Any],
    reason: Reason,
    found: Faults,
) -> list[Rejected]:
    cases = [sql.SQL("when {} then {}").format(f, sql.Literal(name)) for name, f in found.items()]
    lines = run(
        connection,
        "stage/values.set_aside",
        bound,
        table=sql.Identifier(feed.table),
        is_fault=_any(found),
        at_fault=sql.SQL("case {} end").format(sql.SQL(" ").join(cases)),
    )
    return [Rejected(line, column, reason) for line, column in lines]


def _empty(
    connection: psycopg.Connection[Any], feed: Feed, bound: dict[str, Any], found: Faults
) -> int:
    """Take words for a missing value out of references; how many."""
    return sum(
        run(
            connection,
            "stage/values.empty_references",
            bound,
            table=sql.Identifier(feed.table),
            reference=sql.Identifier(name),
            is_null_word=is_word,
        ).rowcount
        for name, is_word in found.items()
    )


def _any(found: Faults) -> sql.Composed:
    return sql.SQL(" or ").join(found.values())
