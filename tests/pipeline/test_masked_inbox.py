"""The masked inbox: other people, and everything else as a load of the original has it.

Whatever names a member in the files of these tests contains ``zq``, a pair of letters that no
invented value has.
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import Mock

import pytest
import xxhash

from etl.contracts import senders
from etl.contracts.column import Identifier
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.file_form import FileForm
from etl.contracts.sender import SenderContract
from etl.db import trouble
from etl.masked_inbox import copy as masked_inbox
from etl.masked_inbox.people import is_replaced
from etl.synthetic.generate import generate, simulate
from tests.support.feeds import fill
from tests.support.files import PIPELINE, REAL_FILES, rows_of
from tests.support.masked_inboxes import Load, assert_same, loads, masked, put, unpacked
from tests.support.mediterranean import FRENCH, encoded, mediterranean
from tests.support.warehouse import Warehouse

SECRET = b"zq"
MEMBERS, CLAIMS = FEEDS["members"], FEEDS["claims"]
MEMBER = {
    "member_id": "zq1",
    "first_name": "Zqanna",
    "last_name": "Zqsmith",
    "dob": "1980-01-01",
    "email": "zqanna@mail.zq",
    "phone": "608-zq-1234",
    "street": "12 Zqoak Street",
    "city": "Madison",
    "state": "WI",
    "zip": "53703",
    "source_updated_at": "2025-01-02",
}
CLAIM = {
    "claim_id": "c-zq1",
    "member_id": "zq1",
    "service_date": "2025-01-03",
    "claim_amount": "100.25",
    "allowed_amount": "80.50",
    "paid_amount": "60.75",
}
GOOD_ROWS = 20


def line(feed: Feed, row: dict[str, str], **values: str) -> bytes:
    """A record of a feed; a value is written as it is given, with its quotes."""
    return ",".join(fill(feed, {**row, **values}).values()).encode()


def header(feed: Feed, *more: str) -> bytes:
    return ",".join([*(c.name for c in feed.staged), *more]).encode()


def member(**values: str) -> bytes:
    return line(MEMBERS, MEMBER, **values)


def claim(**values: str) -> bytes:
    return line(CLAIMS, CLAIM, **values)


FULL_WIDTH, ZERO_WIDTH, ACCENT = "\uff11", "\u200b", "e\u0301"
# Rows that a load takes or rejects, each for a reason of its own.
ODD_MEMBERS = {
    "in capitals": member(member_id="zq2", first_name="ZQANNA"),
    "in small letters": member(member_id="zq3", first_name="zqanna"),
    "blanks around": member(member_id=" zq4 ", first_name="  Zqanna", last_name='" Zqlee "'),
    "quotes": member(member_id='"zq5"', first_name='"Zqann ""Zqpepe"""', street='"1 Zq, Apt 2"'),
    "line feeds in quotes": member(member_id="zq6", street='"1 Zq Street\nApt zq\nzq"'),
    "nothing": member(member_id="zq7", first_name="", email='""', street='" "'),
    "a word for a missing value": member(member_id="N/A"),
    "no key": member(member_id=""),
    "a key too long": member(member_id="zq" * 40),
    "a value too long": member(member_id="zq8", street="zq" * 200),
    "a full-width digit in the key": member(member_id="zq" + FULL_WIDTH),
    "a digit of another script in the key": member(member_id="zq\u0663"),
    "a sign without width in the key": member(member_id="zq" + ZERO_WIDTH),
    "a letter taken apart in the key": member(member_id="zq" + ACCENT),
    "a letter with an accent in the key": member(member_id="zqé"),
    "values in other columns": member(member_id="zq9", dob="Zqsmith", gender="Zqanna", zip="zq"),
    "a word of the clock": member(member_id="zq10", dob="today", city="zq"),
    "a number of the wrong form": member(member_id="zq11", call_count="zq", broker_name="zq"),
    "a day that no calendar has": member(member_id="zq12", dob="2025-02-31"),
    "too few fields": b"zq13,Zqanna,Zqsmith",
    "one field": b"Zqsmith",
    "too many fields": member(member_id="zq14", street="1 Zq Street, Apt zq"),
    "a stray quote": member(member_id="zq15", first_name='Zq"anna'),
    "a stray quote and too many fields": member(member_id="zq16", first_name='Zq"an,na'),
    "an open quote": member(member_id="zq17", last_name='"Zqsmith'),
    "an open quote and too few fields": b'zq18,Zqanna,"Zqsmith',
    "not UTF-8": member(member_id="zq19", city="zq").replace(b"Zqsmith", b"Zq\xff"),
    "a NUL": member(member_id="zq20", city="zq").replace(b"Zqsmith", b"Zq\0"),
    "a return": member(member_id="zq21", city="zq", last_name="Zq\rsmith"),
    "too long": member(member_id="zq22", city="zq" * (1 << 20)),
    "the header again": header(MEMBERS),
    "a part of the header": b"member_id,first_name",
    "a trailer": b"TRAILER,Zqsmith,20",
    "a trailer as a row": b"Total rows: 20" + b"," * (len(MEMBERS.staged) - 1),
    "a lone word": b"Zqword" + b"," * (len(MEMBERS.staged) - 1),
    "an empty line": b"",
    "many empty lines": b"\n" * 100,
    "a delete marker": member(member_id="zq23", is_deleted="true"),
    "a conflict": member(member_id="zq1", first_name="Zqeve"),
    "a duplicate": member(),
}
ODD_CLAIMS = {
    "no member": claim(claim_id="c-zq2", member_id=""),
    "a word for no member": claim(claim_id="c-zq3", member_id="null"),
    "an amount of the wrong form": claim(claim_id="c-zq4", paid_amount="zq", drug_name="zq"),
    "an amount too large": claim(claim_id="c-zq5", paid_amount="999999999.00"),
    "a stray quote": claim(claim_id="c-zq6", drug_name='z"q'),
    "a stray quote in an amount": claim(claim_id="c-zq7", paid_amount='60"75'),
    "a stray quote and too few fields": b'c-zq8,z"q,1,2,3',
    "an open quote": claim(claim_id="c-zq9", drug_name='"zq'),
    "too few fields": b"c-zq10,zq1,1.00,2.00",
    "a claim taken back": claim(claim_id="c-zq11", status="reversed", paid_amount="-60.75"),
    "another line": claim(procedure_code="99214"),
    "no date": claim(claim_id="c-zq12", service_date=""),
    "a duplicate": claim(),
}


