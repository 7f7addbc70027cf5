"""A generated batch by column, and how sure its statistics are."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache, cached_property
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

STANDARD_ERRORS = 4  # by so many chance alone may move a statistic
MONTH_DAYS = 365.25 / 12
_ROWS = 4_000

REFERENCE = Path(__file__).parents[2] / "etl" / "reference"
STATES = ("AZ", "FL", "MI", "NC", "OH", "OR", "TX", "WI")
# The two states with most members, and the others, too small one by one.
GROUPS = {
    "all eight": STATES,
    "FL": ("FL",),
    "TX": ("TX",),
    "other six": tuple(s for s in STATES if s not in ("FL", "TX")),
}
PLAN_YEAR = 2025  # of the open enrollment counted, and the second of the sample
FULL_YEAR = 2024  # whose claims have nearly all come by the day of the batch
REDUCED = {"06": (1000, 1500), "05": (1501, 2000), "04": (2001, 2500)}  # thousandths of the level


class Table:
    """Columns of a feed as arrays of bytes, one entry a row."""

    def __init__(self, path: Path, *names: str) -> None:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader)
            wanted = map(itemgetter(*(header.index(name) for name in names)), reader)
            parts = []
            while rows := list(islice(wanted, _ROWS)):
                parts.append([np.array(v, dtype="S") for v in zip(*rows, strict=True)])
        self._columns = {n: np.concatenate([p[i] for p in parts]) for i, n in enumerate(names)}

    def __getitem__(self, name: str) -> NDArray[np.bytes_]:
        return self._columns[name]

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def is_one_of(self, name: str, *values: str) -> Flags:
        """Whether the column has one of these values."""
        return np.isin(self[name], [v.encode() for v in values])

    def days(self, name: str) -> NDArray[np.datetime64]:
        """A column of dates; not a time where it is empty."""
        return self[name].astype("M8[D]")

    def cents(self, name: str) -> Ints:
        """A column of money in cents."""
        return np.rint(100 * self[name].astype(float)).astype(np.int64)

    def lookup(self, name: str, by: dict[str, object]) -> NDArray:
        """What a dictionary has for each value of a column, all of which it must know."""
        values, inverse = np.unique(self[name], return_inverse=True)
        return np.array([by[v.decode()] for v in values])[inverse]


def position(key: NDArray, wanted: NDArray) -> Ints:
    """The row that has each wanted value in a column of unique values."""
    order = np.argsort(key, kind="stable")
    found = order[np.minimum(np.searchsorted(key, wanted, sorter=order), len(key) - 1)]
    assert (key[found] == wanted).all(), "a key that no row has"
    return found


def day(year: int, month: int) -> np.datetime64:
    return np.datetime64(f"{year}-{month:02d}-01")


def year_of(days: NDArray[np.datetime64]) -> Ints:
    return days.astype("M8[Y]").astype(np.int64) + 1970


def age_on(born: NDArray[np.datetime64], on: NDArray[np.datetime64]) -> Ints:
    """Age in whole years."""

    def parts(days: NDArray[np.datetime64]) -> tuple[Ints, Ints]:
        months = days.astype("M8[M]")
        return months.astype(np.int64), (days - months.astype("M8[D]")).astype(np.int64)

    (birth_month, birth_day), (month, day_of_month) = parts(born), parts(on)
    return (month - birth_month - (day_of_month < birth_day)) // 12


def weekday(days: NDArray[np.datetime64]) -> Ints:
    """0 for Monday (1970-01-01 was a Thursday)."""
    return (days.astype(np.int64) + 3) % 7


class Sample:
    """A first batch by column. ``span_…`` has an entry a row of enrollments, ``claim_…`` of claims.

    Money is in cents, income in thousandths of the poverty level.
    """

    def __init__(self, folder: Path) -> None:
        self.as_of = np.datetime64(folder.name)
        self.plans = Table(
            folder / "plans.csv",
            *("plan_id", "effective_year", "metal_tier", "monthly_premium", "oop_max"),
        )
        self.providers = Table(
            folder / "providers.csv", *("provider_id", "npi", "specialty", "city", "state", "zip")
        )
        self.members = Table(
            folder / "members.csv",
            *("member_id", "dob", "gender", "street", "city", "state", "zip", "fpl_ratio"),
            *("general_agency_name", "broker_name", "mutually_exclusive_hcc_condition"),
        )
        self.spans = Table(
            folder / "enrollments.csv",
            *("member_id", "plan_id", "start_date", "end_date", "premium_paid", "csr_variant"),
            *("aptc_amount", "enrollment_reason"),
        )
        self.claims = Table(
            folder / "claims.csv",
            *("member_id", "provider_id", "plan_id", "service_date", "discharge_date", "status"),
            *("claim_amount", "allowed_amount", "paid_amount", "paid_date", "clean_claim_out"),
            *("claim_type", "diagnosis_code", "procedure_code", "procedure_level_3", "ms_drg"),
            "ms_drg_mdc",
        )

    @cached_property
    def household(self) -> Ints:
        """A number for each address, by member."""
        parts = [self.members[name] for name in ("street", "city", "zip")]
        address = np.char.add(np.char.add(parts[0], parts[1]), parts[2])
        return np.unique(address, return_inverse=True)[1]

    @cached_property
    def span_member(self) -> Ints:
        return position(self.members["member_id"], self.spans["member_id"])

    @cached_property
    def span_start(self) -> NDArray[np.datetime64]:
        return self.spans.days("start_date")

    @cached_property
    def span_year(self) -> Ints:
        return year_of(self.span_start)

    @cached_property
    def span_plan(self) -> Ints:
        key = np.char.add(self.plans["plan_id"], self.plans["effective_year"])
        wanted = np.char.add(self.spans["plan_id"], self.span_year.astype("S4"))
        return position(key, wanted)

    @cached_property
    def span_metal(self) -> NDArray[np.bytes_]:
        return self.plans["metal_tier"][self.span_plan]

    @cached_property
    def span_age(self) -> Ints:
        return age_on(self.members.days("dob")[self.span_member], self.span_start)

    @cached_property
    def span_state(self) -> NDArray[np.bytes_]:
        return self.members["state"][self.span_member]

    @cached_property
    def span_income(self) -> Ints:
        income = np.rint(1000 * self.members["fpl_ratio"].astype(float)).astype(np.int64)
        return income[self.span_member]

    @cached_property
    def span_credit(self) -> Ints:
        return self.spans.cents("aptc_amount")

    @cached_property
    def span_premium(self) -> Ints:
        """A month, before the tax credit."""
        return self.spans.cents("premium_paid") + self.span_credit

    @cached_property
    def span_days(self) -> Ints:
        """Days covered up to the day of the batch."""
        year_end = (self.span_year - 1969).astype("M8[Y]").astype("M8[D]") - 1
        end = self.spans.days("end_date")
        end = np.minimum(np.where(np.isnat(end), year_end, end), self.as_of - 1)
        return np.maximum((end - self.span_start).astype(np.int64) + 1, 0)

    @cached_property
    def opened(self) -> Ints:
        """The spans of the year's open enrollment: bought or renewed for January or February 1."""
        start = self.span_start
        year = int(year_of(self.as_of))
        first = (start == day(year, 1)) | (start == day(year, 2))
        reason = self.spans.is_one_of("enrollment_reason", "renewal", "open_enrollment")
        return np.flatnonzero(first & reason)

    @cached_property
    def service(self) -> NDArray[np.datetime64]:
        return self.claims.days("service_date")

    @cached_property
    def service_end(self) -> NDArray[np.datetime64]:
        discharge = self.claims.days("discharge_date")
        return np.where(np.isnat(discharge), self.service, discharge)

    @cached_property
    def service_month(self) -> Ints:
        return self.service.astype("M8[M]").astype(np.int64) % 12 + 1

    @cached_property
    def claim_year(self) -> Ints:
        return year_of(self.service)

    @cached_property
    def claim_member(self) -> Ints:
        return position(self.members["member_id"], self.claims["member_id"])

    @cached_property
    def claim_span(self) -> Ints:
        """The row of enrollments that the service falls into: the member's last begun by then."""
        begin = self.span_member * 100_000 + self.span_start.astype(np.int64)
        order = np.argsort(begin)
        served = self.claim_member * 100_000 + self.service.astype(np.int64)
        found = order[np.searchsorted(begin, served, side="right", sorter=order) - 1]
        assert (self.spans["plan_id"][found] == self.claims["plan_id"]).all()
        return found

    @cached_property
    def claim_age(self) -> Ints:
        return age_on(self.members.days("dob")[self.claim_member], self.service)

    @cached_property
    def claim_sex(self) -> NDArray[np.bytes_]:
        return self.members["gender"][self.claim_member]

    @cached_property
    def claim_specialty(self) -> NDArray[np.bytes_]:
        where = position(self.providers["provider_id"], self.claims["provider_id"])
        return self.providers["specialty"][where]

    @cached_property
    def allowed(self) -> Ints:
        return self.claims.cents("allowed_amount")

    @cached_property
    def paid(self) -> Ints:
        return self.claims.cents("paid_amount")

    @cached_property
    def accepted(self) -> Flags:
        """Decided, and neither denied nor reversed: the claims that cost something."""
        return self.claims.is_one_of("status", "approved", "adjusted")

    @cached_property
    def member_share(self) -> Ints:
        """What the member pays of each accepted claim."""
        return np.where(self.accepted, self.allowed - self.paid, 0)

    @cached_property
    def stays(self) -> Ints:
        """Inpatient claims."""
        return np.flatnonzero(self.claims["claim_type"] == b"Inpatient")

    def spend(self, year: int) -> Ints:
        """What each member covered in the year was allowed, ascending."""
        rows = self.accepted & (self.claim_year == year)
        spent = np.bincount(self.claim_member[rows], self.allowed[rows], len(self.members))
        covered = self.span_member[(self.span_year == year) & (self.span_days > 0)]
        return np.sort(spent[np.unique(covered)]).astype(np.int64)

    def months(self, year: int) -> float:
        """Member months of a plan year."""
        return float(self.span_days[self.span_year == year].sum()) / MONTH_DAYS


