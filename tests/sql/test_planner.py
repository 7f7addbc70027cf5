"""Indexes and statistics that are gone are noticed, and settings of a stage end with it."""

from __future__ import annotations

import psycopg
import pytest

from etl.db.connection import connect
from etl.db.statements import run
from tests.support.warehouse import found_by


@pytest.mark.parametrize(
    ("loss", "check", "named"),
    [
        ("drop index fact_claim_member_sk_idx", "indexes_are_there", "fact_claim_member_sk_idx"),
        (
            "update pg_index set indisvalid = false "
            "where indexrelid = 'dim_member_current_idx'::regclass",
            "indexes_are_there",
            "dim_member_current_idx",
        ),
        (
            "alter table cubes.claims_by_month drop constraint claims_by_month_grain_idx",
            "indexes_are_there",
            "claims_by_month_grain_idx",
        ),
        (
            "delete from pg_statistic where starelid = 'dim_plan'::regclass",
            "statistics_are_there",
            "dim_plan",
        ),
        (
            "select pg_clear_relation_stats('warehouse', 'dim_plan')",
            "statistics_are_there",
            "dim_plan",
        ),
    ],
)
def test_what_the_planner_lacks_is_named(
    warehouse: psycopg.Connection, loss: str, check: str, named: str
) -> None:
    assert found_by(warehouse, f"planner.{check}").keys == ()
    warehouse.execute(loss)
    (key,) = found_by(warehouse, f"planner.{check}").keys
    assert key["relation_name"] == named


@pytest.mark.parametrize("name", ["ledger/session.work_transaction", "stage/stage.sample"])
def test_settings_of_a_stage_end_with_its_transaction(admin_url: str, name: str) -> None:
    def of_session() -> set[str]:
        query = "select name from pg_settings where source = 'session'"
        return {setting for (setting,) in connection.execute(query)}

    with connect(admin_url, "test") as connection:
        before = of_session()
        with connection.transaction():
            run(connection, name)
            assert of_session() > before
        assert of_session() == before
