"""Plans of the documented reports are recorded after a load, and a worse one is noticed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from etl.db.connection import set_search_path
from etl.errors import UsageError
from etl.operations import after_run, report_plans
from etl.operations.plan_diff import plan_diff
from etl.pipeline import commands
from etl.synthetic.generate import generate, simulate
from etl.warehouse.tables import LIVE
from tests.support.warehouse import Warehouse

ASKING = {report.name for report in report_plans.asking()}


@pytest.fixture(scope="module")
def loaded(module_warehouse: Warehouse) -> Warehouse:
    """A warehouse after a full load and a day, with the plans of both."""
    generate(module_warehouse.inbox, members=2000)
    load(module_warehouse, commands.full_load)
    simulate(module_warehouse.inbox, 1)
    load(module_warehouse, commands.incremental)
    set_search_path(module_warehouse.connection, LIVE.schemas.path, is_local=False)
    return module_warehouse


def load(warehouse: Warehouse, command: Any) -> None:
    with warehouse.pipeline() as context:
        command(context)
        after_run.note(context)


@pytest.mark.slow
def test_every_report_is_recorded_once_per_load(loaded: Warehouse) -> None:
    rows = loaded.rows("select load_id, report, seconds from report_plan")
    loads = {load_id for load_id, _, _ in rows}
    assert len(loads) == 2
    assert {(load_id, report) for load_id, report, _ in rows} == {
        (load_id, report) for load_id in loads for report in ASKING
    }
    # A load without figures runs what fits into its time, and at least one report.
    assert all(any(r[2] is not None for r in rows if r[0] == load_id) for load_id in loads)
    assert report_plans.record(loaded.connection, 1.0) == []


@pytest.mark.slow
def test_no_shape_names_a_partition_or_a_literal(loaded: Warehouse) -> None:
    shapes = "\n".join(loaded.column("select shape from report_plan"))
    assert "on fact_claim" in shapes
    assert not any(digit.isdigit() for digit in shapes)
    assert report_plans.breaches(loaded.connection) == []


def test_what_every_run_adds_to_is_known_to_the_planner_and_counts_as_growth(
    loaded: Warehouse,
) -> None:
    """As autovacuum has not come yet, which would see to it at some run or other."""
    unknown = loaded.column(
        "select c.relname from pg_class as c "
        "where c.relnamespace = 'quality'::regnamespace and c.relkind = 'r' "
        "and c.reltuples < 0 and pg_relation_size(c.oid) > 0"
    )
    assert unknown == []
    first, second = loaded.column(
        "select pages from report_plan where report = 'checks_failing' order by load_id"
    )
    assert 0 < first < second


def test_an_index_that_is_gone_is_shown_node_by_node(loaded: Warehouse) -> None:
    connection, cube = loaded.connection, "claims_by_plan_metal_month"
    (index,) = loaded.column(f"select indexname from pg_indexes where tablename = '{cube}'")
    with connection.transaction(force_rollback=True):
        connection.execute(f"drop index cubes.{index}")
        shown = list(plan_diff(connection))
    (title,) = (line for line in shown if line.startswith("\npaid_pmpm_by_tier: another shape"))
    changed = shown[shown.index(title) + 2 :]
    assert any(line.startswith("  -") and index in line for line in changed)
    assert any(line.startswith("  +") and f"Seq Scan on {cube}" in line for line in changed)


def test_since_takes_a_load_or_a_day(loaded: Warehouse) -> None:
    first = loaded.value("select min(load_id) from report_plan")
    shown = "\n".join(plan_diff(loaded.connection, str(first)))
    assert f"(load {first}," in shown
    assert f"of {len(ASKING)} plans have the shape that they had." in shown
    for unusable in ("yesterday", "2001-01-01"):
        with pytest.raises(UsageError):
            list(plan_diff(loaded.connection, unusable))


def test_a_breach_lasts_a_week_unless_the_plan_changes_back(loaded: Warehouse) -> None:
    connection, now = loaded.connection, datetime.now(UTC)
    with connection.transaction(force_rollback=True):
        connection.execute("update report_plan set pages = 100, cost = 100")
        connection.execute(
            "update report_plan set cost = cost / 2, shape_hash = 'other' "
            "where report = 'members_by_state' "
            "and load_id = (select min(load_id) from report_plan)"
        )
        assert report_plans.breaches(connection) == [], "nobody waits for so small a cost"
        connection.execute("update report_plan set cost = cost * 1000")
        (breach,) = report_plans.breaches(connection)
        assert (breach.report, round(breach.ratio, 1)) == ("members_by_state", 2.0)
        assert report_plans.breaches(connection, now + timedelta(days=8)) == []
        connection.execute(
            "update report_plan set pages = pages * 2 "
            "where load_id = (select max(load_id) from report_plan)"
        )
        assert report_plans.breaches(connection) == [], "its tables have grown as much"
        connection.execute("update report_plan set shape_hash = 'other'")
        assert report_plans.breaches(connection) == []
