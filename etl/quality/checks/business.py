"""What the feeds must say of one another, and the rules of the business: checks that need two rows.

Each failing row is told by its key. Where the world is not exact, a share of the rows may fail;
the threshold says so and the comment beside it says why.
"""

from __future__ import annotations

from typing import cast

from psycopg import sql

from etl.contracts.checks import MAJOR, MINOR
from etl.contracts.column import OneOf
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.types import Type
from etl.db.statements import Values, names, statement
from etl.quality.checks.described import described_checks
from etl.quality.checks.judged import ASK, DAYS_AHEAD, judged, relation, shared
from etl.quality.checks.sql import SqlCheck, keys_of, rules
from etl.reference import age_curve, diagnosis_categories, state_age_curves
from etl.render import claim_status
from etl.warehouse.tables import DIM_PLAN, FACTS, Fact


def business_checks() -> tuple[SqlCheck, ...]:
    """Every check of the business's rules, in the order in which they run."""
    return (
        _coverage(),
        _claims(),
        _against_others(),
        _overlaps(),
        _enrollments(),
        *(_known_on_day(fact) for fact in FACTS.values()),
        *described_checks(),
        *(_line_breaks(feed) for feed in FEEDS.values()),
    )


def claim_values(claims: sql.Composable) -> sql.Composed:
    """The statement that returns claims whose own values contradict one another."""
    return statement("checks/business.claim_values", claims=claims, state=claim_status.state())


def claims_values() -> Values:
    """What ``claim_values`` asks for beside the claims."""
    return {"categories": list(diagnosis_categories())}


def outside_coverage(claims: str) -> sql.Composed:
    """The statement that returns claims on a day without coverage; ``claims`` is a statement."""
    return statement(
        "checks/business.outside_coverage",
        claims=relation(claims),
        covering=relation("checks/business.covering"),
    )


def _coverage() -> SqlCheck:
    checks = rules(
        "fact_claim",
        (
            "paid_within_coverage",
            "consistency",
            MAJOR,
            "a claim was paid for a day on which no enrollment of the member runs",
            "See whether the enrollment is missing or ended late; else the payment is to be "
            "recovered (45 CFR 156.270 for grace periods).",
        ),
        (
            "within_coverage",
            "consistency",
            MINOR,
            "no enrollment of the member runs on the day of service, paid or not",
            "A few denied claims are usual. Many mean that enrollments are missing: " + ASK,
        ),
    )
    # Claims for people whose coverage is over come in all the time, and are denied.
    return judged(
        outside_coverage("checks/business.claims_held"),
        ("claim_id",),
        "fact_claim",
        shared(checks, within_coverage=0.02),
        checked=statement("checks/business.claims_of_members_judged"),
    )


def _against_others() -> SqlCheck:
    checks = rules(
        "fact_claim",
        (
            "service_after_birth",
            "consistency",
            MAJOR,
            "the day of service is before the patient's birth",
            "Ask the sender which of member, date of birth and day of service is wrong.",
        ),
        (
            "known_by_batch",
            "consistency",
            MAJOR,
            f"a day of the claim is more than {DAYS_AHEAD} days after the batch that told of it",
            "Ask the sender for the day, or see whether the batch bears the right date.",
        ),
        (
            "negative_takes_back",
            "consistency",
            MAJOR,
            "a payment below zero takes back nothing that was paid: no earlier state of the claim "
            "and no other claim of the member and day paid as much",
            "Ask the sender what it reverses; sums of what was paid are too low by it meanwhile.",
        ),
    )
    return judged(
        statement("checks/business.claims_against_others"),
        ("claim_id",),
        "fact_claim",
        checks,
        {"days_ahead": DAYS_AHEAD},
        checked=statement("checks/business.claims_against_others_judged"),
    )


def _claims() -> SqlCheck:
    checks = rules(
        "fact_claim",
        (
            "amounts_in_order",
            "validity",
            MAJOR,
            "paid is above allowed or, where that is empty, above billed, or allowed is above "
            "billed",
            ASK,
        ),
        (
            "denied_pays_nothing",
            "validity",
            MAJOR,
            "a denied claim bears a paid amount",
            "Ask the sender whether it was paid; no cube counts the amount meanwhile.",
        ),
        (
            "pending_pays_nothing",
            "validity",
            MAJOR,
            "a pending claim bears a paid amount",
            "Ask the sender whether it was paid; no cube counts the amount meanwhile.",
        ),
        (
            "diagnosis_possible",
            "validity",
            MINOR,
            "the diagnosis has not the form of an ICD-10-CM code",
            "Ask the sender: risk adjustment drops such a claim (45 CFR 153.610).",
        ),
        (
            "diagnosis_listed",
            "reasonableness",
            MINOR,
            "the category of the diagnosis is none of those that surveyed people bore or that risk "
            "adjustment knows",
            "Look whether the sender uses another code set, such as ICD-9-CM.",
        ),
        (
            "discharged_after_admission",
            "consistency",
            MAJOR,
            "a stay ends before it begins, or before the day of service",
            ASK,
        ),
        ("paid_after_service", "consistency", MAJOR, "a claim was paid before the service", ASK),
    )
    # The lists name half of the categories there are, and nearly all that are common.
    return judged(
        claim_values(sql.Identifier("fact_claim")),
        ("claim_id",),
        "fact_claim",
        shared(checks, diagnosis_listed=0.05),
        claims_values(),
        checked=statement("checks/business.claims_judged"),
    )


