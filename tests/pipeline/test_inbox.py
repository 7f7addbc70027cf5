"""The inbox against the ledger: silently changed files, days ahead, feeds in parts."""

from __future__ import annotations

import csv
import os
import random
from itertools import pairwise
from pathlib import Path

import pytest

from etl.contracts.feeds import FEEDS
from etl.errors import BatchError, UsageError
from etl.inbox.pending import Lookout
from etl.pipeline import commands
from etl.pipeline.load import pending
from etl.pipeline.session import set_session_path
from etl.pipeline.status import assumed_unchanged
from etl.quarantine import export
from tests.support.feeds import fill
from tests.support.warehouse import Warehouse


def provider(key: str, name: str) -> dict[str, str]:
    return {"provider_id": key, "name": name}


def names(warehouse: Warehouse) -> list[str]:
    query = (
        "select name from warehouse.dim_provider where current_flag and provider_sk > 0 order by 1"
    )
    return warehouse.column(query)


def write_part(folder: Path, name: str, rows: list[dict[str, str] | str]) -> None:
    feed = FEEDS["providers"]
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [c.name for c in feed.staged], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if isinstance(row, str):
                file.write(f"{row}\n")
            else:
                writer.writerow(fill(feed, row))


def change_unnoticed(path: Path, old: bytes, new: bytes) -> None:
    """Change a file and keep its size and its modification time."""
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(old, new))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def test_a_correction_that_keeps_size_and_time_is_loaded(warehouse: Warehouse) -> None:
    folder = warehouse.send("2025-01-10", providers=[provider("P1", "Dr A")])
    warehouse.incremental()
    change_unnoticed(folder / "providers.csv", b"Dr A", b"Dr B")
    warehouse.incremental()
    assert names(warehouse) == ["Dr B"]
    assert warehouse.value("select count(*) from ledger.load") == 2


def test_a_file_that_was_only_touched_is_read_once_and_not_loaded(warehouse: Warehouse) -> None:
    folder = warehouse.send("2025-01-10", providers=[provider("P1", "Dr A")])
    warehouse.incremental()
    change_unnoticed(folder / "providers.csv", b"Dr A", b"Dr A")
    for count in (0, 1):
        assert assumed_unchanged(warehouse.url, warehouse.inbox)[0] == count
        with warehouse.pipeline() as pipeline:
            assert pending(pipeline) == []
    shown = warehouse.command("status").stdout
    assert "Assumed  1 loaded files" in shown
    assert "make incremental RECHECK=yes" in shown


def test_recheck_loads_a_change_that_keeps_size_and_times(warehouse: Warehouse) -> None:
    folder = warehouse.send("2025-01-10", providers=[provider("P1", "Dr A")])
    warehouse.incremental()
    change_unnoticed(folder / "providers.csv", b"Dr A", b"Dr B")
    changed = (folder / "providers.csv").stat().st_ctime_ns
    # As on a file system without the time of the last change.
    warehouse.rows(f"update ledger.load_file_part set changed_ns = {changed} returning part")
    with warehouse.pipeline() as pipeline:
        assert pending(pipeline) == []
    with warehouse.pipeline() as pipeline:
        pipeline.choices.recheck = True
        [(batch, _)] = pending(pipeline)
        assert batch.batch_id == "2025-01-10"


def test_file_restored_to_its_older_bytes_is_loaded_again(warehouse: Warehouse) -> None:
    folder = warehouse.send("2025-01-10", providers=[provider("P1", "Dr A")])
    first = (folder / "providers.csv").read_bytes(), (folder / "providers.csv").stat().st_mtime_ns
    warehouse.incremental()
    (folder / "providers.csv").write_bytes(first[0].replace(b"Dr A", b"Dr Bee"))
    warehouse.incremental()
    (folder / "providers.csv").write_bytes(first[0])
    os.utime(folder / "providers.csv", ns=(first[1], first[1]))
    warehouse.incremental()
    assert names(warehouse) == ["Dr A"]


@pytest.mark.slow
def test_allowed_future_batch_allows_no_other_and_is_recorded(warehouse: Warehouse) -> None:
    for day in ("2025-01-10", "2052-01-11", "2052-02-11"):
        warehouse.send(day, providers=[provider(f"P{day[:7]}", "Dr A")])
    with warehouse.pipeline() as pipeline:
        commands.allow_future(pipeline, ["2052-01-11"])
        with pytest.raises(
            BatchError, match=r"2052-02-11 .* today and after 2025-01-10, the newest"
        ):
            commands.incremental(pipeline)
    warehouse.send("2052,3", {"as_of": "2052-03-11T00:00:00Z"}, claims=[])
    with warehouse.pipeline() as pipeline, pytest.raises(BatchError):
        commands.incremental(pipeline)
    with warehouse.pipeline() as pipeline:
        with pytest.raises(UsageError, match="no batch 2052-04"):
            commands.allow_future(pipeline, ["2052-02-11,2052-04-11"])
        commands.allow_future(pipeline, ["2052-02-11, 2052-01-11", "2052,3"])
        commands.incremental(pipeline)
    decided = (
        "select batch_id, feed, says like '%more than 180 days after today and after 2025-01-10%', "
        "os_user <> '', decided_by = session_user from ledger.decision where kind = 'allow_future' "
        'order by batch_id collate "C"'
    )
    wanted = [
        ("2052,3", "claims", True, True, True),
        ("2052-01-11", "providers", True, True, True),
        ("2052-02-11", "providers", True, True, True),
    ]
    assert warehouse.rows(decided) == wanted
    # A batch that was allowed once stays allowed, without a second record.
    warehouse.rebuild()
    assert warehouse.rows(decided) == wanted


