"""A load that its own data keep from passing is taken out, and the loads after it go on."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from etl.errors import BatchError
from etl.pipeline import commands
from etl.pipeline.load import pending
from etl.pipeline.session import RunContext
from etl.stages.stage import load_file
from etl.warehouse.tables import LIVE, NEXT
from tests.support.warehouse import Warehouse, failed_critical

MEMBER = {"member_id": "M1"}
COVER = {"enrollment_id": "E1", "member_id": "M1", "plan_id": "P1", "end_date": "2025-12-31"}
MEMBERS = "select member_id from dim_member where member_sk > 0 order by 1"
CLAIM = {"claim_id": "C1", "member_id": "M1", "provider_id": "D1", "plan_id": "P1"}


def refused(warehouse: Warehouse) -> str:
    """What a run says of the batch that it took out."""
    with warehouse.pipeline() as pipeline, pytest.raises(BatchError) as error:
        commands.incremental(pipeline)
    return f"{error.value.message} {error.value.hint}"


def loads(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows("select batch_id, status from ledger.load order by load_id")


@pytest.fixture
def limited(warehouse: Warehouse) -> Warehouse:
    connection = warehouse.connection
    for table, rule in (
        ("warehouse.dim_member", "last_name <> 'Toolong'"),
        ("warehouse.fact_enrollment", "premium_paid < 1000"),
    ):
        connection.execute(f"alter table {table} add constraint too_much check ({rule})")
    return warehouse


def test_load_that_fails_in_dims_is_taken_out_and_later_batches_load(limited: Warehouse) -> None:
    limited.send("2025-01-01", members=[{**MEMBER, "last_name": "Toolong"}])
    limited.send("2025-01-02", members=[{"member_id": "M2"}])
    said = refused(limited)
    assert "Batch 2025-01-01 was taken out: members.csv cannot pass dims: check violation" in said
    assert "make incremental tries again" in said
    assert loads(limited) == [("2025-01-01", "failed"), ("2025-01-02", "loaded")]
    assert limited.value("select member_id from staging.members_raw") == "M2"
    query = "select status, refusal_code from ledger.load_file"
    assert limited.rows(query) == [("refused", "cannot_pass_stage"), ("loaded", None)]
    assert failed_critical(limited.connection) == set()
    # Each run tries it again and reports it until it is corrected.
    assert "2025-01-01 was taken out" in refused(limited)
    (limited.inbox / "2025-01-01" / "members.csv").unlink()
    (limited.inbox / "2025-01-01").rmdir()
    limited.send("2025-01-01", members=[{**MEMBER, "last_name": "Good"}])
    limited.incremental()
    assert limited.rows(
        "select member_id, last_name from warehouse.dim_member where member_sk > 0 order by 1"
    ) == [("M1", "Good"), ("M2", "x")]


def test_file_that_fails_in_facts_is_taken_out_of_its_batch(limited: Warehouse) -> None:
    limited.send(
        "2025-01-01",
        members=[MEMBER],
        enrollments=[{**COVER, "premium_paid": "2000"}],
        claims=[CLAIM],
    )
    limited.send("2025-01-02", enrollments=[{**COVER, "enrollment_id": "E2"}])
    said = refused(limited)
    assert "enrollments.csv cannot pass facts" in said
    assert "the other files of it are loaded" in said
    assert limited.value("select enrollment_id from warehouse.fact_enrollment") == "E2"
    assert limited.value("select claim_id from warehouse.fact_claim") == "C1"
    assert limited.rows(
        "select feed, status from ledger.load_file where load_id = 1 order by 1"
    ) == [("claims", "loaded"), ("enrollments", "refused"), ("members", "loaded")]
    assert failed_critical(limited.connection) == set()
    with limited.pipeline() as pipeline:
        assert [[f.feed.name for f in files] for _, files in pending(pipeline)] == [["enrollments"]]


def test_file_skipped_as_equal_to_a_load_taken_out_is_loaded(limited: Warehouse) -> None:
    row = {**COVER, "premium_paid": "2000"}
    limited.send("2025-01-01", enrollments=[row])
    limited.send("2025-01-02", enrollments=[row], members=[MEMBER])
    limited.run(commands.run_stages, ("stage",))
    limited.connection.execute("alter table warehouse.fact_enrollment drop constraint too_much")
    limited.connection.execute(
        "alter table warehouse.fact_enrollment add constraint too_much "
        "check (load_id <> 1 or premium_paid < 1000)"
    )
    assert "Batch 2025-01-01 was taken out" in refused(limited)
    assert limited.rows(
        "select e.premium_paid, l.batch_id from warehouse.fact_enrollment as e "
        "join ledger.load as l using (load_id)"
    ) == [(2000, "2025-01-02")]


def test_sum_too_large_for_a_cube_is_reported_until_corrected(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-01", claims=[CLAIM])
    warehouse.incremental()
    warehouse.connection.execute(
        "alter table cubes.claims_daily_member add constraint too_much check (paid_usd < 1000)"
    )
    warehouse.send("2025-01-02", claims=[{**CLAIM, "paid_amount": "2000"}])
    assert "The cubes could not be brought up to date: check violation" in refused(warehouse)
    warehouse.send("2025-01-03", claims=[{**CLAIM, "paid_amount": "5"}])
    warehouse.incremental()
    assert warehouse.value("select paid_usd from cubes.claims_daily_member") == 5


def test_file_on_which_staging_fails_does_not_stop_other_files(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_file = load_file.run_file

    def stumble(connection: Any, load_id: int, batch: Any, *rest: Any) -> Any:
        if batch.batch_id == "2025-01-01":
            raise KeyError("a value of the file")
        return run_file(connection, load_id, batch, *rest)

    monkeypatch.setattr(load_file, "run_file", stumble)
    warehouse.send("2025-01-01", members=[MEMBER])
    warehouse.send("2025-01-02", members=[MEMBER])
    said = refused(warehouse)
    assert "members.csv cannot pass stage" in said
    assert "a value of the file" not in said
    assert loads(warehouse) == [("2025-01-01", "failed"), ("2025-01-02", "loaded")]


@pytest.mark.slow
def test_load_that_fails_at_a_gate_does_not_stop_later_loads(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate_load = RunContext.gate_load

    def overflow(context: RunContext, stage: str, load: Any) -> None:
        if stage == "stage" and load.batch_id == "2025-01-01":
            raise psycopg.errors.NumericValueOutOfRange
        gate_load(context, stage, load)

    monkeypatch.setattr(RunContext, "gate_load", overflow)
    for day in ("2025-01-01", "2025-01-02"):
        warehouse.send(day, members=[MEMBER])
    expected = "2025-01-01 was taken out: what it brought cannot"
    with pytest.raises(BatchError, match=expected), warehouse.pipeline() as pipeline:
        commands.incremental(pipeline)
    assert loads(warehouse) == [("2025-01-01", "failed"), ("2025-01-02", "loaded")]


def test_failing_rebuild_names_its_batch_and_leaves_the_live_warehouse(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.send("2025-01-01", members=[MEMBER])
    warehouse.incremental()
    warehouse.send("2025-01-02", members=[MEMBER, {"member_id": "M2"}])
    gate_load = RunContext.gate_load

    def overflow(context: RunContext, stage: str, load: Any) -> None:
        """Fail as bad data would once the dimensions of the second batch are built."""
        if stage == "dims" and load.batch_id == "2025-01-02":
            assert context.work.execute(MEMBERS).fetchall() == [("M1",), ("M2",)]
            raise psycopg.errors.NumericValueOutOfRange
        gate_load(context, stage, load)

    monkeypatch.setattr(RunContext, "gate_load", overflow)
    with pytest.raises(BatchError, match="2025-01-02") as error, warehouse.pipeline() as pipeline:
        commands.full_load(pipeline)
    assert "numeric value out of range" in error.value.message
    assert "make full-load" in error.value.hint
    # The work of the stage is rolled back, also in the build that did not go live.
    for schema in (LIVE.schemas.warehouse, NEXT.schemas.warehouse):
        warehouse.connection.execute(f"set search_path to {schema}")
        assert warehouse.value(MEMBERS) == "M1"
