"""The rows of the marts that the page on the business is made of, before anything is hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """Coverage and cost of a month, state and metal tier; US dollars."""

    month: date
    state: str
    metal_tier: str
    is_complete: bool
    members: int
    covered_days: int
    premium_usd: Decimal
    paid_usd: Decimal


@dataclass(frozen=True, slots=True)
class PersonsRow:
    """Persons of a month or year by state and metal tier, each in one cell of it."""

    period: date
    state: str
    metal_tier: str
    persons: int


@dataclass(frozen=True, slots=True)
class FlowRow:
    """Beginnings and endings of coverage of a quarter, and of how many persons they are."""

    quarter: date
    state: str
    metal_tier: str
    is_complete: bool
    beginnings: int
    endings: int
    persons_beginning: int
    persons_ending: int


@dataclass(frozen=True, slots=True)
class ItemRow:
    """Members and paid US dollars of a year, by a specialty, diagnosis or class of drugs."""

    year: int
    item: str
    members: int
    paid_usd: Decimal


@dataclass(frozen=True, slots=True)
class ShareRow:
    """The costliest ``of_hundred`` percent of the members of a year."""

    year: int
    of_hundred: int
    members: int
    paid_usd: Decimal


@dataclass(frozen=True, slots=True)
class BandRow:
    """Members of a benefit year in a band of paid claims, such as $100k+."""

    year: int
    band: str
    members: int
    paid_usd: Decimal


@dataclass(frozen=True, slots=True)
class LagRow:
    """Days from service to payment of a month of service."""

    month: date
    members: int
    half_days: int
    nine_tenths_days: int


@dataclass(frozen=True, slots=True)
class QualityRow:
    """A run of all checks: how many failed, also of those that compare tables and files."""

    check_run_id: int
    load_id: int | None
    checks: int
    failed: int
    failed_critical: int
    comparisons: int
    comparisons_failed: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The load that came last of those that the page has."""

    load_id: int
    batch_id: str
    as_of: date


@dataclass(frozen=True, slots=True)
class Business:
    """Everything that the page is made of.

    ``as_of`` and ``load`` are ``None`` where nothing is loaded. ``known``: what the page says of
    the load after which it is as known; ``None`` for the present. ``rows_open``: rejected rows that
    nobody has dealt with; ``None`` where that is not known of the past. ``patients``: members with
    a claim that is paid for. ``items``: rows by specialty, diagnosis and class of drugs.
    """

    made_at: datetime
    as_of: date | None = None
    load: Loaded | None = None
    known: str | None = None
    rows_open: int | None = None
    rows_read: int = 0
    quality: QualityRow | None = None
    coverage: Sequence[CoverageRow] = ()
    patients: Sequence[PersonsRow] = ()
    patients_of_year: Sequence[PersonsRow] = ()
    covered_in_year: Sequence[PersonsRow] = ()
    flows: Sequence[FlowRow] = ()
    items: Mapping[str, Sequence[ItemRow]] = field(default_factory=dict)
    titles: Mapping[str, str] = field(default_factory=dict)
    concentration: Sequence[ShareRow] = ()
    bands: Sequence[BandRow] = ()
    lag: Sequence[LagRow] = ()
