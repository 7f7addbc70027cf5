"""Hostile histories: sequences of batches, each with the rows of many independent keys.

Hypothesis draws the batches of a sequence, in the order of loading, and a seed; the rows follow
from the seed, the key and the batch's content number alone. So a failure shrinks to few and plain
batches in which each key still has the rows it had.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from tests.support.history_model import EARLIEST, Batch, Row

KEYS = tuple(f"K{n:02d}" for n in range(60))
OPTIONAL = ("effective", "zip", "type_1", "is_deleted")

# How many keys a repeated snapshot lacks of those that the one before had.
_MOST_GONE = 3

FIRST = datetime(2025, 1, 10)
HALF_DAYS = [FIRST + timedelta(hours=12) * n for n in range(-8, 25)]
# Few, so that batches often share one; rows take effect at the same moments, and at others.
AS_OF = [FIRST + timedelta(days=d) for d in (0, 1, 1.5, 2, 3, 6)]
# Their order by bytes differs from that of any language; "" often: the same batch again.
SUFFIXES = ("", "-b", "-B", "_a", "b", "é", "")
FAR = [EARLIEST, EARLIEST + timedelta(microseconds=1), FIRST + timedelta(microseconds=1)]
# As far ahead as the column allows of the earliest batch.
FAR += [datetime(1950, 1, 1), FIRST + timedelta(days=366)]
CLAIM_DAYS = [(FIRST + timedelta(days=d)).date() for d in (-30, -3, 0, 1, 2, 3, 4, 6, 8, 12, 400)]


@dataclass(frozen=True)
class Sequence:
    """Batches in the order of loading, and the days of the claims that come with the first."""

    batches: tuple[Batch, ...]
    claim_days: dict[str, list[date]]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Show the batches alone; the rows of a key that fails are in the failure's message."""
        shown = (f"{b.kind} {b.batch_id} of {len(b.rows)} rows" for b in self.batches)
        printer.text(f"<{', '.join(shown)}>")

    @property
    def is_in_order(self) -> bool:
        """Whether no batch is loaded before an earlier one."""
        ranks = [(b.as_of, b.batch_id.encode()) for b in self.batches]
        return ranks == sorted(ranks)


@st.composite
def sequences(
    draw: st.DrawFn,
    optional: tuple[str, ...] = OPTIONAL,
    *,
    most: int = 6,
    in_order: bool = False,
    once_each: bool = False,
) -> Sequence:
    """Two batches or more. ``optional``: columns that a file of the feed may have or lack.

    ``once_each``: of batches of one name only the last, which is what an inbox still contains.
    """
    seed = draw(st.integers(0, 9999))
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(AS_OF),
                st.sampled_from(SUFFIXES),
                st.sampled_from(["delta", "snapshot"]),
                # The same content twice is a copy, unless one file lacks a column.
                st.integers(0, 9),
                st.one_of(st.just(frozenset()), st.frozensets(st.sampled_from(optional))),
            ),
            min_size=2,
            max_size=most,
        )
    )
    batches = [
        Batch(
            as_of,
            f"{as_of:%Y-%m-%dT%H}{suffix}",
            kind,
            _rows(seed, content, frozenset(optional) - lacks),
            frozenset(optional) - lacks,
            _unreadable(seed, content),
        )
        for as_of, suffix, kind, content, lacks in drawn
    ]
    if once_each:
        batches = list({batch.batch_id: batch for batch in batches}.values())
    if in_order or draw(st.booleans()):
        batches.sort(key=lambda b: (b.as_of, b.batch_id.encode()))
    return Sequence(tuple(batches), {key: _claim_days(seed, key) for key in KEYS})


def _rows(seed: int, content: int, has: frozenset[str]) -> tuple[Row, ...]:
    rows = [
        Row(
            row.key,
            row.effective if "effective" in has else None,
            row.name,
            row.zip if "zip" in has else None,
            row.type_1 if "type_1" in has else None,
            row.is_deleted and "is_deleted" in has,
        )
        for key in KEYS
        for row in _rows_of_key(seed, content, key)
    ]
    random.Random(f"{seed} {content}").shuffle(rows)
    return tuple(rows)


def _unreadable(seed: int, content: int) -> tuple[str, ...]:
    dice = random.Random(f"{seed} {content} unreadable")
    return tuple(dice.sample(KEYS, dice.choice([0, 0, 6])))


