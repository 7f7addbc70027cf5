"""Runs that are killed, repeated, doubled, or split: the warehouse is the same in the end."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from datetime import date, datetime
from pathlib import Path

import psycopg
import pytest

from etl.db.connection import connect
from etl.db.statements import run
from etl.errors import CheckFailedError, ServerError, UsageError
from etl.pipeline import commands
from etl.pipeline.ending import RolledBack
from etl.pipeline.session import RunContext
from etl.synthetic.generate import generate, simulate
from etl.warehouse.tables import LIVE
from tests.support.processes import Command
from tests.support.warehouse import Contents, Warehouse, fresh_warehouse


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic inbox: the first batch and three days."""
    inbox = tmp_path_factory.mktemp("synthetic") / "inbox"
    generate(inbox, members=800)
    simulate(inbox, 3)
    return inbox


@pytest.fixture(scope="session")
def untroubled(
    admin_url: str, template: str, synthetic: Path, tmp_path_factory: pytest.TempPathFactory
) -> Contents:
    """What the synthetic inbox becomes when nothing goes wrong."""
    folder = tmp_path_factory.mktemp("untroubled")
    with fresh_warehouse(admin_url, template, synthetic, folder) as warehouse:
        warehouse.incremental()
        return warehouse.contents()


def first_batch(inbox: Path) -> Path:
    return min(p for p in inbox.iterdir() if p.is_dir())


@pytest.mark.slow
def test_rebuild_equals_batch_after_batch(warehouse: Warehouse, synthetic: Path) -> None:
    shutil.copytree(synthetic, warehouse.inbox, dirs_exist_ok=True)
    later = sorted(p for p in warehouse.inbox.iterdir() if p.is_dir())[1:]
    aside = warehouse.inbox.parent / "aside"
    aside.mkdir()
    for batch in later:
        batch.rename(aside / batch.name)
    first = warehouse.command("full-load")
    assert first.returncode == 0, first.stderr
    for batch in later:
        (aside / batch.name).rename(warehouse.inbox / batch.name)
        warehouse.incremental()
    grown = warehouse.contents()
    versions = warehouse.rows("select count(*) from warehouse.dim_member where not current_flag")
    assert versions[0][0] > 0
    counts = warehouse.rows("select count(*), sum(paid_amount) from warehouse.fact_claim")
    warehouse.rebuild()
    assert warehouse.contents() == grown
    assert warehouse.rows("select count(*), sum(paid_amount) from warehouse.fact_claim") == counts
    # The same bytes with another time of writing.
    for file in first_batch(warehouse.inbox).iterdir():
        os.utime(file, ns=(1, 1))
    warehouse.incremental()
    assert len(warehouse.watcher.said) == 7
    assert all("skipped: already loaded" in said for said in warehouse.watcher.said)
    assert warehouse.contents() == grown
    # A fact row that is deleted by hand is detected.
    with warehouse.pipeline(checks=None) as pipeline:
        commands.run_checks(pipeline)
        warehouse.connection.execute(
            "delete from warehouse.fact_claim where claim_id = "
            "(select min(claim_id) from warehouse.fact_claim)"
        )
        with pytest.raises(CheckFailedError, match="critical"):
            commands.run_checks(pipeline)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["full-load", "incremental"])
def test_run_after_a_killed_run_completes_the_load(
    warehouse: Warehouse, synthetic: Path, untroubled: Contents, command: str
) -> None:
    shutil.copytree(synthetic, warehouse.inbox, dirs_exist_ok=True)
    seen: set[str] = set()
    for delay in (0.0, 0.1, 0.3):
        process = warehouse.start(command)
        reached = _wait_for_stage(warehouse, process)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen.add(reached)
    if command == "full-load":
        warehouse.rebuild()
    else:
        warehouse.incremental()
    assert warehouse.contents() == untroubled
    assert seen


