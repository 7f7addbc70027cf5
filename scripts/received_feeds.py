"""The synthetic feeds as a receiver has them: columns that plots need, read from the CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_COLUMNS = {
    "members": ("member_id", "dob", "gender", "fpl_ratio"),
    "plans": ("plan_id", "effective_year", "metal_tier"),
    "enrollments": (
        *("member_id", "plan_id", "start_date", "end_date", "premium_paid", "aptc_amount"),
        *("csr_variant", "enrollment_reason"),
    ),
    "claims": (
        *("member_id", "service_date", "status", "allowed_amount", "paid_amount", "paid_date"),
        *("claim_type", "ccsr_system_description"),
    ),
}
Table = dict[str, NDArray]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Feeds:
    """The columns of a first batch that the plots need: days, cents, or text as it is.

    ``as_of``: the batch's day. ``complete``: the plan year before, whose claims are all but in.
    ``premium``: a month's, before the tax credit.
    """

    members: Table
    plans: Table
    enrollments: Table
    claims: Table
    as_of: date

    @property
    def complete(self) -> int:
        """The last plan year that is over."""
        return self.as_of.year - 1

    @property
    def settled(self) -> Flags:
        """Claims of the complete year that were paid or fell to the member, for good."""
        return self.served & np.isin(self.claims["status"], ("approved", "adjusted"))

    @property
    def served(self) -> Flags:
        """Claims for services of the complete year."""
        return _year(self.claims["service_date"]) == self.complete

    @property
    def chosen(self) -> Flags:
        """Enrollments that the open enrollment for the year of the batch counts."""
        starts = [f"{self.as_of.year}-{month:02d}-01" for month in (1, 2)]
        reasons = ("renewal", "open_enrollment")
        return np.isin(
            self.enrollments["start_date"], np.array(starts, dtype="datetime64[D]")
        ) & np.isin(self.enrollments["enrollment_reason"], reasons)

    def covered_days(self, first: date, last: date) -> NDArray[np.int64]:
        """Days of each enrollment from one day to another."""
        start = np.maximum(self.enrollments["start_date"], np.datetime64(first))
        end = np.minimum(self.enrollments["last_day"], np.datetime64(last))
        return np.maximum((end - start).astype(np.int64) + 1, 0)


def read_feeds(batch: Path) -> Feeds:
    """Read a batch back from its CSV files."""
    tables = {name: _read(batch / f"{name}.csv", columns) for name, columns in _COLUMNS.items()}
    enrollments = tables["enrollments"]
    year_end = (enrollments["start_date"].astype("datetime64[Y]") + 1).astype("datetime64[D]") - 1
    ends = enrollments["end_date"]
    enrollments["last_day"] = np.where(np.isnat(ends), year_end, ends)
    enrollments["premium"] = enrollments["premium_paid"] + enrollments["aptc_amount"]
    return Feeds(**tables, as_of=date.fromisoformat(batch.name))


def _read(path: Path, columns: Sequence[str]) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader)
        at = [header.index(name) for name in columns]
        rows = [[row[i] for i in at] for row in reader]
    return {name: _typed(name, [row[n] for row in rows]) for n, name in enumerate(columns)}


def _typed(name: str, values: Sequence[str]) -> NDArray:
    if name.endswith(("_amount", "_paid")):
        return np.array([int(v.replace(".", "") or 0) for v in values], dtype=np.int64)
    if name.endswith("_date") or name == "dob":
        return np.array(values, dtype="datetime64[D]")
    return np.array(values)


def _year(days: NDArray) -> NDArray[np.int64]:
    return days.astype("datetime64[Y]").astype(np.int64) + 1970


def month_of(days: NDArray) -> NDArray[np.int64]:
    """Months since January 1970."""
    return days.astype("datetime64[M]").astype(np.int64)
