"""Dirt of every kind: what was put in is what is found, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from etl.errors import BatchError
from etl.pipeline import commands
from etl.pipeline.console import show_summary
from etl.pipeline.summary import Summary
from etl.quality.truth import Detection
from etl.synthetic.defects.dirt import KINDS, REFUSED
from etl.synthetic.evaluate.detection import Found, Place, compare, detections
from etl.synthetic.generate import DEFAULT_SEED, generate, increment, simulate
from etl.warehouse.tables import LIVE
from tests.support.warehouse import Warehouse

FATAL = [kind.name for kind in KINDS.values() if kind.outcome == REFUSED]
OF_DETAILS = ("line_total", "missing_line", "repeated_position", "late_set", "unknown_code")
OTHERS = [name for name in KINDS if name not in FATAL]


def found(warehouse: Warehouse) -> dict[str, Detection]:
    kinds = detections(warehouse.connection, LIVE, warehouse.data / "truth")
    show_summary(Summary("test", detections=kinds))
    return {kind.kind: kind for kind in kinds}


def errors(kind: Detection) -> tuple[int, int]:
    """False negatives and false positives."""
    return kind.false_negatives, kind.false_positives


def assert_exact(kinds: dict[str, Detection]) -> None:
    """Every injected defect is detected where it is, and nothing else."""
    wrong = [k for k in kinds.values() if any(errors(k)) or k.detected != k.injected]
    assert wrong == []


@pytest.mark.parametrize("seed", [DEFAULT_SEED, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.slow
def test_every_injected_defect_is_detected_at_its_line_without_false_positives(
    warehouse: Warehouse, seed: int
) -> None:
    truth = warehouse.data / "truth"
    generate(
        warehouse.inbox, members=150, seed=seed, dirty=",".join([*OTHERS, "0.01"]), truth=truth
    )
    simulate(warehouse.inbox, 12, dirty="0.1", truth=truth)
    simulate(warehouse.inbox, 3, dirty=",".join([*OTHERS, "0.05"]), truth=truth)
    simulate(warehouse.inbox, 2, truth=truth)
    warehouse.incremental(reject_share=0.9)
    kinds = found(warehouse)
    assert [*kinds] == [*KINDS]
    assert_exact(kinds)
    assert {name for name, kind in kinds.items() if kind.injected} == set(OTHERS)
    # A rebuild gives the same detections.
    with warehouse.pipeline(reject_share=0.9) as pipeline:
        commands.full_load(pipeline)
    assert found(warehouse) == kinds

    for fatal in FATAL:
        day = increment(warehouse.inbox, dirty=f"{fatal},bad_npi", truth=truth)
        with pytest.raises(BatchError):
            warehouse.incremental()
        refused = found(warehouse)
        assert_exact(refused)
        assert {name for name in FATAL if refused[name].injected} == {fatal}
        assert {name: refused[name] for name in OTHERS} == {name: kinds[name] for name in OTHERS}
        shutil.rmtree(day)
        # Once the batch is sent without the defect nothing is left to detect.
        increment(warehouse.inbox, truth=truth)
        warehouse.incremental()
        assert_exact(found(warehouse))
        assert not any(found(warehouse)[name].injected for name in FATAL)


@pytest.mark.slow
def test_changed_rows_give_false_negatives_and_false_positives(warehouse: Warehouse) -> None:
    generate(warehouse.inbox, members=60, dirty=",".join(OTHERS), truth=warehouse.data / "truth")
    increment(warehouse.inbox, truth=warehouse.data / "truth")
    warehouse.incremental(reject_share=0.9)
    assert_exact(before := found(warehouse))
    assert all(before[name].injected for name in OF_DETAILS)

    def after(statement: str) -> dict[str, tuple[int, int]]:
        """Kinds with false negatives or false positives, once this was changed as well."""
        warehouse.connection.execute(
            "set search_path = staging, warehouse, quality; "
            "set session_replication_role = replica; " + statement
        )
        kinds = found(warehouse).values()
        return {k.kind: errors(k) for k in kinds if any(errors(k))}

    npis = before["bad_npi"].injected
    assert npis
    expected = {"bad_npi": (npis, 0)}
    assert after("update providers_raw set npi = '1234567893'") == expected
    expected["paid_above_allowed"] = (0, 1)
    assert (
        after(
            "update claims_raw set paid_amount = allowed_amount + 1 where claim_id = (select "
            "claim_id from claims_raw where status = 'approved' and paid_amount <= allowed_amount "
            "order by 1 limit 1)"
        )
        == expected
    )
    expected |= {"conflicting_duplicate": (1, 0), "not a valid year": (0, 1)}
    assert (
        after(
            "update quarantined_row set reason = 'not a valid year' where rejected_row_id = "
            "(select min(rejected_row_id) from quarantined_row where reason like 'conflicting%')"
        )
        == expected
    )
    expected["service_outside_coverage"] = (0, 1)
    assert (
        after(
            "update claims_raw as c set service_date = '2020-01-01' where claim_id = (select "
            "max(claim_id) from claims_raw join dim_member using (member_id) where not is_inferred "
            "and service_date > '2021-01-01')"
        )
        == expected
    )
    # Of a set that agreed with its claim, so much of a line is lost.
    agreeing = (
        "where (claim_id, line_number) = (select claim_id, 1 from claims_raw join claim_lines_raw "
        "as l using (load_id, claim_id) where load_id = 1 group by claim_id, claim_amount, "
        "paid_amount having (sum(line_billed), sum(line_paid)) = (claim_amount, paid_amount) "
        "order by claim_id limit 1)"
    )
    for kind, cents in (("line_total", 1), ("missing_line", 2)):
        expected[kind] = (0, 1)
        assert (
            after(f"update claim_lines_raw set line_billed = line_billed - 0.0{cents} {agreeing}")
            == expected
        )


def test_clean_or_other_feeds_are_not_compared(warehouse: Warehouse, tmp_path: Path) -> None:
    generate(warehouse.inbox, members=60, truth=warehouse.data / "truth")
    assert detections(warehouse.connection, LIVE, warehouse.data / "truth") == ()
    warehouse.incremental()
    assert detections(warehouse.connection, LIVE, warehouse.data / "truth") == ()
    assert detections(warehouse.connection, LIVE, tmp_path / "none") == ()


def test_a_finding_is_explained_by_its_own_member_alone() -> None:
    defect = {"kind": "overlapping_enrollment", "feed": "enrollments", "line": 7, "outcome": "x"}
    batch = {
        "batch_id": "b",
        "refused": False,
        "files": {"enrollments.csv": {"defects": [defect | {"column": None}]}},
        "unknown": {"dim_member": ["M3"]},
    }

    def at(kind: str, line: int, owner: str) -> Found:
        return Found(kind, Place("b", "enrollments.csv", line), None, owner)

    seen = {
        k.kind: k
        for k in compare(
            [batch],
            [
                at("overlapping_enrollment", 7, "M1"),
                at("overlapping_enrollment", 8, "M1"),
                at("overlapping_enrollment", 9, "M2"),
                at("orphan_member", 3, "M3"),
                at("orphan_member", 4, "M4"),
                at("service_outside_coverage", 4, "M5"),
                at("bad_diagnosis", 4, "M5"),
                at("missing_line", 5, "C9"),
                at("missing_line", 6, "M5"),
            ],
            {"M5"},
            {"C9"},
        )
    }
    assert seen["overlapping_enrollment"] == Detection("overlapping_enrollment", 1, 1, 0, 1, 1)
    assert seen["orphan_member"] == Detection("orphan_member", 0, 0, 0, 1, 1)
    assert seen["service_outside_coverage"] == Detection("service_outside_coverage", 0, 0, 0, 0, 1)
    assert seen["missing_line"] == Detection("missing_line", 0, 0, 0, 1, 1)
    assert seen["bad_diagnosis"] == Detection("bad_diagnosis", 0, 0, 0, 1, 0)