def _overlaps() -> SqlCheck:
    checks = rules(
        "fact_enrollment",
        (
            "no_day_twice",
            "uniqueness",
            MAJOR,
            "two enrollments of a member cover the same day",
            "Ask the sender which holds; member-months and premium count twice meanwhile.",
        ),
        (
            "one_a_month",
            "uniqueness",
            MINOR,
            "two enrollments of a member are open in the same month",
            "A few are usual: births and deaths begin and end coverage within a month (45 CFR "
            "155.420(b)(2)). Of many ask the sender.",
        ),
    )
    return judged(
        statement(
            "checks/business.overlapping", enrollments=relation("checks/business.enrollments_held")
        ),
        ("enrollment_id",),
        "fact_enrollment",
        shared(checks, one_a_month=0.01),
    )


def _enrollments() -> SqlCheck:
    checks = rules(
        "fact_enrollment",
        (
            "premium_as_rated",
            "reasonableness",
            MAJOR,
            "premium and tax credit together are not the plan's premium at the member's age",
            "See whether the plan's premium is that of a 21-year-old, and whether the state has "
            "a new age curve of its own (45 CFR 147.102(e); etl/reference/age_curve_state.csv).",
        ),
        (
            "reduction_fits_metal",
            "consistency",
            MAJOR,
            "a silver variant (04 to 06) on another metal, or an Indian one (02, 03) on a "
            "catastrophic plan",
            "Ask the sender for plan or variant: the insurer is not owed the reduction (45 CFR "
            "155.305(g), 155.350, 156.420).",
        ),
        (
            "no_credit_on_catastrophic",
            "consistency",
            MAJOR,
            "a tax credit on a catastrophic plan",
            "Ask the sender: such a plan has none (26 U.S.C. 36B(c)(3)(A)).",
        ),
        (
            "ends_in_plan_year",
            "consistency",
            MAJOR,
            "coverage runs past the plan year",
            "Ask the sender for a row a plan year: the next year's plan is another one (45 CFR "
            "155.20).",
        ),
        (
            "covered_after_birth",
            "consistency",
            MAJOR,
            "coverage ended before the member's birth",
            "Ask the sender which of member, date of birth and span is wrong.",
        ),
    )
    # Rating areas and states' own curves move a premium, and so do corrected birth dates.
    return judged(
        statement("checks/business.enrollment_values"),
        ("enrollment_id",),
        "fact_enrollment",
        shared(checks, premium_as_rated=0.01),
        {**_curves(), "variants": list(_variants())},
        checked=statement("checks/business.enrollments_judged"),
    )


def _variants() -> tuple[str, ...]:
    return cast(OneOf, FEEDS["enrollments"].column("csr_variant").check).values


def _curves() -> Values:
    """Premium factors by state and age in whole years; the last age stands for all older.

    The federal curve is that of the state ''.
    """
    curves = {"": age_curve(), **state_age_curves()}
    oldest = max(first for curve in curves.values() for first, _ in curve)
    rows = [
        (state, age, next(factor for first, factor in reversed(curve) if first <= age))
        for state, curve in curves.items()
        for age in range(oldest + 1)
    ]
    states, ages, factors = map(list, zip(*rows, strict=True))
    return {
        "own_curves": list(state_age_curves()),
        "curve_states": states,
        "curve_ages": ages,
        "curve_factors": factors,
        "oldest": oldest,
    }


def _known_on_day(fact: Fact) -> SqlCheck:
    """Of a plan's year there is one plan, told at any time; who people were changes with time."""
    dimensions = [r.dimension for r in fact.references if r.dimension is not DIM_PLAN]
    described = " and ".join(d.name for d in dimensions)
    checks = rules(
        fact.table,
        (
            "values_known_on_day",
            "timeliness",
            MINOR,
            f"the version of {described} that the fact joins describes what was true later: its "
            "values are known only from a day after the fact's on",
            "Reports as was show later values there: known_from_ts of the version says since when. "
            "For history of before the first batch, load older files or raise the threshold.",
        ),
    )
    joins = [
        sql.SQL("inner join {dim} on f.{sk} = {dim}.{sk}").format(
            dim=sql.Identifier(d.table), sk=sql.Identifier(d.sk)
        )
        for d in dimensions
    ]
    # A few facts come before the feed that describes their member, in every month.
    return SqlCheck(
        "checks/business.known_on_day",
        {
            "fact": sql.Identifier(fact.table),
            "date": sql.Identifier(fact.date),
            "keys": keys_of((fact.key,)),
            "joins": sql.SQL(" ").join(joins),
            "known_from": sql.SQL(", ").join(
                sql.Identifier(d.table, "known_from_ts") for d in dimensions
            ),
        },
        shared(checks, values_known_on_day=0.05),
    )


def _line_breaks(source: Feed) -> SqlCheck:
    checks = rules(
        source.table,
        (
            "no_line_break",
            "validity",
            MINOR,
            "a text holds a line break",
            "Ask the sender whether it belongs there; exports to other systems stumble over it.",
        ),
    )
    return judged(
        line_breaks(source), ("load_id", "source_line"), source.table, checks, feed=source.name
    )


def line_breaks(feed: Feed) -> sql.Composed:
    """The statement that returns a feed's rows with a line break in a text."""
    return statement(
        "checks/business.line_breaks",
        staging=sql.Identifier(feed.table),
        texts=names((c.name for c in feed.columns if c.type is Type.TEXT), "s"),
    )
