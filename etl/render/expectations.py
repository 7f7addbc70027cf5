"""From contracts to Great Expectations suites, and what every quality check is known by.

Pure data: an expectation is the name of a Great Expectations type and its arguments, so nothing
here imports that package. ``etl/stages/checks_gx.py`` runs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from etl.contract import Between, Column, Matches, OneOf, Source
from etl.quality import CRITICAL, MAJOR, MINOR, Check
from etl.sources import FEEDS
from etl.warehouse import DIMENSIONS, FACTS, Dimension, Fact

# Columns by which a feed names a thing of another feed.
_FOREIGN = {name for source in FEEDS.values() for name in source.key}
# The longest span of coverage: one plan year, since the next year's plan is another plan.
_DAYS_OF_YEAR = 366


@dataclass(frozen=True, slots=True)
class Expectation:
    """A check that Great Expectations answers: its expectation type and arguments."""

    check: Check
    kind: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Suite:
    """The expectations on one table. ``layer``: which of a build's schemas holds the table."""

    layer: str
    table: str
    expectations: tuple[Expectation, ...]


def suites() -> tuple[Suite, ...]:
    """The suites of every staging table, dimension and fact."""
    return (
        *(_staging(source) for source in FEEDS.values()),
        *(_dimension(dimension) for dimension in DIMENSIONS.values()),
        *(_fact(fact) for fact in FACTS.values()),
    )


def _staging(source: Source) -> Suite:
    found = []
    for column in source.columns:
        if column.required:
            found.append(_not_null(source.table, column.name, _severity(source, column)))
        found += _constraint(source.table, column)
    return Suite("staging", source.table, tuple(found))


def _dimension(dimension: Dimension) -> Suite:
    keys = (dimension.sk, *dimension.key, *(lookup.column for lookup in dimension.lookups))
    found = [_not_null(dimension.table, name, CRITICAL) for name in keys]
    for column in dimension.attributes:
        found += _constraint(dimension.table, column)
    return Suite("warehouse", dimension.table, tuple(found))


def _fact(fact: Fact) -> Suite:
    keys = (fact.key, fact.date, *(reference.sk for reference in fact.references))
    found = [_not_null(fact.table, name, CRITICAL) for name in keys]
    for column in map(fact.source.column, fact.carried):
        if column.name in fact.source.money and column.required:
            found.append(_not_null(fact.table, column.name, MAJOR))
        found += _constraint(fact.table, column)
    if fact.source is FEEDS["enrollments"]:
        found.append(_between(fact.table, "coverage_days", Between(1, _DAYS_OF_YEAR), MAJOR))
    return Suite("warehouse", fact.table, tuple(found))


def _severity(source: Source, column: Column) -> str:
    """How bad an empty required value is: without a key no row, without money a wrong sum."""
    if column.type.mandatory:
        return CRITICAL
    return MAJOR if column.name in source.money or column.name in _FOREIGN else MINOR


def _not_null(table: str, column: str, severity: str) -> Expectation:
    return Expectation(
        Check(
            f"{table}.{column}.not_null",
            table,
            column,
            "completeness",
            severity,
            f"{column} is empty",
        ),
        "expect_column_values_to_not_be_null",
        {"column": column},
    )


def _constraint(table: str, column: Column) -> list[Expectation]:
    rule = column.check
    if rule is None:
        return []
    if isinstance(rule, Between):
        return [_between(table, column.name, rule, MINOR)]
    return [
        Expectation(
            Check(
                f"{table}.{column.name}.{'one_of' if isinstance(rule, OneOf) else 'matches'}",
                table,
                column.name,
                "validity",
                MINOR,
                f"{column.name} is not as expected: {rule}",
            ),
            "expect_column_values_to_match_regex",
            {"column": column.name, "regex": pattern(rule)},
        )
    ]


def _between(table: str, column: str, rule: Between, severity: str) -> Expectation:
    return Expectation(
        Check(
            f"{table}.{column}.between",
            table,
            column,
            "validity",
            severity,
            f"{column} is out of range: {rule}",
        ),
        "expect_column_values_to_be_between",
        {"column": column, "min_value": rule.low, "max_value": rule.high},
    )


def pattern(rule: OneOf | Matches) -> str:
    """The rule as a PostgreSQL regular expression over the whole value.

    Words are compared without regard to case, which a set of allowed values cannot express.
    """
    if isinstance(rule, OneOf):
        words = "|".join(_quoted(word) for word in rule.values)
        return f"(?i)^({words})$"
    return f"^({rule.pattern})$"


def _quoted(word: str) -> str:
    """The word with every sign that a regular expression would read otherwise escaped."""
    return "".join(c if c.isalnum() or c in " _-" else f"\\{c}" for c in word)
