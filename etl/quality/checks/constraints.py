"""Constraints of contracts in SQL: how many rows each can judge, and which rows break it."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from etl.db.statements import Parts, statement
from etl.quality.checks.parts import keys_of
from etl.render.expectations import Expectation, Suite, broken, has_value, is_judged

_COUNTS = ("checked", "judged", "failed", "shown")


def counted(
    suite: Suite, expectations: Sequence[Expectation], scope: Parts | None = None
) -> sql.Composed:
    """The statement that counts, in one scan, what some expectations of a table are about.

    ``scope``: the rows to look at, by default all that the suite is about.
    """
    tallies, rows = [], []
    for number, expectation in enumerate(expectations, start=1):
        counts = {what: sql.Identifier(f"{what}_{number}") for what in _COUNTS}
        tallies.append(
            sql.SQL(
                "count(*) filter (where {about}) as {checked}, "
                "count(*) filter (where {about} and {there}) as {judged}, "
                "count(*) filter (where {about} and {broken}) as {failed}, "
                "some_keys({keys}) filter (where {about} and {broken}) as {shown}"
            ).format(
                about=_is_about(expectation),
                there=has_value(expectation),
                broken=broken(expectation),
                keys=keys_of(suite.keys),
                **counts,
            )
        )
        rows.append(
            sql.SQL("({}, {})").format(
                sql.Literal(expectation.check.name), sql.SQL(", ").join(counts.values())
            )
        )
    return statement(
        "checks/constraints.counted",
        table=sql.Identifier(suite.table),
        scope=is_judged(suite) if scope is None else scope,
        tallies=sql.SQL(",\n").join(tallies),
        tallied=sql.SQL(",\n").join(rows),
    )


def counted_in_load(suite: Suite) -> sql.Composed:
    """The same of all expectations of a feed, on the rows of the current load alone."""
    scope = sql.SQL("load_id = {} and {}").format(sql.Placeholder("load_id"), is_judged(suite))
    return counted(suite, suite.expectations, scope)


def _is_about(expectation: Expectation) -> Parts:
    """Whether a row is of a load on which the expectation is judged."""
    if expectation.of is not None:
        return sql.SQL("load_id = any(array({}))").format(_loads_under(expectation.of))
    if expectation.not_of:
        return sql.SQL("load_id <> all(array({}))").format(_loads_under(*expectation.not_of))
    return sql.SQL("true")


def _loads_under(*contracts: str) -> Parts:
    return statement("checks/constraints.loads_under", contracts=sql.Literal(list(contracts)))