def file_of(feed: Feed, row: dict[str, str], odd: Mapping[str, bytes], end: bytes = b"\n") -> bytes:
    """A file with good rows before the odd ones and one after each."""
    key = feed.key[0]
    rows = [header(feed)]
    for number in range(GOOD_ROWS):
        ids = {"member_id": f"zq1-{number}", key: f"{row[key]}-{number}"}
        rows.append(line(feed, row, **ids))
    for number, odd_row in enumerate([line(feed, row), *odd.values()]):
        rows += [odd_row, line(feed, row, **{key: f"{row[key]}+{number}"})]
    return end.join(rows) + end


@pytest.fixture
def load(admin_url: str, template: str, tmp_path: Path) -> Load:
    """Loads an inbox into a warehouse of its own."""
    return loads(admin_url, template, tmp_path)


@pytest.mark.slow
def test_odd_rows_load_as_they_were_and_name_nobody(load: Load, inbox: Path) -> None:
    files = {
        "members.csv": file_of(MEMBERS, MEMBER, ODD_MEMBERS),
        "claims.csv": file_of(CLAIMS, CLAIM, ODD_CLAIMS),
    }
    put(inbox / "2025-01-10", files)
    returns = {"members.csv": b"\xef\xbb\xbf" + file_of(MEMBERS, MEMBER, ODD_MEMBERS, b"\r\n")}
    put(inbox / "2025-01-11", returns)
    before = load(inbox)
    reasons = {reason for *_, reason in before["rejected"]}
    assert len(reasons) >= 17, reasons
    copy = masked(inbox)
    for name, data in unpacked(copy).items():
        at = data.lower().find(SECRET)
        assert at < 0, (name, data[at - 60 : at + 60])
    assert_same(before, load(copy))


