"""Rejected rows under contracts that make numbers of members and keys: erased, and named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from etl.contracts import senders
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import SenderContract
from etl.contracts.value import batch_date, join, numbered, of, repeat
from etl.pipeline import commands
from etl.pipeline.erase import erase
from etl.quarantine import export
from tests.support.warehouse import Warehouse

HEAD = "Group,Number,First,Last,Born,Sex"
COUNTY = SenderContract(
    "county",
    FEEDS["members"],
    "A county whose numbers are of two fields.",
    files=("county*.csv",),
    columns={
        "member_id": join(of("Group").map({"1": "A", "2": "B"}), "Number", separator="-"),
        "first_name": of("First"),
        "last_name": of("Last"),
        "dob": of("Born"),
        "gender": of("Sex").map({"1": "M", "2": "F"}),
        "year": batch_date().part(1, 4),
    },
    not_sent=tuple(
        name
        for name in FEEDS["members"].required
        if name not in ("member_id", "first_name", "last_name", "dob", "gender", "year")
    ),
    reject_share=1,
)
CODES = SenderContract(
    "codes",
    FEEDS["claim_diagnoses"],
    "Two diagnoses next to each other.",
    files=("codes*.csv",),
    columns={"claim_id": join("office", "claim", separator="-"), "service_date": of("day")},
    repeat=repeat("position", diagnosis_code=numbered("dx{}", 2)),
    reject_share=1,
)


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for contract in (COUNTY, CODES):
        monkeypatch.setitem(senders.SENDERS, contract.name, contract)


def put(warehouse: Warehouse, day: str, name: str, *lines: str, **said: Any) -> None:
    folder = warehouse.send(day, {"files": {name: said}} if said else None)
    (folder / name).write_text("\n".join([*lines, ""]))


def raw_lines(warehouse: Warehouse) -> list[str]:
    return [
        line
        for (line,) in warehouse.rows(
            "select raw_line from quality.quarantined_line order by rejected_row_id"
        )
    ]


def test_an_erased_member_is_found_in_rejected_rows_by_the_number_that_is_made(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    other = "2,77,Otto,Other,1970-13-01,1"
    put(
        warehouse,
        "2025-02-01",
        "county_1.csv",
        HEAD,
        "1,77,Zelda,Quaint,1980-01-01,2",
        "1,77,Zeldine,Quainter,1980-13-01,2",  # another name than any row that is loaded
        other,
    )
    warehouse.incremental(1)
    day = ("2025-02-01", "members")
    ((path, count),) = export.export(warehouse.url, warehouse.data / "quarantine", *day)
    ((before, _),) = export.export(warehouse.url, tmp_path, *day)
    assert count == 2
    assert "Quainter" in path.read_text()
    warehouse.run(erase, "A-77", "request of the member")
    first, second = raw_lines(warehouse)
    assert "Zeld" not in first
    assert "Quaint" not in first
    assert second == other
    exported = path.read_text()
    assert "Quaint" not in exported
    assert "Otto" in exported
    # Corrected in an export from before, the row is rejected again, and without a name.
    before.write_text(before.read_text().replace("1980-13-01", "1980-14-01"))
    warehouse.run(commands.replay_export, before)
    assert not [line for line in raw_lines(warehouse) if "Quaint" in line]
    # A later file names the member once more, in a row that is rejected.
    put(warehouse, "2025-02-02", "county_2.csv", HEAD, "1,77,Zelma,Quaintest,soon,2", other)
    warehouse.incremental(1)
    *_, later, again = raw_lines(warehouse)
    assert "Zel" not in later
    assert "Quaint" not in later
    assert again == other


def test_rejected_rows_of_a_snapshot_name_the_keys_that_are_made(warehouse: Warehouse) -> None:
    put(
        warehouse,
        "2025-02-01",
        "county_1.csv",
        HEAD,
        "1,77,Zelda,Quaint,1980-01-01,2",
        "2,78,Otto,Other,1970-13-01,1",
        "9,79,Otto,Other,1970-01-01,1",  # of this group no number can be made
        kind="snapshot",
    )
    warehouse.incremental(1)
    assert warehouse.rows("select key from quality.rejected_key") == [(["B-78"],)]


def test_a_rejected_line_names_the_key_of_each_of_its_rows(warehouse: Warehouse) -> None:
    put(
        warehouse,
        "2025-02-01",
        "codes_1.csv",
        "office,claim,day,dx1,dx2",
        "W,1,soon,E119,I10",
        kind="snapshot",
    )
    with warehouse.pipeline() as pipeline:
        commands.run_stages(pipeline, ("stage",))
    assert warehouse.rows("select key from quality.rejected_key order by key") == [
        (["W-1", "1"],),
        (["W-1", "2"],),
    ]