def test_synthetic_feeds_are_not_compared_with_today(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", providers=[provider("P1", "Dr A")])
    warehouse.send("2025-09-10", providers=[provider("P1", "Dr B")])
    set_session_path(warehouse.connection)
    [error] = Lookout(warehouse.inbox, None).look(warehouse.connection).refused
    assert "more than 180 days after 2025-01-10, the newest other batch." in error.message


def test_named_inbox_that_does_not_exist_is_refused(warehouse: Warehouse) -> None:
    warehouse.inbox.rmdir()
    for command in ("incremental", "full-load", "stage", "dq-check"):
        done = warehouse.command(command)
        assert done.returncode == BatchError.exit_code, done.stderr
        assert f"The inbox {warehouse.inbox} is not there." in done.stderr
    assert f"The inbox {warehouse.inbox} is not there." in warehouse.command("status").stdout
    assert not warehouse.inbox.exists()
    warehouse.inbox.write_text("")
    assert "Not a directory" in warehouse.command("incremental").stderr
    # The default inbox may still be created.
    done = warehouse.command("stage", INBOX="")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_day_ahead_that_was_allowed_once_stays_allowed(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", providers=[provider("P1", "Dr A")])
    warehouse.send("2052-01-11", providers=[provider("P1", "Dr B")])
    refused = warehouse.command("incremental")
    assert refused.returncode == 4
    assert "more than 180 days after today and after 2025-01-10" in refused.stderr
    assert warehouse.command("full-load").returncode == 4
    allowed = warehouse.command("incremental", "--allow-future", "2052-01-11")
    assert allowed.returncode == 0, allowed.stderr
    warehouse.rebuild()
    assert names(warehouse) == ["Dr B"]


def test_a_file_in_the_inbox_itself_fails_the_run_after_the_batches(warehouse: Warehouse) -> None:
    warehouse.send("2025-01-10", providers=[provider("P1", "Dr A")])
    (warehouse.inbox / "claims.csv").write_text("claim_id\n")
    for command in (commands.incremental, commands.full_load):
        not_loaded = pytest.raises(BatchError, match=r"was not loaded: claims\.csv")
        with warehouse.pipeline() as pipeline, not_loaded:
            command(pipeline)
        assert names(warehouse) == ["Dr A"]
    seen = warehouse.overview().held
    assert [(batch.title, batch.needs_somebody) for batch in seen] == [("the inbox", True)]
    with warehouse.pipeline() as pipeline, pytest.raises(BatchError, match="the inbox"):
        commands.dq_check(pipeline)


def send_in_parts(warehouse: Warehouse) -> Path:
    folder = warehouse.inbox / "2025-01-10"
    folder.mkdir()
    write_part(folder, "providers_1.csv", [provider(f"P{n:02}", "Dr A") for n in range(30)])
    write_part(folder, "providers_2.csv", ["P88,too few", provider("P99", "Dr Z")])
    return folder


@pytest.mark.slow
def test_changed_part_reloads_all_parts_and_a_rebuild_gives_the_same(warehouse: Warehouse) -> None:
    folder = send_in_parts(warehouse)
    warehouse.incremental()
    before = warehouse.contents()
    warehouse.rebuild()
    assert warehouse.contents() == before
    change_unnoticed(folder / "providers_2.csv", b"Dr Z", b"Dr Y")
    warehouse.incremental()
    assert names(warehouse) == ["Dr A"] * 30 + ["Dr Y"]


@pytest.mark.parametrize("corrected", [{"P77", "P88"}, {"P77"}, {"P88"}])
def test_a_corrected_row_returns_to_its_part(warehouse: Warehouse, corrected: set[str]) -> None:
    """The rows at fault are the last of one part and the first of the next.

    A batch before it came in parts of other lengths.
    """
    earlier, folder = warehouse.inbox / "2025-01-05", warehouse.inbox / "2025-01-10"
    good = [provider(f"P{n:02}", "Dr A") for n in range(30)]
    for day in (earlier, folder):
        day.mkdir()
    write_part(earlier, "providers_1.csv", good[:7])
    write_part(earlier, "providers_2.csv", good[7:9])
    write_part(folder, "providers_1.csv", [*good, "P77,too few"])
    write_part(folder, "providers_2.csv", ["P88,too few", provider("P99", "Dr Z")])
    warehouse.incremental(0.5)
    [(path, _)] = export.export(warehouse.url, warehouse.data, "2025-01-10", None)
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns, rows = list(reader.fieldnames or ()), list(reader)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for row, key in zip(rows, ("P77", "P88"), strict=True):
            if key in corrected:
                writer.writerow(row | fill(FEEDS["providers"], provider(key, "Dr C")))
    warehouse.run(commands.replay_export, path)
    assert names(warehouse).count("Dr C") == len(corrected)
    first, second = ("P77" in corrected), ("P88" in corrected)
    assert warehouse.rows(
        "select file_name, rows_read, rows_loaded, rows_rejected from quality.source_file "
        "where batch_id = '2025-01-10' order by part"
    ) == [
        ("providers_1.csv", 31, 30 + first, 1 - first),
        ("providers_2.csv", 2, 1 + second, 1 - second),
    ]
    before = warehouse.contents()
    warehouse.rebuild(0.5)
    assert warehouse.contents() == before


def test_a_part_that_is_cut_short_is_refused_by_its_name(warehouse: Warehouse) -> None:
    folder = send_in_parts(warehouse)
    path = folder / "providers_1.csv"
    path.write_bytes(path.read_bytes()[:-20])
    with (
        pytest.raises(BatchError, match=r"providers_1\.csv .* in the middle of the row on line 31"),
        warehouse.pipeline() as pipeline,
    ):
        commands.incremental(pipeline)


def test_a_quote_left_open_in_one_part_takes_no_row_of_the_next(warehouse: Warehouse) -> None:
    folder = send_in_parts(warehouse)
    rows = [provider(f"Q{n:02}", "Dr Q") for n in range(30)]
    write_part(folder, "providers_2.csv", [*rows, 'Q30,"Dr Q,x,x,x,x,x,x'])
    write_part(folder, "providers_3.csv", [provider("R1", 'Dr "R" R'), provider("R2", "Dr R")])
    warehouse.incremental()
    assert warehouse.rows(
        "select provider_id from staging.providers_raw where provider_id like 'R%' order by 1"
    ) == [("R1",), ("R2",)]


def hostile_rows() -> list[bytes]:
    """Rows as they may come, two of them bad, one repeated and some over several lines."""
    odd = [b"Dr A", b'"Dr ""B"" C"', b'"two\nlines"', b"  Dr D ", b'"a, b"', b'"three\n\nlines"']
    rows = [b"P%02d,%b,x,x,x,WI,53202,x" % (n, odd[n % len(odd)]) for n in range(80)]
    rows[20], rows[50], rows[70] = b"P20,too few", b'P50,"Dr" E,x,x,x,WI,53202,x', rows[3]
    return rows


def test_feed_split_between_any_rows_is_staged_as_one_file(warehouse: Warehouse) -> None:
    header = b"provider_id,name,specialty,street,city,state,zip,phone"
    rows, chosen = hostile_rows(), random.Random(11)
    for day in range(10, 16):
        cuts = [0, *sorted(chosen.sample(range(81), (day - 10) * 2)), 80]
        folder = warehouse.inbox / f"2025-01-{day}"
        folder.mkdir()
        for number, (begin, end) in enumerate(pairwise(cuts), 1):
            line_end = chosen.choice([b"\n", b"\r\n"])
            data = line_end.join([header, *rows[begin:end]]) + line_end * chosen.choice([0, 1])
            (folder / f"providers_{number}.csv").write_bytes(data)
    warehouse.incremental()
    staged, rejected = (
        warehouse.rows(query)
        for query in (
            "select array_agg((source_line, provider_id, name) order by source_line)::text "
            "from staging.providers_raw group by load_id",
            "select array_agg((line, reason) order by line)::text from quality.rejected_row "
            "group by load_id",
        )
    )
    assert len(staged) == len(rejected) == 6
    assert len(set(staged)) == len(set(rejected)) == 1
    assert (
        warehouse.rows(
            "select count(*) from staging.providers_raw as r left join quality.source_file as f "
            "on r.load_id = f.load_id and r.source_line >= f.first_line "
            "and r.source_line <= coalesce(f.last_line, r.source_line) group by r.load_id "
            "having count(*) <> count(f.part)"
        )
        == []
    )
    assert (
        warehouse.rows(
            "select f.load_id from ledger.load_file as f inner join ledger.load_file_part as p "
            "on f.load_id = p.load_id group by f.load_id, f.feed, f.rows_read, f.rows_duplicate "
            "having f.rows_read <> sum(p.rows_read) or f.rows_duplicate <> sum(p.rows_duplicate)"
        )
        == []
    )
