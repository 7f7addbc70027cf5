"""Members who are erased: nothing names them, everything else is as it was, and stays so."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from etl.access import erasure_files
from etl.config import Settings
from etl.db.connection import connect
from etl.errors import CheckFailedError, UsageError
from etl.pipeline import commands, erase_files, holds
from etl.pipeline.erase import erase
from etl.quality.report import write_report
from etl.quality.runner import run_sql_checks
from etl.quarantine.correction_csv import REASON
from etl.retention import archive, erased
from etl.server.home import packaged_programs
from etl.warehouse.tables import LIVE
from tests.support import archives, corrections, erasure
from tests.support.erasure import CHILD, ERASED, LATE, MARRIED, REJECTED
from tests.support.retention import retain, send_all
from tests.support.server_log import log_of
from tests.support.warehouse import CopyOf, Warehouse

WHY = "request of the member"


def checks(warehouse: Warehouse) -> dict[str, object]:
    """What each check in SQL finds."""
    return {
        check.name: found and (found.rows_checked, found.rows_failed)
        for check, found in run_sql_checks(warehouse.connection, LIVE)
    }


def erase_all(warehouse: Warehouse) -> None:
    for member in ERASED:
        warehouse.run(erase, member, WHY)


def assert_gone(warehouse: Warehouse) -> None:
    assert erasure.found(erasure.dump(warehouse)) == []
    assert erasure.found(erasure.files(warehouse)) == []


def load_members_to_erase(warehouse: Warehouse) -> None:
    erasure.send_first(warehouse)
    warehouse.incremental(1)
    exports = erasure.export_all(warehouse)
    assert [path.name for path in exports] == ["claims.csv", "members.csv"]


@pytest.fixture
def loaded(copy_of: CopyOf) -> Warehouse:
    """A warehouse with the members who are to be erased, and exports that name them."""
    return copy_of(load_members_to_erase)


@pytest.mark.slow
def test_nothing_names_an_erased_member_and_all_else_stays(loaded: Warehouse) -> None:
    with loaded.pipeline(checks=None) as pipeline:
        commands.run_checks(pipeline)
    write_report(loaded.url, loaded.data / "quality")
    before, checked = erasure.state(loaded), checks(loaded)
    text = erasure.dump(loaded)
    for table in ("audit.look", "access.erased", "access.member_crosswalk", "quality.correction"):
        assert f"COPY {table} (".encode() in text
    assert b"CREATE VIEW limited_as_known.dim_member" in text
    assert erasure.found(text) == erasure.values_of(ERASED)
    assert erasure.found(erasure.files(loaded), [REJECTED]) == erasure.values_of([REJECTED])
    erase_all(loaded)
    checked |= {"access.erased_stay_erased": (len(ERASED), 0)}
    assert_gone(loaded)
    assert all(value.encode() in erasure.dump(loaded) for value in (CHILD, *erasure.SHARED))
    assert (erasure.state(loaded), checks(loaded)) == (before, checked)

    for _ in range(2):  # the second rebuild repeats the erasures among the loads of the first
        loaded.rebuild(1)
        assert_gone(loaded)
        assert (erasure.state(loaded), checks(loaded)) == (before, checked)


@pytest.mark.slow
def test_later_files_of_an_erased_member_get_the_same_tokens(
    loaded: Warehouse, other_warehouse: Warehouse
) -> None:
    erase_all(loaded)
    tokens = loaded.column("select member_token from access.erased")
    erasure.send_later(loaded)
    loaded.incremental(1)
    assert_gone(loaded)
    # The same files without an erasure: the same facts, counts, duplicates and money.
    erasure.send_first(other_warehouse)
    erasure.send_later(other_warehouse)
    other_warehouse.incremental(1)
    wanted = erasure.state(other_warehouse)
    found = erasure.state(loaded)
    assert found["accounting"] == wanted["accounting"]
    for name in ("claims", "enrollments", "cube", "month"):
        of = [[row[1:3] for row in s["totals"] if row[0] == name] for s in (found, wanted)]
        assert of[0] == of[1]
    assert loaded.column(
        "select distinct member_id from warehouse.dim_member where member_sk > 0 order by 1"
    ) == sorted([CHILD, *tokens])
    members = loaded.rows("select distinct dob, zip from staging.members_raw where zip is null")
    assert sorted(str(dob) for dob, _ in members) == ["1970-01-01", "1984-01-01", "1991-01-01"]

    checked = checks(loaded)
    loaded.rebuild(1)
    assert_gone(loaded)
    assert erasure.state(loaded) == found
    assert checks(loaded) == checked


@pytest.mark.slow
def test_log_of_every_statement_names_nobody(loaded: Warehouse, server_settings: Settings) -> None:
    # What a careful auditor sets: every statement with its parameters.
    database = loaded.value("select quote_ident(current_database())")
    loaded.connection.execute(f"alter database {database} set log_statement = 'all'")
    with connect(loaded.url, "test") as logged:
        before = set(log_of(server_settings, logged).splitlines())
    erase_all(loaded)
    erasure.send_later(loaded)
    loaded.incremental(1)
    loaded.rebuild(1)
    with connect(loaded.url, "test") as logged:
        after = set(log_of(server_settings, logged).splitlines())
    text = "\n".join(after - before).encode()
    assert b"access.erased" in text
    assert erasure.found(text) == []
    assert (loaded.data / "erasure" / "key").read_bytes().strip() not in text


@pytest.mark.slow
def test_rows_in_the_archive_are_erased(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    send_all(warehouse)
    retain(warehouse)
    [folder] = (warehouse.data / "archive").iterdir()
    before = archives.read(folder)
    # Killed when the new files are complete and none of them is in its place.
    with monkeypatch.context() as patched:
        patched.setattr(erased, "_enter", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            warehouse.run(erase, "M1", WHY)
    assert (folder / f"{archive.MANIFEST}.new").exists()
    assert archives.read(folder) == before
    warehouse.run(commands.incremental)
    token = erasure_files.tokens(warehouse.data).of_number("M1")
    assert archives.read(folder) == {
        name: [
            row | {"member_id": token if row["member_id"] == "M1" else row["member_id"]}
            for row in rows
        ]
        for name, rows in before.items()
    }
    assert archive.damaged(folder) == []
    files = json.loads((folder / archive.MANIFEST).read_text())["files"]
    assert warehouse.rows(
        "select file_name, sha256, size_bytes from ledger.retention_file order by 1"
    ) == sorted((f["file_name"], f["sha256"], f["size_bytes"]) for f in files)
    assert warehouse.value("select manifest_sha256 from ledger.retention_run") == archive.sha256_of(
        folder / archive.MANIFEST
    )
    assert list(folder.glob("*.new")) == []


@pytest.mark.slow
def test_same_file_again_is_the_same(loaded: Warehouse) -> None:
    erase_all(loaded)
    before = erasure.state(loaded)
    folder = loaded.inbox / "2025-03-11"
    shutil.copytree(loaded.inbox / "2025-03-10", folder)
    loaded.incremental(1)
    assert erasure.state(loaded) == before | {
        "as known": [*before["as known"], before["as known"][-1]]
    }
    # As a batch before it, so that the later one is loaded from the rows of its equal.
    shutil.copytree(loaded.inbox / "2025-03-10", loaded.inbox / "2025-02-20")
    loaded.incremental(1)
    assert_gone(loaded)
    late = erasure.state(loaded)
    assert [row[:3] for row in late["totals"][:2]] == [row[:3] for row in before["totals"][:2]]
    loaded.rebuild(1)
    assert_gone(loaded)
    assert erasure.state(loaded) == late


@pytest.mark.slow
def test_replay_of_an_export_from_before_the_erasure(loaded: Warehouse, tmp_path: Path) -> None:
    kept = [
        Path(shutil.copy(path, tmp_path / path.name))
        for path in sorted((loaded.data / "quarantine").rglob("*.csv"))
    ]
    erase_all(loaded)
    right = {"claims": {"paid_amount": "5.00"}, "members": {"year": "2025"}}
    for path in kept:
        corrections.rewrite(path, lambda row, values=right[path.stem]: row | values)
        said = corrections.replay(loaded, path)
        assert "came in and are closed" in said[0]
    assert_gone(loaded)
    found = erasure.state(loaded)
    assert found["totals"][0][:2] == ("claims", 6)
    token = erasure.token_of(loaded, REJECTED)
    [(names, year)] = loaded.rows(
        "select count(distinct first_name), max(year) from warehouse.dim_member "
        f"where member_id = '{token}'"
    )
    assert (names, year) == (1, 2025)
    loaded.rebuild(1)
    assert_gone(loaded)
    assert erasure.state(loaded)["totals"] == found["totals"]


@pytest.mark.slow
def test_restored_backup_of_before_is_erased_again(loaded: Warehouse, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    programs = packaged_programs()
    subprocess.run(
        [programs / "pg_dump", "-Fc", "-f", backup, loaded.url], check=True, capture_output=True
    )
    before = erasure.state(loaded)
    erase_all(loaded)
    tokens = loaded.column("select member_token from access.erased order by 1")
    for schema in loaded.column(
        "select nspname from pg_namespace where nspname !~ '^(pg_|info|public)'"
    ):
        loaded.connection.execute(f"drop schema {schema} cascade")
    loaded.connection.execute("drop table public.alembic_version")
    restore = [programs / "pg_restore", "--exit-on-error", "-d", loaded.url, backup]
    done = subprocess.run(restore, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert erasure.found(erasure.dump(loaded)) == erasure.values_of(ERASED)
    with (
        loaded.pipeline(checks=None) as pipeline,
        pytest.raises(CheckFailedError, match="erased_stay_erased"),
    ):
        commands.run_checks(pipeline)
    loaded.run(commands.incremental)
    assert_gone(loaded)
    assert erasure.state(loaded) == before
    assert loaded.column("select member_token from access.erased order by 1") == tokens


def stay_erased(warehouse: Warehouse) -> tuple[int, int]:
    """How many tokens the check on erasures looks at, and how many are not erased."""
    with warehouse.pipeline() as context:
        outside = context.values_of_checks(LIVE)
    [(_, found)] = run_sql_checks(
        warehouse.connection,
        LIVE,
        wanted=lambda check: check.name == "access.erased_stay_erased",
        outside=outside,
    )
    assert found is not None
    return found.rows_checked, found.rows_failed


def test_another_key_is_refused_before_anything_is_done(loaded: Warehouse) -> None:
    assert stay_erased(loaded) == (0, 0)
    loaded.run(erase, MARRIED, WHY)
    assert stay_erased(loaded) == (1, 0)
    folder = loaded.data / "erasure"
    right = (folder / "key").read_bytes()
    erasure.send_later(loaded)

    def assert_refused() -> None:
        before = erasure.state(loaded)
        for run in (
            lambda: loaded.run(commands.incremental),
            lambda: loaded.rebuild(1),
            lambda: loaded.run(erase, LATE, WHY),
            lambda: stay_erased(loaded),
        ):
            with pytest.raises(UsageError, match=r"The key of erasures, .*, is another one"):
                run()
        assert erasure.state(loaded) == before

    (folder / "key").write_text("ab" * 32)
    check = (folder / "key-check").read_bytes()
    (folder / "key-check").unlink()
    assert_refused()  # by the database
    (folder / "key-check").write_bytes(check)
    loaded.connection.execute("create table kept_erased as table access.erased")
    loaded.connection.execute("delete from access.erased")
    assert_refused()  # by the file, where the database is older than the erasure
    (folder / "key").write_bytes(right)
    assert stay_erased(loaded) == (1, 1)
    loaded.connection.execute("insert into access.erased table kept_erased")
    loaded.connection.execute(
        "update warehouse.dim_member set member_id = %s where member_id = %s",
        [MARRIED, erasure.token_of(loaded, MARRIED)],
    )
    assert stay_erased(loaded) == (1, 1)


@pytest.mark.slow
def test_list_outside_that_is_older_is_completed(loaded: Warehouse) -> None:
    loaded.run(erase, MARRIED, WHY)
    erasure_files.keep_list(loaded.data, set())
    loaded.run(commands.incremental)
    assert erasure_files.listed(loaded.data) == set(
        loaded.column("select member_token from access.erased")
    )


@pytest.mark.slow
def test_equal_values_have_equal_tokens(loaded: Warehouse) -> None:
    query = """
        select count(distinct first_name), count(distinct last_name), count(distinct phone),
            count(*)
        from staging.members_raw where member_id = '{}'
    """
    of_member = loaded.rows(query.format(MARRIED))
    assert of_member == [(1, 2, 2, 3)]
    loaded.run(erase, MARRIED, WHY)
    assert loaded.rows(query.format(erasure.token_of(loaded, MARRIED))) == of_member
    # What a family shares stays theirs.
    street, phone = erasure.SHARED
    assert loaded.rows(
        f"select distinct street, phone from staging.members_raw where member_id = '{CHILD}'"
    ) == [(street, phone)]


@pytest.mark.slow
def test_show_changes_nothing(loaded: Warehouse) -> None:
    before = erasure.dump(loaded)
    loaded.run(erase, MARRIED, WHY, show=True)
    said = "\n".join(loaded.watcher.said)
    assert "staging.members_raw 3" in said
    assert "batch 2025-02-10, claims.csv, line 2, 3" in said
    assert "This was only shown." in said
    assert loaded.value("select count(*) from ledger.stage_run where status = 'failed'") == 0
    assert erasure.found(before) == erasure.found(erasure.dump(loaded))
    assert loaded.value("select count(*) from access.erased") == 0
    assert erasure_files.listed(loaded.data) == set()


@pytest.mark.slow
def test_member_under_legal_hold_is_not_erased(loaded: Warehouse) -> None:
    loaded.run(holds.hold, MARRIED, "case 1")
    loaded.run(holds.hold, MARRIED, "case 1")
    assert loaded.value("select count(*) from access.legal_hold") == 1
    with pytest.raises(UsageError, match="under legal hold"):
        loaded.run(erase, MARRIED, WHY)
    assert loaded.value("select count(*) from access.erased") == 0
    loaded.run(holds.hold, MARRIED, "", release=True)
    with pytest.raises(UsageError, match="under no legal hold"):
        loaded.run(holds.hold, MARRIED, "", release=True)
    loaded.run(erase, MARRIED, WHY)
    assert erasure.found(erasure.dump(loaded), [MARRIED]) == []


@pytest.mark.parametrize("command", [erase, holds.hold])
@pytest.mark.parametrize("member", ["", "M-0000"])
@pytest.mark.slow
def test_unknown_member_is_refused(
    loaded: Warehouse, command: Callable[..., Any], member: str
) -> None:
    with pytest.raises(UsageError):
        loaded.run(command, member, WHY)
    assert loaded.value("select count(*) from access.erased") == 0
    assert loaded.value("select count(*) from ledger.stage_run where status = 'failed'") == 0


@pytest.mark.slow
def test_member_who_was_erased_before(loaded: Warehouse) -> None:
    loaded.run(erase, LATE, WHY)
    loaded.run(erase, LATE, WHY)
    assert "erased before" in "".join(loaded.watcher.said)
    # Rows that somebody put back are erased when asked for again.
    loaded.connection.execute(
        "update staging.claims_raw set member_id = %s where claim_id = 'C2'", [LATE]
    )
    loaded.run(erase, LATE, WHY)
    assert erasure.found(erasure.dump(loaded), [LATE]) == []


@pytest.mark.slow
def test_files_of_an_erasure_that_was_killed(
    loaded: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(erase_files, "erase", lambda *_: exec("raise KeyboardInterrupt"))
        with pytest.raises(KeyboardInterrupt):
            loaded.run(erase, REJECTED, WHY)
    assert erasure.found(erasure.dump(loaded), [REJECTED]) == []
    assert erasure.found(erasure.files(loaded), [REJECTED]) == erasure.values_of([REJECTED])
    loaded.run(commands.incremental)
    assert erasure.found(erasure.files(loaded), [REJECTED]) == []
    assert loaded.value("select bool_and(files_done_at is not null) from access.erased")


@pytest.mark.slow
def test_export_keeps_the_rows_of_others(loaded: Warehouse) -> None:
    [path] = (loaded.data / "quarantine").rglob("members.csv")
    loaded.run(erase, REJECTED, WHY)
    with path.open(encoding="utf-8-sig", newline="") as file:
        row, other, nameless = csv.DictReader(file)
    # Rows without a number are known by e-mail, or by names and year of birth.
    assert (other["last_name"], nameless["last_name"]) == ("Lindqvaert", row["last_name"])
    assert row["member_id"] == erasure.token_of(loaded, REJECTED)
    assert (row["year"], row["dob"], row["zip"]) == ("MMXXV", "1991-01-01", "")
    assert row[REASON]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_without_its_key_nothing_is_loaded(loaded: Warehouse) -> None:
    loaded.run(erase, MARRIED, WHY)
    key = loaded.data / "erasure" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    text = key.read_text()
    assert text.strip().encode() not in erasure.dump(loaded)
    key.unlink()
    erasure.send_later(loaded)
    with pytest.raises(UsageError, match="key of erasures"):
        loaded.incremental(1)
    with pytest.raises(UsageError, match="key of erasures"):
        loaded.run(erase, LATE, WHY)
    assert not key.exists()
    key.write_text(text)
    loaded.incremental(1)
    assert erasure.found(erasure.dump(loaded), [MARRIED]) == []
