"""Values: keys that are none or look like others, dates far ahead, ends that are none.

They are found in the one look at the rows of a load, whatever way the rows came into staging; what
costs a row is looked up only where that look saw it.
"""

from __future__ import annotations

from dataclasses import dataclass
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
from etl.stages.stage.look import Look
from etl.stages.stage.staged import Rejected, Staged

Faults = dict[str, sql.Composed]

# References that are words for a missing value.
_EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for in a feed's columns.

    ``faults``: by reason, what costs a row; ``nothing``: references that are words for none;
    ``open_ends``: columns that may say that a thing runs on.
    """

    faults: dict[Reason, Faults]
    nothing: Faults
    open_ends: list[Column]

    @property
    def kinds(self) -> dict[str, sql.Composable]:
        """Conditions of which it has to be known whether any row meets them, by name."""
        kinds = {
            **{reason.name: found for reason, found in self.faults.items()},
            _EMPTY: self.nothing,
        }
        return {kind: _any(found) for kind, found in kinds.items() if found}


def wanted(feed: Feed, columns: list[str], *, is_printable: bool) -> Wanted:
    """What is to be looked for in the rows of a file with these columns.

    ``is_printable``: the file has no byte but visible ASCII, and so no key with odd characters.
    """
    return Wanted(
        _faults(feed, columns, is_printable=is_printable),
        _null_words(feed, columns, Type.REFERENCE),
        [c for c in _present(feed, columns) if c.open_end is not None],
    )


def set_aside(
    connection: psycopg.Connection[Any],
    load_id: int,
    as_of: datetime,
    feed: Feed,
    staged: Staged,
    looked_for: Wanted,
    look: Look,
) -> None:
    """Take rows out of staging whose values no row can stay with, and note what others say."""
    bound = {"load_id": load_id, "as_of": as_of}
    for reason, found in looked_for.faults.items():
        if reason.name in look.seen:
            staged.rejected += _take_out(connection, feed, bound, reason, found)
    if _EMPTY in look.seen:
        n = _empty(connection, feed, bound, looked_for.nothing)
        staged.findings["null_words"] = n
        staged.notes.append(f"{n:,} keys of other feeds are NULL or the like: taken as none")
    for name, rows in look.open_ends.items():
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
