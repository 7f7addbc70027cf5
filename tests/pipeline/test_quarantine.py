"""Rows in quarantine: exported, corrected by a person, replayed or left open."""

from __future__ import annotations

import csv
import stat
import time
from pathlib import Path

import psycopg
import pytest

from etl.contracts.reasons import Reason
from etl.db.connection import connect
from etl.errors import UsageError
from tests.support.as_known import present
from tests.support.corrections import (
    claim,
    everything,
    export,
    load,
    member,
    open_rows,
    put,
    replay,
    rewrite,
)
from tests.support.warehouse import Warehouse, failed_critical

DIRTY = [
    claim(1, 1, paid_amount="x"),
    claim(2, 2, service_date="y"),
    claim(3, 3, channel="caf@e9@ and na@e9@f"),
    claim(4, 4, is_oon="maybe", channel=""),
    *(claim(n, n) for n in range(5, 9)),
]


@pytest.fixture
def dirty(warehouse: Warehouse) -> Path:
    """Four rejected claims; their export."""
    folder = warehouse.send("2025-01-10", claims=DIRTY)
    file = folder / "claims.csv"
    file.write_bytes(file.read_bytes().replace(b"@e9@", b"\xe9"))
    warehouse.incremental(1)
    (path,) = export(warehouse, "2025-01-10")
    return path


def test_export_is_private_and_never_overwritten(warehouse: Warehouse, dirty: Path) -> None:
    assert stat.S_IMODE(dirty.stat().st_mode) == 0o600
    assert stat.S_IMODE(dirty.parent.stat().st_mode) == 0o700
    with dirty.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["_line"], r["_reason"], r["_column"]) for r in rows] == [
        ("2", Reason.NOT_AN_AMOUNT.text, "paid_amount"),
        ("3", Reason.NOT_A_DATE.text, "service_date"),
        ("4", Reason.NOT_UTF8.text, ""),
        ("5", Reason.NOT_A_BOOLEAN.text, "is_oon"),
    ]
    assert rows[2]["channel"] == r"caf\xe9 and na\xe9f"
    assert rows[0]["_advice"] == Reason.NOT_AN_AMOUNT.advice
    with pytest.raises(UsageError, match="is there already"):
        export(warehouse, "2025-01-10")


def test_unchanged_or_bad_rows_of_an_export_stay_open(warehouse: Warehouse, dirty: Path) -> None:
    state = everything(warehouse)
    assert replay(warehouse, dirty) == [
        "4 rows were left as they are and stay open.",
        "The rows of claims.csv of batch 2025-01-10 are unchanged: nothing to load.",
    ]
    assert everything(warehouse) == state
    corrections = {
        "2": {"paid_amount": "1.005"},
        "3": {"service_date": "2025-01-09"},
        "4": {"channel": r"café and na\xe9f"},
    }
    rewrite(
        dirty, lambda row: row | corrections[row["_line"]] if row["_line"] in corrections else None
    )
    assert replay(warehouse, dirty) == [
        "1 rows still contain escaped bytes and stay open: write the text that is meant.",
        "1 rows of claims.csv of batch 2025-01-10 came in and are closed.",
        "1 are bad again and stay open: make quarantine says why.",
    ]
    assert warehouse.rows(
        "select line, reason, column_name, closed_at is null, closed_by "
        "from quality.rejected_row order by 1"
    ) == [
        (2, Reason.NOT_AN_AMOUNT.text, "paid_amount", True, None),
        (3, Reason.NOT_A_DATE.text, "service_date", False, 2),
        (4, Reason.NOT_UTF8.text, None, True, None),
        (5, Reason.NOT_A_BOOLEAN.text, "is_oon", True, None),
    ]
    assert failed_critical(warehouse.connection) == set()
    # The same file, corrected further, closes the rows that are still open.
    rewrite(dirty, lambda row: row | {"paid_amount": "1.01", "channel": "café and naïf"})
    said = replay(warehouse, dirty)
    assert said == ["2 rows of claims.csv of batch 2025-01-10 came in and are closed."]
    assert replay(warehouse, dirty) == [
        "The rows of claims.csv of batch 2025-01-10 were all dealt with before: nothing to load."
    ]
    assert warehouse.value("select count(*) from ledger.load") == 3
    dirty.unlink()
    (path,) = export(warehouse, "2025-01-10")
    # With _as_is a row is loaded as it is; this one is rejected again.
    rewrite(path, put(_as_is="yes"))
    assert "1 are bad again" in replay(warehouse, path)[-1]
    assert open_rows(warehouse) == 1
    assert failed_critical(warehouse.connection) == set()


