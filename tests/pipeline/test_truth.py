"""The warehouse against the truth of the feeds: a month of days, with and without dirt.

The generator says in ``data/truth`` what each batch really contains and what must come of it. It
works out the history of every key with a replay of its own, which shares nothing with the SQL.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from etl.contracts.checks import Check, Finding
from etl.pipeline import commands
from etl.quality.truth import RECKONED, truth_checks
from etl.synthetic.defects.dirt import REJECTED
from etl.synthetic.evaluate.truth_checks import run_truth_checks
from etl.synthetic.generate import generate, simulate
from etl.warehouse.tables import LIVE
from tests.support.warehouse import Warehouse

DAYS = 30
KEYS = {
    "dim_member": "member_id",
    "dim_provider": "provider_id",
    "dim_plan": "(plan_id, effective_year)",
}


# What sixty days with defects must have for the comparison to say something.
HARD_CASES = (
    "select from cubes.inpatient_stay where claims > 1",
    "select from cubes.inpatient_stay where readmission_stay_id is not null",
    "select from cubes.inpatient_stay where why_not_index = 'not covered'",
    "select from cubes.high_cost_year where band <> '$100k+'",
    "select from cubes.member_month where overlapped_days > 0",
    "select from cubes.member_month where state = '(unknown)'",
    "select from cubes.enrollment_flow_month where returned > 0",
    "select from warehouse.fact_claim_line where is_from_claim",
    "select from warehouse.fact_claim_line where member_sk = -1",
    "select from warehouse.bridge_claim_diagnosis where is_from_claim",
)


def truths(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(p.read_text(encoding="utf-8")) for p in sorted(folder.glob("*.json"))]


def counted(warehouse: Warehouse) -> dict[str, dict[str, int]]:
    """Rows of the dimensions, counted as the truth counts them."""
    found = {}
    for table, key in KEYS.items():
        sk = table.removeprefix("dim_") + "_sk"
        (row,) = warehouse.rows(
            f"select count(distinct {key}) filter (where not is_inferred), "
            "count(*) filter (where not is_inferred), "
            "count(*) filter (where current_flag and not is_inferred), "
            f"count(*) filter (where is_inferred) from warehouse.{table} where {sk} <> -1"
        )
        found[table] = dict(zip(("keys", "versions", "current", "inferred"), row, strict=True))
    return found


def files_of(truth: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[Any, ...]]:
    """Of each file: rows, rejected, duplicate, loaded, and the totals that were loaded."""
    return {
        (batch["batch_id"], name): (
            *(file[c] for c in ("rows", "rejected", "duplicate", "loaded")),
            {column: sums["loaded"] for column, sums in file["totals"].items()},
        )
        for batch in truth
        for name, file in batch["files"].items()
    }


@pytest.mark.slow
@pytest.mark.parametrize("dirty", ["", "0.02"], ids=["clean", "dirty"])
def test_month_of_clean_or_dirty_days_matches_the_truth(warehouse: Warehouse, dirty: str) -> None:
    generate(warehouse.inbox, members=400, seed=11, dirty=dirty, truth=warehouse.data / "truth")
    simulate(warehouse.inbox, DAYS, dirty=dirty, truth=warehouse.data / "truth")
    warehouse.incremental(reject_share=0.5)
    truth = truths(warehouse.data / "truth")
    assert len(truth) == DAYS + 1
    last = truth[-1]["dimensions"]
    assert counted(warehouse) == last
    assert last["dim_member"]["versions"] > last["dim_member"]["keys"]
    assert last["dim_member"]["current"] < last["dim_member"]["keys"]

    loaded = warehouse.rows(
        "select batch_id, file_name, rows_read, rows_rejected, rows_duplicate, rows_loaded, totals "
        "from ledger.load_file join ledger.load using (load_id)"
    )
    assert {
        (batch, file): (*counts, {c: sums["loaded"] for c, sums in totals.items()})
        for batch, file, *counts, totals in loaded
    } == files_of(truth)
    rejected = warehouse.rows(
        "select batch_id, file, line from quality.rejected_row join ledger.load using (load_id)"
    )
    assert sorted(rejected) == sorted(
        (batch["batch_id"], name, defect["line"])
        for batch in truth
        for name, file in batch["files"].items()
        for defect in file["defects"]
        if defect["outcome"] == REJECTED
    )
    assert bool(rejected) == bool(dirty)

    assert compared(warehouse) == dict.fromkeys(truth_checks(), 0)
    # Keys, versions, current and inferred rows after each batch, and now.
    assert figures(warehouse)["dim_member"] == 4 * len(truth)
    past = "internal.dim_member_past"
    warehouse.connection.execute(f"create table public.kept as table {past}; truncate {past}")
    assert {table for table, wrong in compared(warehouse).items() if wrong} == {"dim_member"}
    # Loads from before past rows were kept are not compared.
    warehouse.connection.execute("update ledger.load set live_at = null")
    assert compared(warehouse) == dict.fromkeys(truth_checks(), 0)
    assert figures(warehouse)["dim_member"] == 4
    warehouse.connection.execute(
        f"insert into {past} table public.kept; update ledger.load set live_at = finished_at"
    )
    assert compared(warehouse) == dict.fromkeys(truth_checks(), 0)
    warehouse.connection.execute(
        "delete from warehouse.dim_provider where provider_sk = (select max(provider_sk) from "
        "warehouse.dim_provider where not is_inferred)"
    )
    assert {table for table, wrong in compared(warehouse).items() if wrong} == {"dim_provider"}
    # A truth that is damaged or missing is not compared.
    damaged = warehouse.data / "truth" / f"{truth[3]['batch_id']}.json"
    damaged.write_text("{}")
    assert compared(warehouse) == {}
    damaged.unlink()
    assert compared(warehouse) == {}


@pytest.mark.slow
def test_dq_check_fails_on_a_wrong_truth_where_a_load_does_not(warehouse: Warehouse) -> None:
    generate(warehouse.inbox, members=60, truth=warehouse.data / "truth")
    path = warehouse.data / "truth" / "2025-12-15.json"
    path.write_text(path.read_text().replace('"versions": 60', '"versions": 61'))
    warehouse.incremental()
    checked = warehouse.command("dq-check")
    assert checked.returncode == 6
    assert "dim_member.as_the_truth_says" in checked.stderr


@pytest.mark.parametrize(
    ("members", "days"),
    [pytest.param(60, 2), pytest.param(1_000, 60, marks=pytest.mark.slow)],
)
def test_facts_and_cubes_of_dirty_days_have_the_rows_of_the_truth(
    warehouse: Warehouse, members: int, days: int
) -> None:
    """Sixty days go over New Year, where most coverage is renewed."""
    truth = warehouse.data / "truth"
    generate(warehouse.inbox, members=members, seed=3, dirty="0.02", truth=truth)
    simulate(warehouse.inbox, days, dirty="0.02", truth=truth)
    warehouse.incremental(reject_share=0.5)
    assert compared(warehouse) == dict.fromkeys(truth_checks(), 0)
    rows_compared = figures(warehouse)
    assert all(rows_compared[cube] for cube in RECKONED)
    if days == 60:
        assert [found for found in HARD_CASES if not warehouse.rows(f"{found} limit 1")] == []
    for table, change in (
        ("cubes.member_month", "member_id = 'X'"),
        ("cubes.inpatient_stay", "claims = claims + 1"),
        ("cubes.cost_month", "denied_claims = denied_claims + 1"),
        ("warehouse.fact_claim_line", "paid_amount = paid_amount + 0.01"),
    ):
        warehouse.connection.execute(
            f"update {table} set {change} where (tableoid, ctid) = "
            f"(select tableoid, ctid from {table} limit 1)"
        )
        # The row as it should be is missing, and the row as it is should not be there.
        assert compared(warehouse)[table.partition(".")[2]] >= 2
    warehouse.connection.execute("alter table cubes.high_cost_year rename to elsewhere")
    results = {c.table: found for c, found in truth_results(warehouse)}
    assert [table for table, found in results.items() if found is None] == ["high_cost_year"]
    # Without the rows of each batch nothing says what the cubes must contain.
    with (truth / "2025-12-15.rows").open("ab") as file:
        file.write(b"damaged")
    assert not compared(warehouse).keys() & set(RECKONED)
    assert "was not compared with facts and cubes" in warehouse.command("dq-check").stdout


def compared(warehouse: Warehouse) -> dict[str, int]:
    """Tables that are compared with the truth, and how many figures differ."""
    return {table: found.rows_failed for table, found in _found(warehouse).items()}


def figures(warehouse: Warehouse) -> dict[str, int]:
    """Tables that are compared with the truth, and how many figures are."""
    return {table: found.rows_checked for table, found in _found(warehouse).items()}


def _found(warehouse: Warehouse) -> dict[str, Finding]:
    return {c.table: found for c, found in truth_results(warehouse) if found is not None}


def truth_results(warehouse: Warehouse) -> list[tuple[Check, Finding | None]]:
    return list(run_truth_checks(warehouse.connection, LIVE, warehouse.data / "truth"))


@pytest.mark.slow
def test_any_order_of_days_gives_the_same_warehouse(
    warehouse: Warehouse, other_warehouse: Warehouse, tmp_path: Path
) -> None:
    """Days with dirt, a snapshot and the turn of a plan year, one at a time in a drawn order."""
    generate(warehouse.inbox, members=120, seed=5, dirty="0.02", truth=tmp_path / "truth")
    simulate(warehouse.inbox, 18, dirty="0.02", truth=tmp_path / "truth")
    warehouse.incremental(reject_share=0.5)
    batches = sorted(p for p in warehouse.inbox.iterdir() if p.is_dir())
    random.Random(5).shuffle(batches)
    for batch in batches:
        shutil.copytree(batch, other_warehouse.inbox / batch.name)
        with other_warehouse.pipeline(reject_share=0.5) as pipeline:
            commands.run_stages(pipeline, ("stage", "dims", "facts"))
    with other_warehouse.pipeline() as pipeline:
        commands.run_cubes(pipeline)
    assert other_warehouse.contents(keys=False) == warehouse.contents(keys=False)
    with_truth = replace(other_warehouse, data=tmp_path)
    # Of batches in another order the truth only says what they lead to.
    assert compared(with_truth) == dict.fromkeys(truth_checks(), 0)
    assert figures(with_truth)["dim_member"] == 4
