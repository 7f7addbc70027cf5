"""Public files that nobody here wrote, loaded as they are under their contracts.

What is in the warehouse is compared with a plain reading of the file by Python's csv module.
"""

from __future__ import annotations

import csv
import gzip
import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.files import REAL_FILES, rows_of
from tests.support.warehouse import Warehouse

SYNPUF = REAL_FILES / "desynpuf"
PLAN_ATTRIBUTES = REAL_FILES / "cms_plan_attributes" / "plans.csv.gz"
LANDSCAPE = REAL_FILES / "qhp_landscape" / "individual_market_medical.csv"
INPATIENT = "DE1_0_2008_to_2010_Inpatient_Claims_Sample_1.csv"


def summary(year: int) -> str:
    return f"DE1_0_{year}_Beneficiary_Summary_File_Sample_1.csv"


def iso(digits: str) -> date | None:
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) if digits else None


def send(warehouse: Warehouse, day: str, manifest: dict[str, object], *files: Path) -> None:
    folder = warehouse.send(day, manifest)
    for path in files:
        shutil.copy(path, folder / path.name)


@pytest.fixture(scope="module")
def synpuf(module_warehouse: Warehouse) -> Warehouse:
    """Three yearly snapshots of beneficiaries, and their inpatient claims."""
    for year in (2008, 2009, 2010):
        said = {"files": {summary(year): {"kind": "snapshot"}}}
        send(module_warehouse, f"{year}-12-31", said, SYNPUF / summary(year))
    claims = rows_of(SYNPUF / INPATIENT)
    paid = sum(Decimal(claim["CLM_PMT_AMT"]) for claim in claims)
    described = {"rows": len(claims), "totals": {"paid_amount": str(paid)}}
    send(module_warehouse, "2011-01-01", {"files": {INPATIENT: described}}, SYNPUF / INPATIENT)
    module_warehouse.incremental()
    return module_warehouse


def test_beneficiaries_are_members_until_they_die_or_are_gone(synpuf: Warehouse) -> None:
    by_year = {year: rows_of(SYNPUF / summary(year)) for year in (2008, 2009, 2010)}
    wanted = {
        (
            row["DESYNPUF_ID"],
            iso(row["BENE_BIRTH_DT"]),
            {"1": "M", "2": "F"}[row["BENE_SEX_IDENT_CD"]],
            year,
        )
        for year, rows in by_year.items()
        for row in rows
    }
    found = synpuf.rows("select member_id, dob, gender, year from staging.members_raw")
    assert (len(found), set(found)) == (len(wanted), wanted)
    alive = {r["DESYNPUF_ID"] for r in by_year[2010] if not r["BENE_DEATH_DT"]}
    known = "from warehouse.dim_member where member_sk > 0 and not is_inferred"
    assert set(synpuf.column(f"select member_id {known} and current_flag")) == alive
    died = {
        year: {r["DESYNPUF_ID"]: iso(r["BENE_DEATH_DT"]) for r in rows if r["BENE_DEATH_DT"]}
        for year, rows in by_year.items()
    }
    ends = dict(
        synpuf.rows(f"select member_id, max(validity_end_ts)::date {known} group by member_id")
    )
    later = died[2009] | died[2010]
    assert {member: ends[member] for member in later} == later
    # Of whom the first file says only that they died, nothing is known to have been true.
    assert len(died[2008]) == 10
    assert not ends.keys() & died[2008].keys()


def test_states_and_conditions_are_mapped(synpuf: Warehouse) -> None:
    rows = {r["DESYNPUF_ID"]: r for r in rows_of(SYNPUF / summary(2008))}
    found = synpuf.rows(
        "select member_id, state, mutually_exclusive_hcc_condition from staging.members_raw "
        "where year = 2008"
    )
    assert len(found) == len(rows) == 226
    for member, state, condition in found:
        row = rows[member]
        assert (state is None) == (row["SP_STATE_CODE"] == "54")
        flags = [row[name] for name in row if name.startswith("SP_") and name != "SP_STATE_CODE"]
        assert (condition is None) == ("1" not in flags)
        if row["SP_CHRNKIDN"] == "1":
            assert condition == "Chronic kidney disease"
    texas = [row for row in rows.values() if row["SP_STATE_CODE"] == "45"]
    assert sum(state == "TX" for _, state, _ in found) == len(texas) > 0


def test_claims_diagnoses_and_procedures_come_of_one_file(synpuf: Warehouse) -> None:
    rows = [row for row in rows_of(SYNPUF / INPATIENT) if row["SEGMENT"] == "1"]
    assert len(rows) == 200
    shares = [name for name in rows[0] if name.startswith("NCH_") and name.endswith(("AMT", "AM"))]
    shares = [name for name in shares if name != "NCH_PRMRY_PYR_CLM_PD_AMT"]
    allowed = sum(
        Decimal(row[name])
        for row in rows
        for name in ("CLM_PMT_AMT", "NCH_PRMRY_PYR_CLM_PD_AMT", *shares)
        if row[name]
    )
    paid = sum(Decimal(row["CLM_PMT_AMT"]) for row in rows)
    assert synpuf.rows(
        "select count(*), sum(paid_amount), sum(allowed_amount), min(service_date) "
        "from warehouse.fact_claim"
    ) == [(len(rows), paid, allowed, min(iso(row["CLM_FROM_DT"]) for row in rows))]
    for feed, names in (
        ("claim_diagnoses", [f"ICD9_DGNS_CD_{n}" for n in range(1, 11)]),
        (
            "claim_lines",
            [f"ICD9_PRCDR_CD_{n}" for n in range(1, 7)] + [f"HCPCS_CD_{n}" for n in range(1, 46)],
        ),
    ):
        number, code = (
            ("position", "diagnosis_code")
            if feed == "claim_diagnoses"
            else ("line_number", "procedure_code")
        )
        wanted = [
            (row["CLM_ID"], at, row[name])
            for row in rows
            for at, name in enumerate(names, 1)
            if row[name]
        ]
        found = synpuf.rows(f"select claim_id, {number}, {code} from staging.{feed}_raw")
        assert sorted(found) == sorted(wanted)
        assert len(wanted) > 100


