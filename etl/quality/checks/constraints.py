"""Constraints of contracts in SQL: how many rows each can judge, and which rows break it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from psycopg import sql

from etl.db.statements import Parts, statement
from etl.quality.checks.parts import keys_of
from etl.quality.checks.sql_check import SqlCheck
from etl.render.expectations import Expectation, Suite, broken, is_judged

_COMMA = sql.SQL(",\n")
_LOAD = sql.Placeholder("load_id")
_LOAD_OF_ROW = sql.Identifier("load_id")


def check_of_load(suite: Suite) -> SqlCheck:
    """All expectations of a feed, on the rows of the current load alone.

    A load comes under one contract, so each expectation is about all of its rows or none.
    """
    scope = sql.SQL("load_id = {} and {}").format(_LOAD, is_judged(suite))
    by_name = {e.check.name: e for e in suite.expectations}
    tallies: list[Parts] = [sql.SQL("count(*) as row_count")]
    rows: list[Parts] = []
    for number, expectation in enumerate(suite.expectations, start=1):
        there, failed = sql.Identifier(f"there_{number}"), sql.Identifier(f"failed_{number}")
        # Values that are there are counted by column, which costs a row next to nothing.
        value = sql.Identifier(expectation.arguments["column"])
        tallies.append(sql.SQL("count({}) as {}").format(value, there))
        counts = {"judged": sql.SQL("row_count"), "failed": sql.SQL("row_count - {}").format(there)}
        if not expectation.judges_missing:
            counts = {"judged": there, "failed": failed}
            tallies.append(
                sql.SQL("count(*) filter (where {}) as {}").format(broken(expectation), failed)
            )
        rows.append(
            statement(
                "checks/constraints.counts_of_load",
                name=sql.Literal(expectation.check.name),
                about=_is_about(expectation, _LOAD),
                **counts,
            )
        )
    return SqlCheck(
        _tallied("counted", suite, scope, tallies, rows),
        {name: e.check for name, e in by_name.items()},
        suite.feed,
        keys_of=lambda failing: failing_keys(suite, [by_name[name] for name in failing], scope),
    )


def check_of_rows(suite: Suite) -> SqlCheck:
    """All expectations of a table, on all the rows that it has.

    Each row is judged by those that are about its load.
    """
    scope = is_judged(suite)
    by_name = {e.check.name: e for e in suite.expectations}
    tallies: list[Parts] = []
    rows: list[Parts] = []
    for number, expectation in enumerate(suite.expectations, start=1):
        about = sql.SQL("") if expectation.is_of_all else _only_about(expectation)
        checked, there, failed = (
            sql.Identifier(f"{what}_{number}") for what in ("checked", "there", "failed")
        )
        value = sql.Identifier(expectation.arguments["column"])
        tallies += [
            sql.SQL("count(*){} as {}").format(about, checked),
            sql.SQL("count({}){} as {}").format(value, about, there),
        ]
        found: Parts = sql.SQL("{} - {}").format(checked, there)
        judged = checked
        if not expectation.judges_missing:
            found, judged = failed, there
            tallies.append(
                sql.SQL("count(*) filter (where {} and {}) as {}").format(
                    _is_about(expectation), broken(expectation), failed
                )
            )
        rows.append(
            sql.SQL("({}, {}, {}, {})").format(
                sql.Literal(expectation.check.name), checked, judged, found
            )
        )
    return SqlCheck(
        _tallied("counted", suite, scope, tallies, rows),
        {name: e.check for name, e in by_name.items()},
        suite.feed,
        keys_of=lambda failing: failing_keys(suite, [by_name[name] for name in failing]),
    )


def _only_about(expectation: Expectation) -> Parts:
    """The filter of an aggregate: the rows whose loads are judged by the expectation."""
    return sql.SQL(" filter (where {})").format(_is_about(expectation))


def failing_keys(
    suite: Suite, expectations: Sequence[Expectation], scope: Parts | None = None
) -> sql.Composed:
    """The statement that finds keys of rows that fail some expectations, in one more scan.

    ``scope``: the rows to look at, by default all that the suite is about.
    """
    tallies, rows = [], []
    for number, expectation in enumerate(expectations, start=1):
        shown = sql.Identifier(f"shown_{number}")
        tallies.append(
            sql.SQL("some_keys({keys}) filter (where {about} and {broken}) as {shown}").format(
                keys=keys_of(suite.keys),
                about=_is_about(expectation),
                broken=broken(expectation),
                shown=shown,
            )
        )
        rows.append(sql.SQL("({}, {})").format(sql.Literal(expectation.check.name), shown))
    return _tallied(
        "failing_keys", suite, is_judged(suite) if scope is None else scope, tallies, rows
    )


def _tallied(
    name: str,
    suite: Suite,
    scope: Parts,
    tallies: Iterable[Parts],
    rows: Iterable[Parts],
) -> sql.Composed:
    return statement(
        f"checks/constraints.{name}",
        table=sql.Identifier(suite.table),
        scope=scope,
        tallies=_COMMA.join(tallies),
        tallied=_COMMA.join(rows),
    )


def _is_about(expectation: Expectation, load: Parts = _LOAD_OF_ROW) -> Parts:
    """Whether the rows of a load are judged by the expectation."""
    if expectation.of is not None:
        return sql.SQL("{} = any(array({}))").format(load, _loads_under(expectation.of))
    if expectation.not_of:
        return sql.SQL("{} <> all(array({}))").format(load, _loads_under(*expectation.not_of))
    return sql.SQL("true")


def _loads_under(*contracts: str) -> Parts:
    return statement("checks/constraints.loads_under", contracts=sql.Literal(list(contracts)))
