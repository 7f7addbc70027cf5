"""The truth of the feeds: what each batch really contains, and what must be loaded after it.

Nothing here is read by the pipeline. ``docs/synthetic-feeds.md`` describes the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etl.contracts.feed import Feed
from etl.synthetic.core.encode import Block
from etl.synthetic.core.rng import Ints
from etl.synthetic.defects.dirt import Defect
from etl.synthetic.defects.injector import DirtyBlock
from etl.synthetic.truth.history import Counts, History, Rows, digests, driver_columns, numbers

MEMBER, PROVIDER, PLAN = "dim_member", "dim_provider", "dim_plan"
# Where a feed's rows of numbered keys go, and which dimension the other feeds' columns name.
_NUMBERED = {"members": MEMBER, "providers": PROVIDER}
_NAMED = {"member_id": MEMBER, "provider_id": PROVIDER}
_DATE_OF_PLAN = {"enrollments": "start_date", "claims": "service_date"}
PlanYear = tuple[str, str]


@dataclass(slots=True)
class FileTruth:
    """One file of a batch as it was written, block by block."""

    feed: Feed
    kind: str
    rows: int = 0
    rejected: int = 0
    duplicate: int = 0
    new: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    loaded_totals: dict[str, int] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)
    refused: bool = False
    # Of dimensions: the rows that will be loaded. Of facts: the keys that they name.
    reported: list[Rows] = field(default_factory=list)
    # Of dimensions: the keys of rows that will be rejected, which a snapshot still names.
    rejected_keys: list[Ints] = field(default_factory=list)
    plans: set[PlanYear] = field(default_factory=set)
    lost_plans: set[PlanYear] = field(default_factory=set)
    named: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    orphans: dict[str, set[str]] = field(default_factory=dict)
    strange_plans: set[PlanYear] = field(default_factory=set)

    @property
    def loaded(self) -> int:
        """Rows that stay in staging."""
        return 0 if self.refused else self.rows - self.rejected - self.duplicate

    def add(self, block: Block, dirty: DirtyBlock, as_of: int, lost_plans: set[PlanYear]) -> None:
        """Count a block in. ``lost_plans``: published ones whose row was not loaded."""
        self.rows += dirty.rows
        self.rejected += dirty.rejected_records
        self.duplicate += dirty.duplicates
        self.defects += dirty.defects
        kept = np.ones(len(block), dtype=bool)
        kept[dirty.rejected] = False
        if block.new is not None:
            self.new += int((block.new & kept).sum()) + len(dirty.added)
        for name, cents in dirty.totals.items():
            self.totals[name] = self.totals.get(name, 0) + cents
            loaded = self.loaded_totals.get(name, 0) + int(block.cents[name][kept].sum())
            for position, value in dirty.changed.get(name, {}).items():
                loaded += cents_of(value) - int(block.cents[name][position])
            self.loaded_totals[name] = loaded + sum(cents_of(row[name]) for row in dirty.added)
        if self.feed.name in _NUMBERED:
            self._report(patched(block, dirty), kept, as_of)
        elif self.feed.name == "plans":
            for position, plan in enumerate(_plan_years(block, "effective_year")):
                (self.plans if kept[position] else self.lost_plans).add(plan)
        elif self.feed.name in _DATE_OF_PLAN:
            self._name(block, dirty, kept, lost_plans)

    def _report(self, block: Block, kept: NDArray[np.bool_], as_of: int) -> None:
        drivers, others = driver_columns(self.feed)
        effective = np.full(len(block), as_of, dtype=np.int64)
        if self.feed.effective:
            stamps = [t.decode().removesuffix("Z") for t in block.columns[self.feed.effective]]
            effective = np.array(stamps, dtype="datetime64[s]").astype(np.int64)
        key = numbers(block.columns[self.feed.key[0]])
        rows = Rows(key, effective, digests(block, drivers), digests(block, others))
        self.reported.append(rows.take(kept))
        self.rejected_keys.append(key[~kept])

    def _name(
        self, block: Block, dirty: DirtyBlock, kept: NDArray[np.bool_], lost_plans: set[PlanYear]
    ) -> None:
        for column in _NAMED.keys() & block.columns.keys():
            keys = numbers(block.columns[column])
            own = kept.copy()
            own[list(dirty.changed.get(column, {}))] = False
            dimension = _NAMED[column]
            seen = self.named.get(dimension, np.zeros(0, dtype=bool))
            seen = np.pad(seen, (0, max(0, int(keys.max(initial=-1)) + 1 - len(seen))))
            seen[keys[own]] = True
            self.named[dimension] = seen
            orphans = self.orphans.setdefault(dimension, set())
            orphans |= {v.decode() for v in dirty.changed.get(column, {}).values()}
        day = _DATE_OF_PLAN[self.feed.name]
        moved = dirty.changed.get(day, {})
        for position, value in moved.items():
            plan = _text(block.columns["plan_id"][position])
            self.strange_plans.add((plan, value.decode()[:4]))
        if lost_plans:
            stay = kept.copy()
            stay[list(moved)] = False
            here = set(_plan_years(block, day, np.flatnonzero(stay)))
            self.strange_plans |= here & lost_plans


class Truth:
    """What the batches so far must have made of the warehouse."""

    def __init__(self) -> None:
        self.histories = {MEMBER: History(), PROVIDER: History()}
        self.plans: set[PlanYear] = set()
        self.lost_plans: set[PlanYear] = set()
        # Keys that facts have named and no feed has brought: the rows that are inferred.
        self.unknown: dict[str, set[str]] = {MEMBER: set(), PROVIDER: set(), PLAN: set()}

    def take(self, files: list[FileTruth], as_of: int) -> dict[str, dict[str, int]]:
        """Take in a batch's files, unless one of them is refused; returns its keys by feed."""
        if any(file.refused for file in files):
            return {}
        keys: dict[str, dict[str, int]] = {}
        for file in files:
            name = file.feed.name
            if name in _NUMBERED:
                keys[name] = asdict(self._deliver(file, as_of))
            elif name == "plans":
                new = len(file.plans - self.plans)
                keys[name] = {"new": new, "unchanged": len(file.plans) - new}
                self.lost_plans = self.lost_with(files)
                self.plans |= file.plans
                self.unknown[PLAN] -= {_joined(plan) for plan in file.plans}
            else:
                keys[name] = {"new": file.new, "changed": file.loaded - file.new}
        for file in files:
            self._infer(file)
        return keys

    def lost_with(self, files: list[FileTruth]) -> set[PlanYear]:
        """The plans that were published and not loaded, once these files of a batch are."""
        lost = self.lost_plans.union(*(file.lost_plans for file in files))
        return lost.difference(self.plans, *(file.plans for file in files))

    def _deliver(self, file: FileTruth, as_of: int) -> Counts:
        dimension = _NUMBERED[file.feed.name]
        rows = Rows.together(file.reported)
        named = np.concatenate([np.zeros(0, dtype=np.int64), *file.rejected_keys])
        counts = self.histories[dimension].deliver(
            rows, as_of, snapshot=file.kind == "snapshot", also_named=named
        )
        if self.unknown[dimension]:
            self.unknown[dimension] -= _identifiers(dimension, rows.key)
        return counts

    def _infer(self, file: FileTruth) -> None:
        for dimension, seen in file.named.items():
            keys = np.flatnonzero(seen)
            lacking = keys[~self.histories[dimension].knows(keys)]
            self.unknown[dimension] |= _identifiers(dimension, lacking)
            self.unknown[dimension] |= file.orphans[dimension]
        self.unknown[PLAN] |= {_joined(plan) for plan in file.strange_plans - self.plans}

    def dimensions(self) -> dict[str, dict[str, int]]:
        """What each dimension must contain by now, without the unknown row."""
        held = {
            name: {"keys": h.keys, "versions": h.versions, "current": h.current}
            for name, h in self.histories.items()
        }
        plans = len(self.plans)
        held[PLAN] = {"keys": plans, "versions": plans, "current": plans}
        for name, counts in held.items():
            counts["inferred"] = len(self.unknown[name])
        return held


