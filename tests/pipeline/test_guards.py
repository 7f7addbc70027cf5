"""What ends or loses much is refused, said how to confirm, and recorded once it is confirmed."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from etl.contracts.feed import SnapshotLimit
from etl.errors import BatchError, CheckFailedError, UsageError
from etl.pipeline import commands
from etl.quarantine.export import export
from tests.support.files import CASES
from tests.support.warehouse import Warehouse, failed_critical, found_by

# What a snapshot ends is then bounded by its fingerprints, too.
pytestmark = pytest.mark.usefixtures("fingerprints_of_few_rows")

ALIVE = "select count(*) from warehouse.dim_provider where current_flag and provider_sk > 0"
DECISIONS = (
    "select kind, batch_id, feed, says, decided_by = session_user, os_user <> '' "
    "from ledger.decision order by decision_id"
)


def providers(first: int, last: int, **changes: Any) -> list[dict[str, Any]]:
    return [{"provider_id": f"P{n:04}", **changes} for n in range(first, last)]


def snapshot(warehouse: Warehouse, day: str, rows: list[Mapping[str, Any]]) -> Path:
    return warehouse.send(day, snapshots=["providers"], providers=rows)


def load(warehouse: Warehouse, *confirmed: str) -> None:
    with warehouse.pipeline() as pipeline:
        commands.confirm_snapshots(pipeline, confirmed)
        commands.run_stages(pipeline, ("stage", "dims", "facts"))


def rebuild(warehouse: Warehouse, *confirmed: str, forget: bool = False) -> None:
    with warehouse.pipeline() as pipeline:
        commands.confirm_snapshots(pipeline, confirmed)
        commands.full_load(pipeline, forget=forget)


@pytest.mark.parametrize(
    ("ending", "held", "refused"),
    [(20, 199, True), (20, 200, False), (21, 200, True), (19, 19, False), (990, 1000, True)],
)
def test_a_limit_refuses_more_than_its_share_and_at_least_its_number(
    ending: int, held: int, refused: bool
) -> None:
    assert SnapshotLimit().refuses(ending, held) is refused
    assert SnapshotLimit(new_year_share=1).refuses(ending, held) is refused
    assert not SnapshotLimit(new_year_share=1).refuses(ending, held, is_new_year=True)


@pytest.mark.parametrize(
    "left", [pytest.param(10, marks=pytest.mark.slow), 0], ids=["ten rows", "a header alone"]
)
def test_snapshot_cut_short_ends_nobody_until_confirmed(warehouse: Warehouse, left: int) -> None:
    snapshot(warehouse, "2025-01-10", providers(0, 100))
    load(warehouse)
    snapshot(warehouse, "2025-02-10", providers(0, left))
    warehouse.send("2025-03-10", providers=providers(100, 101))
    said = f"lacks {100 - left} of the 100 keys that were there before it"
    with pytest.raises(BatchError, match=said) as refusal:
        load(warehouse)
    assert refusal.value.hint.endswith("make incremental CONFIRM_SNAPSHOT=2025-02-10")
    assert warehouse.value(ALIVE) == 101
    assert warehouse.rows(
        "select l.status, f.status from ledger.load as l join ledger.load_file "
        "as f using (load_id) order by load_id"
    ) == [("loaded", "loaded"), ("failed", "refused"), ("loaded", "loaded")]
    with pytest.raises(UsageError, match="no batch 2025-02-11"):
        load(warehouse, "2025-02-11")
    load(warehouse, "2025-02-10")
    assert warehouse.value(ALIVE) == left + 1
    assert warehouse.rows(DECISIONS) == [
        (
            *("confirm_snapshot", "2025-02-10", "providers"),
            f"providers.csv lacks {100 - left} of 100 keys",
            True,
            True,
        )
    ]
    # A confirmed snapshot is not asked about again, and a rebuild gives the same.
    before = warehouse.contents()
    rebuild(warehouse)
    assert warehouse.contents() == before


@pytest.mark.slow
def test_confirmation_is_valid_for_the_same_bytes_also_in_a_full_load(warehouse: Warehouse) -> None:
    snapshot(warehouse, "2025-01-10", providers(0, 100))
    cut = snapshot(warehouse, "2025-02-10", providers(0, 50))
    with pytest.raises(BatchError) as refusal:
        rebuild(warehouse)
    assert "make full-load CONFIRM_SNAPSHOT=2025-02-10" in refusal.value.hint
    rebuild(warehouse, "2025-02-10")
    assert warehouse.value(ALIVE) == 50
    # The same batch, cut shorter.
    shutil.rmtree(cut)
    snapshot(warehouse, "2025-02-10", providers(0, 20))
    with pytest.raises(BatchError, match="lacks 30 of the 50"):
        load(warehouse)
    assert warehouse.value(ALIVE) == 50


def test_keys_are_counted_before_the_snapshot_in_the_order_of_batches(warehouse: Warehouse) -> None:
    snapshot(warehouse, "2025-01-10", providers(0, 60))
    warehouse.send("2025-01-20", providers=providers(60, 100))
    # 15 have ended by markers: a snapshot without them does not end them again.
    warehouse.send("2025-01-25", providers=providers(0, 15, is_deleted="true"))
    snapshot(warehouse, "2025-03-10", providers(15, 95))
    load(warehouse)
    assert warehouse.value(ALIVE) == 80
    # A late snapshot is compared with the 100 keys of its own time.
    snapshot(warehouse, "2025-01-22", providers(0, 70))
    with pytest.raises(BatchError, match="lacks 30 of the 100 keys"):
        load(warehouse)
    assert warehouse.value(ALIVE) == 80


@pytest.mark.slow
def test_more_members_may_end_with_the_plan_year(warehouse: Warehouse) -> None:
    def members(day: str, last: int) -> None:
        rows = [{"member_id": f"M{n}"} for n in range(last)]
        warehouse.send(day, snapshots=["members"], members=rows)

    members("2025-12-01", 100)
    members("2026-01-01", 65)
    load(warehouse)
    said = "members.csv of batch 2026-01-01 ends 35 of the 100 keys that were there before it"
    assert any(said in line for line in warehouse.watcher.said)
    rebuild(warehouse)
    assert any(said in line for line in warehouse.watcher.said)
    members("2026-02-01", 43)
    with pytest.raises(BatchError, match="lacks 22 of the 65 keys"):
        load(warehouse)


@pytest.mark.parametrize(("day", "refused"), [("2025-02-28", False), ("2025-06-01", True)])
def test_the_new_year_ends_members_in_january_and_february_alone(
    warehouse: Warehouse, day: str, refused: bool
) -> None:
    for delta, first in (("2024-12-10", 0), ("2025-01-20", 50)):
        rows = [{"member_id": f"M{n}"} for n in range(first, first + 50)]
        warehouse.send(delta, members=rows)
    rows = [{"member_id": f"M{n}"} for n in range(65)]
    warehouse.send(day, snapshots=["members"], members=rows)
    if refused:
        with pytest.raises(BatchError, match="lacks 35 of the 100 keys"):
            load(warehouse)
    else:
        load(warehouse)
        assert any("ends 35 of the 100 keys" in line for line in warehouse.watcher.said)


def test_keys_of_rejected_rows_do_not_end_and_follow_their_correction(warehouse: Warehouse) -> None:
    snapshot(warehouse, "2025-01-10", providers(0, 100))
    load(warehouse)
    folder = snapshot(warehouse, "2025-02-10", providers(0, 60))
    with (folder / "providers.csv").open("a") as file:
        # A field alone; one that does not end; another without its key.
        file.writelines(f"P{n:04}\n" for n in range(60, 90))
        file.write('P0090,"\n')
    warehouse.incremental(0.5)
    assert warehouse.value(ALIVE) == 91
    assert failed_critical(warehouse.connection) == set()
    before = warehouse.contents()
    warehouse.rebuild(0.5)
    assert warehouse.contents() == before
    [path] = [
        path for path, _ in export(warehouse.url, warehouse.data / "out", "2025-02-10", "providers")
    ]
    text = path.read_text(encoding="utf-8-sig").replace("P0061,", "P0061,corrected,")
    path.write_text(text, encoding="utf-8")
    with warehouse.pipeline(0.5) as pipeline:
        commands.replay_export(pipeline, path)
    assert warehouse.value(ALIVE) == 91
    assert failed_critical(warehouse.connection) == set()


def test_late_row_does_not_revive_a_key_ended_by_a_snapshot(warehouse: Warehouse) -> None:
    snapshot(warehouse, "2025-01-10", providers(0, 4))
    folder = snapshot(warehouse, "2025-02-10", providers(0, 2))
    with (folder / "providers.csv").open("a") as file:
        file.write("P0002\n")  # a field alone
    warehouse.incremental(0.5)
    assert warehouse.value(ALIVE) == 3
    warehouse.send("2025-01-20", providers=providers(2, 4, name="late"))
    warehouse.incremental(0.5)
    assert warehouse.value(ALIVE) == 3


@pytest.mark.slow
def test_rejected_rows_without_a_key_count_for_keys_that_end(warehouse: Warehouse) -> None:
    snapshot(warehouse, "2025-01-10", providers(0, 100))
    load(warehouse)
    rows = providers(0, 99)
    snapshot(warehouse, "2025-02-10", [*rows, {"provider_id": "NULL"}])
    with pytest.raises(BatchError, match="lacks 1 of the 100 keys") as refusal:
        load(warehouse)
    assert "make quarantine-export BATCH=2025-02-10" in refusal.value.hint
    load(warehouse, "2025-02-10")
    assert warehouse.value(ALIVE) == 99
    before = warehouse.contents()
    rebuild(warehouse)
    assert warehouse.contents() == before
    # Where no key ends no confirmation is needed.
    snapshot(warehouse, "2025-03-10", [*rows, {"provider_id": "NULL"}, {"provider_id": "N/A"}])
    load(warehouse)
    assert warehouse.value(ALIVE) == 99


CLAIM = {"service_date": date(2025, 1, 5), "claim_amount": 500, "allowed_amount": 500}


@pytest.mark.slow
def test_a_full_load_does_not_lose_loads_whose_files_are_gone(warehouse: Warehouse) -> None:
    claims = [{**CLAIM, "claim_id": "C1", "paid_amount": 500}]
    gone = warehouse.send("2025-01-10", claims=claims)
    claims = [{**CLAIM, "claim_id": "C2", "paid_amount": 400}]
    warehouse.send("2025-01-20", claims=claims)
    load(warehouse)
    aside = warehouse.data / "aside"
    aside.mkdir(parents=True)
    gone.rename(aside / "2025-01-10")
    paid = "select sum(paid_amount)::int from warehouse.fact_claim"
    for _ in range(2):
        done = warehouse.command("full-load")
        assert done.returncode == 4
        assert "claims.csv of batch 2025-01-10 (1 row, " in done.stderr
        assert "paid_amount $500.00" in done.stderr
        assert "make full-load FORGET=yes" in done.stderr
        assert warehouse.value(paid) == 900
        # The same with an empty inbox: synthetic feeds do not replace loaded ones.
        for folder in list(warehouse.inbox.iterdir()):
            folder.rename(aside / folder.name)
    (aside / "2025-01-20").rename(warehouse.inbox / "renamed 2025")
    (warehouse.inbox / "renamed 2025" / "manifest.json").write_text(
        json.dumps({"as_of": "2025-01-20T00:00:00Z"})
    )
    rebuild(warehouse, forget=True)
    assert warehouse.value(paid) == 400
    [(kind, batch, feed, says, by, of)] = warehouse.rows(DECISIONS)
    assert (kind, batch, feed, by, of) == ("forget_file", "2025-01-10", "claims", True, True)
    assert "paid_amount $500.00" in says
    rebuild(warehouse)


@pytest.mark.slow
def test_decision_for_a_full_load_is_kept_only_if_it_goes_live(warehouse: Warehouse) -> None:
    gone = warehouse.send("2025-01-10", claims=[claim("C1", 500)])
    snapshot(warehouse, "2025-01-11", providers(0, 100))
    load(warehouse)
    shutil.rmtree(gone)
    send_again(warehouse, "2025-01-11", providers=providers(0, 50))
    snapshot(warehouse, "2025-02-11", providers(0, 10))

    def full_load(fails: bool) -> None:
        def check() -> None:
            if fails:
                raise CheckFailedError("A check failed.")

        with warehouse.pipeline(checks=check) as pipeline:
            commands.confirm_snapshots(pipeline, ["2025-02-11"])
            commands.full_load(pipeline, forget=True)

    with pytest.raises(CheckFailedError):
        full_load(fails=True)
    assert warehouse.rows(DECISIONS) == []
    full_load(fails=False)
    decided = [(kind, batch) for kind, batch, *_ in warehouse.rows(DECISIONS)]
    assert sorted(decided) == [
        ("confirm_snapshot", "2025-02-11"),
        ("forget_file", "2025-01-10"),
        ("forget_file", "2025-01-11"),
    ]


def test_file_unpacked_or_moved_does_not_count_as_missing(warehouse: Warehouse) -> None:
    folder = warehouse.send("2026-01-04-gz", claims=[claim("C1", 500)])
    plain = (folder / "claims.csv").read_bytes()
    (folder / "claims.csv").unlink()
    (folder / "claims.csv.gz").write_bytes(gzip.compress(plain))
    load(warehouse)
    (folder / "claims.csv.gz").unlink()
    (folder / "claims.csv").write_bytes(plain)
    load(warehouse)
    moved = folder.rename(warehouse.inbox / "2026-01-05-renamed")
    load(warehouse)
    rebuild(warehouse)
    assert warehouse.rows(PAID) == [("C1", 500)]
    # A load that was only skipped does not count as its file.
    shutil.rmtree(moved)
    warehouse.send("2026-01-06", claims=[claim("C2", 1)])
    with pytest.raises(BatchError, match="would lose what came from a file"):
        rebuild(warehouse)


@pytest.mark.slow
def test_file_corrected_with_every_key_does_not_count_as_missing(warehouse: Warehouse) -> None:
    folder = warehouse.send("2025-01-10", providers=providers(0, 3, name="bad"))
    load(warehouse)

    def correct(last: int) -> None:
        shutil.rmtree(folder)
        rows = providers(0, last, name=f"good {last}")
        warehouse.send("2025-01-10", providers=rows)

    # Loaded before the rebuild, or with it.
    correct(4)
    load(warehouse)
    rebuild(warehouse)
    correct(5)
    rebuild(warehouse)
    assert warehouse.value(ALIVE) == 5
    correct(3)
    with pytest.raises(BatchError, match="lacks 2 of its 5 keys"):
        rebuild(warehouse)
    load(warehouse)
    with pytest.raises(BatchError, match=r"no longer in the inbox: providers.csv .* \(5 rows\)"):
        rebuild(warehouse)
    assert warehouse.value(ALIVE) == 5
    rebuild(warehouse, forget=True)
    assert warehouse.value(ALIVE) == 3


def claim(key: str, paid: int, **more: Any) -> dict[str, Any]:
    money = dict.fromkeys(("claim_amount", "allowed_amount", "paid_amount"), paid)
    return {"claim_id": key, "service_date": date(2025, 1, 5), **money, **more}


def enrollment(number: int, **more: Any) -> dict[str, Any]:
    own = {"enrollment_id": f"E{number}", "member_id": f"M{number}", "plan_id": "P1"}
    return {**own, "start_date": "2025-01-01", **more}


def send_again(warehouse: Warehouse, day: str, **feeds: Any) -> None:
    """Put another file in the place of one that was sent."""
    shutil.rmtree(warehouse.inbox / day, ignore_errors=True)
    warehouse.send(day, **feeds)


@pytest.mark.parametrize(
    ("case", "reversed_claims", "partly"),
    [
        ("reversed by another amount", ["C1", "C2", "C3", "C5"], ["C1", "C2", "C5"]),
        ("reversed in its own file", ["C1", "C2", "C4"], []),
    ],
)
def test_claims_that_reverse_themselves_load_and_are_named_by_the_checks(
    warehouse: Warehouse, case: str, reversed_claims: list[str], partly: list[str]
) -> None:
    shutil.copytree(CASES / "claim ids" / f"a claim {case}", warehouse.inbox, dirs_exist_ok=True)
    (warehouse.inbox / "case.toml").unlink()
    warehouse.incremental(0.5)

    def found(name: str) -> list[str]:
        return sorted(row["claim_id"] for row in found_by(warehouse.connection, name).keys)

    assert found("fact_claim.reversed_in_full") == partly
    assert found("fact_claim.not_reversed_by_itself") == reversed_claims
    assert failed_critical(warehouse.connection) == set()


PAID = "select claim_id, paid_amount::int from warehouse.fact_claim order by 1"


def test_a_snapshot_does_not_end_coverage_that_was_canceled_before_it(warehouse: Warehouse) -> None:
    everybody = [enrollment(n) for n in range(100)]
    warehouse.send("2025-01-10", snapshots=["enrollments"], enrollments=everybody)
    canceled = [enrollment(n, end_date="2024-12-31") for n in range(25)]
    warehouse.send("2025-02-10", enrollments=canceled)
    warehouse.send("2025-03-10", snapshots=["enrollments"], enrollments=everybody[25:])
    load(warehouse)
    assert warehouse.value("select count(*) from warehouse.fact_enrollment") == 75


@pytest.mark.slow
def test_late_load_ended_by_an_earlier_snapshot_is_reported(warehouse: Warehouse) -> None:
    snapshot(warehouse, "2025-03-10", providers(0, 10))
    load(warehouse)
    warehouse.send("2025-01-10", providers=providers(0, 1000))
    said = (
        "batch 2025-03-10 is a snapshot that lacks 990 of the 1,000 keys that were there before "
        "it, with batch 2025-01-10, and they would end"
    )
    with pytest.raises(BatchError, match=said) as error:
        load(warehouse)
    assert "CONFIRM_SNAPSHOT=2025-03-10" in error.value.hint
    assert error.value.refusal == "late_before_snapshot"
    load(warehouse, "2025-03-10")
    assert warehouse.value(ALIVE) == 10
    rebuild(warehouse)
    assert warehouse.value(ALIVE) == 10


def test_full_load_refuses_a_correction_without_a_delete_marker(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", claims=[claim("c1", 500)])
    marked = [claim("c1", 500, is_deleted="true"), claim("c2", 1)]
    warehouse.send("2025-02-10", claims=marked)
    load(warehouse)
    send_again(warehouse, "2025-02-10", claims=[claim("c2", 2)])
    load(warehouse)
    assert warehouse.rows(PAID) == [("c2", 2)]
    with pytest.raises(BatchError):
        rebuild(warehouse)
    assert warehouse.rows(PAID) == [("c2", 2)]


def test_full_load_refuses_a_correction_with_bytes_of_another_batch(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", claims=[claim("c1", 500)])
    warehouse.send("2025-01-20", claims=[claim("c2", 400)])
    load(warehouse)
    send_again(warehouse, "2025-01-20", claims=[claim("c1", 500)])
    with pytest.raises(BatchError):
        rebuild(warehouse)
    assert warehouse.rows(PAID) == [("c1", 500), ("c2", 400)]


@pytest.mark.slow
def test_file_corrected_and_restored_does_not_count_as_missing(warehouse: Warehouse) -> None:
    for paid in (500, 400, 500):
        send_again(warehouse, "2025-01-10", claims=[claim("c1", paid)])
        load(warehouse)
    rebuild(warehouse)
    assert warehouse.rows(PAID) == [("c1", 500)]


def test_empty_inbox_of_a_loaded_warehouse_gets_no_synthetic_feeds(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", claims=[claim("c1", 500)])
    load(warehouse)
    shutil.rmtree(warehouse.inbox / "2025-01-10")
    said = warehouse.command("full-load", "--forget")
    assert said.returncode == BatchError.exit_code
    assert "contains no batch" in said.stderr
    assert warehouse.rows(PAID) == [("c1", 500)]
