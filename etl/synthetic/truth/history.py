"""What a dimension must contain: every row that a feed delivered, replayed by the rules.

The rules are those of docs/architecture.md, written down here a second time and in another way
than in ``sql/dims``, over one key after another: a row is true from its own time on, the first
one from 1900 on, a later row of the same time replaces the earlier, a key that a snapshot
lacks is gone until it is delivered again, and equal neighbors are one version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import xxhash
from numpy.typing import NDArray

from etl.contracts.feed import Feed
from etl.synthetic.core.encode import Block, Column, lines, side_by_side
from etl.synthetic.core.rng import Ints

_ALWAYS, _NEVER = -(2**62), 2**62
# Separators that no field contains, so that the fields of a row stay apart.
_UNIT, _RECORD = b"\x1f", b"\x1e"


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one file in the order of their lines.

    ``key``: number of the member or provider; ``effective``: seconds since 1970 from which the
    row is true; ``drivers`` and ``others``: digests of its change drivers and of the rest.
    """

    key: Ints
    effective: Ints
    drivers: NDArray[np.uint64]
    others: NDArray[np.uint64]

    @classmethod
    def together(cls, parts: list[Rows]) -> Rows:
        """One after the other; none at all of no parts."""
        kinds = {"key": np.int64, "effective": np.int64, "drivers": np.uint64, "others": np.uint64}
        return cls(
            *(
                np.concatenate([np.zeros(0, dtype=kind), *(getattr(p, name) for p in parts)])
                for name, kind in kinds.items()
            )
        )

    def take(self, rows: Ints | NDArray[np.bool_]) -> Rows:
        """Some of the rows."""
        return Rows(self.key[rows], self.effective[rows], self.drivers[rows], self.others[rows])


@dataclass(slots=True)
class Counts:
    """Keys of a batch by what it does to them.

    ``new``: never seen before; ``changed``: the versions differ from those before; ``type_1``:
    only other attributes do; ``unchanged``: nothing does; ``vanished``: a snapshot lacks them;
    ``returned``: back after a gap, whatever else.
    """

    new: int = 0
    changed: int = 0
    type_1: int = 0
    unchanged: int = 0
    vanished: int = 0
    returned: int = 0


@dataclass(slots=True)
class _Life:
    """One key: its rows as (as_of, effective, drivers, others), and the snapshots that lack it."""

    rows: list[tuple[int, int, int, int]]
    lacking: list[int] = field(default_factory=list)

    def others(self) -> int:
        """The attributes apart from the drivers, by the latest word on them."""
        latest = max(range(len(self.rows)), key=lambda n: (*self.rows[n][:2], n))
        return self.rows[latest][3]

    def gaps(self) -> list[tuple[int, int]]:
        found = []
        for lacking in self.lacking:
            later = sorted(
                (as_of, effective) for as_of, effective, *_ in self.rows if as_of > lacking
            )
            as_of, effective = later[0] if later else (_NEVER, _NEVER)
            found.append((lacking, effective if effective > lacking else as_of))
        return found

    def versions(self) -> list[tuple[int, int | None]]:
        """When each stretch begins, and its drivers; ``None`` where the key is gone."""
        state = {effective: drivers for _, effective, drivers, _ in self.rows}
        state[_ALWAYS] = state.pop(min(state))
        gaps = self.gaps()
        moments = sorted({*state, *(g for gap in gaps for g in gap if g < _NEVER)})
        spans: list[tuple[int, int | None]] = []
        drivers: int | None = None
        for at in moments:
            drivers = state.get(at, drivers)
            now = None if any(start <= at < end for start, end in gaps) else drivers
            if not spans or spans[-1][1] != now:
                spans.append((at, now))
        return spans


