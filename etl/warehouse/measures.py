"""What the numbers of cubes and marts mean: each measure declared once.

A column of ``sql/cubes`` or ``sql/mart`` with the name of a measure is that measure. Its comment in
the catalog, its line in the data dictionary and the page ``docs/measures.md`` are made from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import LiteralString


class Unit(StrEnum):
    """What a measure is counted in."""

    COUNT = "count"
    DAYS = "days"
    USD = "US dollars"
    MEMBER_MONTHS = "member-months"
    SHARE = "share, 0 to 1"
    PER_1000 = "per 1,000 member-months"
    USD_PER_1000 = "US dollars per 1,000 member-months"
    USD_PMPM = "US dollars per member-month"


# The formula of a measure in one of these units says the unit already.
_SAID_BY_FORMULA = (Unit.COUNT, Unit.DAYS)


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that cubes and marts have.

    ``formula``: what it is, in words or by other measures, which are summed first. ``grain``: what
    it is counted of. ``filters``: what counts, and what does not.
    """

    name: LiteralString
    formula: str
    grain: str
    unit: Unit = Unit.COUNT
    filters: str = ""

    def comment(self, scope: str = "") -> str:
        """What a column with it means. ``scope``: a sentence of what else is so of this column."""
        said = self.formula if self.unit in _SAID_BY_FORMULA else f"{self.formula}, {self.unit}"
        said = f"{said}; {self.filters}." if self.filters else f"{said}."
        return f"{said} {scope}" if scope else said


_ADJUDICATED = "adjudicated claims, also denied ones, not pending ones"
_PAYABLE = "payable claims: adjudicated and not denied; others count 0.00"
_ONE_SPAN = "a day belongs to one span of the member, however many include it"
_EMPTY = "empty without member-months"

_OF_CLAIMS = (
    Measure(
        "claims", "Number of claims", "claim", filters="adjudicated ones, also denied, not pending"
    ),
    Measure(
        "pending_claims", "Number of claims", "claim", filters="pending ones: not adjudicated yet"
    ),
    Measure(
        "denied_claims", "Number of claims", "claim", filters="denied ones; they are in claims too"
    ),
    Measure(
        "unknown_status_claims",
        "Number of claims",
        "claim",
        filters="of a status that the contract does not know",
    ),
    Measure("billed_usd", "Billed amount", "claim", Unit.USD, _ADJUDICATED),
    Measure("pending_billed_usd", "Billed amount", "claim", Unit.USD, "pending claims"),
    Measure(
        "unknown_status_billed_usd",
        "Billed amount",
        "claim",
        Unit.USD,
        "claims of a status that the contract does not know",
    ),
    Measure("allowed_usd", "Allowed amount", "claim", Unit.USD, _ADJUDICATED),
    Measure("paid_usd", "Amount paid by the plan", "claim", Unit.USD, _PAYABLE),
    Measure(
        "member_cost_usd",
        "Allowed amount less what the plan paid",
        "claim",
        Unit.USD,
        _PAYABLE,
    ),
    Measure("units", "Units of the service or drug", "line", filters="as the sender counts them"),
    Measure(
        "paid_12_months_usd",
        "paid_usd of the month and the eleven before",
        "member and month",
        Unit.USD,
    ),
    Measure(
        "pool_excess_usd",
        "paid_usd above the threshold of the high-cost risk pool",
        "member and benefit year",
        Unit.USD,
        "45 CFR 153.320; empty where the threshold of the year is not known",
    ),
    Measure(
        "pool_payment_usd",
        "pool_excess_usd x the coinsurance of the pool",
        "member and benefit year",
        Unit.USD,
        "45 CFR 153.320; empty where the threshold of the year is not known",
    ),
)

_STATES_OF_MEMBERS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("pending", "a pending claim"),
    ("denied", "a denied claim"),
    ("unknown_status", "a claim of a status that the contract does not know"),
    ("paid", "a payable claim"),
)

