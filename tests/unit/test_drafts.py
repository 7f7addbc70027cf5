"""Drafts of contracts: what is seen in a file, and what never gets out of it."""

from __future__ import annotations

import csv
import runpy
from datetime import date
from pathlib import Path

import pytest

from etl.contracts.file_form import FileForm
from etl.contracts.sender import SenderContract
from etl.contracts.value import of
from etl.drafting import draft, forms, module, reading
from etl.errors import UsageError
from tests.support.files import REAL_FILES
from tests.support.workbooks import archive, workbook

HEADER = "Person ID,First,Last,Birth date,Sex,State,ZIP,FPL %,Income,Used app,Updated"


def member(n: int) -> str:
    born = f"{n % 12 + 1}/{n % 28 + 1}/19{n % 60 + 30}"
    sex, state = "Female" if n % 3 else "Male", "Ohio" if n % 2 else "New York"
    used = "N/A" if n == 5 else "Yes" if n % 4 else "No"
    money = f"{100 + n}.00,secret{n}"
    name = f"P{n:05},Givenname{n},Familyname{n}"
    return f"{name},{born},{sex},{state},12345{n:04},{money},{used},2025-01-{n % 28 + 1:02}"


COUNTY = "\n".join((HEADER, *map(member, range(1, 60)), ""))


def drafted(path: Path, folder: Path, feed: str = "") -> tuple[SenderContract, str, draft.Draft]:
    made = draft.make(reading.read(path), feed, "drafted")
    file = module.write(made, folder)
    return runpy.run_path(str(file))["drafted"], file.read_text(), made


def county(tmp_path: Path, text: str = COUNTY, encoding: str = "utf-8") -> Path:
    path = tmp_path / "County_2025.csv"
    path.write_text(text, encoding=encoding)
    return path


def test_a_draft_says_what_is_in_the_file(tmp_path: Path) -> None:
    contract, text, made = drafted(county(tmp_path), tmp_path)
    assert contract.feed.name == "members"
    for line in (
        '"member_id": of("Person ID"),',
        '"first_name": of("First"),',
        '"dob": of("Birth date"),',
        '"gender": of("Sex").map({"Female": "F", "Male": "M"}),',
        '"state": of("State").map(STATE_NAMES),',
        '"zip": of("ZIP").part(1, 5),',
        '"fpl_ratio": of("FPL %").scale("0.01"),',
        '"year": file_name(r"(20[0-9]{2})"),',
        'date_order="mdy",',
        'files=("county_*.csv",),',
        '"member_used_app": of("Used app"),',
        '"source_updated_at": of("Updated"),',
        'null_words=("n/a",),',
        "# Fields that are not used: Income.",
    ):
        assert line in text
    assert {"broker_name", "region"} <= set(contract.not_sent)
    assert made.asks == []


def test_no_value_of_a_person_is_in_a_draft(tmp_path: Path) -> None:
    # Also where a person's name or number stands in a column of a closed list.
    text = COUNTY.replace(",Male,Ohio", ",Zebulon Quist,Ohio", 1).replace(",Yes,", ",Ann Ox,", 1)
    _, written, made = drafted(county(tmp_path, text.replace("Male", "900-11-2222", 1)), tmp_path)
    said = written + "\n".join(made.asks)
    for row in csv.reader(text.splitlines()[1:]):
        assert not [value for value in (*row[:4], *row[6:9]) if value in said]
    for value in ("Zebulon", "Ann Ox", "900-11", "secret"):
        assert value not in said


@pytest.mark.parametrize(
    ("path", "feed", "wanted"),
    [
        ("desynpuf/DE1_0_2008_Beneficiary_Summary_File_Sample_1.csv", "", "members"),
        ("desynpuf/DE1_0_2008_to_2010_Inpatient_Claims_Sample_1.csv", "", "claims"),
        (
            "desynpuf/DE1_0_2008_to_2010_Inpatient_Claims_Sample_1.csv",
            "claim_diagnoses",
            "claim_diagnoses",
        ),
        ("cms_plan_attributes_2025_excerpt.csv", "", "plans"),
    ],
)
def test_real_files_give_contracts_that_can_be_used(
    tmp_path: Path, path: str, feed: str, wanted: str
) -> None:
    contract, text, _ = drafted(REAL_FILES / path, tmp_path, feed)
    assert contract.feed.name == wanted
    if wanted == "members":
        assert '"dob": of("BENE_BIRTH_DT").date("YYYYMMDD"),' in text
        assert '"gender": of("BENE_SEX_IDENT_CD").map({"1": "M", "2": "F"}),' in text
    if wanted == "claims":
        assert '"discharge_date": of("NCH_BENE_DSCHRG_DT").date("YYYYMMDD"),' in text
        assert "the key: 3 of 203 rows" in text
    if wanted == "claim_diagnoses":
        assert contract.repeat is not None
        assert contract.repeat.times == 10
    if wanted == "plans":
        assert 'what "High", "Low" means' in text


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (["2025-01-31", "2024-02-29"], "iso"),
        (["2025-01-31T10:00:00Z"], "iso_time"),
        (["1/31/2025", "2/1/2025"], "mdy"),
        (["31.1.2025", "1.2.2025"], "dmy"),
        (["1/2/2025", "3/4/2025"], "either"),
        (["31/1/2025", "1/31/2025"], "mixed"),
        (["20250131", "19991231"], "YYYYMMDD"),
        (["01312025", "12311999"], "MMDDYYYY"),
        (["31012025", "31121999"], "DDMMYYYY"),
    ],
)
def test_forms_of_dates(values: list[str], form: str) -> None:
    found = forms.date_form(values)
    assert found is not None
    assert found.name == form


