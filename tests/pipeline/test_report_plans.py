"""How documented reports are planned, and that the planner knows the tables after every load.

Plans are read for their structure, never for times: which partitions and which indexes they use.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import sql

from etl.db.statements import statement
from etl.docs import report_queries
from etl.synthetic.generate import generate, simulate
from etl.warehouse.tables import LIVE
from tests.support.plans import Node, nodes
from tests.support.warehouse import Warehouse

# Enough for a month of claims to fill more pages than an index is deep: below that a good plan
# reads the whole partition.
MEMBERS = 2000

# All payments ever, and whatever happened to a member.
ALL_TIME = {"paid_as_known_after_each_load", "one_member"}

REPORTS = {name: r for name, r in report_queries.reports().items() if r.question is not None}
_DAYS = re.compile(
    r"service_date >= date '([\d-]+)'(?: and (?:\w\.)?service_date < date '([\d-]+)')?"
)
_PARTITION = re.compile(r"fact_claim_\d{4}_\d{2}")


@pytest.fixture(scope="module")
def loaded(module_warehouse: Warehouse) -> Warehouse:
    """A warehouse after a full load of two plan years and a day."""
    generate(module_warehouse.inbox, members=MEMBERS)
    module_warehouse.rebuild()
    module_warehouse.find_tables_as_readers()
    return module_warehouse


def explained(
    connection: psycopg.Connection[Any], query: sql.Composable, values: Any = None
) -> list[Node]:
    asked = sql.SQL("explain (format json, verbose) {}").format(query)
    ((found,),) = connection.execute(asked, values).fetchall()
    return list(nodes(found[0]["Plan"]))


def plan_of(warehouse: Warehouse, report: report_queries.Report) -> list[Node]:
    """The plan of a report's question, with the session where the report puts it."""
    with warehouse.connection.transaction(force_rollback=True):
        for said in report.statements:
            if said == report.question:
                return explained(warehouse.connection, sql.SQL(said))
            warehouse.connection.execute(said)
    raise AssertionError("no question")


def months_read(plan: list[Node]) -> set[str]:
    """Partitions of claims that a plan reads, whichever way."""
    return {n["Relation Name"] for n in plan if _PARTITION.fullmatch(n.get("Relation Name", ""))}


def months_asked(warehouse: Warehouse, report: report_queries.Report) -> set[str] | None:
    """Partitions of the days that a report asks for; none where it names no days."""
    spans = set(_DAYS.findall(report.text))
    if not spans:
        return None
    ((first, after),) = spans
    tables = warehouse.rows("select tablename from pg_tables where schemaname = 'internal'")
    months = {name: name[-7:].replace("_", "-") for (name,) in tables if _PARTITION.fullmatch(name)}
    return {name for name, month in months.items() if first[:7] <= month < (after or "9999")[:7]}


def read_whole(plan: list[Node]) -> set[str]:
    """Tables that a plan reads from end to end."""
    return {n["Relation Name"] for n in plan if n["Node Type"] == "Seq Scan"}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_reads_the_months_that_it_asks_for(loaded: Warehouse, name: str) -> None:
    plan = plan_of(loaded, REPORTS[name])
    asked = months_asked(loaded, REPORTS[name])
    if asked is not None:
        assert months_read(plan) == asked
    elif name not in ALL_TIME:
        assert months_read(plan) == set()


def test_query_for_changes_of_one_month_reads_one_partition(loaded: Warehouse) -> None:
    report = REPORTS["claims_changed_since_a_load"]
    assert months_asked(loaded, report) == {"fact_claim_2025_01"}
    # The present rows and the rows as known.
    plan = plan_of(loaded, report)
    assert [n for n in plan if n.get("Relation Name") == "fact_claim_2025_01"][1:]


def test_a_cube_of_many_rows_is_read_by_its_index(loaded: Warehouse) -> None:
    assert read_whole(plan_of(loaded, REPORTS["paid_pmpm_by_tier"])) == set()


@pytest.fixture(scope="module")
def key(loaded: Warehouse) -> dict[str, Any]:
    """A claim of June and its member."""
    ((claim_id, service_date, member_id),) = loaded.rows(
        "select claim_id, service_date, member_id "
        "from warehouse.fact_claim inner join warehouse.dim_member using (member_sk) "
        "where service_date = '2025-06-10' order by claim_id limit 1"
    )
    return {
        "claim_id": claim_id,
        "member_id": member_id,
        "service_date": service_date,
        "month": date(2025, 6, 1),
        "next_month": date(2025, 7, 1),
    }


@pytest.mark.parametrize(
    ("lookup", "months"),
    [
        ("lookup_claim", {"fact_claim_2025_06"}),
        ("lookup_claims_of_member", {"fact_claim_2025_06"}),
        ("lookup_member", set()),
        ("lookup_days_of_member", set()),
    ],
)
def test_a_key_is_looked_up_by_an_index(
    loaded: Warehouse, key: dict[str, Any], lookup: str, months: set[str]
) -> None:
    plan = explained(loaded.connection, statement(f"bench/analysts.{lookup}"), key)
    assert months_read(plan) == months
    assert read_whole(plan) == set()
    assert any("Index" in n["Node Type"] for n in plan)


def test_query_of_one_month_reads_one_partition(loaded: Warehouse, key: dict[str, Any]) -> None:
    plan = explained(loaded.connection, statement("bench/analysts.ask_month"), key)
    assert months_read(plan) == {"fact_claim_2025_06"}


def test_prepared_query_of_one_month_reads_one_partition(loaded: Warehouse) -> None:
    """Also where the plan was made before the month was known."""
    connection = loaded.connection
    connection.execute(
        "prepare of_month (date, date) as select count(*) from warehouse.fact_claim "
        "where service_date >= $1 and service_date < $2"
    )
    connection.execute("set plan_cache_mode = force_generic_plan")
    try:
        plan = explained(connection, sql.SQL("execute of_month ('2025-06-01', '2025-07-01')"))
    finally:
        connection.execute("reset plan_cache_mode")
        connection.execute("deallocate of_month")
    assert months_read(plan) == {"fact_claim_2025_06"}


def stale(warehouse: Warehouse) -> dict[str, str]:
    """Tables with rows whose statistics are not those of now, and what is wrong with them."""
    found = {}
    tables = warehouse.connection.execute(
        "select n.nspname, c.relname, c.reltuples, exists(select 1 from pg_stats as s "
        "where s.schemaname = n.nspname and s.tablename = c.relname) "
        "from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid "
        "where n.nspname = any(%s) and c.relkind in ('r', 'p', 'm')",
        [list(LIVE.schemas.names)],
    ).fetchall()
    for schema, table, known, has_statistics in tables:
        name = sql.Identifier(schema, table)
        asked = sql.SQL("select count(*) from {}").format(name)
        ((stored,),) = warehouse.connection.execute(asked).fetchall()
        if stored and not has_statistics:
            found[table] = "none"
        # Autovacuum, which may come at any time, reckons from some of the pages.
        elif stored and abs(known - stored) > 0.05 * stored + 1:
            found[table] = f"{known:.0f} rows known, {stored} stored"
    return found


def test_statistics_are_current_after_each_load(loaded: Warehouse) -> None:
    assert stale(loaded) == {}
    simulate(loaded.inbox, 2)
    loaded.incremental()
    assert loaded.value("select count(*) > 0 from internal.fact_claim_past") is True
    assert loaded.value("select count(*) > 0 from internal.fact_claim_state") is True
    assert stale(loaded) == {}