@pytest.mark.parametrize("how", ["semicolons", "reversed"])
def test_export_from_a_spreadsheet_is_replayed(warehouse: Warehouse, dirty: Path, how: str) -> None:
    corrections = {
        "paid_amount": "2.00",
        "service_date": "2025-01-09",
        "channel": "a,b",
        "is_oon": "no",
    }
    with dirty.open(encoding="utf-8-sig") as file:
        names = next(csv.reader(file))
    dialect = {
        "semicolons": {"delimiter": ";", "lineterminator": "\r\n", "quoting": csv.QUOTE_ALL},
        "reversed": {"names": names[::-1], "lineterminator": "\r\n"},
    }[how]
    rewrite(dirty, put(**corrections), **dialect)
    dirty.write_bytes(b"\xef\xbb\xbf" + dirty.read_bytes() + b"\r\n")
    assert replay(warehouse, dirty) == [
        "4 rows of claims.csv of batch 2025-01-10 came in and are closed."
    ]
    assert warehouse.rows(
        "select distinct channel, paid_amount::text, is_oon from warehouse.fact_claim "
        "where claim_id <= 'C4'"
    ) == [("a,b", "2.00", False)]


@pytest.mark.slow
def test_file_that_is_no_export_is_refused(warehouse: Warehouse, dirty: Path) -> None:
    good = dirty.read_text(encoding="utf-8")
    head, first, *_ = good.splitlines()
    number = first.split(",")[0]
    for text, said in (
        ("", "is no export of the quarantine"),
        ("claim_id,paid_amount\nC1,1.00\n", "is no export of the quarantine"),
        (good.replace(",paid_amount", ",paid", 1), "has not the columns of its export"),
        (good + first.replace(number, "", 1) + "\n", "bears no number of the quarantine"),
        (good + first.replace(number, "new", 1) + "\n", "bears no number of the quarantine"),
        (good + first + "\n", "more than once"),
        (good + first.replace(number, "987654", 1) + "\n", "does not have, the first as number"),
        (head + "\n", "contains no rows"),
        (good.encode().replace(b"caf", b"\xff").decode("latin-1"), ""),
    ):
        if said:
            dirty.write_text(text, encoding="utf-8")
            with pytest.raises(UsageError, match=said):
                replay(warehouse, dirty)
    dirty.write_bytes(good.encode("utf-16"))
    with pytest.raises(UsageError, match="is not UTF-8"):
        replay(warehouse, dirty)
    dirty.unlink()
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        replay(warehouse, dirty)
    assert open_rows(warehouse) == 4
    assert warehouse.value("select count(*) from ledger.load") == 1


@pytest.mark.slow
def test_killed_replay_is_completed_by_the_next_one(warehouse: Warehouse, dirty: Path) -> None:
    rewrite(dirty, put(paid_amount="2.00", service_date="2025-01-09", channel="d", is_oon="no"))
    state = present(warehouse.connection)
    with connect(warehouse.url, "test", autocommit=False) as blocker:
        # The last table that is written before the commit.
        blocker.execute("lock table quality.correction in share mode")
        process = warehouse.start("quarantine-replay", "--file", str(dirty))
        deadline = time.monotonic() + 60
        while not warehouse.rows(
            "select 1 from pg_locks where relation = 'quality.correction'::regclass and not granted"
        ):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
        process.communicate()
    assert present(warehouse.connection) == state
    done = warehouse.command("quarantine-replay", "--file", str(dirty))
    assert done.returncode in (0, 6), done.stderr  # such small feeds break a check or two
    assert "4 rows of claims.csv of batch 2025-01-10 came in" in done.stderr
    assert open_rows(warehouse) == 0
    assert failed_critical(warehouse.connection) == set()
    assert warehouse.rows("select kind, status from ledger.load order by load_id") == [
        ("batch", "loaded"),
        ("replay", "failed"),
        ("replay", "loaded"),
    ]


