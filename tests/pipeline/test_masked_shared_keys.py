"""Masked copies of inboxes in which one sender joins a key that another writes whole.

Whatever names a person in these files contains ``zq``, which no invented value has.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from etl.contracts import senders
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import SenderContract
from etl.contracts.value import Value, join, of
from etl.masked_inbox import copy as masked_inbox
from tests.support.feeds import fill
from tests.support.masked_inboxes import Load, assert_same, loads, masked, put, unpacked
from tests.support.tables import draw

MEMBERS, CLAIMS = FEEDS["members"], FEEDS["claims"]
MEMBER_ID = join("GROUP", of("PERSON").part(1, 5), separator="-")
MADE_MEMBERS = SenderContract(
    "made_members",
    MEMBERS,
    "Members whose number is that of a group and that of a person in it.",
    columns={"member_id": MEMBER_ID, "city": of("PERSON").part(6, 4)},
)
MADE_CLAIMS = SenderContract(
    "made_claims",
    CLAIMS,
    "Claims whose number is that of a case, its kind and the day of service.",
    columns={
        "claim_id": join(
            "CASE", of("KIND").map({"1": "A", "2": "B"}), of("DAY").part(1, 10), separator="/"
        ),
        "member_id": MEMBER_ID,
        "service_date": of("DAY").part(1, 10),
    },
)
MADE = (MADE_MEMBERS, MADE_CLAIMS)
MEMBERS_MADE = """
    GROUP | PERSON    | state | source_updated_at
    zqgr1 | zqp01Rome | FL    | 2025-01-02
    zqgr1 | zqp02Lima | OH    | 2025-01-02
"""
CLAIMS_MADE = """
    CASE   | KIND | DAY                  | GROUP | PERSON | paid_amount
    zqcase | 1    | 2025-01-03T00:00:00Z | zqgr1 | zqp01  | 60.00
    zqcase | 2    | 2025-01-03           | zqgr1 | zqp02  | 61.00
    zqcase | 1    | 2025-01-04           | zqgr1 |        | 62.00
"""
# The same members and claims, and numbers that the contracts do not join.
MEMBERS_WHOLE = """
    member_id   | state | source_updated_at
    zqgr1-zqp01 | WI    | 2025-02-02
    zqgr1-zqp2  | WI    | 2025-02-02
    zq-zq-zqp02 | WI    | 2025-02-02
"""
CLAIMS_WHOLE = """
    claim_id              | member_id   | service_date | paid_amount | status
    zqcase/A/2025-01-03   | zqgr1-zqp01 | 2025-01-03   | 70.00       | adjusted
    zqcase/B/2025-01-03   | zqgr1-zqp02 | 2025-01-03   | 0.00        | denied
    zqcase/C/2025-01-03   | zqgr1-zqp02 | 2025-01-03   | 1.00        | approved
    zqcase/A/Zqann-Smit   | zqgr1-zqp02 | 2025-01-03   | 2.00        | approved
    zqcase/B/A/2025-01-03 | zqother     | 2025-01-03   | 3.00        | approved
"""


def file_of(feed: Feed, rows: str, made: SenderContract | None = None) -> bytes:
    """A file with drawn rows, the other columns filled in."""
    names = list(made.columns) if made else []
    found = []
    for row in draw(rows):
        ours = {name: value for name, value in row.items() if name.islower()}
        filled = {k: v for k, v in fill(feed, ours).items() if k not in names}
        found.append(row | filled)
    written = io.StringIO()
    writer = csv.DictWriter(written, list(found[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return written.getvalue().encode()


@pytest.fixture
def two_senders(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A batch of which keys are joined, and a later one that has them whole."""
    for contract in MADE:
        monkeypatch.setitem(senders.SENDERS, contract.name, contract)
    joined = {
        "members.csv": file_of(MEMBERS, MEMBERS_MADE, MADE_MEMBERS),
        "claims.csv": file_of(CLAIMS, CLAIMS_MADE, MADE_CLAIMS),
    }
    said = {f"{c.feed.name}.csv": {"contract": c.name, "kind": "delta"} for c in MADE}
    put(inbox / "2025-01-10", joined, {"files": said})
    whole = {
        "members.csv": file_of(MEMBERS, MEMBERS_WHOLE),
        "claims.csv": file_of(CLAIMS, CLAIMS_WHOLE),
    }
    put(inbox / "2025-02-10", whole)
    return inbox


def rows_of(copy: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((copy / name).read_text(encoding="utf-8"))))


def test_a_key_that_is_joined_meets_the_same_in_whole(two_senders: Path) -> None:
    copy = masked(two_senders)
    joined = [
        f"{row['GROUP']}-{row['PERSON'][:5]}" for row in rows_of(copy, "2025-01-10/members.csv")
    ]
    whole = [row["member_id"] for row in rows_of(copy, "2025-02-10/members.csv")]
    assert whole[0] == joined[0] != joined[1]
    assert not {*whole[1:]} & {*joined}
    kinds = {"1": "A", "2": "B"}
    claims = [
        f"{row['CASE']}/{kinds[row['KIND']]}/{row['DAY'][:10]}"
        for row in rows_of(copy, "2025-01-10/claims.csv")
    ]
    numbers = [row["claim_id"] for row in rows_of(copy, "2025-02-10/claims.csv")]
    assert numbers[:2] == claims[:2]
    assert len({*numbers, *claims}) == 6
    # Of what is no such key nothing is kept, also where it has the form of one.
    for name, data in unpacked(copy).items():
        assert b"zq" not in data.lower() or name == "README.txt", name
    assert b"Smit" not in (copy / "2025-02-10/claims.csv").read_bytes()


def test_a_load_of_such_a_copy_is_that_of_the_original(
    two_senders: Path, admin_url: str, template: str, tmp_path: Path
) -> None:
    load: Load = loads(admin_url, template, tmp_path)
    before = load(two_senders)
    assert sum(before["dim_member"].values()) == 7  # nobody, zqp01 in two states, four others
    assert sum(before["fact_claim_past"].values()) == 2
    assert_same(before, load(masked(two_senders)))


CANNOT_MEET = {
    "no separator": join("GROUP", "PERSON"),
    "a word for another, and others as they are": join(
        of("GROUP").map({"x": "y"}, others="keep"), "PERSON", separator="-"
    ),
    "a part with the separator in it": join("PERSON", "GROUP", separator="q"),
    "a part that is kept": join("state", "PERSON", separator="-"),
}


@pytest.mark.parametrize("made", CANNOT_MEET.values(), ids=list(CANNOT_MEET))
def test_a_key_that_cannot_be_taken_apart_is_refused_where_another_file_has_it_whole(
    made: Value, two_senders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = SenderContract(
        "made_members", MEMBERS, "", columns={"member_id": made}, sends_more=True
    )
    monkeypatch.setitem(senders.SENDERS, "made_members", contract)
    copied = masked_inbox.make(two_senders, two_senders.parent / "copy")
    (error,) = copied.left_out
    assert "members.csv of batch 2025-01-10 joins a member_id of several fields" in error.message
    assert not (copied.folder / "2025-01-10").exists()
    assert (copied.folder / "2025-02-10").exists()