class Estimate(NamedTuple):
    """A mean or share of a sample and its standard error."""

    value: float
    error: float


def estimate(values: NDArray, cluster: Ints) -> Estimate:
    """The mean; rows of one cluster (a household, a member) are not counted as independent."""
    value = float(values.mean())
    sums = np.bincount(cluster, values - value)
    return Estimate(value, float(np.sqrt((sums**2).sum())) / len(values))


def ratio(over: Ints, under: Ints, cluster: Ints) -> Estimate:
    """The ratio of two sums, as sure as the mean of what each cluster departs from it."""
    value = over.sum() / under.sum()
    departures = np.bincount(cluster, over - value * under)
    return Estimate(value, float(np.sqrt((departures**2).sum())) / under.sum())


class Comparison(NamedTuple):
    """What was found and what was expected.

    ``slack``: how far the model may be off, as a part of what is expected.
    """

    name: str
    found: Estimate
    expected: float
    slack: float


def share(name: str, flags: NDArray, cluster: Ints, expected: float, slack: float) -> Comparison:
    """A share; chance moves it at least as much as the expected one among so many."""
    found = estimate(flags, cluster)
    least = float(np.sqrt(expected * (1 - expected) / len(flags)))
    return Comparison(name, found._replace(error=max(found.error, least)), expected, slack)


def assert_near(comparisons: Iterable[Comparison]) -> None:
    """Each within its slack and ``STANDARD_ERRORS``; names all that are not."""
    misses = []
    for name, found, expected, slack in comparisons:
        tolerance = slack * expected + STANDARD_ERRORS * found.error
        if not abs(found.value - expected) <= tolerance:
            misses.append(
                f"{name}: {found.value:.4g} in the sample, {expected:.4g} expected, "
                f"tolerance {tolerance:.2g}"
            )
    assert not misses, "\n".join(misses)


def assert_within(name: str, value: float, low: float, high: float) -> None:
    """A statistic lies between two bounds."""
    assert low <= value <= high, f"{name}: {value:.4g} in the sample, expected {low} to {high}"


@cache
def reference(name: str) -> list[dict[str, str]]:
    with (REFERENCE / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
