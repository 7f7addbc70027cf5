"""The log becomes a record, each look once, and what was changed in it shows."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.audit import chain, looks
from etl.audit.who_looked import who_looked
from etl.errors import CheckFailedError, SchemaError, UsageError
from tests.support.looking import Record, bring, filled, line, tamper, verify

ANN = "who_ann"

# Each once


def test_lines_come_once_however_often_and_in_whatever_order(
    looked: Record, tmp_path: Path
) -> None:
    lines = [line(looked, number) for number in range(1, 31)]
    whole = bring(looked, tmp_path / "a.json", lines[:20])
    assert whole.entries == {"look": 20}
    assert bring(looked, tmp_path / "a.json", lines[:20]).entries == {}
    mixed = lines[10:]
    random.Random(1).shuffle(mixed)
    assert bring(looked, tmp_path / "b.json", mixed).entries == {"look": 10}
    assert looked.rows("select session_line from audit.look order by 1") == [
        (number,) for number in range(1, 31)
    ]
    assert verify(looked)["look"] == 30


def test_a_statement_that_reads_a_table_often_is_one_look(looked: Record, tmp_path: Path) -> None:
    same = datetime(2026, 1, 1, tzinfo=UTC)
    lines = [line(looked, number, at=same, statement="x") for number in range(1, 6)]
    lines += [line(looked, 6, at=same, statement="x", relation="staging.members_raw")]
    assert bring(looked, tmp_path / "a.json", lines).entries == {"look": 2}


def test_two_at_once_bring_each_line_once(looked: Record, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.json" for number in range(4)]
    for number, file in enumerate(files):
        lines = [line(looked, n) for n in range(1 + 20 * number, 61 + 20 * number)]
        file.write_text("".join(json.dumps(said) + "\n" for said in lines), encoding="utf-8")
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(lambda file: looks.bring(looked.url, looked.data, None, file), files)
        assert sum(brought.entries["look"] for brought in done) == 120
    assert verify(looked)["look"] == 120


def test_the_own_log_is_read_on_from_where_it_was_read(looked: Record, tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    file = folder / "server-1.json"
    whole = "".join(json.dumps(line(looked, n)) + "\n" for n in range(1, 5))
    cut = len(whole) - 40
    file.write_text(whole[:cut], encoding="utf-8")
    assert looks.bring(looked.url, looked.data, folder, None).entries == {"look": 3}
    file.write_text(whole, encoding="utf-8")
    assert looks.bring(looked.url, looked.data, folder, None).entries == {"look": 1}
    assert looked.rows("select bytes_read from audit.log_read") == [(len(whole),)]


def test_lines_of_other_databases_and_no_json_are_left_out(looked: Record, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    said = [json.dumps(line(looked, 1)), json.dumps(line(looked, 2, dbname="other")), "{", "3"]
    file.write_text("\n".join(said) + "\n", encoding="utf-8")
    brought = looks.bring(looked.url, looked.data, None, file)
    assert (brought.entries, brought.unreadable) == ({"look": 1}, 2)


def test_a_log_that_cannot_be_read_is_refused(looked: Record, tmp_path: Path) -> None:
    plain = tmp_path / "server.log"
    plain.write_text("2026-01-01 LOG:  aca.noted\n", encoding="utf-8")
    for file in (plain, tmp_path / "missing.json", tmp_path):
        with pytest.raises(UsageError) as refused:
            looks.bring(looked.url, looked.data, None, file)
        assert refused.value.hint
    with pytest.raises(UsageError, match="cannot be read from here"):
        looks.bring(looked.url, looked.data, None, None)
    with pytest.raises(UsageError, match="whose zone"):
        bring(looked, tmp_path / "a.json", [line(looked, 1, timestamp="2026-01-01 10:00:00 EST")])


def test_a_database_without_the_tables_is_refused(empty_url: str, tmp_path: Path) -> None:
    with pytest.raises(SchemaError):
        chain.verify(empty_url, tmp_path)
    with pytest.raises(SchemaError):
        who_looked(empty_url, tmp_path, "M1", "", "")


def test_settings_that_end_the_record_are_named(two_members: Record, tmp_path: Path) -> None:
    two_members.login(ANN, "aca_analyst_phi")
    assert bring(two_members, tmp_path / "a.json", [line(two_members, 1)]).unrecorded == []
    two_members.owner.execute(f"alter role {ANN} set log_min_messages = panic")
    database = two_members.owner.info.dbname
    two_members.owner.execute(f"alter database {database} set log_min_messages = fatal")
    assert sorted(bring(two_members, tmp_path / "a.json", [line(two_members, 1)]).unrecorded) == [
        f"No look is recorded in {database}: log_min_messages is fatal.",
        f"No look is recorded of {ANN}: log_min_messages is panic.",
        "No look is recorded: log_min_messages is fatal.",
    ]


# Lines of pgaudit, as its README has them

PGAUDIT = [
    (
        "AUDIT: SESSION,33,1,READ,SELECT,TABLE,warehouse.dim_member,select * from x,<none>",
        ("warehouse.dim_member", "select * from x", None),
    ),
    (
        'AUDIT: OBJECT,1,1,READ,SELECT,TABLE,warehouse.dim_member,"select a, ""b""\nfrom x","M1,2"',
        ("warehouse.dim_member", 'select a, "b"\nfrom x', "M1,2"),
    ),
    (
        "AUDIT: SESSION,1,1,READ,SELECT,VIEW,quality.rejected_row,<previously logged>,<not logged>",
        ("quality.rejected_row", "<previously logged>", None),
    ),
    (
        "AUDIT: SESSION,1,1,DDL,CREATE TABLE,TABLE,public.account,create table account (),<none>",
        None,
    ),
    ("AUDIT: SESSION,1,1,READ,SELECT,,,select 1,<none>", None),
]


@pytest.mark.parametrize(("message", "expected"), PGAUDIT)
def test_lines_of_pgaudit_are_looks(
    looked: Record, tmp_path: Path, message: str, expected: tuple[Any, ...] | None
) -> None:
    said = line(looked, 1, message=message)
    del said["context"]
    bring(looked, tmp_path / "a.json", [said])
    found = looked.rows("select relation_name, statement, parameters from audit.look")
    assert found == ([] if expected is None else [expected])


def test_a_read_that_pgaudit_records_is_taken_from_its_line(looked: Record, tmp_path: Path) -> None:
    noted = line(looked, 2, vxid="2/1")
    audited = line(looked, 1, vxid="2/1", message=PGAUDIT[0][0])
    del audited["context"]
    bring(looked, tmp_path / "a.json", [noted, audited, line(looked, 3)])
    assert looked.rows("select session_line, source from audit.look order by 1") == [
        (1, "pgaudit"),
        (3, "noted"),
    ]


# Append-only, and verified


@pytest.mark.parametrize("table", ["look", "disclosure", "deletion"])
@pytest.mark.parametrize("change", ["update {} set hash = ''", "delete from {}", "truncate {}"])
def test_rows_are_only_added_even_by_the_owner(looked: Record, table: str, change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only added"):
        looked.owner.execute(change.format(f"audit.{table}"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update audit.look set person = 'bob' where position = 3", "Row 3 of audit.look"),
        ("update audit.look set statement = null where position = 3", "Row 3 of audit.look"),
        ("update audit.look set looked_at = looked_at + '1 us' where position = 1", "Row 1 of"),
        (
            "update audit.look set person = 'bob' where position in (2, 5)",
            "Row 2 of audit.look is .* Row 5 of audit.look is",
        ),
        ("delete from audit.look where position = 3", "Rows 3 to 3 of audit.look are missing"),
        ("delete from audit.look where position < 3", "Rows 1 to 2 of audit.look are missing"),
        ("delete from audit.look where position > 4", "The end of audit.look is missing: row 6"),
        ("delete from audit.look", "The end of audit.look is missing: row 6 was its last"),
        (
            "update audit.look set position = case position when 2 then -3 else -2 end "
            "where position in (2, 3); "
            "update audit.look set position = -position where position < 0",
            "Row 2 of audit.look is not as it came, or not in its place",
        ),
        (
            "update audit.look set position = -position where position > 3; "
            "update audit.look set position = 1 - position where position < 0; "
            'insert into audit.look select (jsonb_populate_record(l, \'{"position": 4, '
            '"session_line": 99, "statement_at": null}\')).* from audit.look l where position = 3',
            "Row 4 of audit.look",
        ),
    ],
)
def test_what_was_done_to_the_record_shows(
    looked: Record, tmp_path: Path, change: str, said: str
) -> None:
    filled(looked, tmp_path)
    assert verify(looked)["look"] == 6
    tamper(looked, *change.split("; "))
    with pytest.raises(CheckFailedError, match=said):
        verify(looked)


def test_a_chain_that_was_made_again_shows_by_its_last_row(looked: Record, tmp_path: Path) -> None:
    filled(looked, tmp_path)
    tamper(
        looked,
        "create temporary table kept on commit drop as select * from audit.look",
        "delete from audit.look",
        "update kept set person = 'bob'",
        "set local session_replication_role = origin",
        "insert into audit.look select * from kept order by position",
    )
    with pytest.raises(CheckFailedError, match=r"Row 6 of .* is another than the one it was"):
        verify(looked)


def test_an_end_that_is_missing_is_not_written_over(looked: Record, tmp_path: Path) -> None:
    filled(looked, tmp_path)
    tamper(looked, "delete from audit.look where position > 2")
    with pytest.raises(CheckFailedError, match=r"end of .* is missing"):
        bring(looked, tmp_path / "b.json", [line(looked, 7)])
    with pytest.raises(CheckFailedError, match=r"end of .* is missing"):
        verify(looked)
    # Nor when as many rows have come again.
    with pytest.raises(CheckFailedError, match=r"Row 6 of .* is another"):
        bring(looked, tmp_path / "c.json", [line(looked, n) for n in range(8, 12)])
    heads = looked.data / "audit" / "heads.json"
    assert heads.stat().st_mode & 0o777 == 0o600
    heads.unlink()
    verified = [chain.verify(looked.url, looked.data) for _ in range(2)]
    assert [(v.last["look"], v.is_end_known) for v in verified] == [(7, False), (7, True)]


def test_rows_older_than_six_years_go_and_the_rest_still_verifies(
    looked: Record, tmp_path: Path
) -> None:
    old = datetime.now(UTC) - timedelta(days=7 * 366)
    filled(looked, tmp_path, 4, at=old)
    bring(
        looked,
        tmp_path / "b.json",
        [line(looked, n, at=old + timedelta(seconds=n)) for n in (11, 12)]
        + [line(looked, 13), line(looked, 14)],
    )
    before = looked.rows("select min(position) from audit.look where session_line = 13")[0][0]
    assert chain.prune(looked.url, looked.data) == {"look": before - 1, "disclosure": 0}
    assert looked.rows("select session_line from audit.look order by position") == [(13,), (14,)]
    assert verify(looked)["look"] == before + 1
    bring(looked, tmp_path / "c.json", [line(looked, 15)])
    assert verify(looked)["look"] == before + 2
    assert chain.prune(looked.url, looked.data) == {"look": 0, "disclosure": 0}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        looked.owner.execute("delete from audit.look")
    tamper(looked, f"delete from audit.look where position = {before}")
    with pytest.raises(
        CheckFailedError, match=f"Rows {before} to {before} of audit.look are missing"
    ):
        verify(looked)


def test_a_record_that_was_deleted_whole_after_six_years_goes_on(
    looked: Record, tmp_path: Path
) -> None:
    filled(looked, tmp_path, 1, at=datetime(2001, 1, 1, tzinfo=UTC))
    assert chain.prune(looked.url, looked.data)["look"] == 1
    assert verify(looked)["look"] == 1
    bring(looked, tmp_path / "b.json", [line(looked, 9)])
    assert looked.rows("select position from audit.look") == [(2,)]
    assert verify(looked)["look"] == 2
