"""A stage is checked before its commit: a wrong one is rolled back and readers see no change."""

from __future__ import annotations

import psycopg
import pytest

from etl.errors import CheckFailedError
from etl.pipeline import commands
from etl.stages.dims import history
from tests.support.feeds import write_batch
from tests.support.warehouse import CopyOf, Warehouse

STAGES = ("stage", "dims", "facts")
CLAIM = {"member_id": "A", "provider_id": "D", "plan_id": "P", "service_date": "2025-01-10"}
CLAIM |= {"status": "approved", "diagnosis_code": "E119"}
COVER = {"member_id": "A", "plan_id": "P"}

# By stage: damage that the stage does without noticing, put in by a trigger; the critical checks
# that detect it.
TRIGGER = """
create function public.damage() returns trigger language plpgsql as $$
begin
    {body}
    return new;
end
$$;
create trigger damage before {event} on {table} for each row execute function public.damage();
"""
DAMAGE = {
    "stage": (
        # The rows were counted before the file is recorded.
        (
            "insert",
            "ledger.load_file",
            "update staging.claims_raw set paid_amount = paid_amount + 0.01"
            " where load_id = new.load_id;",
        ),
        "claims_raw.totals_as_in_file",
    ),
    "dims": (
        ("insert", "warehouse.dim_member", "new.attr_hash := gen_random_uuid();"),
        "dim_member.attr_hash_recomputed",
    ),
    "facts": (
        ("insert", "warehouse.fact_claim", "new.paid_amount := new.paid_amount + 0.01;"),
        "fact_claim.latest_state",
    ),
}


def write(inbox, batch_id: str, number: int) -> None:
    write_batch(
        inbox,
        batch_id,
        members=[{"member_id": "A", "last_name": f"name {number}"}],
        plans=[{"plan_id": "P", "effective_year": "2025"}],
        providers=[{"provider_id": "D", "name": f"provider {number}"}],
        enrollments=[{**COVER, "enrollment_id": f"e{number}", "start_date": f"2025-0{number}-01"}],
        claims=[{**CLAIM, "claim_id": f"c{number}"}],
    )


def load_one_batch(warehouse: Warehouse) -> None:
    write(warehouse.inbox, "2025-01-31", 1)
    warehouse.incremental()
    write(warehouse.inbox, "2025-02-28", 2)


@pytest.fixture
def loaded(copy_of: CopyOf) -> Warehouse:
    """One batch is loaded and another waits."""
    return copy_of(load_one_batch)


def seen(warehouse: Warehouse) -> tuple[object, ...]:
    """What analysts see: facts with the names of their versions, and a cube."""
    return (
        warehouse.rows(
            "select f.claim_id, f.paid_amount, m.last_name from warehouse.fact_claim as f"
            " join warehouse.dim_member as m using (member_sk) order by 1"
        ),
        warehouse.rows("select * from cubes.claims_daily_member order by 1, 2"),
    )


def gates(warehouse: Warehouse) -> list[tuple[object, ...]]:
    return warehouse.rows(
        "select gate, load_id, failed_critical from quality.check_run"
        " where gate is not null order by check_run_id"
    )


def test_every_stage_of_a_load_records_its_checks(loaded):
    assert gates(loaded) == [("stage", 1, 0), ("dims", 1, 0), ("facts", 1, 0), ("cubes", 1, 0)]
    checked = dict(
        loaded.rows(
            "select distinct on (check_name) check_name, rows_checked from quality.check_judged"
        )
    )
    for name in (
        "claims_raw.rows_as_in_file",
        "claims_raw.claim_id.not_null",
        "dim_member.no_overlap",
        "dim_member.keys_match_staging",
        "fact_claim.one_row_per_key",
        "fact_claim.member_sk_in_force",
        "fact_claim.date_key.in_calendar",
        "claims_daily_member.money_as_in_facts",
    ):
        assert checked[name] == 1, name


@pytest.mark.parametrize("stage", DAMAGE)
def test_critical_failure_rolls_the_stage_back(loaded, stage):
    (event, table, body), check = DAMAGE[stage]
    before = seen(loaded)
    loaded.connection.execute(TRIGGER.format(event=event, table=table, body=body))
    with pytest.raises(CheckFailedError) as raised:
        loaded.incremental()
    assert raised.value.exit_code == 6
    assert check in raised.value.message
    assert "2025-02-28" in raised.value.message
    assert seen(loaded) == before
    # The ledger says why, and the result names the row.
    ((status, error, code),) = loaded.rows(
        "select status, error, error_code from ledger.stage_run"
        f" where stage = '{stage}' and load_id = 2"
    )
    assert (status, code) == ("failed", "gate_failed")
    assert check in error
    ((passed, keys),) = loaded.rows(
        "select passed, failing_keys from quality.check_judged"
        f" where gate = '{stage}' and load_id = 2 and check_name = '{check}'"
    )
    assert not passed
    assert len(keys) == 1
    # Once the cause is gone the next run loads the batch.
    loaded.connection.execute(f"drop trigger damage on {table}; drop function public.damage()")
    loaded.incremental()
    claims, _ = seen(loaded)
    assert [(claim, name) for claim, _, name in claims] == [("c1", "name 1"), ("c2", "name 1")]
    tried = [failed for gate, _, failed in gates(loaded) if gate == stage]
    assert [bool(failed) for failed in tried] == [False, True, False]


def test_gate_of_dims_detects_a_key_that_was_not_merged(loaded, monkeypatch):
    loaded.send("2025-03-31", members=[{"member_id": "B"}])
    loaded.incremental()
    loaded.send("2025-04-30", members=[{"member_id": "C"}])
    monkeypatch.setattr(history, "run_dimension", lambda *_: {})
    with pytest.raises(CheckFailedError, match=r"dim_member\.keys_match_staging"):
        loaded.incremental()
    monkeypatch.undo()
    loaded.incremental()
    assert loaded.value("select count(*) from warehouse.dim_member where member_id = 'C'") == 1


