"""Contracts with senders: a file is read as its contract declares, without other code."""

from __future__ import annotations

import csv
import gzip
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from etl.contracts import senders, value
from etl.contracts.column import Breach, Matches
from etl.contracts.feed import Volume
from etl.contracts.feeds import FEEDS
from etl.contracts.file_form import FileForm
from etl.contracts.sender import Parsing, SenderContract
from etl.errors import BatchError, RejectThresholdError
from etl.inbox import header
from etl.pipeline import commands
from etl.quarantine import export
from etl.stages.stage.staged import Staged
from tests.support.files import REAL_FILES
from tests.support.mediterranean import FRENCH, encoded, mediterranean
from tests.support.warehouse import Warehouse

# Plan, name, metal level, deductible, limit, share: as a person reads them in the file.
CMS = [
    ("10091OR0750002", "Navigator Bronze HSA 8050", "Expanded Bronze", 8050, 8050, "0"),
    ("10091OR0750004", "Navigator Silver 4000 Exchange", "Silver", 4000, 8500, "0.3"),
    ("10091OR0750005", "Navigator Silver 3500 Exchange", "Silver", 3500, 9000, "0.5"),
    ("10091OR0760001", "Navigator Gold 1500 Exchange", "Gold", 1500, 7500, "0.2"),
    ("18350HI0880001", "HMSA Platinum PPO", "Platinum", 0, 4300, "0"),
    ("18350HI0880003", "HMSA Catastrophic Plan", "Catastrophic", 9200, 9200, "0"),
    ("60612HI0110018", "KP HI Standard Gold 1500/30", "Gold", 1500, 7800, "0.25"),
]


def put(
    warehouse: Warehouse, day: str, name: str, data: bytes, said: Mapping[str, Any] | None = None
) -> Staged:
    """Stage one file; its result."""
    manifest = None if said is None else {"files": {name: said}}
    folder = warehouse.send(day, manifest)
    (folder / name).write_bytes(data)
    with warehouse.pipeline() as pipeline:
        commands.run_stages(pipeline, ("stage",))
        return pipeline.summary.files[-1]


