"""make report: the page of a small warehouse: its numbers, what it hides, the past, a browser."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etl.db.connection import connect
from etl.errors import UsageError
from etl.reports.business import read_business, write_business
from etl.reports.business_page import business_page
from tests.support.browser import find_browser, text_of
from tests.support.page_parts import fetched_from_elsewhere, read_page
from tests.support.warehouse import Warehouse

# A value in every personal column.
MARK = "Zzyzxmark"
# Members by state and plan: cells of few, and states and tiers that are not.
MEMBERS = {
    ("FL", "S"): 45, ("FL", "G"): 30, ("FL", "P"): 4,
    ("TX", "S"): 40, ("TX", "G"): 25, ("TX", "P"): 12,
    ("OH", "S"): 30, ("OH", "G"): 14,
    ("NV", "S"): 3,
}  # fmt: skip
TIERS = {"S": "Silver", "G": "Gold", "P": "Platinum"}
MONTHS = ["2024-11", "2024-12", "2025-01", "2025-02"]
ALL = "all"


def people() -> Iterator[tuple[str, str, str]]:
    """Number, state and plan of each member."""
    for (state, plan), persons in MEMBERS.items():
        for n in range(persons):
            yield f"{MARK}{state}{plan}{n}", state, plan


def member(number: str, state: str) -> dict[str, str]:
    marked = dict.fromkeys(("first_name", "last_name", "street", "city", "email", "phone"), MARK)
    return {"member_id": number, "state": state, "zip": "73301", **marked}


def enrollments() -> list[dict[str, str]]:
    return [
        {
            **{"enrollment_id": f"{MARK}E{year}{n}", "member_id": number, "plan_id": plan},
            **{"start_date": start, "end_date": f"{year}-12-31"},
            **{"premium_paid": "100.10", "aptc_amount": "400.25"},
        }
        for n, (number, _, plan) in enumerate(people())
        for year, start in (("2024", "2024-11-01"), ("2025", "2025-01-01"))
    ]


def claims(months: list[str], of_every: int = 1) -> list[dict[str, str]]:
    """One claim a month of each member, or of every so many."""
    return [
        {
            **{"claim_id": f"{MARK}{month}{number}", "member_id": number, "plan_id": plan},
            **{"provider_id": "D1", "service_date": f"{month}-05", "paid_date": f"{month}-20"},
            **{"claim_amount": "900", "allowed_amount": "500", "paid_amount": f"{300 + n}.25"},
            **{"status": "approved", "diagnosis_code": "E119", "procedure_code": "99213"},
            **{"claim_type": "Pharmacy", "drug_class": "Metabolic"},
        }
        for month in months
        for n, (number, _, plan) in enumerate(people())
        if n % of_every == 0
    ]


@dataclass(frozen=True)
class Made:
    warehouse: Warehouse
    page: Path
    earlier: str
    out: str

    @property
    def html(self) -> str:
        return self.page.read_text(encoding="utf-8")

    @property
    def data(self) -> dict[str, Any]:
        return embedded_in(self.html)


def embedded_in(html: str) -> dict[str, Any]:
    return json.loads(re.findall(r'id="data">(.*?)</script>', html, re.S)[0])


def record_checks(warehouse: Warehouse) -> None:
    """A run of three checks after the latest load, one of which compares and one of which fails."""
    warehouse.connection.execute("""
        with r as (
            insert into quality.check_run (finished_at, load_id)
            select now(), max(load_id) from ledger.load
            returning check_run_id
        )
        insert into quality.check_result (
            check_run_id, check_name, table_name, dimension, severity, passed, rows_checked,
            rows_failed, threshold
        )
        select r.check_run_id, c.name, 'fact_claim', c.dimension, 'minor', c.failed = 0, 9,
            c.failed, 0
        from r cross join (
            values ('a', 'consistency', 0), ('b', 'validity', 4), ('c', 'validity', 0)
        ) as c (name, dimension, failed)
    """)


@pytest.fixture(scope="module")
def made(module_warehouse: Warehouse) -> Made:
    """A batch and its page, a second batch with later claims, the page of both."""
    warehouse = module_warehouse
    warehouse.send(
        "2025-02-10",
        members=[member(number, state) for number, state, _ in people()],
        plans=[
            {"plan_id": plan, "effective_year": year, "metal_tier": tier}
            for plan, tier in TIERS.items()
            for year in ("2024", "2025")
        ],
        providers=[{"provider_id": "D1", "name": MARK, "specialty": "Hospital", "state": "TX"}],
        enrollments=enrollments(),
        claims=claims(MONTHS[:3]),
    )
    warehouse.incremental()
    with connect(warehouse.url, "test") as connection:
        earlier = business_page(read_business(connection))
    warehouse.send(
        "2025-03-10",
        claims=claims(MONTHS[3:], of_every=2)
        + [claim | {"paid_amount": "450.50"} for claim in claims(MONTHS[:1], of_every=3)],
    )
    warehouse.incremental()
    record_checks(warehouse)
    reported = warehouse.command("report")
    assert reported.returncode == 0, reported.stderr
    page = warehouse.data / "reports" / "business.html"
    return Made(warehouse, page, earlier, reported.stdout)


@pytest.mark.slow
def test_report_says_where_its_page_is_and_only_its_owner_reads_it(made: Made) -> None:
    assert made.out == f"Report: {made.page}\n"
    assert stat.S_IMODE(made.page.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE(made.page.parent.stat().st_mode) & 0o077 == 0


def test_report_fetches_nothing_and_is_well_nested(made: Made) -> None:
    assert fetched_from_elsewhere(made.html) == []
    assert read_page(made.html).wrong == []


def test_report_contains_no_value_of_a_person(made: Made) -> None:
    assert MARK not in made.html
    assert not re.search(r"postgres(?:ql)?(?:\+\w+)?://", made.html)


def test_head_says_day_load_completeness_and_quality(made: Made) -> None:
    text = text_of(made.html)
    ((load,),) = made.warehouse.rows("select max(load_id) from ledger.load where status = 'loaded'")
    assert "As of 2025-03-10" in text
    assert f"Load {load}, batch 2025-03-10" in text
    assert "4 months, 2024-11 to 2025-02" in text
    assert "0 of " in text
    assert "agree 1 comparison of files" in text
    assert "none critical 2 of 3 checks passed in run" in text


def truth(made: Made, of: str) -> dict[tuple[str, str, str], Any]:
    """What plain SQL says of a measure by month, state and tier."""
    queries = {
        "members": "select month, state, metal_tier, members from mart.enrollment_flow_month",
        "premium_usd": "select month, state, metal_tier, premium_usd from mart.pmpm_month "
        "where claim_type = 'all'",
        "paid_usd": "select date_trunc('month', c.service_date)::date, m.state, p.metal_tier, "
        "sum(c.paid_amount) from warehouse.fact_claim as c "
        "join warehouse.dim_member as m using (member_sk) "
        "join warehouse.dim_plan as p using (plan_sk) group by 1, 2, 3",
        "persons": "select date_trunc('month', c.service_date)::date, m.state, p.metal_tier, "
        "count(distinct m.member_id) from warehouse.fact_claim as c "
        "join warehouse.dim_member as m using (member_sk) "
        "join warehouse.dim_plan as p using (plan_sk) group by 1, 2, 3",
    }
    return {(str(d), s, t): value for d, s, t, value in made.warehouse.rows(queries[of])}


@pytest.mark.parametrize(
    ("family", "measure", "cents"),
    [("coverage", "members", 1), ("coverage", "premium_usd", 100), ("paid", "paid_usd", 100)],
)
def test_numbers_of_the_page_are_those_of_plain_sql(
    made: Made, family: str, measure: str, cents: int
) -> None:
    data, right = made.data, truth(made, measure)
    place = data[family]["measures"].index(measure)
    months = [month["first"] for month in data["months"]]
    assert months == [f"{month}-01" for month in [*MONTHS, "2025-03"]]
    compared = 0
    for key, series in data[family]["cells"].items():
        state, tier = key.split("|")
        for month, number in zip(months, series[place], strict=True):
            if number is not None:
                of = [
                    v
                    for (d, s, t), v in right.items()
                    if d == month and state in (ALL, s) and tier in (ALL, t)
                ]
                assert number == sum(of) * cents, (key, month)
                compared += 1
    assert compared > 30


def test_sums_of_years_are_those_of_complete_months(made: Made) -> None:
    data, paid = made.data, truth(made, "paid_usd")
    shown = data["paidOfYear"]["cells"][f"{ALL}|{ALL}"][0]
    of_years = [sum(v for (d, _, _), v in paid.items() if d[:4] == y) * 100 for y in data["years"]]
    assert shown == of_years
    (month_measures,) = made.warehouse.rows(
        "select sum(member_months_day), sum(premium_usd) from mart.pmpm_month "
        "where claim_type = 'all' and is_complete and month >= date '2025-01-01'"
    )
    millionths, premium = (column[1] for column in data["coverageOfYear"]["cells"][f"{ALL}|{ALL}"])
    assert abs(millionths / 1e6 - float(month_measures[0])) < 0.001
    assert premium == month_measures[1] * 100


def test_items_shares_and_lag_are_those_of_plain_sql(made: Made) -> None:
    ((members, paid),) = made.warehouse.rows(
        "select count(distinct member_id), sum(paid_usd) from mart.claim where month < '2025-01-01'"
    )
    for name, item in (
        ("specialty", "Hospital"),
        ("diagnosis_code", "E119"),
        ("drug_class", "Metabolic"),
    ):
        (row,) = made.data["items"][name]
        assert row["item"] == item
        assert row["years"]["2024"] == [members, paid * 100]
    assert made.data["items"]["diagnosis_code"][0]["title"].startswith("Type 2 diabetes")
    assert made.data["concentration"]["2024"][-1] == [100, sum(MEMBERS.values()), paid * 100]
    assert [row[1:] for row in made.data["lag"]] == [[15, 15]] * 4


def test_source_of_the_page_discloses_no_small_cell(made: Made) -> None:
    """What is embedded are equations in what each cell of a month has; which cells follow?"""
    data, persons = made.data, truth(made, "persons")
    months = [month["first"] for month in data["months"]]
    cells = [k for k in persons if persons[k]]
    assert any(persons[cell] <= 10 for cell in cells)
    equations = []

    def add(state: str, tier: str, of_months: list[str]) -> None:
        equations.append(
            [state in (ALL, s) and tier in (ALL, t) and d in of_months for d, s, t in cells]
        )

    for key, ((*series,), (*of_year,)) in (
        (key, (data["paid"]["cells"][key][0], data["paidOfYear"]["cells"].get(key, [[]])[0]))
        for key in data["paid"]["cells"]
    ):
        for month, number in zip(months, series, strict=True):
            if number is not None:
                add(*key.split("|"), [month])
        for year, number in zip(data["years"], of_year, strict=False):
            complete = [m["first"] for m in data["months"] if m["complete"]]
            if number is not None:
                add(*key.split("|"), [first for first in complete if first[:4] == year])
    matrix = np.array(equations, dtype=float)
    asked = [
        [d in of_months and s in of_states and t in of_tiers for d, s, t in cells]
        for of_months in ([month] for month in months)
        for of_states in (*([s] for s in data["states"]), *pairs(data["states"]), data["states"])
        for of_tiers in (*([t] for t in data["tiers"]), *pairs(data["tiers"]), data["tiers"])
    ]
    checked = 0
    for wanted in np.unique(np.array(asked, dtype=float), axis=0):
        count = sum(persons[cell] for cell, is_in in zip(cells, wanted, strict=True) if is_in)
        if 1 <= count <= 10:
            checked += 1
            assert np.abs(wanted @ np.linalg.pinv(matrix) @ matrix - wanted).max() > 1e-6, wanted
    assert checked > 5


def pairs(names: list[str]) -> list[list[str]]:
    return [[a, b] for a, b in product(names, names) if a < b]


def test_page_as_known_is_what_it_was(made: Made, tmp_path: Path) -> None:
    ((first,),) = made.warehouse.rows(
        "select min(load_id) from ledger.load where status = 'loaded'"
    )
    page = write_business(made.warehouse.url, tmp_path, str(first))
    html = page.read_text(encoding="utf-8")
    assert embedded_in(html) == embedded_in(made.earlier)
    assert embedded_in(html) != made.data
    text = text_of(html)
    assert f"This page is as known after load {first} (batch 2025-02-10" in text
    assert "As of 2025-02-10" in text
    assert "no run of all checks is recorded after this load" in text
    # What was made of the past is gone.
    assert made.warehouse.value("select count(*) from pg_class where relpersistence = 't'") == 0


@pytest.mark.parametrize("load", ["99999", "0", "x", "-1", "9" * 30])
def test_a_load_that_is_not_known_is_an_error(made: Made, tmp_path: Path, load: str) -> None:
    with pytest.raises(UsageError, match="cannot be made as it was known") as error:
        write_business(made.warehouse.url, tmp_path, load)
    assert "ledger.load" in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_unknown_load_ends_the_command_with_its_code(made: Made) -> None:
    done = made.warehouse.command("report", "--as-known", "99999")
    assert done.returncode == 2
    assert "there is no load 99999" in done.stderr


def test_report_into_an_unwritable_folder_is_an_error(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_business(made.warehouse.url, tmp_path / "file")


@pytest.mark.slow
def test_page_in_a_browser(made: Made, tmp_path: Path) -> None:
    browser = find_browser()
    dom, console = browser.dom(made.page)
    assert console == []
    assert "Key figures" in text_of(dom)
    assert browser.excess_widths(made.page, 400, 1280) == {400: 0, 1280: 0}
    assert browser.lines_of_picture(made.page, tmp_path / "page.png") > 50


def test_report_of_an_empty_warehouse_is_whole_and_without_one_an_error(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    page = write_business(warehouse.url, tmp_path / "empty").read_text(encoding="utf-8")
    assert "Nothing is loaded yet" in text_of(page)
    assert read_page(page).wrong == []
    warehouse.connection.execute("drop schema mart cascade")
    done = warehouse.command("report")
    assert done.returncode == 2
    assert "there is no warehouse yet" in done.stderr
    assert "make full-load" in done.stderr
    assert not (warehouse.data / "reports").exists()


def test_report_without_claims_shows_who_is_covered(warehouse: Warehouse, tmp_path: Path) -> None:
    warehouse.send(
        "2025-02-10",
        members=[member(number, state) for number, state, _ in people()],
        plans=[{"plan_id": p, "effective_year": "2025", "metal_tier": t} for p, t in TIERS.items()],
        enrollments=[row for row in enrollments() if row["start_date"] == "2025-01-01"],
    )
    warehouse.incremental()
    with connect(warehouse.url, "test") as connection:
        html = business_page(read_business(connection))
    data = embedded_in(html)
    assert [month["complete"] for month in data["months"]] == [True, False]
    total = (data["coverage"]["cells"].get("all|all") or [[]])[0]
    assert total[0] == sum(MEMBERS.values())
    assert not any(data["items"].values())
    page = tmp_path / "page.html"
    page.write_text(html, encoding="utf-8")
    dom, console = find_browser().dom(page)
    assert console == []
    assert not re.search(r"NaN|undefined|Infinity", text_of(dom))
