"""Look: what a load's rows have and add up to, seen in one pass over them.

Each pass reads every row and its values once more. So all that is asked of every row is asked
together: which conditions any row meets, for which rows are then taken out, and what all add up to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.column import Column
from etl.contracts.feed import Feed
from etl.db.statements import Values, run
from etl.render import staged_rows, values

_NO_KINDS: Mapping[str, sql.Composable] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen of a load's rows.

    ``seen``: names of the conditions that any row meets. ``open_ends``: rows that say that they run
    on, by column, where there are any. ``totals``: US dollars by money column.
    """

    seen: frozenset[str]
    open_ends: dict[str, int]
    rows: int
    totals: dict[str, Decimal]
    latest_effective_ts: datetime | None


def look(
    connection: psycopg.Connection[Any],
    feed: Feed,
    bound: Values,
    kinds: Mapping[str, sql.Composable] = _NO_KINDS,
    open_ends: Sequence[Column] = (),
) -> Look:
    """Look at the staged rows of a load; ``kinds``: conditions by name."""
    counts = [
        sql.SQL("count(*) filter (where {})").format(values.is_open_end(c)) for c in open_ends
    ]
    sums = [
        sql.SQL("{}, coalesce(sum({}), 0)::text").format(sql.Literal(m), sql.Identifier(m))
        for m in feed.money
    ]
    row = run(
        connection,
        "stage/look.look",
        bound,
        table=sql.Identifier(feed.table),
        kinds=_listed(sql.SQL("bool_or({})").format(kind) for kind in kinds.values()),
        open_ends=_listed(counts),
        totals=sql.SQL("jsonb_build_object({})").format(_listed(sums)),
        effective=staged_rows.effective(feed, None),
    ).fetchone()
    assert row is not None  # an aggregate always gives a row
    found, ends, rows, totals, latest = row
    return Look(
        frozenset(kind for kind, is_there in zip(kinds, found, strict=True) if is_there),
        {c.name: n for c, n in zip(open_ends, ends, strict=True) if n},
        rows,
        {column: Decimal(said) for column, said in totals.items()},
        latest,
    )


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