def rejected(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return warehouse.rows(
        "select line, column_name, reason from quality.rejected_row order by load_id, line"
    )


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> SenderContract:
    monkeypatch.setitem(senders.SENDERS, mediterranean.name, mediterranean)
    return mediterranean


def test_the_plan_attributes_of_cms_load_as_they_are(warehouse: Warehouse) -> None:
    data = (REAL_FILES / "cms_plan_attributes_2025_excerpt.csv").read_bytes()
    staged = put(warehouse, "2025-01-01", "plans.csv", data)
    # Seven stand-alone dental plans, and seven variants without cost sharing.
    assert (staged.read, staged.loaded, staged.filtered.total()) == (30, 16, 14)
    found = warehouse.rows(
        "select plan_id, name, metal_tier, deductible, oop_max, coinsurance_rate, "
        "effective_year, monthly_premium, pcp_copay from staging.plans_raw order by plan_id"
    )
    wanted = {(*plan[:5], Decimal(plan[5]), 2025, None, None) for plan in CMS}
    assert wanted <= set(found)
    assert all(row[3] is not None and row[4] is not None for row in found)
    assert rejected(warehouse) == []
    assert staged.notes == []
    extra = staged.findings.pop("extra_columns")
    assert (len(extra), extra[0]) == (136, "statecode")
    assert staged.findings == {"byte_order_mark": True, "crlf": True}


def test_plan_attributes_of_other_years_load_alike(warehouse: Warehouse) -> None:
    """Money with a blank behind it, line feeds inside names, no byte-order mark."""
    lines = (REAL_FILES / "cms_plan_attributes_2025_excerpt.csv").read_bytes().splitlines()
    head, platinum = lines[0].removeprefix(b"\xef\xbb\xbf"), lines[3]
    assert b'"$4,300"' in platinum
    row = platinum.replace(b'"$4,300"', b'"$4,300 "').replace(
        b"HMSA Platinum PPO", b'"HMSA\nPlatinum ""PPO"""'
    )
    staged = put(warehouse, "2025-01-01", "plans.csv.gz", gzip.compress(head + b"\n" + row))
    assert (staged.loaded, staged.findings["trimmed_rows"]) == (1, 1)
    assert warehouse.rows("select name, oop_max from staging.plans_raw") == [
        ('HMSA\nPlatinum "PPO"', 4300)
    ]


def test_declared_sender_needs_no_code(warehouse: Warehouse, declared: SenderContract) -> None:
    staged = put(warehouse, "2025-02-01", "claims.csv", encoded(FRENCH, "windows-1252"))
    columns = (
        "source_line, claim_id, member_id, service_date, claim_amount, allowed_amount, "
        "paid_amount, discharge_date, diagnosis_code, procedure_code"
    )
    assert warehouse.rows(f"select {columns} from staging.claims_raw order by 1") == [
        (2, "A", "Zoé", date(2024, 12, 31), Decimal("1234.50"), 1000, 900, None, "E119", None),
        (3, "B", None, date(2025, 2, 1), Decimal("-12.5"), 7, 0, date(2025, 2, 3), None, None),
        (15, "C", "M", date(2025, 2, 1), 1, 1, 1, None, "E119", None),
    ]
    amount, day = "not a valid amount", "not a valid date"
    assert rejected(warehouse) == [
        (5, "service_date", day),
        (6, "service_date", day),
        (7, "claim_amount", amount),
        (8, "claim_amount", amount),
        (9, "claim_id", "a key that is empty"),
        (10, "paid_amount", "outside what the contract allows"),
        (11, "service_date", day),
        (12, "service_date", day),
        (13, None, "bytes that are not UTF-8"),
        (14, "claim_amount", amount),
        (16, "claim_amount", amount),
    ]
    assert (staged.read, staged.loaded, staged.duplicate) == (15, 3, 1)
    assert staged.notes == ["line 13 is the first with bytes that are not windows-1252"]
    assert staged.findings == {"crlf": True}
    assert warehouse.rows("select raw_line from quality.rejected_row where line = 5") == [
        ('"D","M","P","Q","2/13/2025","1","1","","1","*","approved","E119"',)
    ]


def test_a_declared_delimiter_gives_the_rows_of_a_file_with_commas(
    warehouse: Warehouse, declared: SenderContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loaded(day: str, data: bytes) -> tuple[Any, ...]:
        staged = put(warehouse, day, "claims.csv", data)
        rows = warehouse.rows(
            "select source_line, claim_id, service_date, claim_amount, paid_amount "
            f"from staging.claims_raw where load_id = {staged.load_id} order by 1"
        )
        bad = warehouse.rows(
            "select line, column_name, reason from quality.rejected_row "
            f"where load_id = {staged.load_id} order by 1, 2"
        )
        return staged.counts(), staged.totals, staged.lines_read, rows, bad

    with_commas = loaded("2025-02-01", encoded(FRENCH, "windows-1252"))
    form = FileForm(delimiter=";")
    monkeypatch.setitem(senders.SENDERS, declared.name, replace(declared, form=form))
    parts = FRENCH.split("\x81")
    as_written = b"\x81".join(part.encode("windows-1252") for part in parts)
    assert loaded("2025-02-02", as_written) == with_commas
    texts = warehouse.column("select raw_line from quality.rejected_row where line = 7")
    assert texts[-1] == 'F,M,P,Q,1.2.2025,"1,234.50",1,,1,*,approved,E119'
    with pytest.raises(BatchError, match="separates its fields by commas, not by semicolons"):
        put(warehouse, "2025-02-03", "claims.csv", encoded(FRENCH, "windows-1252"))


PLANS = ("plan_id", "metal_tier", "effective_year")


def plans(monkeypatch: pytest.MonkeyPatch, form: FileForm) -> None:
    """Declare a sender of plans whose files have this form and the columns ``PLANS``."""
    not_sent = tuple(set(FEEDS["plans"].required) - set(PLANS))
    sender = SenderContract(
        "lists", FEEDS["plans"], "", form=form, not_sent=not_sent, reject_share=0.9
    )
    monkeypatch.setitem(senders.SENDERS, sender.name, sender)


def test_lines_around_the_rows_are_accounted_for_in_every_part(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans(monkeypatch, FileForm("|", before="Report", after="Total"))
    head = "Report\n\nplan_id|metal_tier|effective_year\n"
    folder = warehouse.send("2025-02-01", {"files": {"plans.csv": {"contract": "lists"}}})
    (folder / "plans_1.csv").write_text(head + "A|Gold|2025\nB|Gold|x\n\nTotal|2\nTotal|0")
    (folder / "plans_2.csv").write_text(head + "C|Gold|2025\nD|Gold|x\n")
    warehouse.incremental()
    assert warehouse.rows(
        "select f.file_name, s.plan_id, s.source_line - f.first_line + 2 "
        "from staging.plans_raw as s inner join quality.source_file as f on f.load_id = s.load_id "
        "and s.source_line between f.first_line and coalesce(f.last_line, s.source_line) order by 1"
    ) == [("plans_1.csv", "A", 4), ("plans_2.csv", "C", 4)]
    assert warehouse.rows("select file, file_line from quality.rejected_row order by 1") == [
        ("plans_1.csv", 5),
        ("plans_2.csv", 5),
    ]
    assert warehouse.rows(
        "select rows_read, lines_read, lines_blank, findings ->> 'lines_around_rows' "
        "from ledger.load_file where feed = 'plans'"
    ) == [(4, 13, 0, "7")]


def test_file_without_a_header_has_the_names_of_its_contract(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans(monkeypatch, FileForm(names=PLANS))
    said = {"contract": "lists"}
    put(warehouse, "2025-02-01", "plans.csv", b"A,Gold,x\nB,Gold,2025\n", said)
    assert warehouse.rows("select plan_id, source_line from staging.plans_raw") == [("B", 2)]
    assert warehouse.rows("select line, file_line, raw_line from quality.rejected_row") == [
        (1, 1, "A,Gold,x")
    ]
    ((path, _),) = export.export(warehouse.url, warehouse.data, "2025-02-01", "plans")
    path.write_text(path.read_text("utf-8").replace(",x", ",2025"), "utf-8")
    warehouse.run(commands.replay_export, path)
    assert warehouse.rows("select source_line from staging.plans_raw order by 1") == [(1,), (2,)]
    assert warehouse.rows(
        "select rows_read, rows_loaded, rows_rejected from ledger.load_file_part where part = 1"
    ) == [(2, 2, 0)]
    # Nothing in it says that it is such a file: without the manifest's word it is none.
    with pytest.raises(BatchError, match="names none of the columns of plans"):
        put(warehouse, "2025-02-02", "plans.csv", b"A,Gold,2025\n")
    shutil.rmtree(warehouse.inbox / "2025-02-02")
    with pytest.raises(BatchError, match="has 2 fields on its first line"):
        put(warehouse, "2025-02-03", "plans.csv", b"A,Gold\n", said)


def test_rejected_rows_are_exported_and_replayed_in_the_format_of_their_sender(
    warehouse: Warehouse, declared: SenderContract
) -> None:
    put(warehouse, "2025-02-01", "claims.csv", encoded(FRENCH, "windows-1252"))
    ((path, count),) = export.export(warehouse.url, warehouse.data, "2025-02-01", "claims")
    assert count == 11
    right = {"5": ("date", "13/2/2025"), "7": ("réclamé", "1.234,50 €"), "9": ("n° sinistre", "H")}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(r | dict([right[r["_line"]]]) if r["_line"] in right else r for r in rows)
    warehouse.run(commands.replay_export, path)
    assert warehouse.rows(
        "select f.claim_id, m.member_id, f.service_date, f.claim_amount from warehouse.fact_claim "
        "as f join warehouse.dim_member as m using (member_sk) where claim_id in ('D', 'F', 'H') "
        "order by 1"
    ) == [
        ("D", "M", date(2025, 2, 13), 1),
        ("F", "M", date(2025, 2, 1), Decimal("1234.50")),
        ("H", "M", date(2025, 2, 1), 1),
    ]
    assert warehouse.value("select sum(rows_open) from quality.quarantine_open") == 8


def test_breach_may_refuse_the_file(warehouse: Warehouse, declared: SenderContract) -> None:
    data = encoded(FRENCH.replace("approved", "lost", 2), "windows-1252")
    with pytest.raises(BatchError, match=r"status of 2 rows is not one of pending") as refused:
        put(warehouse, "2025-02-01", "claims.csv", data)
    assert "lost" not in str(refused.value)
    assert warehouse.value("select count(*) from staging.claims_raw") == 0


def test_the_manifest_says_under_which_contract_a_file_comes(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        senders.SENDERS,
        "americans",
        SenderContract(
            "americans", FEEDS["claims"], "Dates as in the USA.", parsing=Parsing("utf-8", "mdy")
        ),
    )
    own = fields(service_date="2025-02-03")
    put(warehouse, "2025-02-01", "claims.csv", own)
    american = fields(service_date="2/3/2025")
    staged = put(warehouse, "2025-02-02", "claims.csv", american, {"contract": "americans"})
    assert (staged.contract.name, staged.findings) == ("americans", {})
    assert (
        warehouse.rows("select service_date from staging.claims_raw") == [(date(2025, 2, 3),)] * 2
    )
    with pytest.raises(RejectThresholdError, match="not a valid date in service_date"):
        put(warehouse, "2025-02-03", "claims.csv", american.replace(b"C1", b"C2"))
    (warehouse.inbox / "2025-02-03").rename(warehouse.inbox / "_2025-02-03")
    with pytest.raises(BatchError, match=r"is none of claims, .*americans"):
        put(warehouse, "2025-02-04", "claims.csv", american, {"contract": "french"})


def fields(feed: str = "claims", **given: str) -> bytes:
    """A file of one row, whose header is what is given and what the feed requires."""
    fillers = {"claim_id": "C1", "service_date": "2025-01-01", "plan_id": "P1", "status": "paid"}
    fillers |= {"effective_year": "2025", "provider_id": "P1", "diagnosis_code": "E119"}
    row = {c: fillers.get(c, "1") for c in FEEDS[feed].required} | given
    return "\n".join([",".join(row), ",".join(row.values()), ""]).encode()


def test_differing_columns_are_reported_in_a_sentence_each(warehouse: Warehouse) -> None:
    optional = {"npi": "1234567893"}
    first = put(warehouse, "2025-02-01", "providers.csv", fields("providers"))
    assert (first.notes, first.findings) == ([], {})
    new = put(warehouse, "2025-02-02", "providers.csv", fields("providers", **optional))
    assert new.notes == ["optional columns that the last file did not have are taken: npi"]
    assert new.findings == {"new_columns": ["npi"]}
    data = fields("providers", npj="1", shade="red")
    renamed = put(warehouse, "2025-02-03", "providers.csv", data)
    assert renamed.notes == [
        "unknown column 'npj' ignored; npi, which the last file had, is missing: did the sender "
        "rename it?",
        "ignored unknown columns: 'shade'",
    ]
    assert renamed.findings == {"extra_columns": ["npj", "shade"], "lost_columns": ["npi"]}
    put(warehouse, "2025-02-04", "providers.csv", fields("providers", npi="1", zip="2"))
    data = fields("providers", zip="2").replace(b"name,specialty", b"specialty,name")
    gone = put(warehouse, "2025-02-05", "providers.csv", data)
    assert gone.notes == [
        "optional columns that the last file had are missing: npi",
        "the columns come in another order than in the last file",
    ]
    late = put(warehouse, "2025-06-05", "providers.csv", data.replace(b"P1", b"P2"))
    assert late.notes == ["the last file came 120 days before, and 93 may pass"]
    assert warehouse.rows(
        "select notes from ledger.load_file where load_id = "
        "(select max(load_id) from ledger.load_file)"
    ) == [(late.notes,)]
    meant = put(warehouse, "2025-06-06", "providers.csv", fields("providers", np1="1"))
    assert meant.notes[0] == "unknown column 'np1' ignored; did the sender mean npi?"
    wrong = fields("providers").replace(b"specialty", b"speciality")
    with pytest.raises(BatchError, match=r"specialty \(the file has 'speciality'\)"):
        put(warehouse, "2025-06-07", "providers.csv", wrong)


def test_files_of_several_senders_are_not_compared(warehouse: Warehouse) -> None:
    put(warehouse, "2025-02-01", "plans.csv", fields("plans"))
    data = (REAL_FILES / "cms_plan_attributes_2025_excerpt.csv").read_bytes()
    assert put(warehouse, "2025-02-02", "plans.csv", data).notes == []
    assert put(warehouse, "2025-02-03", "plans.csv", fields("plans", plan_id="P2")).notes == []


@pytest.mark.parametrize("breach", [Breach.WARN, Breach.REJECT_FILE])
def test_file_outside_its_expected_volume_is_noted_or_refused(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, breach: Breach
) -> None:
    sender = SenderContract("few", FEEDS["plans"], "Few plans.", volume=Volume(2, 9, breach))
    monkeypatch.setitem(senders.SENDERS, "few", sender)
    said, message = {"contract": "few"}, "1 rows where 2 to 9 are expected"
    if breach is Breach.WARN:
        staged = put(warehouse, "2025-02-01", "plans.csv", fields("plans"), said)
        assert staged.notes == [message]
    else:
        with pytest.raises(BatchError, match=message):
            put(warehouse, "2025-02-01", "plans.csv", fields("plans"), said)


def test_contradictory_contract_is_refused_where_it_is_declared() -> None:
    plans = FEEDS["plans"]
    id_, name = value.of("Id"), value.of("Name")
    wrong: Sequence[tuple[dict[str, Any], str]] = [
        ({"columns": {"planid": id_}}, "no column planid"),
        ({"not_sent": ("plan_id",)}, "without plan_id a row has no place"),
        ({"columns": {"name": name}, "not_sent": ("name",)}, "both sent and not sent"),
        ({"on_breach": {"name": Breach.REJECT_ROW}}, "without a check of name"),
        ({"columns": {"name": value.total("a", "b")}}, "is given a number"),
        ({"columns": {"oop_max": id_.day_before()}}, "is given a date"),
        ({"columns": {"name": name}, "repeat": value.repeat(name=["a"])}, "repeats and is one"),
    ]
    for given, said in wrong:
        with pytest.raises(ValueError, match=f"wrong: .*{said}"):
            SenderContract("wrong", plans, "", **given)
    with pytest.raises(ValueError, match="allowed_amount is an amount of the whole row"):
        SenderContract("wrong", FEEDS["claims"], "", repeat=value.repeat(diagnosis_code=["a"]))
    assert SenderContract("right", plans, "", checks={"name": Matches("[A-Z].*")}).check("name")
    with pytest.raises(ValueError, match="marks"):
        Parsing(decimal=",", thousands=",")
    with pytest.raises(ValueError, match="no range"):
        Volume(3, 2)
    with pytest.raises(ValueError, match="no encoding of text"):
        Parsing(encoding="windows-125")


def test_instants_and_dates_with_times_are_read_as_the_contract_declares(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = SenderContract("m", FEEDS["members"], "", parsing=Parsing(date_order="mdy"))
    monkeypatch.setitem(senders.SENDERS, "m", sender)
    text = {"member_id": "M", "dob": "2/24/1983 1:01", "year": "2025", "fpl_ratio": "1"}
    flags = {
        c.name: "true"
        for c in FEEDS["members"].columns
        if c.type.staging == "boolean" and c.required
    }
    data = fields("members", **flags, **text, source_updated_at="2/24/2023 1:01 PM")
    put(warehouse, "2025-02-01", "members.csv", data, {"contract": "m"})
    assert warehouse.rows("select dob, source_updated_at from staging.members_raw") == [
        (date(1983, 2, 24), datetime(2023, 2, 24, 13, 1, tzinfo=UTC))
    ]


def test_a_delete_marker_needs_no_date_under_any_contract(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = SenderContract("m", FEEDS["enrollments"], "", parsing=Parsing(date_order="mdy"))
    monkeypatch.setitem(senders.SENDERS, "m", sender)
    head, marked = fields("enrollments", start_date="").rstrip().split(b"\n")
    _, lacking = fields("enrollments", start_date="", enrollment_id="E2").rstrip().split(b"\n")
    lines = [head + b",is_deleted", marked + b",true", lacking + b",false", b""]
    with pytest.raises(RejectThresholdError):
        put(warehouse, "2025-02-01", "enrollments.csv", b"\n".join(lines), {"contract": "m"})
    assert rejected(warehouse) == [(3, "start_date", "not a valid date")]


def test_manifest_that_names_a_removed_contract_is_refused_by_name() -> None:
    feed = FEEDS["plans"]
    head = header.of_names(feed, None, ["plan_id", "odd"])
    assert (head.contract.name, head.targets) == ("plans", ("plan_id", None))
    with pytest.raises(BatchError, match="'gone', which is declared no more"):
        header.of_names(feed, "gone", ["plan_id"])
