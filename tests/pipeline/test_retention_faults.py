"""A run of retention under which something fails: nothing is lost, the next run does the rest."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.errors import AcaError, UsageError
from etl.pipeline.status import notices
from etl.retention import archive, expire, parquet
from etl.retention.horizon import newest_of
from tests.support.archives import read
from tests.support.feeds import write_batch
from tests.support.retention import HORIZON, retain, seen, send_all
from tests.support.tables import draw
from tests.support.warehouse import Warehouse, failed_critical

pytestmark = pytest.mark.slow


@pytest.fixture
def sent(warehouse: Warehouse) -> Warehouse:
    """A warehouse with four batches of three years."""
    send_all(warehouse)
    return warehouse


def folders(warehouse: Warehouse) -> list[str]:
    return sorted(path.name for path in (warehouse.data / "archive").iterdir())


@pytest.mark.parametrize("years", ["0", "-1", "101", "ten", "", "1.5", "1e1", "٣"])
def test_years_that_are_none_are_refused_with_a_sentence(warehouse: Warehouse, years: str) -> None:
    ended = warehouse.command("retention", f"--years={years}")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 2
    assert "number of years from 1 to 100" in ended.stderr
    assert "make retention YEARS=10" in ended.stderr


def test_command_shows_then_does_and_status_says_so(sent: Warehouse) -> None:
    shown = sent.command("retention", "--years", "1")
    assert shown.returncode == 0
    assert "Before the horizon" in shown.stdout
    assert "paid_amount 321.82" in shown.stdout
    assert "CONFIRM=yes" in shown.stderr
    done = sent.command("retention", "--years", "1", "--why", "policy 7", "--confirm")
    assert done.returncode == 0, done.stderr
    assert "no longer in the warehouse" in done.stderr
    assert "2023-06-01/claims.csv" in done.stdout
    assert sent.rows(
        "select horizon::text, years, counted_from::text, why from ledger.retention_run"
    ) == [(HORIZON, 1, "2025-03-01", "policy 7")]
    assert f"rows from before {HORIZON} are in" in sent.command("status").stdout
    assert sent.command("dq-check").returncode == 0
    again = sent.command("retention", "--years", "1", "--confirm")
    assert (again.returncode, "Nothing to do" in again.stderr) == (0, True)


def test_an_archive_that_cannot_be_written_to_stops_the_run(sent: Warehouse) -> None:
    before = seen(sent)
    sent.data.mkdir(exist_ok=True)
    (sent.data / "archive").write_text("no folder")
    with pytest.raises(UsageError, match="archive cannot be written to") as caught:
        retain(sent)
    assert "Nothing was deleted" in caught.value.hint
    assert seen(sent) == before


def test_a_full_disk_stops_the_run_and_leaves_no_folder(
    sent: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(sent)

    def fill(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(parquet, "write", fill)
    with pytest.raises(OSError, match="No space left"):
        retain(sent)
    monkeypatch.undo()
    assert folders(sent) == []
    assert seen(sent) == before
    retain(sent)
    assert folders(sent) == [f"before-{HORIZON}"]


def test_a_file_that_reads_back_otherwise_stops_the_run(
    sent: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = seen(sent)
    count = parquet.count

    def miscount(path: Path, feed: Any) -> parquet.Counted:
        found = count(path, feed)
        values = found.values | {"paid_amount": found.values.get("paid_amount", 0) - 1}
        return parquet.Counted(found.rows, found.totals, values)

    monkeypatch.setattr(parquet, "count", miscount)
    with pytest.raises(AcaError, match="reads back as"):
        retain(sent)
    assert folders(sent) == []
    assert seen(sent) == before


def test_the_archive_of_a_run_that_was_stopped_is_found(
    sent: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(expire, "take_out", stop)
    with pytest.raises(KeyboardInterrupt):
        retain(sent)
    monkeypatch.undo()
    folder = sent.data / "archive" / f"before-{HORIZON}"
    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    (folder.parent / ".writing-left").mkdir()
    [said] = notices(sent.url, folder.parent)
    assert "make retention shows what is still to go" in said
    retain(sent)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files
    assert folders(sent) == [folder.name]
    assert notices(sent.url, folder.parent) == []


def test_another_archive_of_the_same_horizon_is_never_written_over(sent: Warehouse) -> None:
    retain(sent)
    folder = sent.data / "archive" / f"before-{HORIZON}"
    kept = read(folder)
    # Those of members who could not go then, or of a database that was made again.
    with sent.connection.transaction():
        sent.connection.execute("delete from ledger.retention_file")
        sent.connection.execute("delete from ledger.retention_run")
    write_batch(
        sent.inbox,
        "2025-04-01",
        claims=draw("""
            claim_id | service_date
            A        | 2023-03-03
        """),
    )
    sent.incremental(1)
    retain(sent)
    assert folders(sent) == [folder.name, f"{folder.name}-2"]
    assert read(folder) == kept
    [row] = read(folder.with_name(f"{folder.name}-2"))["claims-2023.parquet"]
    assert row["claim_id"] == "A"
    assert newest_of(folder.parent).isoformat() == HORIZON
    assert failed_critical(sent.connection) == set()


def test_a_damaged_archive_is_found_by_its_manifest(sent: Warehouse) -> None:
    retain(sent)
    folder = sent.data / "archive" / f"before-{HORIZON}"
    assert archive.damaged(folder) == []
    path = folder / "claims-2023.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    (folder / "claims-2022.parquet").unlink()
    assert archive.damaged(folder) == ["claims-2022.parquet", path.name]


def test_a_reader_keeps_no_run_waiting_and_sees_all_or_nothing(sent: Warehouse) -> None:
    count = "select count(*) from warehouse.fact_claim"
    with psycopg.connect(sent.url) as reader:
        reader.execute("set transaction isolation level repeatable read")
        (before,) = reader.execute(count).fetchone()
        retain(sent)
        assert reader.execute(count).fetchone() == (before,)
    assert sent.rows(count) == [(4,)]
    # Partitions that it kept go with the next run.
    partitions = (
        "select count(*) from pg_inherits where inhparent = 'warehouse.fact_claim'::regclass"
    )
    ((kept,),) = sent.rows(partitions)
    assert kept > 3
    sent.command("incremental")
    assert sent.rows(partitions) == [(3,)]
