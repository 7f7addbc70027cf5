"""An export of Synthea, loaded whole: the warehouse equals a plain reading of its files."""

from __future__ import annotations

import csv
import shutil
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.support.files import REAL_FILES, add_up, rows_of
from tests.support.warehouse import Warehouse

EXPORT = REAL_FILES / "synthea"
NOBODY = "b1c428d6-4f07-31e0-90f0-68ffa6ff8c76"


def day(instant: str) -> date:
    return date.fromisoformat(instant[:10])


@pytest.fixture(scope="module")
def synthea(module_warehouse: Warehouse) -> Warehouse:
    folder = module_warehouse.send("2025-01-02")
    for name in ("patients", "payers", "payer_transitions", "providers"):
        shutil.copy(EXPORT / f"{name}.csv", folder)
    assert add_up(EXPORT, folder).returncode == 0
    module_warehouse.incremental()
    return module_warehouse


def test_patients_are_members_and_the_dead_until_they_died(synthea: Warehouse) -> None:
    patients = rows_of(EXPORT / "patients.csv")
    columns = "member_id, first_name, last_name, dob, gender, street, city, state, zip"
    found = synthea.rows(
        f"select {columns}, max(validity_end_ts)::date from warehouse.dim_member "
        f"where member_sk > 0 and not is_inferred group by {columns}"
    )
    names = ("Id", "FIRST", "LAST", "BIRTHDATE", "GENDER", "ADDRESS", "CITY", "STATE", "ZIP")
    wanted = [
        (
            *(row[name] or None for name in names),
            row["DEATHDATE"] or "9999-12-31",
        )
        for row in patients
    ]
    assert {row[-3] for row in found} == {"MA"}
    read = [
        (*row[:3], str(row[3]), *row[4:7], "Massachusetts", row[8], str(row[9])) for row in found
    ]
    assert sorted(read, key=str) == sorted(wanted, key=str)
    assert synthea.rows(
        "select rows_read, rows_loaded, rows_added from ledger.load_file where feed = 'members'"
    ) == [(12, 13, 1)]


def test_payers_are_plans_of_every_year_and_nobody_is_none(synthea: Warehouse) -> None:
    payers = [row for row in rows_of(EXPORT / "payers.csv") if row["Id"] != NOBODY]
    found = synthea.rows("select plan_id, name, effective_year from staging.plans_raw")
    years = range(1910, 2031)
    assert sorted(found) == sorted((row["Id"], row["NAME"], n) for row in payers for n in years)
    for fact in ("fact_claim", "fact_enrollment"):
        assert not synthea.value(
            f"select count(*) from warehouse.{fact} join warehouse.dim_plan p using (plan_sk) "
            "where p.is_inferred or p.plan_sk < 0"
        )


def test_transitions_are_coverage_to_the_day_before_the_next(synthea: Warehouse) -> None:
    rows = rows_of(EXPORT / "payer_transitions.csv")
    covered = [row for row in rows if row["PAYER"] != NOBODY]
    found = synthea.rows(
        "select member_id, plan_id, start_date, end_date from staging.enrollments_raw"
    )
    wanted = [
        (
            row["PATIENT"],
            row["PAYER"],
            day(row["START_YEAR"]),
            day(row["END_YEAR"]) - timedelta(days=1),
        )
        for row in covered
    ]
    assert sorted(found) == sorted(wanted)
    assert synthea.rows(
        "select rows_read, rows_loaded, rows_filtered, rows_rejected from ledger.load_file "
        "where feed = 'enrollments'"
    ) == [(len(rows), len(covered), len(rows) - len(covered), 0)]
    days = synthea.value("select sum(coverage_days) from warehouse.fact_enrollment")
    assert days == sum((end - start).days + 1 for _, _, start, end in wanted)


def test_providers_have_the_address_of_their_organization(synthea: Warehouse) -> None:
    organizations = {row["Id"]: row for row in rows_of(EXPORT / "organizations.csv")}
    wanted = []
    for row in rows_of(EXPORT / "providers.csv"):
        home = organizations[row["ORGANIZATION"]]
        address = (home[name] for name in ("ADDRESS", "CITY", "STATE", "ZIP"))
        wanted.append((row["Id"], row["NAME"], row["SPECIALITY"], *address))
    columns = "provider_id, name, specialty, street, city, state, zip"
    assert sorted(synthea.rows(f"select {columns} from staging.providers_raw")) == sorted(wanted)


