"""Putting defects into a feed on its way to a file, and recording where each one is.

Whole-number draws choose the rows of a block. Only these are taken apart and put together again
one by one; the clean stretches between them go out as they would without dirt.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from etl.contracts.feed import Feed
from etl.synthetic.core.encode import Block, constant, join, lines
from etl.synthetic.core.rng import BITS, Dice, below, chance
from etl.synthetic.defects.defects import MAKERS, Corrupted, Row, split
from etl.synthetic.defects.dirt import (
    DUPLICATE,
    EXTRA_COLUMN,
    KINDS,
    LATE_SET,
    NEW_NAME,
    REFUSED,
    REJECTED,
    Defect,
    Dirt,
    Kind,
)

# A pipeline refuses a file of which more than 5 % is rejected.
_MOST_REJECTED = 40_000  # millionths of a file's rows
# From so many rows on a file contains each kind that was asked for by name: one of them rejected
# is no more than that.
_ROWS_FOR_ALL = 1_000_000 // _MOST_REJECTED
# Rows of a block that are tried for such a kind before it waits for the next block.
_TRIES = 250
_WHOLE_FILE_CHANCE = 100  # in a thousand files, where all kinds are asked for

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_EXTRA_VALUE = "1"


@dataclass(frozen=True, slots=True)
class DirtyBlock:
    """A block with dirt: what goes into the file, and what must become of it.

    ``rows``: records written. ``totals``: cents of each money column over all of them, as the
    sender knows them; an amount that cannot be read counts as what it should have been.
    ``rejected``: positions in the block of rows whose own record will not be loaded, or is missing.
    ``rejected_records`` and ``duplicates``: records that staging rejects or drops.
    ``changed``: column to position to the value that will be loaded, where that is not the
    block's. ``added``: rows that will be loaded and are not in the block, every column of them.
    Values are plain text in UTF-8, trimmed, without the quotes of CSV. ``touched``: positions of
    all rows with a defect.
    """

    data: bytes
    rows: int
    totals: dict[str, int]
    rejected: NDArray[np.int64]
    rejected_records: int = 0
    duplicates: int = 0
    changed: dict[str, dict[int, bytes]] = field(default_factory=dict)
    added: list[dict[str, bytes]] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    touched: tuple[int, ...] = ()


class _Sets:
    """Which rows of a block belong together; each row is alone where they do not come as sets."""

    def __init__(self, block: Block) -> None:
        self._sets = np.arange(len(block)) if block.sets is None else block.sets

    def of(self, position: int) -> int:
        """A number for the set of a row."""
        return int(self._sets[position])

    def same(self, one: int, other: int) -> bool:
        """Whether two rows are of one set; rows outside the block are of none."""
        inside = one >= 0 and other < len(self._sets)
        return bool(inside and self._sets[one] == self._sets[other])


class DefectInjector:
    """Injects defects into one file of a batch: header, then its blocks in order, then the end.

    ``day``: the batch's, in days since 1970-01-01; the same arguments and blocks give the same
    bytes. No row has two defects, and no set of rows has. At every block's end at most 4 % of the
    rows so far are rejected, or the share asked for if that is higher. A kind asked for by name is
    in every file of 25 rows or more to which it applies, as far as this allows.

    ``refused``: whether the pipeline must refuse the file as a whole. Such a file has no other
    defects than those it is refused for.
    """

    def __init__(self, dirt: Dirt | None, seed: int, day: int, feed: Feed) -> None:
        kinds = dirt.of(feed.name) if dirt else []
        self._feed = feed
        self._at = {c.name: i for i, c in enumerate(feed.columns)}
        self._words = (seed, "dirt", day, feed.name)
        self._keys = f"{day}{feed.name[0].upper()}"
        self.refused = any(k.outcome == REFUSED for k in kinds)
        self._file = {k.name: k for k in kinds if k.whole_file and self._hits_file(k, dirt)}
        of_rows = [k for k in kinds if not k.whole_file and not k.of_set]
        self._kinds = [] if self.refused else of_rows
        self._owed = list(self._kinds) if dirt and dirt.kinds else []
        each = dirt.share if dirt else 0.0
        # By name, every kind has the share for itself.
        share = min(each * len(self._kinds) if self._owed else each, 1.0)
        self._hit = round(share * 2**BITS)
        self._limit = max(round(each * 1_000_000), _MOST_REJECTED)
        self._end = b"\r\n" if "crlf" in self._file else b"\n"
        self._blocks = self._rows = self._rejected = 0
        self._line = 2

    def _hits_file(self, kind: Kind, dirt: Dirt | None) -> bool:
        if dirt and dirt.kinds:
            return kind.outcome == REFUSED or not self.refused
        return bool(chance(Dice(*self._words)(kind.name, 1), _WHOLE_FILE_CHANCE)[0])

    def header(self) -> bytes:
        """The file's first line."""
        names = [c.name for c in self._feed.columns if c.name != self._missing]
        if "renamed_column" in self._file:
            names = [NEW_NAME.get(name, name) for name in names]
        if "extra_column" in self._file:
            names.append(EXTRA_COLUMN)
        mark = _BYTE_ORDER_MARK if "byte_order_mark" in self._file else b""
        return mark + ",".join(names).encode() + self._end

    @property
    def _missing(self) -> str | None:
        """The column that the file lacks."""
        kind = self._file.get("missing_column")
        return kind.columns[self._feed.name][0] if kind else None

    def inject(
        self,
        block: Block,
        spare: NDArray[np.bool_] | None = None,
        clean: NDArray[np.bool_] | None = None,
    ) -> DirtyBlock:
        """The next block of the file with its share of defects.

        ``spare``: whether each row of the block is needed: it is then neither rejected nor given
        the key of a member or provider that nobody has. ``clean``: whether it gets no defect.
        """
        records = self._shaped(block).records()
        number, self._blocks = self._blocks, self._blocks + 1
        first, self._rows = self._rows, self._rows + len(block)
        late = self._late(block, records)
        if not (self._kinds or late):
            return DirtyBlock(lines(records), len(block), block.totals, np.empty(0, np.int64))
        sets = _Sets(block)
        corrupted = dict(late)
        taken = {sets.of(position) for position in late}
        for kind, position, draw in self._choices(Dice(*self._words, number), len(block)):
            if (
                sets.of(position) in taken
                or (clean is not None and clean[position])
                or (kind.outcome == REJECTED and not self._may_reject())
                or (kind.takes_row and spare is not None and spare[position])
            ):
                continue
            row = Row(
                fields=self._fields(records, position),
                at=self._at,
                cents={name: int(values[position]) for name, values in block.cents.items()},
                columns=tuple(c for c in kind.columns[self._feed.name] if c in self._at),
                fresh=f"{self._keys}{first + position:08d}".encode(),
                draw=draw,
                is_first=not sets.same(position - 1, position),
                is_followed=sets.same(position, position + 1),
            )
            made = MAKERS[kind.name](row)
            if made is not None:
                corrupted[position] = (kind, made)
                taken.add(sets.of(position))
                self._rejected += kind.outcome == REJECTED
                if kind in self._owed:
                    self._owed.remove(kind)
        data, defects = self._written(records, corrupted)
        return _dirty(block, data, corrupted, defects)

    def _late(self, block: Block, records: NDArray[np.void]) -> dict[int, tuple[Kind, Corrupted]]:
        """The late sets of a block, each by its first row, which stays as it is."""
        if block.late is None or self.refused:
            return {}
        sets, kind = _Sets(block), KINDS[LATE_SET]
        return {
            position: (kind, Corrupted([self._fields(records, position)], None))
            for position in np.flatnonzero(block.late).tolist()
            if not sets.same(position - 1, position)
        }

    def _fields(self, records: NDArray[np.void], position: int) -> list[bytes]:
        """The fields of a record as CSV text."""
        return split(lines(records[position : position + 1]).removesuffix(self._end))

    def _shaped(self, block: Block) -> Block:
        """The block with the columns and line ends of the file."""
        if not self._file:
            return block
        columns = {name: c for name, c in block.columns.items() if name != self._missing}
        if "extra_column" in self._file:
            columns[EXTRA_COLUMN] = constant(_EXTRA_VALUE, len(block))
        if "crlf" in self._file:
            last = list(columns)[-1]
            columns[last] = join(columns[last], np.repeat(np.array([b"\r"]), len(block)))
        return Block(block.feed, columns, block.cents)

    def _choices(self, dice: Dice, rows: int) -> Iterator[tuple[Kind, int, int]]:
        """Kind, position and a draw for the rest, of each row that may get a defect.

        Kinds that the file must contain come first, and are offered rows until they took one.
        """
        if self._rows >= _ROWS_FOR_ALL and rows:
            for kind in list(self._owed):
                offered = below(dice(f"{kind.name} position", _TRIES), rows)
                draws = dice(f"{kind.name} variant", _TRIES)
                for position, draw in zip(offered.tolist(), draws.tolist(), strict=True):
                    if kind not in self._owed:
                        break
                    yield kind, position, draw
        # With no kind of rows, nothing is hit.
        hits = np.flatnonzero(dice("hit", rows) < self._hit * bool(self._kinds))
        kinds = below(dice("kind", len(hits)), len(self._kinds))
        draws = dice("variant", len(hits))
        for position, kind, draw in zip(hits.tolist(), kinds.tolist(), draws.tolist(), strict=True):
            yield self._kinds[kind], position, draw

    def _may_reject(self) -> bool:
        return (self._rejected + 1) * 1_000_000 <= self._limit * self._rows

    def _written(
        self, records: NDArray[np.void], corrupted: Mapping[int, tuple[Kind, Corrupted]]
    ) -> tuple[bytes, list[Defect]]:
        """The lines of a block, and each defect with the line on which its record begins."""
        parts, defects, done = [], [], 0

        def write(text: bytes) -> None:
            parts.append(text)
            self._line += text.count(b"\n")

        for position, (kind, made) in sorted(corrupted.items()):
            write(lines(records[done:position]))
            done = position + 1
            texts = [b",".join(fields) + self._end for fields in made.records]
            write(b"".join(texts[: made.faulty]))
            # Where a row is missing, the next one begins here.
            defects.append(
                Defect(kind.name, self._feed.name, self._line, made.column, kind.outcome)
            )
            write(b"".join(texts[made.faulty :]))
        write(lines(records[done:]))
        return b"".join(parts), defects

    def finish(self, path: Path) -> list[Defect]:
        """The defects of the file as a whole; cuts the finished file if it is to be cut.

        Call it after the checksum was taken: the sender's manifest describes the whole file.
        """
        if "truncated" in self._file:
            _cut(path)
        return [
            Defect(
                kind.name,
                self._feed.name,
                1,
                next(iter(kind.columns[self._feed.name]), None),
                kind.outcome,
            )
            for kind in self._file.values()
        ]