_OF_COVERAGE = (
    Measure(
        "members",
        "Number of members",
        "member",
        filters="each once in a row, so do not add them over months",
    ),
    *(
        Measure(
            f"{state}_members",
            "Number of members",
            "member",
            filters=f"with {words}, each once in a row; empty where de-identified",
        )
        for state, words in _STATES_OF_MEMBERS
    ),
    Measure("covered_days", "Days covered", "member and day", Unit.DAYS, _ONE_SPAN),
    Measure("coverage_days", "Days from start_date to end_date", "span of coverage", Unit.DAYS),
    Measure(
        "overlapped_days",
        "Days covered that another span includes too",
        "member and day",
        Unit.DAYS,
        "they are in covered_days once",
    ),
    Measure("days_in_month", "Days of the month", "month", Unit.DAYS),
    Measure(
        "member_months",
        "covered_days / days_in_month",
        "member and month",
        Unit.MEMBER_MONTHS,
        "the same as member_months_day",
    ),
    Measure(
        "member_months_day",
        "covered_days / days_in_month",
        "member and month",
        Unit.MEMBER_MONTHS,
        _ONE_SPAN,
    ),
    Measure(
        "member_months_any",
        "Members covered on any day",
        "member and month",
        Unit.MEMBER_MONTHS,
        "once a month, at the plan with most days",
    ),
    Measure(
        "member_months_mid",
        "Members covered on the 15th",
        "member and month",
        Unit.MEMBER_MONTHS,
        "at the plan of that day",
    ),
    Measure(
        "premium_usd",
        "net_premium_usd + tax_credit_usd",
        "span of coverage and day",
        Unit.USD,
        "the whole premium (26 CFR 1.36B-3)",
    ),
    Measure(
        "tax_credit_usd",
        "Advance payment of the premium tax credit",
        "span of coverage and day",
        Unit.USD,
        "0.00 where there is none",
    ),
    Measure(
        "net_premium_usd",
        "What the member pays of the premium",
        "span of coverage and day",
        Unit.USD,
        "after the tax credit",
    ),
    Measure("plans", "Number of plans", "plan"),
    Measure(
        "beginnings",
        "How often coverage begins",
        "member and month",
        filters="after a day without, or for the first time; at the plan with most days",
    ),
    Measure(
        "endings",
        "How often coverage ends",
        "member and month",
        filters="before a day without; at the plan with most days",
    ),
    Measure(
        "at_start",
        "Members at the start of the month",
        "member and month",
        filters="coverage continues from the month before",
    ),
    Measure("new", "Members covered for the first time ever", "member"),
    Measure(
        "returned",
        "How often coverage begins again",
        "member and month",
        filters="after a day without; a renewal is none",
    ),
    Measure(
        "ended",
        "How often coverage ends",
        "member and month",
        filters="before a day without; a renewal is none",
    ),
    Measure(
        "at_end",
        "at_start + new + returned - ended",
        "member and month",
        filters="members whose coverage continues to the next month",
    ),
)

_OF_STAYS = (
    Measure("length_days", "Discharge less admission", "stay", Unit.DAYS),
    Measure("providers", "Number of providers", "stay", filters="as far as they are known"),
    Measure(
        "days_to_readmission",
        "Days from discharge to the readmission",
        "index stay",
        Unit.DAYS,
        "1 to 30",
    ),
    Measure("stays", "Number of stays in hospital", "stay"),
    Measure(
        "planned_stays",
        "Number of stays in hospital",
        "stay",
        filters="planned ones, births included",
    ),
    Measure(
        "index_stays",
        "Number of stays in hospital",
        "stay",
        filters="not planned, and a readmission would be seen",
    ),
    Measure(
        "readmissions",
        "Number of index stays",
        "index stay",
        filters="an unplanned stay follows within 30 days",
    ),
    Measure(
        "readmission_rate",
        "readmissions / index_stays",
        "index stay",
        Unit.SHARE,
        "empty without index stays",
    ),
)


def _pmpm(amount: LiteralString, basis: LiteralString) -> Measure:
    """An amount per member-month. ``basis``: day, any or mid; by days unless the name says it."""
    name = f"{amount}_pmpm_usd" if basis == "day" else f"{amount}_pmpm_{basis}_usd"
    formula = f"{amount}_usd / member_months_{basis}"
    return Measure(name, formula, "member and month", Unit.USD_PMPM, _EMPTY)


def _per_1000(name: LiteralString, counted: str, unit: Unit) -> Measure:
    return Measure(name, f"{counted} x 1,000 / member_months", "member and month", unit, _EMPTY)


_RATES = (
    *(_pmpm(amount, basis) for basis in ("day", "any", "mid") for amount in ("allowed", "paid")),
    Measure(
        "loss_ratio",
        "paid_usd / premium_usd",
        "month",
        Unit.SHARE,
        "more than 1 where more is paid than earned; empty without premium; not the medical loss "
        "ratio of 45 CFR part 158",
    ),
    _per_1000("claims_per_1000", "claims", Unit.PER_1000),
    _per_1000("members_per_1000", "members", Unit.PER_1000),
    _per_1000("allowed_per_1000_usd", "allowed_usd", Unit.USD_PER_1000),
    _per_1000("paid_per_1000_usd", "paid_usd", Unit.USD_PER_1000),
)

_OF_EVENTS = (
    Measure(
        "amount_usd",
        "Premium or paid amount",
        "event of a member",
        Unit.USD,
        "of coverage premium_usd, of a claim paid_usd, of a version empty",
    ),
)

# By subject, as the page of measures has them.
SUBJECTS: dict[str, tuple[Measure, ...]] = {
    "Claims and cost": _OF_CLAIMS,
    "Coverage": _OF_COVERAGE,
    "Cost per member": _RATES,
    "Stays in hospital": _OF_STAYS,
    "Events": _OF_EVENTS,
}

MEASURES: dict[str, Measure] = {
    measure.name: measure for measures in SUBJECTS.values() for measure in measures
}
