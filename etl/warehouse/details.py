"""What facts consist of: the lines and the diagnoses of claims, each one entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from etl.contracts.column import Column
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.warehouse.code_sets import DIM_DIAGNOSIS, DIM_PROCEDURE, CodeSet
from etl.warehouse.tables import DIM_MEMBER, FACT_CLAIM, Fact, Reference, past_of


@dataclass(frozen=True, slots=True)
class Detail:
    """A table of what the rows of a fact consist of: one or more rows for each of them.

    A fact's rows come from the feed as a set. One without a set has a single row, number 1, made of
    the fact's own columns of the same names. ``of``: the fact, whose date and keys the rows have.
    ``number``: the column that with the fact's key names a row. ``references``: the keys of
    dimensions that rows have, some of the fact's. ``codes``: the set whose codes rows name in the
    column of its code, and whose keys they have. ``carried``: the columns taken over from the
    feed, each with its name there. ``first``: the column that says whether a row is number 1, if
    there is one.
    """

    table: str
    feed: Feed
    description: str
    number: str
    references: tuple[Reference, ...]
    codes: CodeSet
    carried: Mapping[str, str]
    first: str | None = None
    of: Fact = FACT_CLAIM

    @property
    def past(self) -> str:
        """Name of the table that keeps its rows as they were before a load changed them."""
        return past_of(self.table)

    @property
    def key(self) -> tuple[str, str]:
        """The columns that name a row."""
        return (self.of.key, self.number)

    @property
    def columns(self) -> Mapping[str, Column]:
        """The feed's column that each column of the table is."""
        return {name: self.feed.column(staged) for name, staged in self.carried.items()}


# What distinguishes a row that a fact itself gave from one of a set.
IS_FROM_CLAIM = "is_from_claim"

FACT_CLAIM_LINE = Detail(
    "fact_claim_line",
    FEEDS["claim_lines"],
    "Service lines of claims, one row per claim and line number. A claim that came without lines "
    "has line 1 with its own procedure and amounts. Amounts in US dollars.",
    number="line_number",
    references=FACT_CLAIM.references,
    codes=DIM_PROCEDURE,
    carried={
        "procedure_code": "procedure_code",
        "modifier": "modifier",
        "revenue_code": "revenue_code",
        "place_of_service": "place_of_service",
        "ndc": "ndc",
        "units": "units",
        "line_from": "line_from",
        "line_to": "line_to",
        "claim_amount": "line_billed",
        "allowed_amount": "line_allowed",
        "paid_amount": "line_paid",
    },
)
BRIDGE_CLAIM_DIAGNOSIS = Detail(
    "bridge_claim_diagnosis",
    FEEDS["claim_diagnoses"],
    "Diagnoses of claims, one row per claim and position. A claim that came without diagnoses has "
    "position 1 with its own diagnosis.",
    number="position",
    references=tuple(r for r in FACT_CLAIM.references if r.dimension is DIM_MEMBER),
    codes=DIM_DIAGNOSIS,
    carried={
        "diagnosis_code": "diagnosis_code",
        "present_on_admission": "present_on_admission",
    },
    first="is_principal",
)

DETAILS: tuple[Detail, ...] = (FACT_CLAIM_LINE, BRIDGE_CLAIM_DIAGNOSIS)