def described(files: list[FileTruth], checksums: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The files of a batch for the record, by name in the order written."""
    return {
        name: {
            "rows": file.rows,
            "loaded": file.loaded,
            "rejected": file.rejected,
            "duplicate": file.duplicate,
            "refused": file.refused,
            "totals": {
                column: {"in_file": _dollars(cents), "loaded": _dollars(file.loaded_totals[column])}
                for column, cents in file.totals.items()
            },
            "defects": [asdict(d) for d in file.defects],
            "xxh3_128": checksum,
        }
        for file, (name, checksum) in zip(files, checksums.items(), strict=True)
    }


def patched(block: Block, dirty: DirtyBlock) -> Block:
    """The block with the values that will be loaded in the place of its own."""
    columns = dict(block.columns)
    for name, changes in dirty.changed.items():
        column = columns[name].astype(
            f"S{max(columns[name].itemsize, *map(len, changes.values()))}"
        )
        for position, value in changes.items():
            column[position] = value
        columns[name] = column
    return Block(block.feed, columns, block.cents)


def _plan_years(block: Block, date_column: str, rows: Ints | None = None) -> Iterator[PlanYear]:
    at = np.arange(len(block)) if rows is None else rows
    plan, when = block.columns["plan_id"][at], block.columns[date_column][at]
    for name, day in zip(plan, when, strict=True):
        yield _text(name), _text(day)[:4]


def _identifiers(dimension: str, keys: Ints) -> set[str]:
    """What the feeds call members and providers of these numbers."""
    letter = {MEMBER: "M", PROVIDER: "P"}[dimension]
    return {f"{letter}{key:08d}" for key in keys.tolist()}


def _text(field_bytes: bytes) -> str:
    return field_bytes.replace(b"\0", b"").decode()


def _joined(plan: PlanYear) -> str:
    return " ".join(plan)


def cents_of(value: bytes) -> int:
    """The cents of an amount in dollars, as a feed writes it."""
    dollars, _, cents = value.decode().partition(".")
    return int(dollars) * 100 + int(cents or "0")


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