@pytest.mark.slow
def test_ledger_counts_only_current_loads_after_replaced_failed_and_killed_full_loads(
    warehouse: Warehouse,
) -> None:
    folder = warehouse.send("2025-01-10", providers=[{"provider_id": f"P{n}"} for n in range(30)])
    with (folder / "providers.csv").open("a") as file:
        file.write("too few\n")
    books = (
        "select (select sum(rows_loaded)::int from ledger.load_file where status = 'loaded'), "
        "(select count(*) from quality.quarantined_row as q where not exists (select from "
        "ledger.load as l where l.load_id = q.load_id and l.status = 'superseded')), "
        "(select count(distinct load_id) from quality.feed_profile as p where exists (select "
        "from ledger.load as l where l.load_id = p.load_id and l.status = 'failed'))"
    )
    warehouse.rebuild()
    warehouse.rebuild()
    assert warehouse.rows(books) == [(30, 1, 0)]
    # One that fails at its checks, after the profiles of its loads were stored.
    warehouse.connection.execute(
        "create function public.fail() returns trigger language plpgsql as "
        "$$ begin raise disk_full; end $$; create trigger fail before insert on "
        "quality.check_result for each statement execute function public.fail()"
    )
    assert warehouse.command("full-load").returncode == 3
    assert warehouse.rows(books) == [(30, 1, 0)]
    warehouse.connection.execute("drop function public.fail cascade")
    # And one that is killed while it waits to go live.
    with connect(warehouse.url, "test", autocommit=False) as reader:
        reader.execute("set transaction isolation level repeatable read")
        reader.execute("select count(*) from warehouse.dim_provider")
        process = warehouse.start("full-load")
        while "older transactions" not in (said := process.stderr.readline()):
            assert said, "the run ended without waiting"
        process.kill()
        process.wait()
    with warehouse.pipeline():
        pass
    assert warehouse.rows(books) == [(30, 1, 0)]
    assert warehouse.rows(
        "select status, count(*) from ledger.load_file group by 1 order by 1"
    ) == [("failed", 2), ("loaded", 1), ("superseded", 1)]


def test_stage_of_a_killed_run_is_not_shown_as_running(warehouse: Warehouse) -> None:
    warehouse.rows(
        "insert into ledger.stage_run (stage, is_rebuild, status) "
        "values ('cubes', false, 'running') returning 1"
    )
    [latest, *_] = warehouse.overview().stages
    assert latest[3:] == ("interrupted", None)
    assert "interrupted" in warehouse.command("status").stdout


def _wait_for_stage(warehouse: Warehouse, process: Command) -> str:
    """Wait until a stage of the run is running; its name."""
    before = warehouse.value("select coalesce(max(stage_run_id), 0) from ledger.stage_run")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        found = warehouse.rows(
            "select stage from ledger.stage_run "
            f"where stage_run_id > {before} order by stage_run_id limit 1"
        )
        if found:
            return str(found[0][0])
        if ended:
            break
        time.sleep(0.02)
    raise AssertionError("no stage began")


