"""Columns to CSV bytes, without a Python object a row.

A column is an array of fixed-width byte strings in which unused bytes are NUL, wherever they
stand. The columns of a block are laid side by side in one record array, and deleting every NUL
leaves the CSV text. Text is escaped once, in the lookup table from which a column is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from etl.contracts.feed import Feed

Column = NDArray[np.bytes_]
Flags = NDArray[np.bool_]

FIRST_DAY = np.datetime64("1900-01-01")
_EPOCH_OFFSET = int((np.datetime64("1970-01-01") - FIRST_DAY).astype(int))


def texts(values: Iterable[str]) -> Column:
    """A lookup table of CSV fields (RFC 4180), UTF-8; index it with an integer array."""
    return _table(tuple(values))


# Blocks want the same tables again and again.
@lru_cache(maxsize=128)
def _table(values: tuple[str, ...]) -> Column:
    fields = [_field(v).encode() for v in values]
    table = np.array(fields, dtype=f"S{max(1, *map(len, fields))}")
    table.flags.writeable = False
    return table


def _field(value: str) -> str:
    if any(mark in value for mark in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def _lookup(fields: Iterable[bytes]) -> Column:
    return np.array(list(fields), dtype="S4")


# Groups of four digits: with leading zeros; without (the number's first group); and as the
# second, but nothing at all for zero (a group before the number begins).
_PADDED = _lookup(b"%04d" % i for i in range(10_000))
_GROUPS = np.concatenate([_PADDED, _lookup(b"%d" % i for i in range(10_000))])
_FIRST_GROUPS = _GROUPS.copy()
_FIRST_GROUPS[10_000] = b""
_CENTS = np.array([b".%02d" % i for i in range(100)], dtype="S3")
_BOOLEANS = np.array([b"false", b"true"])
_SIXTY = np.array([b":%02d" % i for i in range(60)], dtype="S3")
_HOURS = np.array([b"T%02d" % i for i in range(24)], dtype="S3")


@cache
def _all_dates() -> Column:
    """Each day from the first on; commands that generate nothing do not wait for them."""
    return np.datetime_as_string(np.arange(FIRST_DAY, np.datetime64("2200-01-01"))).astype("S10")


def constant(value: str, rows: int) -> Column:
    """The same field in every row."""
    return np.repeat(texts([value]), rows)


def join(*parts: Column) -> Column:
    """Columns glued together without a separator into one field."""
    record = np.empty(len(parts[0]), dtype=[(f"f{i}", p.dtype) for i, p in enumerate(parts)])
    for name, part in zip(record.dtype.names or (), parts, strict=True):
        record[name] = part
    return record.view(f"S{record.dtype.itemsize}")


def whole(values: NDArray[np.integer], groups: int = 3) -> Column:
    """Numbers >= 0 without leading zeros, less than ``10 ** (4 * groups)``."""
    parts = []
    rest = values.astype(np.int64)
    for position in range(groups):
        higher, group = np.divmod(rest, 10_000)
        table = _FIRST_GROUPS if position else _GROUPS
        parts.append(table[group + 10_000 * (higher == 0)])
        rest = higher
    return join(*reversed(parts))


def padded(values: NDArray[np.integer], groups: int = 2) -> Column:
    """Numbers >= 0 with leading zeros, ``4 * groups`` digits."""
    parts = []
    rest = values.astype(np.int64)
    for _ in range(groups):
        rest, group = np.divmod(rest, 10_000)
        parts.append(_PADDED[group])
    return join(*reversed(parts))


def money(cents: NDArray[np.integer], groups: int = 2) -> Column:
    """US dollars with two decimals from whole cents >= 0, less than ``10**(4*groups)`` dollars."""
    dollars, rest = np.divmod(cents, 100)
    return join(whole(dollars, groups), _CENTS[rest])


def hundredths(values: NDArray[np.integer]) -> Column:
    """Numbers with two decimals from whole hundredths >= 0."""
    return money(values)


def booleans(values: NDArray[np.bool_]) -> Column:
    """``true`` and ``false``."""
    return _BOOLEANS[values.astype(np.int8)]


def dates(days: NDArray[np.integer]) -> Column:
    """ISO dates from days since 1970-01-01."""
    return _all_dates()[days.astype(np.int64) + _EPOCH_OFFSET]


def instants(seconds: NDArray[np.integer]) -> Column:
    """ISO instants in UTC from seconds since 1970-01-01T00:00:00Z."""
    days, second = np.divmod(seconds.astype(np.int64), 86_400)
    minute, second = np.divmod(second, 60)
    hour, minute = np.divmod(minute, 60)
    end = np.repeat(np.array([b"Z"]), len(days))
    return join(dates(days), _HOURS[hour], _SIXTY[minute], _SIXTY[second], end)


def where(present: NDArray[np.bool_], column: Column) -> Column:
    """The column, empty (NULL) where ``present`` is false."""
    return np.where(present, column, np.array(b"", dtype=column.dtype))


def header(feed: Feed) -> bytes:
    """The header line of a feed, in the contract's declared order."""
    return ",".join(c.name for c in feed.columns).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of a feed: its fields as CSV text, a column each, and the amounts in cents.

    ``columns`` has every column of the contract in the contract's order; ``cents`` those of
    the feed's control totals. ``new``: of facts, which rows no batch before had. Of rows that come
    as sets, ``sets`` numbers the set of each, one set after the other, and ``late`` says which come
    in a batch after the one of their claim.
    """

    feed: Feed
    columns: Mapping[str, Column]
    cents: Mapping[str, NDArray[np.integer]]
    new: Flags | None = None
    sets: NDArray[np.int64] | None = None
    late: Flags | None = None

    def __len__(self) -> int:
        return len(self.columns[self.feed.key[0]])

    def take(self, rows: NDArray[np.int64]) -> Block:
        """Some of the rows, in order; not of sets."""
        return replace(
            self,
            columns={name: column[rows] for name, column in self.columns.items()},
            cents={name: values[rows] for name, values in self.cents.items()},
            new=None if self.new is None else self.new[rows],
        )

    @property
    def totals(self) -> dict[str, int]:
        """The sum in cents of each money column."""
        return {name: int(values.sum(dtype=np.int64)) for name, values in self.cents.items()}

    def records(self) -> NDArray[np.void]:
        """The rows as fixed-width records, separators and line ends included; see ``lines``."""
        return side_by_side(self.columns, b",", b"\n")


def side_by_side(columns: Mapping[str, Column], separator: bytes, end: bytes) -> NDArray[np.void]:
    """Columns as records in which a separator follows each field, and the end the last."""
    last = len(columns) - 1
    fields = [
        (part, kind)
        for name, column in columns.items()
        for part, kind in ((name, column.dtype), (f"{name},", "S1"))
    ]
    record = np.empty(len(next(iter(columns.values()))), dtype=fields)
    for at, (name, column) in enumerate(columns.items()):
        record[name] = column
        record[f"{name},"] = end if at == last else separator
    return record


def lines(records: NDArray[np.void]) -> bytes:
    """The CSV lines of ``Block.records`` or of a slice of them."""
    return records.tobytes().translate(None, b"\0")


def block(
    feed: Feed,
    columns: Mapping[str, Column],
    cents: Mapping[str, NDArray[np.integer]] | None = None,
    new: Flags | None = None,
    sets: NDArray[np.int64] | None = None,
    late: Flags | None = None,
) -> Block:
    """A block of rows from ``columns``, which has every column that the contract requires.

    Others are left out where the generator does not know them. ``cents``: the amounts of the
    feed's control totals; ``new``, ``sets`` and ``late`` as in ``Block``.
    """
    amounts = cents or {}
    if amounts.keys() != set(feed.money):
        raise ValueError(f"{feed.name}: totals are wanted of {', '.join(feed.money)}")
    names = [c.name for c in feed.columns]
    wrong = (columns.keys() - set(names)) | (set(feed.required) - columns.keys())
    if wrong:
        raise ValueError(f"{feed.name}: {sorted(wrong)} do not match")
    ordered = {name: columns[name] for name in names if name in columns}
    return Block(feed, ordered, amounts, new, sets, late)