def test_claims_have_the_sums_of_their_transactions(synthea: Warehouse) -> None:
    insured = {
        row["Id"]
        for row in rows_of(EXPORT / "claims.csv")
        if row["PRIMARYPATIENTINSURANCEID"] != "0"
    }
    charged = dict.fromkeys(insured, Decimal(0))
    paid = dict.fromkeys(insured, Decimal(0))
    for row in rows_of(EXPORT / "claims_transactions.csv"):
        if row["CLAIMID"] in insured and row["TYPE"] == "CHARGE":
            charged[row["CLAIMID"]] += Decimal(row["AMOUNT"])
        if row["CLAIMID"] in insured and row["METHOD"] == "ECHECK":
            paid[row["CLAIMID"]] += Decimal(row["PAYMENTS"])
    found = synthea.rows(
        "select claim_id, claim_amount, allowed_amount, paid_amount from warehouse.fact_claim"
    )
    assert sorted(found) == sorted((key, charged[key], charged[key], paid[key]) for key in insured)
    assert len(insured) == 89
    assert sum(paid.values()) > 0
    assert synthea.rows(
        "select rows_read, rows_filtered, rows_rejected from ledger.load_file where feed = 'claims'"
    ) == [(114, 25, 0)]
    professional = "select count(*) from warehouse.fact_claim where claim_type = 'Professional'"
    assert synthea.value(professional) == sum(
        row["HEALTHCARECLAIMTYPEID1"] == "1"
        for row in rows_of(EXPORT / "claims.csv")
        if row["Id"] in insured
    )
    providers = "from warehouse.fact_claim f join warehouse.dim_provider p using (provider_sk)"
    assert synthea.value(f"select count(*) {providers} where not p.is_inferred") == 89


def test_a_claim_leads_to_each_of_its_transactions(synthea: Warehouse) -> None:
    """From a row of staging over its line and the lines that it names to those of the original."""
    folder = synthea.inbox / "2025-01-02"
    for name in ("claims.csv", "claims_transactions.csv"):
        assert (folder / f"_{name}").read_bytes() == (EXPORT / name).read_bytes()
    prepared = rows_of(folder / "claims.csv")
    with (folder / "_claims_transactions.csv").open(newline="") as file:
        original = list(csv.reader(file))
    found = synthea.rows("select claim_id, source_line, claim_amount from staging.claims_raw")
    for claim_id, line, amount in found:
        lines = [original[int(n) - 1] for n in prepared[line - 2]["TRANSACTION_LINES"].split()]
        assert {row[1] for row in lines} == {claim_id}
        assert sum(Decimal(row[5]) for row in lines if row[4] == "CHARGE") == amount


@pytest.mark.parametrize(
    ("changed", "of", "by", "said"),
    [
        ("claims_transactions.csv", "AMOUNT", "AMOUNTS", "has no column AMOUNT"),
        ("claims_transactions.csv", "77.49", "much", "has no valid amount on line 2"),
        ("claims_transactions.csv", "77.49", "NaN", "has no valid amount on line 2"),
        ("claims_transactions.csv", "CHARGE,77.49", "CHARGE", "as its header on line 2"),
        ("claims.csv", "9120543f", "9120543e", "transactions of 1 claims that claims.csv has not"),
    ],
)
def test_an_export_that_does_not_agree_is_refused(
    tmp_path: Path, changed: str, of: str, by: str, said: str
) -> None:
    export, folder = tmp_path / "export", tmp_path / "2025-01-02"
    shutil.copytree(EXPORT, export)
    text = (export / changed).read_text()
    (export / changed).write_text(text.replace(of, by))
    ended = add_up(export, folder)
    assert (ended.returncode, said in ended.stderr) == (2, True)
    assert not (folder / "claims.csv").exists()


def test_a_claim_without_transactions_has_no_amounts_and_none_is_written_over(
    tmp_path: Path,
) -> None:
    export, folder = tmp_path / "export", tmp_path / "2025-01-02"
    export.mkdir()
    (export / "claims.csv").write_text("Id,STATUS1\nA,CLOSED\nA,CLOSED\nB,BILLED\n")
    header = "CLAIMID,TYPE,AMOUNT,METHOD,PAYMENTS,PROCEDURECODE\n"
    rows = "A,CHARGE,10.25,,,1870\nA,PAYMENT,,ECHECK,4,\n"
    (export / "claims_transactions.csv").write_text(header + rows)
    assert add_up(export, folder).returncode == 0
    twice = "A,CLOSED,10.25,4,1870,2 3\n" * 2
    more = "CHARGED,PAID_BY_PAYER,FIRST_PROCEDURE,TRANSACTION_LINES"
    assert (folder / "claims.csv").read_text() == f"Id,STATUS1,{more}\n{twice}B,BILLED,,,,\n"
    ended = add_up(export, folder)
    assert (ended.returncode, "is there already" in ended.stderr) == (2, True)
