"""Looking up claims costs what the claims are, and not what the months of a table are."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from etl.db.connection import connect
from etl.stages.facts.look_up import FEW_CLAIMS, among
from tests.support.plans import Node, nodes

# Claims of a month, whose ids follow each other as those of a year do.
IN_A_MONTH = 5_000
_NAMED = sql.SQL("select n.claim_id from named as n")


@pytest.fixture
def months(admin_url: str) -> Iterator[psycopg.Connection]:
    """A table of claims by month, and some claims of the last one that are asked for."""
    with connect(admin_url, "test") as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "create temporary table claim (claim_id text, month integer, "
            "primary key (claim_id, month)) partition by list (month)"
        )
        for month in (1, 2, 3):
            part = sql.Identifier(f"claim_{month}")
            connection.execute(
                sql.SQL("create temporary table {} partition of claim for values in ({})").format(
                    part, sql.Literal(month)
                )
            )
        connection.execute(
            "insert into claim select concat('C', m, '-', lpad(n::text, 6, '0')), m "
            "from generate_series(1, 3) as m, generate_series(1, %s) as n",
            [IN_A_MONTH],
        )
        connection.execute("analyze claim")
        connection.execute(
            "create temporary table named as select c.claim_id from claim as c "
            "where c.month = 3 order by hashtext(c.claim_id) limit 500"
        )
        # One comes twice, and one is in no month.
        connection.execute(
            "insert into named (select claim_id from named limit 1) union select 'X'"
        )
        yield connection


def searches(connection: psycopg.Connection, query: sql.Composable) -> dict[str, int]:
    """How often each index is searched from its root."""
    explain = sql.SQL("explain (analyze, costs off, format json) {}").format(query)
    ((found,),) = connection.execute(explain).fetchall()
    plan: Node = found[0]["Plan"]
    return {
        node["Relation Name"]: node["Index Searches"]
        for node in nodes(plan)
        if "Index Searches" in node
    }


def test_a_month_without_the_claims_is_searched_three_times_at_most(
    months: psycopg.Connection,
) -> None:
    query = sql.SQL("select c.claim_id from claim as c where c.claim_id {}").format(
        among(_NAMED, 500)
    )
    found = searches(months, query)
    assert set(found) == {"claim_1", "claim_2", "claim_3"}
    assert max(found["claim_1"], found["claim_2"]) <= 3
    assert found["claim_3"] < 500 / 2


def test_few_and_many_claims_are_found_alike(months: psycopg.Connection) -> None:
    rows = [
        months.execute(
            sql.SQL(
                "select c.claim_id from claim as c where c.claim_id {} order by c.claim_id"
            ).format(among(_NAMED, number))
        ).fetchall()
        for number in (500, FEW_CLAIMS + 1)
    ]
    assert len(rows[0]) == 500
    assert rows[0] == rows[1]
