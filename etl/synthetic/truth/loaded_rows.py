"""The rows that must be loaded of each batch, written next to its truth as ``<batch_id>.rows``.

What the cubes must contain follows from the rows of all batches so far. These are only kept here:
``exposure`` and ``care`` reckon with them when somebody compares, so that a day's batch costs what
the day brings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.encode import Block
from etl.synthetic.core.rng import Ints
from etl.synthetic.defects.injector import DirtyBlock
from etl.synthetic.truth.history import numbers
from etl.synthetic.truth.truth import cents_of, patched
from etl.synthetic.world.services import CLAIM_TYPES, INPATIENT

Table = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a feed: columns of text, of amounts in cents, and of identifiers' numbers.

    ``stays``: of stays alone. ``of_sets``: which rows are of the same batch is known later too.
    """

    feed: str
    texts: tuple[str, ...]
    cents: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    stays: bool = False
    of_sets: bool = False

    @property
    def dtype(self) -> np.dtype[np.void]:
        """The columns, of no length yet."""
        whole = (*self.cents, *self.numbers)
        return np.dtype([(n, "S1") for n in self.texts] + [(n, np.int64) for n in whole])

    def rows(self, block: Block, dirty: DirtyBlock) -> Table:
        """The rows of a block that must be loaded."""
        loaded = patched(block, dirty)
        kept = np.ones(len(block), dtype=bool)
        kept[dirty.rejected] = False
        if self.stays:
            kept &= block.columns["claim_type"] == CLAIM_TYPES[INPATIENT].encode()
        columns: dict[str, NDArray[Any]] = {name: loaded.columns[name] for name in self.texts}
        columns |= {name: _loaded_cents(block, dirty, name) for name in self.cents}
        columns |= {name: numbers(block.columns[name]) for name in self.numbers}
        table = np.empty(len(block), dtype=[(n, c.dtype) for n, c in columns.items()])
        for name, column in columns.items():
            table[name] = column
        if not dirty.added:
            return table[kept]
        return np.concatenate([table[kept], self._added(dirty.added)])

    def _added(self, rows: list[dict[str, bytes]]) -> Table:
        texts = [[row[name] for row in rows] for name in self.texts]
        cents = [[cents_of(row[name]) for row in rows] for name in self.cents]
        kinds = [(n, np.array(c, dtype="S").dtype) for n, c in zip(self.texts, texts, strict=True)]
        dtype = np.dtype([*kinds, *((name, np.int64) for name in self.cents)])
        return np.array(list(zip(*texts, *cents, strict=True)), dtype=dtype)

    def of_batch(self, rows: Table, batch: int) -> Table:
        """The rows of a batch with its number, where that is wanted."""
        if not self.of_sets:
            return rows
        numbered = np.empty(len(rows), dtype=[*rows.dtype.descr, ("batch", np.int64)])
        for name in rows.dtype.names or ():
            numbered[name] = rows[name]
        numbered["batch"] = batch
        return numbered


_TABLES = {
    "members": _Kept("members", ("member_id", "state")),
    "plans": _Kept("plans", ("plan_id", "effective_year", "metal_tier")),
    "enrollments": _Kept(
        "enrollments",
        ("enrollment_id", "member_id", "plan_id", "start_date", "end_date", "csr_variant"),
        ("premium_paid", "aptc_amount"),
    ),
    "claims": _Kept(
        "claims",
        (
            *("member_id", "plan_id", "service_date", "status", "claim_type"),
            *("procedure_code", "diagnosis_code"),
        ),
        ("claim_amount", "allowed_amount", "paid_amount"),
        ("claim_id",),
    ),
    "lines": _Kept(
        "claim_lines",
        ("procedure_code",),
        ("line_billed", "line_allowed", "line_paid"),
        ("claim_id",),
        of_sets=True,
    ),
    "diagnoses": _Kept(
        "claim_diagnoses", ("position", "diagnosis_code"), (), ("claim_id",), of_sets=True
    ),
    "stays": _Kept(
        "claims",
        (
            *("claim_id", "member_id", "provider_id", "status", "claim_type"),
            *("admit_date", "discharge_date", "ms_drg", "diagnosis_code"),
        ),
        ("allowed_amount", "paid_amount"),
        stays=True,
    ),
}


class LoadedRows:
    """The file of a batch while it is written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def add(self, block: Block, dirty: DirtyBlock) -> None:
        """Keep what must be loaded of a block."""
        for kept in _TABLES.values():
            if kept.feed == block.feed.name:
                np.save(self._file, kept.rows(block, dirty), allow_pickle=False)


@contextmanager
def writing(folder: Path, batch_id: str) -> Iterator[LoadedRows]:
    """Write the rows of a batch, all or none."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{batch_id}.rows.partial"
    with partial.open("wb") as file:
        yield LoadedRows(file)
    partial.replace(_path(folder, batch_id))


def _path(folder: Path, batch_id: str) -> Path:
    """Where the rows of a batch are."""
    return folder / f"{batch_id}.rows"


def read(folder: Path, batch_ids: Iterable[str]) -> dict[str, Table] | None:
    """The rows of batches by table, in the order of the batches and of their lines.

    Those of sets have the number of their batch in ``batch``. ``None`` if a file is
    missing or damaged, or was written by another version of the generator.
    """
    found: dict[str, list[Table]] = {name: [] for name in _TABLES}
    names = {kept.dtype.names: name for name, kept in _TABLES.items()}
    for name, kept in _TABLES.items():
        found[name].append(kept.of_batch(np.empty(0, kept.dtype), 0))
    try:
        for batch, batch_id in enumerate(batch_ids):
            with _path(folder, batch_id).open("rb") as file:
                while file.peek(1):
                    rows = np.load(file, allow_pickle=False)
                    name = names[rows.dtype.names]
                    found[name].append(_TABLES[name].of_batch(rows, batch))
    except (OSError, ValueError, EOFError, KeyError):
        return None
    return {name: np.concatenate(parts) for name, parts in found.items()}


def is_last_of(rows: Table, *columns: str) -> NDArray[np.bool_]:
    """Which rows are the last ones with their values in these columns."""
    values = rows[columns[0]] if len(columns) == 1 else rows[list(columns)]
    _, first = np.unique(values[::-1], return_index=True)
    found = np.zeros(len(rows), dtype=bool)
    found[len(rows) - 1 - first] = True
    return found


def _loaded_cents(block: Block, dirty: DirtyBlock, column: str) -> Ints:
    cents = block.cents[column].astype(np.int64)
    for position, value in dirty.changed.get(column, {}).items():
        cents[position] = cents_of(value)
    return cents