@pytest.mark.slow
def test_files_as_senders_write_them_load_as_they_were(
    load: Load, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(senders.SENDERS, mediterranean.name, mediterranean)
    french = FRENCH.replace("M\x81", "zq\x81").replace(";M;", ";zq1;").replace("Zoé", "Zqoé")
    put(inbox / "2025-01-10", {"claims.csv": encoded(french, "windows-1252")})
    # The last line of a file without an end, the mark of old systems, and a column nobody knows.
    rows = [header(MEMBERS, "ssn"), member() + b",zq-12", member(member_id="zq2") + b',"zq\nzq"']
    put(inbox / "2025-01-11", {"Members.CSV": b"\n".join(rows)})
    put(inbox / "2025-01-12", {"members.csv": b"\n".join([*rows, b"\x1a"])})
    parts = {
        f"members_{n}.csv.gz": gzip.compress(b"\r\n".join([rows[0], rows[n], b""]), mtime=n)
        for n in (1, 2)
    }
    entries = {
        name: {"kind": "snapshot", "rows": 1, "xxh3_128": xxhash.xxh3_128_hexdigest(data)}
        for name, data in parts.items()
    }
    said = {"batch_id": "parts", "_by": "zq", "as_of": "2025-02-01T00:00:00Z", "files": entries}
    put(inbox / "2025-01-13", parts, said)
    totals = {"claim_amount": "100.25", "allowed_amount": 80.50}
    amounts = {"claims.csv": {"totals": totals, "rows": 1, "xxh3_128": "0" * 32}}
    put(inbox / "2025-02-14", {"claims.csv": header(CLAIMS) + b"\n" + claim()}, {"files": amounts})
    amounts["claims.csv"].pop("xxh3_128")
    put(inbox / "2025-02-15", {"claims.csv": header(CLAIMS) + b"\n" + claim()}, {"files": amounts})
    cut = {"claims.csv": b"\n".join([header(CLAIMS), claim(), b"c-zq2,zq1"])}
    put(inbox / "2025-02-16", cut)
    (inbox / "2025-02-15" / "README.txt").write_text("for zq")
    (inbox / "2025-02-15" / "claims.csv.md5").write_text("zq")
    (inbox / ".hidden").write_text("zq")
    before = load(inbox, at_once=False)
    assert len(before["refused"]) == 2, "checksum and cut"
    assert sum(row[5] for row in before["files"]) >= 10
    copy = masked(inbox)
    names = {name for name in unpacked(inbox) if "README" not in name and ".md5" not in name}
    assert unpacked(copy).keys() == names - {".hidden"} | {"README.txt"}
    for name, data in unpacked(copy).items():
        assert SECRET not in data.lower(), name
    assert (copy / "2025-01-10/claims.csv").read_bytes().count(b"\x81") == 1
    assert_same(before, load(copy, at_once=False))


@pytest.mark.slow
def test_generated_and_published_files_load_as_they_were(load: Load, inbox: Path) -> None:
    generate(inbox, members=300, years=1, dirty="0.03", truth=inbox.parent / "truth")
    simulate(inbox, 2, dirty="0.05", truth=inbox.parent / "truth")
    shutil.copytree(PIPELINE / "hand" / "2025-01-10", inbox / "2025-12-20")
    shutil.copytree(PIPELINE / "hand" / "2025-02-01", inbox / "2025-12-21")
    plans = (REAL_FILES / "cms_plan_attributes_2025_excerpt.csv").read_bytes()
    put(inbox / "2025-12-22", {"plans.csv": plans})
    before = load(inbox)
    assert {"loaded"} == {row[2] for row in before["files"]}
    assert sum(row[6] for row in before["files"]) > 50, "rejected rows"
    assert sum(row[7] for row in before["files"]) > 10, "duplicates"
    copy = masked(inbox)
    assert (copy / "2025-12-22/plans.csv").read_bytes() == plans
    for identifier, (real, found) in values_of_people(inbox, copy).items():
        assert len(found) >= len(real) * 0.9, identifier
        assert real & found == set(), identifier
    assert_same(before, load(copy))


def values_of_people(inbox: Path, copy: Path) -> dict[Identifier, tuple[set[str], set[str]]]:
    """Values of people in an inbox and in its copy, by what they are."""
    return {
        identifier: (fields(inbox, identifier), fields(copy, identifier))
        for identifier in {c.identifier for c in MEMBERS.columns if is_replaced(c)}
    }


def fields(inbox: Path, identifier: Identifier) -> set[str]:
    """All values of the columns of members, enrollments and claims that are such identifiers."""
    found = set()
    for name, data in unpacked(inbox).items():
        feed = FEEDS.get(Path(name).name.partition(".")[0])
        if feed is None or not any(is_replaced(column) for column in feed.columns):
            continue
        wanted = {c.name for c in feed.columns if c.identifier is identifier}
        text = data.decode("utf-8-sig", errors="replace")
        for row in csv.DictReader(io.StringIO(text)):
            found |= {(row[column] or "").strip() for column in wanted & row.keys()}
    # An orphan's number in the generator's dirt has no member, and these words are no values.
    return found - {"", "?"}


def test_two_copies_have_other_people_and_one_copy_the_same_in_all_files(inbox: Path) -> None:
    for day in ("2025-01-10", "2025-01-11"):
        files = {"members.csv": file_of(MEMBERS, MEMBER, {}), "claims.csv": claim_file()}
        put(inbox / day, files)
    first, second = (masked_inbox.make(inbox, inbox.parent / name).folder for name in "ab")
    one, other = unpacked(first), unpacked(second)
    assert one["2025-01-10/members.csv"] == one["2025-01-11/members.csv"]
    assert fields(first, Identifier.MEMBER_NUMBER).isdisjoint(
        fields(second, Identifier.MEMBER_NUMBER)
    )
    assert one["README.txt"] == other["README.txt"]
    assert b"limited data set (45 CFR 164.514(e))" in one["README.txt"]


def claim_file() -> bytes:
    return file_of(CLAIMS, CLAIM, {})


def test_batches_that_cannot_be_read_are_left_out_and_named(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    put(warehouse.inbox / "2025-01-10", {"claims.csv": claim_file()})
    put(warehouse.inbox / "2025-01-11", {"claims.csv": b"zq;zq\nzq;zq\n"})
    put(warehouse.inbox / "2025-01-12", {"claims.csv": claim_file()}, {"rows": 1})
    to = tmp_path / "copy"
    ended = warehouse.command("masked-inbox", "--to", str(to))
    assert ended.returncode == 4
    assert "2 of the inbox's batches cannot be loaded and were left out." in (
        ended.stdout + ended.stderr
    )
    assert sorted(path.name for path in to.iterdir()) == ["2025-01-10", "README.txt"]
    assert "zq" not in (ended.stdout + ended.stderr)


def test_a_file_in_another_form_is_left_out_and_named(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = FileForm(delimiter=";")
    semicolons = SenderContract("semicolons", FEEDS["claims"], "With semicolons.", form=form)
    monkeypatch.setitem(senders.SENDERS, semicolons.name, semicolons)
    said = {"files": {"claims.csv": {"contract": semicolons.name}}}
    put(inbox / "2025-01-10", {"claims.csv": claim_file().replace(b",", b";")}, said)
    put(inbox / "2025-01-11", {"claims.csv": claim_file()})
    copied = masked_inbox.make(inbox, inbox.parent / "copy")
    (error,) = copied.left_out
    assert "in which no masked copy can be written" in error.message
    assert [path.name for path in copied.folder.glob("2025*")] == ["2025-01-11"]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("", "Which folder is meant?"),
        ("inbox", "lies in the inbox"),
        ("inbox/2025-01-10/copy", "lies in the inbox"),
        ("full", "is no empty folder"),
        ("full/file", "is no empty folder"),
        ("full/file/copy", "cannot be written"),
    ],
)
def test_a_folder_that_cannot_be_written_is_refused(
    warehouse: Warehouse, tmp_path: Path, to: str, said: str
) -> None:
    put(warehouse.inbox / "2025-01-10", {"claims.csv": claim_file()})
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    before = unpacked(tmp_path)
    ended = warehouse.command("masked-inbox", "--to", str(tmp_path / to) if to else "")
    assert ended.returncode == 2
    assert said in (ended.stdout + ended.stderr)
    assert unpacked(tmp_path) == before


def test_nothing_is_left_of_a_copy_that_failed(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(inbox / "2025-01-10", {"claims.csv": claim_file()})
    to = inbox.parent / "out" / "copy"
    abandoned = to.parent / ".copy.killed.partial"
    abandoned.mkdir(parents=True)
    (abandoned / "claims.csv").write_text("half of it")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(masked_inbox.files.Rows, "rewritten", Mock(side_effect=full))
    with pytest.raises(OSError, match="No space"):
        masked_inbox.make(inbox, to)
    assert list(to.parent.iterdir()) == []
    explained = trouble.explain(full)
    assert explained is not None
    assert explained.exit_code == 3


@pytest.mark.slow
def test_people_of_a_sender_with_other_columns_are_masked(load: Load, inbox: Path) -> None:
    """Fields that no column of ours is have people too: numbers, names at birth, places."""
    export = REAL_FILES / "synthea"
    names = ("patients.csv", "payers.csv", "providers.csv")
    put(inbox / "2025-01-02", {name: (export / name).read_bytes() for name in names})
    before, copy = load(inbox), masked(inbox)
    patients = (copy / "2025-01-02/patients.csv").read_bytes().decode()
    personal = ("Id", "SSN", "DRIVERS", "PASSPORT", "FIRST", "LAST", "MAIDEN", "BIRTHPLACE")
    for row in rows_of(export / "patients.csv"):
        for name in (*personal, "ADDRESS", "LAT", "LON"):
            assert not row[name] or row[name] not in patients, name
    assert_same(before, load(copy))
