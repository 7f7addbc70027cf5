"""Masked copies of files whose contract makes keys, names and numbers: they load as the original.

Whatever names a person in the drawn files contains ``zq``, which no invented value has.
"""

from __future__ import annotations

import csv
import io
import random
import shutil
from pathlib import Path

import pytest

from etl.contracts import senders
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import SenderContract
from etl.contracts.value import (
    Value,
    batch_date,
    constant,
    first,
    join,
    of,
    repeat,
    where,
    where_not,
)
from etl.masked_inbox.made import MadeField, uses_of
from etl.masked_inbox.people import People
from tests.support.files import REAL_FILES, add_up
from tests.support.masked_inboxes import Load, assert_same, loads, masked, put, unpacked

ENROLLMENTS, CLAIMS, MEMBERS = FEEDS["enrollments"], FEEDS["claims"], FEEDS["members"]
PERSON = join("GROUP", of("PERSON").part(1, 9), separator="-")
PLACES = {"M": "WI", "F": "FL"}
MADE_MEMBERS = SenderContract(
    "made_members",
    MEMBERS,
    "Members, of whom nothing is a column as it stands.",
    columns={
        "member_id": PERSON,
        "first_name": of("NAME").part(pattern="^[^/]*/(.*)$"),
        "last_name": of("NAME").part(pattern="^([^/]*)/"),
        "phone": first(of("MOBILE").map({"none": None}, others="keep"), "PHONE"),
        "dob": of("BORN").date("YYYYMMDD"),
        "gender": of("KIND").part(1, 1),
        "state": of("KIND").part(1, 1).map(PLACES),
        "region": of("PERSON").part(10, 2),
        "year": batch_date().part(1, 4),
    },
    where=(where_not("PERSON", "nobody"), where("KIND", "M1", "F1", "F2", "")),
    not_sent=tuple(
        name
        for name in MEMBERS.required
        if name
        not in (
            *("member_id", "first_name", "last_name", "dob", "gender", "state"),
            *("region", "year"),
        )
    ),
    sends_more=True,
)
MADE_CLAIMS = SenderContract(
    "made_claims",
    CLAIMS,
    "Claims whose number is made of the member's, the day and a place in the file.",
    columns={
        "claim_id": join("GROUP", "PERSON", "FROM", of("SEQ").map({"1": "A"}, others="keep")),
        "member_id": PERSON,
        "provider_id": constant("P-1"),
        "plan_id": constant("PLAN-1"),
        "service_date": of("FROM").date("YYYYMMDD"),
        **{name: of("CENTS").scale("0.01") for name in CLAIMS.money},
        "status": constant("approved"),
        "diagnosis_code": of("CODE"),
        "procedure_code": constant("99213"),
    },
    sends_more=True,
)
# Two numbers of each line: whose it is, and whoever else it covers.
MADE_ENROLLMENTS = SenderContract(
    "made_enrollments",
    ENROLLMENTS,
    "Enrollments of two members in a line.",
    columns={"plan_id": constant("PLAN-1"), "start_date": of("FROM").date("YYYYMMDD")},
    repeat=repeat(
        enrollment_id=[join("GROUP", name, "FROM", separator="/") for name in ("PERSON", "OTHER")],
        member_id=[join("GROUP", of(n).part(1, 9), separator="-") for n in ("PERSON", "OTHER")],
    ),
    not_sent=("premium_paid", "aptc_amount"),
    sends_more=True,
)
GROUPS = ("zqgroup1", "zqgroup2")
ODD = ("", "nobody", "null", "zq", "zqtoo short", "zq" * 30, "zq/zq/zq", "20251301", "Zqé", "?")
SECRET = b"zq"


@pytest.fixture
def load(admin_url: str, template: str, tmp_path: Path) -> Load:
    """Loads an inbox into a warehouse of its own."""
    return loads(admin_url, template, tmp_path)


