"""The page on the business from hand-made rows: empty, one month, large, hostile; in a browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest

from etl.config import ROOT
from etl.reports import business_rows as rows
from etl.reports.business_data import embedded
from etl.reports.business_page import business_page
from tests.support.browser import find_browser, text_of
from tests.support.page_parts import contrast, ensure_sound, read_page

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&{{7*7}}"
METALS = ("Bronze", "Catastrophic", "Expanded Bronze", "Gold", "Platinum", "Silver")


def month(n: int, first_year: int = 2024) -> date:
    return date(first_year + n // 12, n % 12 + 1, 1)


def business(
    months: int, states: list[str], tiers: list[str], persons: int = 400, word: str = "Hospital"
) -> rows.Business:
    """So many months, the last of which goes on, with ``persons`` in each state and tier."""
    cells = [(month(n), state, tier) for n, state, tier in product(range(months), states, tiers)]
    years = sorted({first.year for first, _, _ in cells})
    last = month(months - 1)
    return rows.Business(
        made_at=NOW,
        as_of=last.replace(day=15),
        load=rows.Loaded(7, word, last),
        rows_open=3,
        rows_read=1_000_000,
        quality=rows.QualityRow(5, 7, 400, 2, 0, 100, 0),
        coverage=[
            rows.CoverageRow(
                *(first, state, tier, first < last, persons, persons * 28),
                *(Decimal(f"{persons * 600 + n % 97}.25"), Decimal(f"{persons * 450 + n % 89}.75")),
            )
            for n, (first, state, tier) in enumerate(cells)
        ],
        patients=[rows.PersonsRow(*cell, persons // 2) for cell in cells],
        patients_of_year=of_years(years, states, tiers, persons),
        covered_in_year=of_years(years, states, tiers, persons),
        flows=[
            rows.FlowRow(*(first, state, tier, True), *(persons // 9, persons // 10) * 2)
            for first, state, tier in cells
            if first.month in (1, 4, 7, 10)
        ],
        items={
            name: [
                rows.ItemRow(y, f"{word} {n}", 99, Decimal(9000 - n))
                for y in years
                for n in range(30)
            ]
            for name in ("specialty", "diagnosis_code", "drug_class")
        },
        titles={f"{word} 0": word},
        concentration=[
            rows.ShareRow(y, of, 20 * of, Decimal(1000 * of))
            for y in years
            for of in (1, 5, 50, 100)
        ],
        bands=[rows.BandRow(y, "$100k+", 40, Decimal(9_000_000)) for y in years],
        lag=[rows.LagRow(month(n), 50, 20, 45) for n in range(months - 1)],
    )


def of_years(
    years: list[int], states: list[str], tiers: list[str], n: int
) -> list[rows.PersonsRow]:
    return [rows.PersonsRow(date(y, 1, 1), s, t, n) for y, s, t in product(years, states, tiers)]


EMPTY = rows.Business(NOW)
ONE_MONTH = business(1, ["FL"], ["Silver"])
TWO_YEARS = business(24, ["FL", "OH", "TX"], ["Gold", "Silver"])
LARGEST = business(36, [f"{n:02}" for n in range(50)], list(METALS), persons=4_000)
REPORTS = {
    "empty": EMPTY,
    "nothing but a load": replace(EMPTY, as_of=date(2025, 1, 1)),
    "one month": ONE_MONTH,
    "two years": TWO_YEARS,
    "few": business(5, ["FL", "OH"], ["Gold"], persons=4),
    "as known": replace(TWO_YEARS, known="as known after load 3", rows_open=None, quality=None),
    "hostile": business(5, [HOSTILE, "FL"], [HOSTILE, "Gold"], word=HOSTILE),
}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_page_is_complete_and_fetches_nothing(report: rows.Business) -> None:
    ensure_sound(business_page(report), scripts=2)


def test_hostile_text_stays_text() -> None:
    text = business_page(REPORTS["hostile"])
    tags = read_page(text).tags
    assert not any(tag == "img" for tag, _ in tags)
    assert not any(name.startswith("on") for _, found in tags for name in found)
    assert HOSTILE not in text


def test_page_of_fifty_states_three_years_and_six_tiers_is_below_half_a_megabyte() -> None:
    assert 250_000 < len(business_page(LARGEST)) < 500_000


def test_an_empty_warehouse_has_a_whole_page_that_says_so() -> None:
    text = text_of(business_page(EMPTY))
    assert "Nothing is loaded yet" in text
    assert "undefined" not in text


def test_past_page_says_what_cannot_be_had() -> None:
    text = text_of(business_page(REPORTS["as known"]))
    assert "This page is as known after load 3." in text
    assert "How many rows were rejected at that time is not kept" in text
    assert "no run of all checks is recorded after this load" in text


@pytest.mark.parametrize(
    ("bands", "shown"),
    [
        ({"$1M+": 1, "$500k+": 2, "$250k+": 9, "$100k+": 50}, {"$250k+": 12, "$100k+": 50}),
        ({"$1M+": 20, "$100k+": 4}, {"$100k+": 24}),
        ({"$1M+": 3, "$100k+": 4}, {}),
        ({"$100k+": 11}, {"$100k+": 11}),
    ],
)
def test_bands_of_few_members_are_joined(bands: dict[str, int], shown: dict[str, int]) -> None:
    listed = [rows.BandRow(2025, band, n, Decimal(n)) for band, n in bands.items()]
    data = embedded(replace(ONE_MONTH, bands=listed))
    assert {band: members for band, members, _ in data["bands"]["2025"]} == shown


def test_shares_of_members_that_differ_by_few_are_left_out() -> None:
    shares = [(1, 2), (5, 12), (10, 20), (20, 40), (50, 50), (100, 100)]
    listed = [rows.ShareRow(2025, of, members, Decimal(members)) for of, members in shares]
    data = embedded(replace(ONE_MONTH, concentration=listed))
    members = [0, *(n for _, n, _ in data["concentration"]["2025"])]
    assert members[-1] == 100
    assert all(after - before > 10 for before, after in pairwise(members))


def test_an_item_of_few_members_is_hidden_and_not_alone_in_the_rest() -> None:
    listed = [
        rows.ItemRow(2025, item, members, Decimal(paid))
        for item, members, paid in (("A", 90, 900), ("B", 80, 800), ("C", 70, 700), ("D", 3, 600))
    ]
    data = embedded(replace(ONE_MONTH, items={"specialty": listed}))
    years = {row["item"]: row["years"]["2025"] for row in data["items"]["specialty"]}
    assert years == {"A": [90, 90000], "B": [80, 80000], "C": None, "D": None}


PROBE = """<script>
const choose = (values) => {
  for (const [key, value] of Object.entries(values)) form.elements[key].value = value;
  form.dispatchEvent(new Event("input"));
};
const figures = () => [...document.querySelectorAll(".tile b")].map((b) => b.textContent);
const said = [];
%s
document.title = JSON.stringify(said);
</script></body>"""


def probed(page: Path, report: rows.Business, script: str) -> Any:
    """What a script says of the page in a browser."""
    page.write_text(business_page(report).replace("</body>", PROBE % script), encoding="utf-8")
    dom, console = find_browser().dom(page)
    assert console == []
    found = re.search(r"<title>(.*?)</title>", dom, re.S)
    assert found
    return json.loads(found[1].replace("&amp;", "&"))


def test_filters_change_figures_charts_and_tables(tmp_path: Path) -> None:
    script = """
    said.push(figures()[0], document.getElementById("shown").textContent);
    choose({ state: "FL", tier: "Gold", year: "2024" });
    said.push(figures()[0], document.getElementById("shown").textContent);
    said.push(document.querySelectorAll("#draw-pmpm svg .dot").length);
    said.push(document.querySelectorAll("#draw-pmpm details tbody tr").length);
    said.push(document.querySelector("#draw-states tr.chosen th").textContent);
    said.push([...document.querySelectorAll("#draw-specialty thead th")].at(-1).textContent);
    """
    assert probed(tmp_path / "page.html", TWO_YEARS, script) == [
        *("2,400", "Shown: all states, all metal tiers, all years"),
        *("400", "Shown: FL, Gold, 2024"),
        *(12, 12, "FL", "members"),
    ]


def test_hidden_numbers_are_said_to_be_hidden(tmp_path: Path) -> None:
    script = """
    said.push(figures()[0], document.getElementById("draw-members").textContent.slice(0, 7));
    said.push(document.getElementById("main").textContent.includes("NaN"));
    """
    found = probed(tmp_path / "page.html", REPORTS["few"], script)
    assert found == ["hidden", "Hidden:", False]


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_page_fits_a_phone_and_a_desk(report: rows.Business, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(business_page(report), encoding="utf-8")
    browser = find_browser()
    dom, console = browser.dom(page)
    assert console == []
    assert not re.search(r"NaN|undefined|Infinity", text_of(dom))
    assert browser.excess_widths(page, 400, 1280) == {400: 0, 1280: 0}


def test_every_chart_has_a_table_and_says_its_unit(tmp_path: Path) -> None:
    script = """
    for (const plot of document.querySelectorAll(".plot")) {
      const figure = plot.closest("figure");
      said.push(Boolean(figure.querySelector("table caption")));
      said.push(Boolean(figure.querySelector("figcaption")));
      said.push(plot.querySelector(".unit").textContent.length > 5);
      said.push(Boolean(plot.querySelector("svg[role=img]").getAttribute("aria-label")));
    }
    said.push(document.querySelectorAll(".plot").length);
    """
    found = probed(tmp_path / "page.html", TWO_YEARS, script)
    assert found == [*[True] * 20, 5]


def test_colors_of_charts_are_seen_on_both_grounds() -> None:
    text = (ROOT / "etl" / "reports" / "frame" / "base.css").read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--([\w-]+): (#\w{6})", part))
        for part in re.findall(r":root \{[^}]*\}", text)
    ]
    for theme in filter(None, themes):
        for ink in ("bar", "major"):
            assert contrast(theme[ink], theme["paper"]) >= 3