@pytest.mark.parametrize("values", [["12345678", "87654321"], ["013125"], ["Smith"], []])
def test_what_is_no_date_or_of_an_unknown_century_has_no_form(values: list[str]) -> None:
    assert forms.date_form(values) is None


@pytest.mark.parametrize(
    ("values", "decimal", "thousands", "currency"),
    [
        (["$1,234.50", "$2.00"], ".", ",", ("$",)),
        (["1.234,50 €", "2,00 €"], ",", ".", ("€",)),
        (["1,234", "2,345"], "", ",", ()),
        (["1,234,567"], ".", ",", ()),
        (["0.125", ".5"], ".", "", ()),
    ],
)
def test_marks_of_numbers(
    values: list[str], decimal: str, thousands: str, currency: tuple[str, ...]
) -> None:
    found = forms.number_form(values)
    assert found is not None
    assert (found.decimal, found.thousands, found.currency) == (decimal, thousands, currency)


def test_encoding_and_null_words_are_seen(tmp_path: Path) -> None:
    text = COUNTY.replace("Givenname1,", "José,").replace("101.00", "NaN")
    contract, _, _ = drafted(county(tmp_path, text, "windows-1252"), tmp_path)
    assert contract.parsing.encoding == "windows-1252"
    assert contract.parsing.null_words == ("n/a", "nan")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("P1,Ann,Ox,1/2/1980\nP2,Bob,Ax,1/3/1981\n", "cannot be seen by its names"),
        ("Ann\nBob\n", "neither a line that names its columns nor rows"),
        ("", "neither a line that names its columns nor rows"),
        ("Alpha,Beta\n1,2\n", "cannot be seen by its names"),
        ("PK\x03\x04", "of which no draft is made"),
    ],
)
def test_what_no_draft_is_made_of(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as found:
        drafted(county(tmp_path, text), tmp_path)
    assert "Ann" not in found.value.message


# Whose first row is text alone, which nothing sets apart from names of columns.
TEXTS = [
    [f"Given{w}", f"Family{w}", ("Paid", "Member")[n % 2], f"Town{w}"]
    for n, w in enumerate(("alpha", "beta", "gamma", "delta"))
]


@pytest.mark.parametrize("rows", [1, 2, 4])
@pytest.mark.parametrize("has_dates", [False, True])
def test_a_first_row_that_is_no_header_is_never_shown(
    tmp_path: Path, rows: int, *, has_dates: bool
) -> None:
    texts = [
        [*row, *(["unknown" if n == 0 else "1980-01-31", f"{n}"] * has_dates)]
        for n, row in enumerate(TEXTS[:rows])
    ]
    path = county(tmp_path, "".join("|".join(row) + "\n" for row in texts))
    contract, text, made = drafted(path, tmp_path, "members")
    assert contract.form.names == tuple(f"field_{n}" for n in range(1, len(texts[0]) + 1))
    assert contract.form.delimiter == "|"
    said = text + "\n".join(made.asks)
    assert not [value for row in texts for value in row[:4] if value in said]


@pytest.mark.parametrize("path", sorted(REAL_FILES.rglob("*.csv")), ids=lambda path: path.name)
def test_names_of_real_files_are_seen_and_none_without_their_first_line(
    tmp_path: Path, path: Path
) -> None:
    text = path.read_text(encoding="utf-8-sig")
    assert reading.read(path).form == FileForm()
    headless = reading.read(county(tmp_path, text.partition("\n")[2]))
    assert set(headless.names) == set(headless.form.names)
    assert headless.form.before == 0


def test_lines_around_the_rows_are_seen(tmp_path: Path) -> None:
    text = COUNTY.replace(",", ";")
    text = f"Report for Ann Ox;;;;;;;;;;\n\nOf 2025\n{text}Total;59\n\nEnd of file\n"
    contract, written, made = drafted(county(tmp_path, text), tmp_path)
    assert contract.form == FileForm(";", before=3, after="End of|Total")
    assert contract.columns["member_id"] == of("Person ID")
    assert "Ann Ox" not in written
    assert len(made.sample.rows) == 59
    assert made.asks == []


def test_workbooks_and_archives_are_drafted_like_other_files(tmp_path: Path) -> None:
    plain, _, _ = drafted(county(tmp_path), tmp_path)
    rows = [
        [None, "County members"],
        [],
        *([None, *row] for row in csv.reader(COUNTY.splitlines())),
    ]
    for row in rows[3:]:
        month, day, year = row[4].split("/")
        row[4] = date(int(year), int(month), int(day))
    files = {
        "county_2.zip": (archive({"x.csv": COUNTY.encode()}), {}),
        "county_3.xlsx": (workbook({"Notes 7": [["x"]], "May 2025": rows}), {"before": 2}),
    }
    for name, (data, form) in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        (tmp_path / "drafted.py").unlink()
        contract, _, made = drafted(path, tmp_path)
        assert contract.form == FileForm(sheet="May *" if form else "", **form)
        assert contract.columns["gender"] == plain.columns["gender"]
        assert contract.columns["zip"] == plain.columns["zip"]
        assert contract.columns["dob"] == of("Birth date")
        assert contract.files == (f"county_*{path.suffix.replace('zip', 'csv')}",)
        assert len(made.sample.rows) == 59


def test_a_payer_is_no_provider(tmp_path: Path) -> None:
    payers = tmp_path / "payers.csv"
    payers.write_text("Id,NAME,ADDRESS,CITY,ZIP,PHONE\nA,Acme,Oak St,Madison,53703,555\n")
    with pytest.raises(UsageError, match=r"Which feed payers\.csv is cannot be seen"):
        drafted(payers, tmp_path)
    assert drafted(payers, tmp_path, "providers")[0].feed.name == "providers"


def test_another_field_that_may_be_the_key_is_named(tmp_path: Path) -> None:
    lines = tmp_path / "transactions.csv"
    lines.write_text(
        "ID,CLAIMID,PATIENT,MEMBERID,SERVICEDATE,PAID\n"
        "T1,C1,P1,M1,2025-01-31,7.50\nT2,C1,P1,M1,2025-01-31,2.50\n"
    )
    contract, _, made = drafted(lines, tmp_path, "claims")
    assert contract.columns["claim_id"] == of("CLAIMID")
    assert {
        "claim_id: ID may be it as well. Compare both.",
        "member_id: PATIENT may be it as well. Compare both.",
    } <= {*made.asks}


def test_a_draft_replaces_no_contract(tmp_path: Path) -> None:
    drafted(county(tmp_path), tmp_path)
    with pytest.raises(UsageError, match="already"):
        drafted(county(tmp_path), tmp_path)


def test_billed_and_allowed_are_the_amounts_of_the_claim(tmp_path: Path) -> None:
    lines = [f"C{n:05},P{n:05},2025-01-{n:02},{n}.50,{n}.25,{n}.00,Paid" for n in range(1, 20)]
    path = tmp_path / "county_claims.csv"
    path.write_text(
        "\n".join(("Claim No,Member No,Service Date,Billed,Allowed,Paid,Claim Status", *lines, ""))
    )
    contract, _, _ = drafted(path, tmp_path)
    made = {name: contract.columns[name] for name in contract.columns if "amount" in name}
    assert made == {
        "claim_amount": of("Billed"),
        "allowed_amount": of("Allowed"),
        "paid_amount": of("Paid"),
    }


def test_field_called_as_a_column_is_named_where_its_dates_are_mixed(tmp_path: Path) -> None:
    forms = ("2025-01-{:02}", "01/{:02}/2025", "{:02}-Jan-2025")
    lines = [f"C{n},P{n},{forms[n % 3].format(n)},{n}.5,{n}.5,{n}.5,Paid" for n in range(1, 28)]
    path = tmp_path / "county_claims.csv"
    path.write_text(
        "\n".join(("Claim No,Member No,Service Date,Billed,Allowed,Paid,Claim Status", *lines, ""))
    )
    _, text, made = drafted(path, tmp_path)
    (ask,) = [ask for ask in made.asks if ask.startswith("service_date")]
    assert "the field Service Date is called so" in ask
    assert "2025" not in text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("county.csv", b"Person ID,First\rP1,A\rP2,B\r", "carriage returns alone"),
        ("county.csv", b'Person ID,"First\nname"\nP1,A\nP2,B\n', "a line break in the name"),
        ("county.xlsx", b"Person ID,First\nP1,A\n", "it is damaged"),
    ],
)
def test_file_that_no_load_reads_gives_no_draft(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        draft.make(reading.read(tmp_path / name), "members", "drafted")


def test_names_by_number_are_written_as_the_formatter_has_them(tmp_path: Path) -> None:
    path = tmp_path / "county.csv"
    path.write_text("\n".join(",".join(f"{n}{m}" for m in range(12)) for n in range(100, 120)))
    _, text, _ = drafted(path, tmp_path, "members")
    assert max(map(len, text.splitlines())) <= 100