def rows(draw: random.Random, count: int) -> list[dict[str, str]]:
    """Rows of a sender, one in five with an odd field."""
    found = []
    for number in range(count):
        person = f"zq{number % 30:07d}"
        row = {
            "GROUP": draw.choice(GROUPS),
            "PERSON": f"{person}{draw.choice(['', 'N1', 'S2', 'N1-7'])}",
            "OTHER": draw.choice(["", f"zq9{number % 7:06d}"]),
            "NAME": f"Zqname{number % 30}/Zqfirst{draw.randrange(3)}",
            "MOBILE": draw.choice(["none", "", f"555-zq{number % 30}"]),
            "PHONE": f"555-zq{number % 30}1",
            "BORN": f"19{50 + number % 30}0102",
            "KIND": draw.choice(["M1", "F1", "F2", "", "X1"]),
            "FROM": f"202501{1 + draw.randrange(28):02d}",
            "SEQ": draw.choice("123"),
            "CENTS": str(draw.randrange(100, 99999)),
            "CODE": draw.choice(["E119", "I10"]),
            "NOTE": "zq",
        }
        if draw.random() < 0.2:
            # A code is kept whatever it says.
            row[draw.choice([name for name in row if name != "CODE"])] = draw.choice(ODD)
        found.append(row)
    return found


def text_of(found: list[dict[str, str]]) -> bytes:
    written = io.StringIO()
    writer = csv.DictWriter(written, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return written.getvalue().encode()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_made_keys_and_names_load_as_they_were(
    seed: int, load: Load, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (MADE_MEMBERS, MADE_CLAIMS, MADE_ENROLLMENTS)
    for contract in made:
        monkeypatch.setitem(senders.SENDERS, contract.name, contract)
    draw = random.Random(seed)
    for day in ("2025-01-10", "2025-02-10"):
        said = {f"{c.feed.name}.csv": {"contract": c.name, "kind": "delta"} for c in made}
        files = {f"{c.feed.name}.csv": text_of(rows(draw, 150)) for c in made}
        put(inbox / day, files, {"files": said})
    before = load(inbox)
    assert {"loaded"} == {row[2] for row in before["files"]}
    assert {row[1]: row[5] for row in before["files"]}.keys() == {c.feed.name for c in made}
    assert min(row[5] for row in before["files"]) > 30, "rows loaded"
    assert len(before["rejected"]) > 20
    assert sum(before["dim_member"].values()) > 40
    copy = masked(inbox)
    for name, data in unpacked(copy).items():
        if not name.endswith(".csv"):
            continue
        at = data.lower().find(SECRET)
        assert at < 0, (name, data[at - 80 : at + 80])
    assert_same(before, load(copy))


@pytest.mark.slow
def test_published_files_with_made_keys_load_as_they_were(load: Load, inbox: Path) -> None:
    export = REAL_FILES / "synthea"
    first_batch = inbox / "2025-01-02"
    names = ("patients", "payers", "payer_transitions", "providers")
    put(first_batch, {f"{n}.csv": (export / f"{n}.csv").read_bytes() for n in names})
    assert add_up(export, first_batch).returncode == 0
    second = inbox / "2025-01-03"
    second.mkdir()
    for path in (REAL_FILES / "desynpuf").iterdir():
        if "2009" not in path.name and "2010_B" not in path.name:
            shutil.copy(path, second)
    before = load(inbox)
    assert sum(before["enrollments_raw"].values()) > 0
    assert_same(before, load(masked(inbox)))


@pytest.mark.parametrize(
    ("made", "text", "is_given"),
    [
        (of("X").part(1, 9), "770001234-01", True),
        (of("X").part(1, 4), "7700123401", True),
        (of("X").part(pattern="^([0-9]+)-"), "770001234-01", True),
        (of("X").part(pattern="^(Mr [a-z]+)$"), "Mr zqsmith", False),
        (of("X").map({"zqa": "1"}, others="keep"), "zqb", True),
        (join("X", "Y"), "zq", True),
        (first("Y", "X"), "zq", True),
        (join(of("X").part(2), of("X").part(1, 1), separator="-"), "zqsmith-770001234", True),
    ],
)
def test_of_a_field_what_names_a_person_is_replaced_or_nothing_is_left(
    made: Value, text: str, is_given: bool
) -> None:
    contract = SenderContract("made", MEMBERS, "", columns={"member_id": made})
    field = MadeField(uses_of(contract, "x"), contract.parsing, People())
    new = field.replaced(text.encode()).decode()
    assert bool(new) is is_given
    assert SECRET.decode() not in new.lower()
    assert "770001234" not in new
    assert field.replaced(text.encode()).decode() == new