def test_cubes_that_disagree_with_the_facts_are_not_shown(loaded, monkeypatch):
    from etl.stages.cubes import refresh

    before = seen(loaded)[1]
    made = refresh.run_cubes

    def damaging(connection: psycopg.Connection, schemas, **_):
        found = made(connection, schemas, whole=True)
        connection.execute("update fact_claim set paid_amount = paid_amount + 1")
        return found

    monkeypatch.setattr(refresh, "run_cubes", damaging)
    with pytest.raises(CheckFailedError, match=r"money_as_in_facts"):
        loaded.incremental()
    assert seen(loaded)[1] == before
    assert loaded.rows(
        "select distinct failing_keys from quality.check_judged where gate = 'cubes' and not passed"
    ) == [([{"month": "2025-01-01"}],)]
    monkeypatch.undo()
    loaded.run(commands.incremental)
    assert len(seen(loaded)[1]) == len(before)


@pytest.mark.slow
def test_check_lowered_to_minor_by_a_threshold_lets_its_gate_pass(loaded):
    with loaded.pipeline(checks=None) as pipeline:
        commands.run_checks(pipeline)
    (event, table, body), check = DAMAGE["facts"]
    loaded.connection.execute(TRIGGER.format(event=event, table=table, body=body))
    for name in (check, "fact_claim.money_total"):
        loaded.connection.execute(
            "insert into quality.check_threshold (check_name, severity, reason)"
            " values (%s, 'minor', 'known')",
            [name],
        )
    loaded.incremental()
    assert [claim for claim, *_ in seen(loaded)[0]] == ["c1", "c2"]


@pytest.mark.slow
def test_late_batch_passes_its_gates(loaded):
    loaded.incremental()
    loaded.send(
        "2025-01-15",
        members=[{"member_id": "A", "last_name": "earliest"}],
        enrollments="""
            enrollment_id | member_id | plan_id | start_date | premium_paid
            e1            | A         | P       | 2025-01-01 | 1.00
        """,
        claims=[{**CLAIM, "claim_id": "c1", "paid_amount": "1.00"}, {**CLAIM, "claim_id": "c0"}],
    )
    loaded.incremental()
    assert [claim for claim, *_ in seen(loaded)[0]] == ["c0", "c1", "c2"]
    assert loaded.rows("select distinct load_id from warehouse.fact_claim order by 1") == [
        (1,),
        (2,),
        (3,),
    ]


@pytest.mark.slow
def test_failed_arrival_check_fails_the_run_after_everything_is_loaded(loaded):
    loaded.run(commands.incremental)
    assert gates(loaded)[-2:] == [("cubes", 2, 0), ("arrivals", 2, 0)]
    # These feeds are long out of date.
    failing = "select check_name, severity, means <> '', advice <> '' from quality.failing_now"
    assert ("claims_raw.fresh", "minor", True, True) in loaded.rows(failing)
    loaded.connection.execute(
        "insert into quality.check_threshold (check_name, severity, reason)"
        " values ('claims_raw.fresh', 'critical', 'a test')"
    )
    write(loaded.inbox, "2025-03-31", 3)
    with (
        loaded.pipeline() as pipeline,
        pytest.raises(CheckFailedError, match=r"1 critical check failed: claims_raw\.fresh"),
    ):
        commands.incremental(pipeline)
    # The run failed, but readers see what it loaded.
    assert [claim for claim, *_ in seen(loaded)[0]] == ["c1", "c2", "c3"]
    assert len(seen(loaded)[1]) == 1
    assert loaded.value("select sum(claims) from cubes.claims_daily_member") == 3


def test_gate_measures_constraints_of_any_severity_on_the_rows_of_its_load(loaded):
    loaded.send(
        "2025-03-31",
        claims=[{**CLAIM, "claim_id": f"c{n}", "diagnosis_code": "what?"} for n in (7, 8)],
    )
    loaded.incremental()
    assert loaded.rows(
        "select load_id, rows_checked, rows_failed, passed from quality.check_judged"
        " where check_name = 'claims_raw.diagnosis_code.matches' order by check_run_id"
    ) == [(1, 1, 0, True), (2, 1, 0, True), (3, 2, 2, False)]


def test_every_check_of_a_gate_can_be_evaluated(loaded):
    """A name that is no longer there would fail as not evaluated."""
    loaded.incremental()
    asked = "select distinct gate from quality.check_run join quality.check_result"
    asked += " using (check_run_id) where gate is not null"
    assert loaded.rows(f"{asked} and rows_checked is null") == []
    assert {gate for (gate,) in loaded.rows(asked)} >= {"stage", "dims", "facts", "cubes"}


@pytest.mark.slow
def test_arrivals_are_judged_once_and_not_again_after_a_full_load(warehouse: Warehouse) -> None:
    """A run that was stopped leaves them to the next one, but a full load judges everything."""
    judged = "select count(*) from quality.check_run where gate = 'arrivals'"
    warehouse.send("2025-01-10", claims="claim_id | service_date \n C | 2025-01-02")
    warehouse.incremental()  # the stages alone
    warehouse.run(commands.incremental)
    assert warehouse.value(judged) == 1
    warehouse.run(commands.incremental)
    assert warehouse.value(judged) == 1
    warehouse.send("2025-01-20", claims="claim_id | service_date \n D | 2025-01-03")
    warehouse.incremental()
    warehouse.rebuild()
    warehouse.run(commands.incremental)
    assert warehouse.value(judged) == 1