def _rows_of_key(seed: int, content: int, key: str) -> list[Row]:
    """The rows that a key has in a file: what kind of key it is, then chance."""
    kind = random.Random(f"{seed} {key}")
    presence = kind.choice([0.0, 0.3, 0.6, 0.8, 1.0])  # 0: only claims name it
    moments = kind.sample(HALF_DAYS, kind.randint(1, 3)) + [None] * kind.randint(0, 3)
    moments += kind.sample(FAR, kind.choice([0, 0, 1]))
    names = kind.choice([["x"], ["x", "y"], ["x", "y", None]])
    zips = kind.choice([["10001"], ["10001", "10002"], ["10001", None]])
    deletes = kind.choice([0.0, 0.0, 0.2, 0.5, 1.0])
    repeats = kind.choice([0.0, 0.5])
    most = kind.choice([1, 2, 4])

    dice = random.Random(f"{seed} {key} {content}")
    if dice.random() >= presence:
        return []
    rows: list[Row] = []
    for _ in range(dice.randint(1, most)):
        row = Row(
            key,
            dice.choice(moments),
            dice.choice(names),
            dice.choice(zips),
            dice.choice(["0", "1", "2", None]),
            dice.random() < deletes,
        )
        if rows and dice.random() < repeats:
            again = dice.choice(rows)  # as it was, otherwise, or gone at the same time
            row = dice.choice(
                [
                    again,
                    replace(row, effective=again.effective),
                    replace(again, is_deleted=not again.is_deleted),
                ]
            )
        rows.append(row)
    return rows


def _claim_days(seed: int, key: str) -> list[date]:
    dice = random.Random(f"{seed} {key} claims")
    return sorted(dice.sample(CLAIM_DAYS, dice.choice([0, 1, 3, 5])))


@st.composite
def repeated_snapshots(draw: st.DrawFn) -> Sequence:
    """Files that mostly say again what the one before said, each key once and none gone by name.

    Most are snapshots in order, as a sender sends them every day; some are deltas, come late, or
    have other columns.
    """
    seed = draw(st.integers(0, 9999))
    lacks = draw(st.sampled_from([{"is_deleted"}, {"is_deleted", "effective"}]))
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["snapshot", "snapshot", "snapshot", "delta"]),
                st.sampled_from([frozenset(), frozenset(), frozenset(), frozenset({"zip"})]),
                # How many days after the batch before it was true.
                st.sampled_from([1, 1, 1, 2, 0.5, -1.5]),
            ),
            min_size=3,
            max_size=6,
        )
    )
    as_of, batches = FIRST, []
    rows: dict[str, Row] = {}
    for number, (kind, also_lacks, days) in enumerate(drawn):
        dice = random.Random(f"{seed} {number}")
        has = frozenset(OPTIONAL) - lacks - also_lacks
        as_of += timedelta(days=days)
        rows = _next_rows(rows, dice, as_of)
        sent = [
            replace(
                row,
                effective=row.effective if "effective" in has else None,
                zip=row.zip if "zip" in has else None,
            )
            for row in rows.values()
        ]
        dice.shuffle(sent)
        unreadable = tuple(dice.sample(KEYS, dice.choice([0, 0, 3])))
        batches.append(Batch(as_of, f"{number}", kind, tuple(sent), has, unreadable))
    return Sequence(tuple(batches), {key: _claim_days(seed, key) for key in KEYS})


def _next_rows(rows: dict[str, Row], dice: random.Random, as_of: datetime) -> dict[str, Row]:
    """The rows of the next file by key: most as they were, some changed, gone, new or back."""
    # No two files differ by so many keys that somebody would have to confirm that they end.
    gone = [key for key in rows if dice.random() <= 0.05][:_MOST_GONE]
    found = {key: row for key, row in rows.items() if key not in gone}
    for key in KEYS:
        if key in rows and dice.random() < 0.9:
            continue
        if not rows or dice.random() < 0.7:
            effective = dice.choice(
                [None, None, as_of, as_of - timedelta(days=3), as_of + timedelta(hours=36)]
            )
            values = [dice.choice(["x", "y"]), dice.choice(["10001", None]), dice.choice("01")]
            found[key] = Row(key, effective, *values)
    return found