class History:
    """The history of one dimension whose keys are numbered from 0 on.

    Nearly every key has one row that only snapshots repeat: those are kept in arrays. A key with
    more to it has a life of its own.
    """

    def __init__(self) -> None:
        self._one = Rows.together([])
        self._as_of: Ints = np.zeros(0, dtype=np.int64)
        self._known: NDArray[np.bool_] = np.zeros(0, dtype=bool)
        self._lives: dict[int, _Life] = {}
        self._versions: dict[int, list[tuple[int, int | None]]] = {}

    @property
    def keys(self) -> int:
        """Keys that were ever delivered."""
        return int(self._known.sum())

    @property
    def versions(self) -> int:
        """Versions that the dimension contains, without inferred and unknown rows."""
        many = sum(sum(d is not None for _, d in v) for v in self._versions.values())
        return self.keys - len(self._lives) + many

    @property
    def current(self) -> int:
        """Keys that are not gone."""
        return self.keys - sum(v[-1][1] is None for v in self._versions.values())

    def knows(self, keys: Ints) -> NDArray[np.bool_]:
        """Whether each key was ever delivered."""
        inside = keys < len(self._known)
        found = np.zeros(len(keys), dtype=bool)
        found[inside] = self._known[keys[inside]]
        return found

    def deliver(
        self, rows: Rows, as_of: int, *, snapshot: bool, also_named: Ints | None = None
    ) -> Counts:
        """Take in the rows of a file, later ones than all before; ``as_of`` in seconds.

        ``also_named``: keys of rows that are rejected, which a snapshot does not end.
        """
        counts = Counts()
        self._grow(int(rows.key.max(initial=-1)) + 1)
        known = self._known.copy()
        simple = self._is_simple(rows)
        again = simple & self._known[rows.key]
        counts.unchanged += int(again.sum())
        fresh = np.flatnonzero(simple & ~again)
        counts.new += len(fresh)
        self._begin(rows.take(fresh), as_of)

        reported: dict[int, list[int]] = {}
        for position in np.flatnonzero(~simple).tolist():
            reported.setdefault(int(rows.key[position]), []).append(position)
        for key, positions in reported.items():
            self._report(key, bool(known[key]), rows.take(np.array(positions)), as_of, counts)
        if snapshot:
            known[rows.key] = False
            if also_named is not None:
                known[also_named[also_named < len(known)]] = False
            for key in np.flatnonzero(known).tolist():
                counts.vanished += self._lack(key, as_of)
        return counts

    def _grow(self, size: int) -> None:
        more = size - len(self._known)
        if more > 0:
            one = self._one
            self._one = Rows(
                np.pad(one.key, (0, more)),
                np.pad(one.effective, (0, more)),
                np.pad(one.drivers, (0, more)),
                np.pad(one.others, (0, more)),
            )
            self._as_of = np.pad(self._as_of, (0, more))
            self._known = np.pad(self._known, (0, more))

    def _is_simple(self, rows: Rows) -> NDArray[np.bool_]:
        """Rows that are the only ones of their key, here and before, or repeat it exactly."""
        once = np.bincount(rows.key, minlength=len(self._known))[rows.key] == 1
        known = self._known[rows.key]
        same = (
            (self._one.effective[rows.key] == rows.effective)
            & (self._one.drivers[rows.key] == rows.drivers)
            & (self._one.others[rows.key] == rows.others)
        )
        lived = np.isin(rows.key, np.fromiter(self._lives, dtype=np.int64))
        return once & ~lived & (~known | same)

    def _begin(self, rows: Rows, as_of: int) -> None:
        for name in ("effective", "drivers", "others"):
            getattr(self._one, name)[rows.key] = getattr(rows, name)
        self._as_of[rows.key] = as_of
        self._known[rows.key] = True

    def _life(self, key: int) -> _Life:
        if key not in self._lives:
            effective, drivers, others = (
                int(a[key]) for a in (self._one.effective, self._one.drivers, self._one.others)
            )
            first = (int(self._as_of[key]), effective, drivers, others)
            self._lives[key] = _Life([first])
            self._versions[key] = [(_ALWAYS, first[2])]
        return self._lives[key]

    def _report(self, key: int, known: bool, rows: Rows, as_of: int, counts: Counts) -> None:
        if not known:
            self._begin(rows.take(np.array([0])), as_of)
            rows = rows.take(np.arange(1, len(rows.key)))
        life = self._life(key)
        before, others = self._versions[key], life.others()
        gone = before[-1][1] is None
        reported = zip(
            rows.effective.tolist(), rows.drivers.tolist(), rows.others.tolist(), strict=True
        )
        life.rows += [(as_of, *row) for row in reported]
        self._versions[key] = life.versions()
        if not known:
            counts.new += 1
        elif self._versions[key] != before:
            counts.changed += 1
            counts.returned += gone
        elif life.others() != others:
            counts.type_1 += 1
        else:
            counts.unchanged += 1

    def _lack(self, key: int, as_of: int) -> bool:
        """A snapshot lacks a key; returns whether it was there before."""
        life = self._life(key)
        was_there = self._versions[key][-1][1] is not None
        if was_there:
            life.lacking.append(as_of)
            self._versions[key] = life.versions()
        return was_there


def digests(block: Block, columns: Iterable[str]) -> NDArray[np.uint64]:
    """A digest of these fields of each row."""
    fields = {name: block.columns[name] for name in columns}
    record = side_by_side(fields, _UNIT, _RECORD)
    texts = lines(record).split(_RECORD)[:-1]
    return np.fromiter(map(xxhash.xxh3_64_intdigest, texts), dtype=np.uint64, count=len(texts))


def numbers(column: Column) -> Ints:
    """The numbers that end identifiers of a letter and digits, all of one length."""
    digits = column.view(np.uint8).reshape(len(column), -1)[:, 1:].astype(np.int64) - ord("0")
    return digits @ (10 ** np.arange(digits.shape[1] - 1, -1, -1))


def driver_columns(feed: Feed) -> tuple[list[str], list[str]]:
    """A feed's change drivers, and its other attributes, its key and times apart."""
    apart = {*feed.key, feed.effective}
    drivers = [c.name for c in feed.columns if c.driver]
    return drivers, [c.name for c in feed.columns if not c.driver and c.name not in apart]
