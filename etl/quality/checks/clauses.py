"""Clauses of contracts in SQL: how many rows each is about and can judge, and how many break it."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from etl.db.statements import Parts, statement
from etl.quality.checks.sql import keys_of
from etl.render.expectations import Expectation, Suite, broken, has_value

_COUNTS = ("checked", "judged", "failed", "shown")


def clauses(suite: Suite, expectations: Sequence[Expectation], scope: Parts) -> dict[str, Parts]:
    """Parts of ``checks/clauses.counted`` for expectations of a table, on its rows in ``scope``."""
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
    return {
        "table": sql.Identifier(suite.table),
        "scope": scope,
        "tallies": sql.SQL(",\n").join(tallies),
        "tallied": sql.SQL(",\n").join(rows),
    }


def _is_about(expectation: Expectation) -> Parts:
    """Whether a row is of a load on which the expectation is judged."""
    if expectation.of is not None:
        return sql.SQL("load_id = any(array({}))").format(_loads_under(expectation.of))
    if expectation.not_of:
        return sql.SQL("load_id <> all(array({}))").format(_loads_under(*expectation.not_of))
    return sql.SQL("true")


def _loads_under(*contracts: str) -> Parts:
    return statement("checks/clauses.loads_under", contracts=sql.Literal(list(contracts)))