def test_second_run_at_once_exits_with_code_7(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", members=[{"member_id": "A"}])
    with warehouse.pipeline():
        second = warehouse.command("incremental")
    assert second.returncode == 7
    assert "Another run is working on this warehouse." in second.stderr
    assert "Traceback" not in second.stderr
    assert warehouse.value("select count(*) from ledger.load") == 0


@pytest.mark.slow
def test_readers_see_the_old_warehouse_until_the_full_load_is_live(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-01-10",
        members=[{"member_id": "A", "last_name": "x"}],
        claims=[{"claim_id": "C1", "member_id": "A"}],
    )
    reader = psycopg.connect(warehouse.url, autocommit=True)
    warehouse.rebuild()
    reader.execute("create schema analyst")
    reader.execute("create view analyst.mine as select member_id from warehouse.dim_member")
    reader.execute("drop role if exists test_reader")  # roles outlive a test's database
    reader.execute("create role test_reader")
    reader.execute("grant usage on schema warehouse to test_reader")
    reader.execute("grant select on warehouse.dim_member to test_reader")
    warehouse.send("2025-01-11", members=[{"member_id": "B"}])
    # A report in one transaction delays the swap, so that it sees one state to its end.
    with reader.transaction():
        reader.execute("set transaction isolation level repeatable read")
        before = reader.execute("select count(*) from warehouse.dim_member").fetchone()
        process = warehouse.start("full-load")
        said = ""
        while "waiting for older transactions" not in said:
            said = process.stderr.readline()
            assert said, "the run ended without waiting"
        assert reader.execute("select count(*) from warehouse.fact_claim").fetchone() == (1,)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert before == (2,)
    assert reader.execute("select count(*) from warehouse.dim_member").fetchone() == (3,)
    assert reader.execute("select count(*) from analyst.mine").fetchone() == (3,)
    granted = reader.execute(
        "select has_table_privilege('test_reader', 'warehouse.dim_member', 'select')"
    ).fetchone()
    assert granted == (True,)
    reader.execute("drop owned by test_reader")
    reader.execute("drop role test_reader")
    reader.close()


@pytest.mark.slow
def test_dropping_the_old_build_does_not_block_readers(warehouse: Warehouse) -> None:
    """While a long query still reads it, the run asks for its tables for moments only."""
    warehouse.send("2025-01-10", claims=[{"claim_id": "C1"}])
    warehouse.rebuild()
    waits: dict[datetime, float] = {}
    ended = threading.Event()

    def look() -> None:
        with connect(warehouse.url, "test") as watch:
            while not ended.wait(0.005):
                waits.update(
                    watch.execute(
                        "select waitstart, "
                        "extract(epoch from clock_timestamp() - waitstart)::float8 "
                        "from pg_locks where not granted and waitstart is not null"
                    )
                )
                if len(waits) > 2:
                    reader.rollback()

    with connect(warehouse.url, "test", autocommit=False) as reader:
        reader.execute("select count(*) from warehouse.fact_claim")
        looking = threading.Thread(target=look)
        looking.start()
        try:
            warehouse.rebuild()
        finally:
            ended.set()
            looking.join()
    assert len(waits) > 2
    # It waits for 100 ms; on a busy machine that takes longer to notice.
    assert max(waits.values()) < 1.0
    assert warehouse.value("select to_regnamespace('warehouse_retired') is null") is True


def test_late_older_batch_changes_no_later_state(warehouse: Warehouse) -> None:
    claim = {"claim_id": "C1", "member_id": "A", "service_date": date(2025, 1, 5)}
    warehouse.send("2025-02-01", claims=[{**claim, "status": "approved", "paid_amount": 9}])
    warehouse.incremental()
    warehouse.send("2025-01-10", claims=[{**claim, "status": "pending", "paid_amount": 0}])
    warehouse.incremental()
    assert warehouse.rows("select status, paid_amount::int from warehouse.fact_claim") == [
        ("approved", 9)
    ]


@pytest.mark.parametrize("stages", [("stage",), ("stage", "dims")])
def test_rebuild_ignores_a_running_incremental_load(
    warehouse: Warehouse, stages: tuple[str, ...]
) -> None:
    warehouse.send(
        "2025-01-10", members=[{"member_id": "A"}], claims=[{"claim_id": "C1", "member_id": "A"}]
    )
    warehouse.run(commands.run_stages, stages)
    warehouse.rebuild()
    assert warehouse.value("select count(*) from warehouse.fact_claim") == 1
    assert warehouse.rows("select status from ledger.load order by load_id") == [
        ("superseded",),
        ("loaded",),
    ]


@pytest.mark.slow
def test_stages_run_one_at_a_time_give_the_same_warehouse(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-01-10",
        members=[{"member_id": "A", "last_name": "x"}],
        claims=[{"claim_id": "C1", "member_id": "A"}],
    )
    warehouse.send("2025-01-11", members=[{"member_id": "A", "last_name": "y"}])
    for command in ("stage", "dims", "facts", "cubes"):
        done = warehouse.command(command)
        assert done.returncode == 0, done.stderr
    assert warehouse.value("select count(*) from warehouse.dim_member where member_id = 'A'") == 2
    stepwise = warehouse.contents()
    warehouse.rebuild()
    assert warehouse.contents() == stepwise


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("members.csv", b"member_id\nA\n", "lacks required columns: first_name"),
        ("members.csv", b"", "is empty"),
        ("members.csv.gz", b"\x1f\x8b\x08cut short", "cannot be read to its end"),
        ("members.csv", b"PK\x03\x04" + bytes(range(256)) * 40, "UTF-8 text"),
        ("claims.csv", b"claim_id,claim_id\n1,2\n", "more than once"),
        ("claims.csv", b"claim_id,member_id\r1,2\r", "carriage returns alone"),
        ("claims.csv", "claim_id,member_id\n".encode("utf-16"), "UTF-16"),
        ("claims.csv", b'claim_id,"member_id\n1,2\n', "does not open or close a name"),
        ("claims.csv", b"x," * 2000 + b"y\n", "2,001 columns"),
        ("manifest.json", b"{", "cannot be used"),
        ("manifest.json", b'{"files": {"claims.csv": {"rows": 3}}}', "which is not there"),
        ("manifest.json", b'{"files": {"plans.csv": {"rows": 3}}}', "says 3"),
    ],
)
def test_wrong_feed_is_refused_with_one_sentence(
    warehouse: Warehouse, name: str, content: bytes, said: str
) -> None:
    folder = warehouse.send("2025-01-10", plans=[{"plan_id": "P1"}])
    (folder / name).write_bytes(content)
    done = warehouse.command("incremental")
    assert done.returncode == 4, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_refused_batches_do_not_stop_the_others(warehouse: Warehouse) -> None:
    def send(day: str, name: str) -> Path:
        manifest = {"as_of": f"{day}T00:00:00Z"}
        return warehouse.send(day, manifest, providers=[{"provider_id": "D", "name": name}])

    send("2025-01-01", "one")
    for day, text in (("2025-01-02", "no JSON"), ("2025-01-03", '{"files": 7}')):
        send(day, "hidden")
        (warehouse.inbox / day / "manifest.json").write_text(text)
    send("2025-01-04", "four")
    (warehouse.inbox / "2025-01-04" / "providers.csv").write_bytes(b"")
    send("2025-01-05", "five")
    for _ in range(2):
        done = warehouse.command("incremental")
        assert done.returncode == 4
        assert "manifest.json of batch 2025-01-02 cannot be used" in done.stderr
        assert "Also: manifest.json of batch 2025-01-03" in done.stderr
        assert "Also: providers.csv of batch 2025-01-04 is empty" in done.stderr
    assert warehouse.rows(
        "select name, validity_start_ts::date::text from warehouse.dim_provider "
        "where provider_id = 'D' order by 2"
    ) == [("one", "1900-01-01"), ("five", "2025-01-05")]
    # Corrected, they are loaded as if they had come in time.
    for day, name in (("2025-01-02", "two"), ("2025-01-03", "three"), ("2025-01-04", "four")):
        shutil.rmtree(warehouse.inbox / day)
        send(day, name)
    assert warehouse.command("incremental").returncode == 0
    assert warehouse.column(
        "select name from warehouse.dim_provider where provider_id = 'D' order by validity_start_ts"
    ) == ["one", "two", "three", "four", "five"]


