"""What the batches of a dimension make of its history: the rules, written to be read.

Plain lists, ``sorted()``, one key at a time, no regard for speed and none for the warehouse's own
way of doing it. The numbers below are those at which the code says that it follows a rule.

Batches are ordered by their *rank*: as_of, then batch_id byte by byte, then the order in which
they were loaded. "Earlier", "later" and "latest" go by rank and not by arrival; what a set of
batches makes does not depend on the order in which they came, but for two loads of one batch.

A *line* is a valid row of a file: alive, or a delete marker. It takes effect when it
says, else at its batch's as_of.

0. Of a file's rows of one key and effective time the last is valid, markers and alive rows alike.
   An earlier one that is equal to it in every column is a duplicate; one that differs is rejected.
1. Observations: of alive lines of one effective time, the latest. Markers: likewise.
2. A marker is void if an alive line of the same effective time comes later.
3. The first observation of a key, by effective time, counts from 1900-01-01 on. That version is
   known from the observation's own effective time on, every other one from its start on.
4. The key is gone in gaps [gone, back):
   a. Absence. A snapshot has no line of the key, nor a row of it that was rejected because it
      cannot be read, and an earlier batch has an alive line. Gone at
      the snapshot's as_of. Back with the first alive line of a later batch (by rank, then
      effective time): at its effective time if that is after gone, else at its batch's as_of.
   b. A marker that is not void. Gone at its effective time, but not before a microsecond after
      1900-01-01. Back at the earliest of: the effective time of an observation, the as_of of a
      snapshot later than the marker's batch that has an alive line, both after the marker's
      effective time.
   Nothing that brings it back: gone for good. Back no later than gone: no gap.
5. At any other time the key has the drivers of the latest observation at or before it. A version
   is a stretch in which they are equal and the key is not gone. No observation, no version.
6. Type 1 attributes are those of the latest alive line (by rank, effective time, place in the
   file), on every version.
7. A column that a file lacks is not said, which differs from empty.
   A driver not said takes the value of the latest alive line at or before that effective time (by
   effective time, then rank and line) that says it; else of the earliest after it (of those of
   that effective time the latest); else it is empty.
   A Type 1 attribute not said comes from the latest alive line (6) that says it.
8. A key that only facts name is one inferred row, empty, for all time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

EARLIEST = datetime(1900, 1, 1)
OPEN = datetime(9999, 12, 31)

Rank = tuple[datetime, bytes, int]


@dataclass(frozen=True)
class Row:
    """One row of a file. A column that the file lacks is empty in all of its rows."""

    key: str
    effective: datetime | None = None  # None: the batch's as_of counts
    name: str | None = None  # a driver that every file has
    zip: str | None = None  # a driver
    type_1: str | None = None
    is_deleted: bool = False


@dataclass(frozen=True)
class Batch:
    """One file of the feed and what its batch says of it. ``has``: which optional columns."""

    as_of: datetime
    batch_id: str
    kind: str  # delta or snapshot
    rows: tuple[Row, ...]
    has: frozenset[str] = frozenset({"effective", "zip", "type_1", "is_deleted"})
    unreadable: tuple[str, ...] = ()  # keys of further rows, which are rejected


@dataclass(frozen=True)
class Version:
    """One row of the dimension."""

    key: str
    start: datetime
    end: datetime
    name: str | None
    zip: str | None
    type_1: str | None
    known_from: datetime | None = None
    is_inferred: bool = False

    @property
    def is_current(self) -> bool:
        return self.end == OPEN


@dataclass(frozen=True)
class Line:
    """A valid row of a file, and where it is."""

    rank: Rank
    number: int
    effective: datetime
    row: Row
    batch: Batch

    @property
    def place(self) -> tuple[Rank, int]:
        return (self.rank, self.number)

    @property
    def delivery(self) -> tuple[Rank, datetime, int]:
        return (self.rank, self.effective, self.number)


@dataclass(frozen=True)
class Counts:
    """What the ledger says of a file."""

    read: int
    loaded: int
    rejected: int
    duplicate: int


def effective_of(row: Row, batch: Batch) -> datetime:
    return row.effective or batch.as_of


def valid_rows(batch: Batch) -> tuple[list[int], Counts]:
    """Positions of the valid rows of a file, and its counts (rule 0)."""
    last = {(row.key, effective_of(row, batch)): n for n, row in enumerate(batch.rows)}
    valid = sorted(last.values())
    duplicate = rejected = 0
    for number, row in enumerate(batch.rows):
        stays = last[row.key, effective_of(row, batch)]
        if number != stays:
            if row == batch.rows[stays]:
                duplicate += 1
            else:
                rejected += 1
    rejected += len(batch.unreadable)
    return valid, Counts(len(batch.rows) + len(batch.unreadable), len(valid), rejected, duplicate)


def model_versions(batches: Iterable[Batch], named_by_facts: Collection[str] = ()) -> list[Version]:
    """Every row of the dimension, by key and start. ``batches``: in the order of loading."""
    ranked = sorted(((b.as_of, b.batch_id.encode(), n), b) for n, b in enumerate(batches))
    lines: dict[str, list[Line]] = {}
    for rank, batch in ranked:
        for number in valid_rows(batch)[0]:
            row = batch.rows[number]
            line = Line(rank, number, effective_of(row, batch), row, batch)
            lines.setdefault(row.key, []).append(line)
    versions = []
    for key in sorted({*lines, *named_by_facts}):
        history = _history(key, lines.get(key, []), ranked)
        if not history and key in named_by_facts:
            history = [Version(key, EARLIEST, OPEN, None, None, None, is_inferred=True)]  # 8
        versions += history
    return versions


def in_force(versions: Iterable[Version], key: str, day: date) -> Version:
    """The version of a key at the beginning of a day; in a gap the last before it."""
    at = datetime(day.year, day.month, day.day)
    return max((v for v in versions if v.key == key and v.start <= at), key=lambda v: v.start)


def _history(key: str, lines: list[Line], ranked: list[tuple[Rank, Batch]]) -> list[Version]:
    """The versions of one key."""
    alive = [line for line in lines if not line.row.is_deleted]
    if not alive:
        return []
    observed = _latest_by_effective(alive)  # 1
    gaps = [*_absences(lines, alive, ranked), *_removals(lines, alive, ranked)]
    first = min(observed)
    state = {  # 3: since when which drivers
        EARLIEST if effective == first else effective: (
            line.row.name,
            _driver_said(line, alive, "zip"),
        )
        for effective, line in observed.items()
    }
    type_1 = _type_1_said(alive)
    moments = {*state, *(moment for gap in gaps for moment in gap)} - {OPEN}
    stretches: list[tuple[datetime, Any]] = []  # 5: since when what, None for gone
    for at in sorted(moments):
        if any(gone <= at < back for gone, back in gaps):
            now = None
        else:
            now = state[max(since for since in state if since <= at)]
        if not stretches or stretches[-1][1] != now:
            stretches.append((at, now))
    ends = [start for start, _ in stretches[1:]] + [OPEN]
    return [
        Version(key, start, end, now[0], now[1], type_1, first if start == EARLIEST else start)
        for (start, now), end in zip(stretches, ends, strict=True)
        if now is not None
    ]


def _latest_by_effective(lines: list[Line]) -> dict[datetime, Line]:
    """Of lines of one effective time the latest."""
    return {line.effective: line for line in sorted(lines, key=lambda line: line.place)}


def _absences(
    lines: list[Line], alive: list[Line], ranked: list[tuple[Rank, Batch]]
) -> list[tuple[datetime, datetime]]:
    """Gaps that snapshots without the key make (rule 4a)."""
    gaps = []
    for rank, batch in ranked:
        if batch.kind != "snapshot" or any(line.rank == rank for line in lines):
            continue
        if lines[0].row.key in batch.unreadable:
            continue
        if not any(line.rank < rank for line in alive):
            continue
        gone, back = batch.as_of, OPEN
        later = [line for line in alive if line.rank > rank]
        if later:
            first = min(later, key=lambda line: (line.rank, line.effective))
            back = first.effective if first.effective > gone else first.batch.as_of
        if back > gone:
            gaps.append((gone, back))
    return gaps


def _removals(
    lines: list[Line], alive: list[Line], ranked: list[tuple[Rank, Batch]]
) -> list[tuple[datetime, datetime]]:
    """Gaps that delete markers make (rule 4b)."""
    gaps = []
    markers = _latest_by_effective([line for line in lines if line.row.is_deleted])
    for effective, marker in markers.items():
        if any(line.effective == effective and line.place > marker.place for line in alive):
            continue  # 2
        gone = max(effective, EARLIEST + timedelta(microseconds=1))
        returns = [line.effective for line in alive] + [
            batch.as_of
            for rank, batch in ranked
            if batch.kind == "snapshot"
            and rank > marker.rank
            and any(line.rank == rank for line in alive)
        ]
        back = min((at for at in returns if at > effective), default=OPEN)
        if back > gone:
            gaps.append((gone, back))
    return gaps


def _driver_said(line: Line, alive: list[Line], column: str) -> Any:
    """The value of a driver that an observation has or takes from another line (rule 7)."""
    saying = [other for other in alive if column in other.batch.has]
    before = [other for other in saying if other.effective <= line.effective]
    if column in line.batch.has:
        teller = line
    elif before:
        teller = max(before, key=lambda other: (other.effective, other.place))
    elif saying:
        soonest = min(other.effective for other in saying)
        teller = max((o for o in saying if o.effective == soonest), key=lambda o: o.place)
    else:
        return None
    return getattr(teller.row, column)


def _type_1_said(alive: list[Line]) -> Any:
    """The Type 1 attribute of a key (rules 6 and 7)."""
    saying = [line for line in alive if "type_1" in line.batch.has]
    return max(saying, key=lambda line: line.delivery).row.type_1 if saying else None