def test_only_stewards_read_rejected_rows(warehouse: Warehouse, dirty: Path) -> None:
    rewrite(dirty, lambda row: row | {"paid_amount": "2.00"} if row["_line"] == "2" else None)
    replay(warehouse, dirty)
    connection = warehouse.connection
    assert warehouse.value("select count(*) from quality.correction") == 1
    try:
        connection.execute("create role test_analyst")
        connection.execute("create role test_steward in role aca_data_steward")
        connection.execute("grant usage on schema quality to test_analyst")
        connection.execute("grant select on all tables in schema quality to test_analyst")
        for role, sees in (("test_analyst", 0), ("test_steward", 1)):
            with connection.transaction():
                connection.execute(f"set local role {role}")
                (lines,) = warehouse.rows("select count(raw_line) from quality.rejected_row")[0]
                assert lines == 4 * sees
                assert warehouse.value("select count(*) from quality.quarantined_line") == 4 * sees
                assert warehouse.value("select count(*) from quality.correction") == sees
                assert warehouse.value("select sum(rows_open) from quality.quarantine_open") == 3
        connection.execute("set role test_steward")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from quality.correction")
    finally:
        connection.execute("reset role")
        for role in ("test_analyst", "test_steward"):
            connection.execute(f"drop owned by {role}")
            connection.execute(f"drop role {role}")


def test_export_of_a_part_names_its_file_and_line_and_keeps_quotes(warehouse: Warehouse) -> None:
    rows = [claim(n, n) for n in range(1, 9)] + [claim(9, 9, channel="@")]
    folder = warehouse.send("2025-01-10", claims=rows)
    head, *lines = (folder / "claims.csv").read_text().splitlines(keepends=True)
    (folder / "claims.csv").unlink()
    for number, of_part in ((1, lines[:7]), (2, lines[7:])):
        text = head + "".join(of_part).replace("@", '"5" pipe')
        (folder / f"claims_{number}.csv").write_text(text)
    warehouse.incremental(1)
    (path,) = export(warehouse, "2025-01-10", "claims")
    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["_file"], row["_line"], row["channel"]) == ("claims_2.csv", "3", '"5" pipe')


def test_each_part_counts_the_rows_that_are_still_rejected_in_it(warehouse: Warehouse) -> None:
    folder = warehouse.send(
        "2025-01-10",
        members=[member(1), member(2, dob="x")],
        claims=[claim(n, 1, paid_amount="x" if n in (2, 5, 6) else "1.00") for n in range(1, 7)],
    )
    head, *lines = (folder / "claims.csv").read_text().splitlines(keepends=True)
    (folder / "claims.csv").unlink()
    for number, of_part in ((1, lines[:3]), (2, lines[3:])):
        (folder / f"claims_{number}.csv").write_text(head + "".join(of_part))
    warehouse.incremental(1)
    (path,) = export(warehouse, "2025-01-10", "claims")
    rewrite(path, lambda row: row | ({"paid_amount": "1.00"} if row["_line"] == "3" else {}))
    replay(warehouse, path)
    # Line 3 is in both parts: claims 2 and 5 are right now, claim 6 is not.
    assert warehouse.rows(
        "select part, rows_read, rows_loaded, rows_rejected from ledger.load_file_part "
        "where feed = 'claims' order by part"
    ) == [(1, 3, 3, 0), (2, 3, 2, 1)]


def test_quarantine_before_migrate_says_so(empty_url: str, inbox: Path, tmp_path: Path) -> None:
    with connect(empty_url, "test") as connection:
        done = Warehouse(empty_url, inbox, tmp_path, connection).command("quarantine")
    assert (done.returncode, "Run make migrate" in done.stderr) == (8, True)


def test_quarantine_commands_say_what_to_do(warehouse: Warehouse) -> None:
    warehouse.incremental()
    for arguments, code, said in (
        (("quarantine",), 0, "Nothing is open in the quarantine."),
        (("quarantine-export",), 2, "Which batch is meant?"),
        (("quarantine-export", "--batch", "x"), 2, "No batch 'x' was ever loaded."),
        (("quarantine-export", "--batch", "x", "--feed", "y"), 2, "There is no feed 'y'."),
        (("quarantine-replay",), 2, "Which file is meant?"),
        (("quarantine-replay", "--file", "/nowhere.csv"), 2, "/nowhere.csv cannot be read"),
    ):
        done = warehouse.command(*arguments)
        assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done
    load(warehouse, "2025-01-10", claims=DIRTY[:2], members=[member(1)])
    done = warehouse.command("quarantine")
    for said in ("claims.csv", "not a valid amount", "paid_amount", "make quarantine-export BATCH"):
        assert said in done.stdout
    done = warehouse.command("quarantine-export", "--batch", "2025-01-10", "--feed", "claims")
    path = warehouse.data / "quarantine" / "2025-01-10" / "claims.csv"
    assert done.returncode == 0, done.stderr
    assert f"make quarantine-replay FILE={path}" in done.stdout
    assert path.is_file()
    with warehouse.pipeline():
        done = warehouse.command("quarantine-replay", "--file", str(path))
        assert done.returncode == 7
        # Looking at the quarantine waits for no lock.
        assert warehouse.command("quarantine").returncode == 0
