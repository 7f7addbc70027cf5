"""A feed: the columns of its files, the key of its rows, how many come and how often."""

from __future__ import annotations

from dataclasses import dataclass

from etl.contracts.column import IS_DELETED, Breach, Column


@dataclass(frozen=True, slots=True)
class Volume:
    """How many rows a file of the feed usually contains: ``low`` to ``high``."""

    low: int
    high: int
    on_breach: Breach = Breach.WARN

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"{self.low} to {self.high} is no range of row counts")
        if self.on_breach is Breach.REJECT_ROW:
            raise ValueError("no single row is at fault for the number of rows")


@dataclass(frozen=True, slots=True)
class SnapshotLimit:
    """How many keys a snapshot may end by its silence before somebody has to confirm it.

    It may end ``share`` (0 to 1) of the keys that were there before it, and always fewer than
    ``keys``: a file that was cut short must not end what it lacks. ``new_year_share``: likewise of
    the first snapshot of a calendar year, in its first two months, where years make a difference.
    """

    share: float = 0.10
    keys: int = 20
    new_year_share: float | None = None

    def share_of(self, *, is_new_year: bool) -> float:
        """The share that a snapshot may end."""
        if is_new_year and self.new_year_share is not None:
            return self.new_year_share
        return self.share

    def refuses(self, ending: int, known: int, *, is_new_year: bool = False) -> bool:
        """Whether a snapshot that ends so many of the known keys has to be confirmed."""
        return ending >= self.keys and ending > self.share_of(is_new_year=is_new_year) * known


@dataclass(frozen=True, slots=True)
class Feed:
    """One feed: a CSV file of a batch and the staging table that mirrors it.

    ``key``: the columns that name one thing. ``effective``: the column that says since when a
    row is true, where the feed has one (else the batch's ``as_of``). ``money``: the columns
    whose sums are the file's control totals. ``ordered``: pairs of columns of which the first
    is never after the second; a row that breaks the order is rejected. ``canceled_days``: a
    second date up to so many days before the first is no fault but says that the thing never was,
    as enrollment systems write coverage that is canceled from its start. ``line``: the column that
    distinguishes lines of one thing where a sender writes these in place of the thing itself.
    ``reversible``: a row with amounts below zero takes back another one of its key.
    ``deletable``: whether
    the file may carry a delete marker (``IS_DELETED``), which is no attribute of the thing.
    ``unique``: sets of columns besides the key whose values no two current rows share.
    ``volume``: rows that a file contains. ``freshness_days``: days that may pass from one batch of
    the feed to the next. ``snapshot_limit``: keys that a snapshot may end unconfirmed.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    effective: str | None = None
    money: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()
    canceled_days: int = 0
    line: str | None = None
    reversible: bool = False
    deletable: bool = False
    unique: tuple[tuple[str, ...], ...] = ()
    volume: Volume | None = None
    freshness_days: int | None = None
    snapshot_limit: SnapshotLimit = SnapshotLimit()

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: a column is declared twice")
        for name in (
            *self.key,
            *self.money,
            *(name for columns in (*self.ordered, *self.unique) for name in columns),
            *filter(None, [self.effective]),
        ):
            if name not in names:
                raise ValueError(f"{self.name}: {name} is not one of its columns")

    @property
    def file_name(self) -> str:
        """The file's name inside a batch folder; ``.gz`` or ``.zip`` may follow."""
        return f"{self.name}.csv"

    @property
    def table(self) -> str:
        """The staging table that mirrors the file."""
        return f"{self.name}_raw"

    @property
    def staged(self) -> tuple[Column, ...]:
        """Every column that the file may carry: those of the thing, and the delete marker."""
        return (*self.columns, IS_DELETED) if self.deletable else self.columns

    @property
    def required(self) -> tuple[str, ...]:
        """Names that the header must carry."""
        return tuple(c.name for c in self.columns if c.required)

    @property
    def drivers(self) -> tuple[Column, ...]:
        """The change drivers in declared order, which is also the order of the hash input."""
        return tuple(c for c in self.columns if c.driver)

    def column(self, name: str) -> Column:
        """The column of that name; ``KeyError`` if the feed has none."""
        for column in self.staged:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")
