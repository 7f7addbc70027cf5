"""From contracts to Great Expectations suites, and the name and meaning of every check in them.

Pure data: an expectation is the name of a Great Expectations type and its arguments, so nothing
here imports that package. ``etl/quality/great_expectations.py`` runs them. ``broken`` is the same
in SQL, for finding the rows that fail, or for a few rows only; a test compares the counts of both.

A sender's contract may ask for more or for less than the feed does. Each constraint therefore names
the loads on which it is judged: the feed's on all but those whose contract has another one, a
sender's on the loads that came under its contract.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from etl.contracts.checks import CRITICAL, MAJOR, MINOR, Check
from etl.contracts.column import IS_DELETED, Between, Column, Constraint, Matches, OneOf
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.senders import senders_of
from etl.warehouse.tables import DIMENSIONS, FACTS, Dimension, Fact

# Columns by which a feed names a thing of another feed.
_FOREIGN = {name for feed in FEEDS.values() for name in feed.key}
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
    "staging": "No row can be placed without it, and the loader rejects such rows: a constraint of "
    "the table was dropped; make full-load makes it again.",
    "warehouse": "A constraint of the table was dropped and a row changed by hand: make full-load.",
}


@dataclass(frozen=True, slots=True)
class Expectation:
    """A check that Great Expectations answers: its expectation type and arguments.

    ``of``: the sender's contract on whose loads alone it is judged. ``not_of``: the contracts on
    whose loads it is not, because they say something else or do not send the column. ``words``:
    values that keep it, so that most of them need not be matched against its pattern.
    """

    check: Check
    kind: str
    arguments: dict[str, Any]
    of: str | None = None
    not_of: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    @property
    def is_of_all(self) -> bool:
        """Whether it is judged on the rows of every load."""
        return self.of is None and not self.not_of

    @property
    def judges_missing(self) -> bool:
        """Whether it is about missing values; every other is about those that are there."""
        return self.kind == _NOT_NULL


@dataclass(frozen=True, slots=True)
class Suite:
    """The expectations on one table.

    ``layer``: which of a build's schemas has the table. ``keys``: the columns by which a row
    that fails is reported. ``feed``: the feed that a staging table mirrors. ``marked``: the column
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
        *(_staging(feed) for feed in FEEDS.values()),
        *(_dimension(dimension) for dimension in DIMENSIONS.values()),
        *(_fact(fact) for fact in FACTS.values()),
    )


def _staging(feed: Feed) -> Suite:
    found = []
    for column in feed.columns:
        if column.required:
            found.append(_required(feed.table, feed, column, _severity(feed, column)))
        found += _constraints(feed.table, feed, column)
    return Suite(
        "staging",
        feed.table,
        tuple(found),
        ("load_id", "source_line", *feed.key),
        feed=feed.name,
        # A delete marker says that its key is gone and need say nothing else.
        marked=IS_DELETED.name if feed.deletable else None,
    )


def _dimension(dimension: Dimension) -> Suite:
    keys = (dimension.sk, *dimension.key, *(lookup.column for lookup in dimension.lookups))
    found = [_not_null(dimension.table, name, CRITICAL) for name in keys]
    for column in dimension.attributes:
        found += _constraints(dimension.table, dimension.feed, column)
    return Suite("warehouse", dimension.table, tuple(found), (dimension.sk,))


def _fact(fact: Fact) -> Suite:
    keys = (fact.key, fact.date, *(reference.sk for reference in fact.references))
    found = [_not_null(fact.table, name, CRITICAL) for name in keys]
    for column in map(fact.feed.column, fact.carried):
        if column.name in fact.feed.money and column.required:
            found.append(_required(fact.table, fact.feed, column, MAJOR))
        found += _constraints(fact.table, fact.feed, column)
    if fact.feed is FEEDS["enrollments"]:
        found.append(_between(fact.table, "coverage_days", Between(1, _DAYS_OF_YEAR), MAJOR))
    return Suite("warehouse", fact.table, tuple(found), (fact.key,))


def _severity(feed: Feed, column: Column) -> str:
    """How bad an empty required value is: without a key no row, without money a wrong sum."""
    if column.type.mandatory:
        return CRITICAL
    is_needed = column.name in feed.money or column.name in _FOREIGN or _is_closed(column.check)
    return MAJOR if is_needed else MINOR


def _is_closed(rule: Constraint | None) -> bool:
    return isinstance(rule, OneOf) and rule.closed


def _required(table: str, feed: Feed, column: Column, severity: str) -> Expectation:
    """That a required value is there, where the sender sends the column at all."""
    silent = tuple(c.name for c in senders_of(feed) if column.name in c.not_sent)
    return replace(_not_null(table, column.name, severity), not_of=silent)


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


def _constraints(table: str, feed: Feed, column: Column) -> list[Expectation]:
    """What a good value looks like by the feed, and by each contract that says otherwise.

    Code gives the words of a closed list their meaning, whatever a contract calls a good word: in
    the warehouse such a list is judged by the feed's own words alone.
    """
    closed = _is_closed(column.check)
    senders = () if closed and _layer(table) == "warehouse" else senders_of(feed)
    others = [c for c in senders if c.checks.get(column.name, column.check) != column.check]
    found = []
    if column.check is not None:
        own = _constraint(table, column.name, column.check, closed)
        found.append(replace(own, not_of=tuple(c.name for c in others)))
    for sender in others:
        clause = _constraint(table, column.name, sender.checks[column.name], closed)
        check = replace(
            clause.check,
            name=f"{clause.check.name}.{sender.name}",
            means=f"{clause.check.means}, by the contract {sender.name}",
        )
        found.append(replace(clause, check=check, of=sender.name))
    return found


def _constraint(table: str, column: str, rule: Constraint, closed: bool) -> Expectation:
    if isinstance(rule, Between):
        return _between(table, column, rule, MINOR)
    return Expectation(
        Check(
            f"{table}.{column}.{'one_of' if isinstance(rule, OneOf) else 'matches'}",
            table,
            column,
            "validity",
            MAJOR if closed or _is_closed(rule) else MINOR,
            f"{column} is not as expected: {rule}",
            _ADVICE[_layer(table)],
        ),
        _MATCHES,
        {"column": column, "regex": pattern(rule)},
        words=rule.values if isinstance(rule, OneOf) else (),
    )


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
    """Whether a row breaks the expectation, in SQL; an empty value breaks only ``not_null``."""
    arguments = expectation.arguments
    column = sql.Identifier(arguments["column"])
    if expectation.judges_missing:
        return sql.SQL("{} is null").format(column)
    if expectation.kind == _MATCHES:
        misfit = sql.SQL("{} !~ {}").format(column, sql.Literal(arguments["regex"]))
        if not expectation.words:
            return misfit
        words = sql.SQL(", ").join(map(sql.Literal, expectation.words))
        return sql.SQL("({} not in ({}) and {})").format(column, words, misfit)
    low, high = arguments["min_value"], arguments["max_value"]
    return outside(
        column,
        None if low is None else sql.Literal(low),
        None if high is None else sql.Literal(high),
    )


def outside(
    column: sql.Identifier, low: sql.Composable | None, high: sql.Composable | None
) -> sql.Composed:
    """Whether a value is below ``low`` or above ``high``, where there is such a limit."""
    conditions = [
        sql.SQL("{} {} {}").format(column, sql.SQL(sign), limit)
        for sign, limit in (("<", low), (">", high))
        if limit is not None
    ]
    return sql.SQL("({})").format(sql.SQL(" or ").join(conditions))


def is_judged(suite: Suite) -> sql.Composable:
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