@pytest.mark.parametrize(
    ("error", "status", "failures"),
    [
        (UsageError("There is no such member.", "Name another."), "rolled_back", 0),
        (RolledBack("This was only shown."), "rolled_back", 0),
        (ServerError("The disk is full.", "Free some space."), "failed", 1),
    ],
    ids=["asked wrongly", "only shown", "failed"],
)
def test_a_stage_that_was_not_wanted_has_not_failed(
    warehouse: Warehouse, error: Exception, status: str, failures: int
) -> None:
    """Else a mistyped command would open an incident and wake somebody."""
    with warehouse.pipeline() as context:
        with pytest.raises(type(error)):
            end_a_stage(context, error)
        values = {"limit": 0, "now": "infinity"}
        cursor = run(context.work, "operations/objectives.latest_stage", values)
        _, measured, *_ = cursor.fetchone() or ()
    [found] = warehouse.rows("select status, error is null, counts = '{}' from ledger.stage_run")
    assert (found[0], measured) == (status, failures)
    assert found[1:] == ((status != "failed",) * 2)


def end_a_stage(context: RunContext, error: Exception) -> None:
    """Let an error come up in a stage that has changed a row."""
    with context.run_stage("erase", "a member", None, LIVE) as counts:
        counts["rows"] = 1
        raise error
