"""From contracts to Great Expectations suites, and what every quality check is known by.

Pure data: an expectation is the name of a Great Expectations type and its arguments, so nothing
here imports that package. ``etl/stages/checks_gx.py`` runs them. ``broken`` says the same in SQL,
for those who need the rows that fail or ask it of a few rows only; a test holds that both count
alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from etl.contract import IS_DELETED, Between, Column, Matches, OneOf, Source
from etl.quality import CRITICAL, MAJOR, MINOR, Check
from etl.sources import FEEDS
from etl.warehouse import DIMENSIONS, FACTS, Dimension, Fact

# Columns by which a feed names a thing of another feed.
_FOREIGN = {name for source in FEEDS.values() for name in source.key}
# The longest span of coverage: one plan year, since the next year's plan is another plan.
_DAYS_OF_YEAR = 366

_NOT_NULL = "expect_column_values_to_not_be_null"
_MATCHES = "expect_column_values_to_match_regex"
_BETWEEN = "expect_column_values_to_be_between"

# What the owner does, by the layer in which a value is not as its contract says.
_ADVICE = {
    "staging": "The rows are loaded as they came: ask the sender of the feed to correct them, or, "
    "if the values are right, widen the contract's rule.",
    "warehouse": "Look at the same check of staging: if that fails too, the sender sent it; if "
    "not, the row was changed by hand: make full-load.",
}
_ADVICE_ON_KEYS = {
    "staging": "No row can be placed without it, and the loader sets such rows aside: a rule of "
    "the table was dropped; make full-load makes it anew.",
    "warehouse": "A rule of the table was dropped and a row changed by hand: make full-load.",
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """A check that Great Expectations answers: its expectation type and arguments."""

    check: Check
    kind: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Suite:
    """The expectations on one table.

    ``layer``: which of a build's schemas holds the table. ``keys``: the columns by which a row
    that fails is told. ``feed``: the feed that a staging table mirrors. ``marked``: the column
    that is true on rows that the expectations are not about.
    """

    layer: str
    table: str
    expectations: tuple[Expectation, ...]
    keys: tuple[str, ...]
    feed: str | None = None
    marked: str | None = None


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
    return Suite(
        "staging",
        source.table,
        tuple(found),
        ("load_id", "source_line", *source.key),
        feed=source.name,
        # A delete marker says that its key is gone and need say nothing else.
        marked=IS_DELETED.name if source.deletable else None,
    )


def _dimension(dimension: Dimension) -> Suite:
    keys = (dimension.sk, *dimension.key, *(lookup.column for lookup in dimension.lookups))
    found = [_not_null(dimension.table, name, CRITICAL) for name in keys]
    for column in dimension.attributes:
        found += _constraint(dimension.table, column)
    return Suite("warehouse", dimension.table, tuple(found), (dimension.sk,))


def _fact(fact: Fact) -> Suite:
    keys = (fact.key, fact.date, *(reference.sk for reference in fact.references))
    found = [_not_null(fact.table, name, CRITICAL) for name in keys]
    for column in map(fact.source.column, fact.carried):
        if column.name in fact.source.money and column.required:
            found.append(_not_null(fact.table, column.name, MAJOR))
        found += _constraint(fact.table, column)
    if fact.source is FEEDS["enrollments"]:
        found.append(_between(fact.table, "coverage_days", Between(1, _DAYS_OF_YEAR), MAJOR))
    return Suite("warehouse", fact.table, tuple(found), (fact.key,))


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
            (_ADVICE_ON_KEYS if severity == CRITICAL else _ADVICE)[_layer(table)],
        ),
        _NOT_NULL,
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
                _ADVICE[_layer(table)],
            ),
            _MATCHES,
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
            _ADVICE[_layer(table)],
        ),
        _BETWEEN,
        {"column": column, "min_value": rule.low, "max_value": rule.high},
    )


def _layer(table: str) -> str:
    return "staging" if table.endswith("_raw") else "warehouse"


def broken(expectation: Expectation) -> sql.Composed:
    """Whether a row breaks the expectation, in SQL; an empty value only breaks that it be there."""
    said = expectation.arguments
    column = sql.Identifier(said["column"])
    if expectation.kind == _NOT_NULL:
        return sql.SQL("{} is null").format(column)
    if expectation.kind == _MATCHES:
        return sql.SQL("{} !~ {}").format(column, sql.Literal(said["regex"]))
    ends = {"<": said["min_value"], ">": said["max_value"]}
    return sql.SQL("({})").format(
        sql.SQL(" or ").join(
            sql.SQL("{} {} {}").format(column, sql.SQL(sign), sql.Literal(end))
            for sign, end in ends.items()
            if end is not None
        )
    )


def looked_at(suite: Suite) -> sql.Composable:
    """Whether a row is one that the expectations of the suite are about."""
    if suite.marked is None:
        return sql.SQL("true")
    return sql.SQL("{} is not true").format(sql.Identifier(suite.marked))


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