def _cut(path: Path) -> None:
    """Halve a file, plain or compressed, and never between two lines."""
    with path.open("r+b") as file:
        middle = file.seek(0, os.SEEK_END) // 2
        while file.seek(middle - 1) and b"\n" in file.read(2):
            middle -= 1
        file.truncate(middle)


def _dirty(
    block: Block,
    data: bytes,
    corrupted: Mapping[int, tuple[Kind, Corrupted]],
    defects: list[Defect],
) -> DirtyBlock:
    """What a block has become."""
    totals, rows = block.totals, len(block)
    changed: dict[str, dict[int, bytes]] = {}
    for position, (_, made) in sorted(corrupted.items()):
        copies = len(made.records) - 1
        rows += copies
        for name, cents in block.cents.items():
            totals[name] += copies * int(cents[position]) + made.cents.get(name, 0)
        for name, value in made.changed.items():
            changed.setdefault(name, {})[position] = value
    outcomes = [d.outcome for d in defects]
    lost = [
        position
        for position, (kind, made) in sorted(corrupted.items())
        if not made.records or (kind.outcome == REJECTED and not kind.adds)
    ]
    return DirtyBlock(
        data=data,
        rows=rows,
        totals=totals,
        rejected=np.array(lost, dtype=np.int64),
        rejected_records=outcomes.count(REJECTED),
        duplicates=outcomes.count(DUPLICATE),
        changed=changed,
        added=[made.added for _, (_, made) in sorted(corrupted.items()) if made.added is not None],
        defects=defects,
        touched=tuple(sorted(corrupted)),
    )