def test_what_is_filtered_is_counted_with_its_money(synpuf: Warehouse) -> None:
    segments = [row for row in rows_of(SYNPUF / INPATIENT) if row["SEGMENT"] == "2"]
    assert synpuf.rows(
        "select rows_read, rows_loaded, rows_filtered, rows_added, totals -> 'paid_amount' ->> "
        "'filtered' from ledger.load_file where feed = 'claims'"
    ) == [(203, 200, 3, 0, str(sum(Decimal(row["CLM_PMT_AMT"]) for row in segments)))]
    read, loaded, rejected, filtered, added = synpuf.rows(
        "select rows_read, rows_loaded, rows_rejected, rows_filtered, rows_added "
        "from ledger.load_file where feed = 'claim_diagnoses'"
    )[0]
    assert (read, rejected, filtered) == (203, 0, 3)
    assert loaded == read + added - filtered


def amount(row: dict[str, str], name: str) -> Decimal:
    """A limit of medical and drug benefits together, or the sum of both."""
    together, *apart = (row[f"{kind}{name}"] for kind in ("TEHB", "MEHB", "DEHB"))
    shares = [together] if together else apart
    return sum((Decimal(share.strip("$ ").replace(",", "")) for share in shares), Decimal(0))


def test_plans_of_cms_are_those_of_the_individual_market(warehouse: Warehouse) -> None:
    with gzip.open(PLAN_ATTRIBUTES, "rt", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    plans = {
        row["PlanId"][:14]: (
            row["PlanMarketingName"],
            row["MetalLevel"],
            amount(row, "DedInnTier1Individual"),
            amount(row, "InnTier1IndividualMOOP"),
        )
        for row in rows
        if row["MarketCoverage"] == "Individual"
        and row["DentalOnlyPlan"] == "No"
        and row["PlanId"][-2:] in ("00", "01")
    }
    send(warehouse, "2025-01-01", {}, PLAN_ATTRIBUTES)
    warehouse.incremental()
    found = warehouse.rows(
        "select plan_id, name, metal_tier, deductible, oop_max from staging.plans_raw"
    )
    assert {key: tuple(others) for key, *others in found} == plans
    assert len(found) == len(plans) == 74
    # 64 plans are sold both on and off the exchange.
    assert warehouse.rows(
        "select rows_read, rows_loaded, rows_filtered, rows_duplicate, rows_rejected "
        "from ledger.load_file"
    ) == [(423, 74, 285, 64, 0)]
    assert any(row["DEHBDedInnTier1Individual"].startswith("$") for row in rows)


def test_a_level_that_is_no_metal_is_rejected_with_its_reason(warehouse: Warehouse) -> None:
    data = (REAL_FILES / "cms_plan_attributes_2025_excerpt.csv").read_bytes()
    folder = warehouse.send("2025-01-01")
    (folder / "plans.csv").write_bytes(data.replace(b",Catastrophic,", b",Tin,"))
    warehouse.incremental(reject_share=0.1)
    assert warehouse.rows("select line, column_name, reason from quality.rejected_row") == [
        (10, "metal_tier", "outside what the contract allows")
    ]


# Each plan once: name, level, limits of both benefits, copay of a visit, share of a stay.
LANDSCAPE_PLANS = [
    ("99001WI0010001", "Lake Silver 4500", "Silver", "4500", "9100", "30", "0.2"),
    ("99001WI0010002", "Lake Gold 1500, Rx 250", "Gold", "1750", "7000", "0", None),
    ("99001WI0010003", "Lake Bronze HSA", "Expanded Bronze", "7000", "7500", None, "0.2"),
    ("99001WI0010004", "Lake Catastrophic", "Catastrophic", "9200", "9200", "0", "0"),
    ("99001WI0010005", "Lake Platinum", "Platinum", "0", "4300", "1040.50", "0.105"),
]


def test_plans_by_county_are_plans_once(warehouse: Warehouse) -> None:
    said = {"files": {LANDSCAPE.name: {"values": {"year": "2025"}}}}
    send(warehouse, "2024-11-01", said, LANDSCAPE)
    warehouse.incremental(reject_share=0.3)
    numbers = [
        (*plan[:3], *(None if text is None else Decimal(text) for text in plan[3:]), 2025)
        for plan in LANDSCAPE_PLANS
    ]
    assert (
        warehouse.rows(
            "select plan_id, name, metal_tier, deductible, oop_max, pcp_copay, coinsurance_rate, "
            "effective_year from staging.plans_raw order by plan_id"
        )
        == numbers
    )
    rows = rows_of(LANDSCAPE)
    assert {row["Plan ID (Standard Component)"] for row in rows[:8]} == {p[0] for p in numbers}
    assert warehouse.rows(
        "select rows_read, rows_loaded, rows_duplicate, rows_rejected from ledger.load_file"
    ) == [(len(rows), 5, 3, 2)]
    assert warehouse.rows(
        "select line, column_name, reason from quality.rejected_row order by line"
    ) == [
        (10, "pcp_copay", "a word that the contract does not map"),
        (11, "metal_tier", "outside what the contract allows"),
    ]
