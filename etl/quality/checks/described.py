"""Rules of the business on dimensions: how feeds describe members, providers and plans."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.checks import MAJOR, MINOR
from etl.db.statements import names, statement
from etl.quality.checks.judged import DAYS_AHEAD, judged, relation
from etl.quality.checks.sql import SqlCheck, rules
from etl.warehouse.tables import DIM_MEMBER, DIM_PLAN, DIM_PROVIDER, DIMENSIONS, Dimension


def described_checks() -> tuple[SqlCheck, ...]:
    """Every check of what dimensions hold, in the order in which they run."""
    return (
        _members(),
        _births(),
        _providers(),
        _plans(),
        *(
            _shared_values(dimension, columns)
            for dimension in DIMENSIONS.values()
            for columns in dimension.feed.unique
        ),
        *(_unknown(dimension) for dimension in DIMENSIONS.values()),
    )


def _members() -> SqlCheck:
    checks = rules(
        DIM_MEMBER.table,
        (
            "age_in_band",
            "consistency",
            MINOR,
            "the age band holds no age that the member had in the plan year",
            "Ask the sender which of date of birth, band and year is wrong.",
        ),
    )
    return judged(
        statement("checks/business.member_ages"),
        (DIM_MEMBER.sk,),
        DIM_MEMBER.table,
        checks,
        checked=statement("checks/business.members_judged"),
    )


def _births() -> SqlCheck:
    checks = rules(
        DIM_MEMBER.table,
        (
            "born_by_batch",
            "consistency",
            MAJOR,
            f"the date of birth is more than {DAYS_AHEAD} days after the batch that told of it, "
            "or more than 125 years before",
            "Ask the sender for the date of birth: premium and age band follow from it.",
        ),
    )
    return judged(
        statement("checks/business.birth_dates"),
        (DIM_MEMBER.sk,),
        DIM_MEMBER.table,
        checks,
        {"days_ahead": DAYS_AHEAD},
        checked=statement("checks/business.members_judged"),
    )


def _providers() -> SqlCheck:
    checks = rules(
        DIM_PROVIDER.table,
        (
            "npi_check_digit",
            "validity",
            MINOR,
            "the NPI's check digit is wrong",
            "Look the provider up in the national registry (45 CFR 162.406) and tell the sender.",
        ),
    )
    return judged(
        statement("checks/business.bad_npis", providers=relation("checks/business.providers_held")),
        DIM_PROVIDER.key,
        DIM_PROVIDER.table,
        checks,
        checked=statement("checks/business.npis_judged"),
    )


def _plans() -> SqlCheck:
    checks = rules(
        DIM_PLAN.table,
        (
            "deductible_within_limit",
            "consistency",
            MAJOR,
            "the deductible is above the out-of-pocket maximum",
            "Ask the sender; the deductible counts towards the maximum (45 CFR 156.130).",
        ),
    )
    return judged(
        statement("checks/business.plan_values"),
        (DIM_PLAN.sk,),
        DIM_PLAN.table,
        checks,
        checked=statement("checks/business.plans_judged"),
    )


def _shared_values(dimension: Dimension, columns: tuple[str, ...]) -> SqlCheck:
    checks = rules(
        dimension.table,
        (
            "_".join((*columns, "unique")),
            "uniqueness",
            MINOR,
            f"two keys that hold today share their {' and '.join(columns)}",
            "Ask the sender whether the two are one, or which of them bears it wrongly.",
        ),
    )
    parts = {
        "dim": sql.Identifier(dimension.table),
        "columns": names(columns),
        "broken_rule": sql.Literal(next(iter(checks))),
    }
    return judged(
        statement("checks/business.shared_values", sk=sql.Identifier(dimension.sk), **parts),
        (dimension.sk,),
        dimension.table,
        checks,
        checked=statement("checks/business.shared_judged", **parts),
    )


def _unknown(dimension: Dimension) -> SqlCheck:
    checks = rules(
        dimension.table,
        (
            "known_in_time",
            "timeliness",
            MINOR,
            "facts named the key more than 31 days ago and its own feed has not brought it",
            f"Ask the sender of {dimension.feed.name} for it, or correct the fact's key.",
        ),
    )
    return judged(
        statement(
            "checks/business.still_unknown",
            dim=sql.Identifier(dimension.table),
            sk=sql.Identifier(dimension.sk),
        ),
        (dimension.sk,),
        dimension.table,
        checks,
        feed=dimension.feed.name,
    )
