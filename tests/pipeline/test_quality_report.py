"""make dq-report: the page and the data docs of a small dirty warehouse, in a real browser."""

from __future__ import annotations

import re
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path

import pytest

from etl.db.connection import connect
from etl.errors import CheckFailedError, UsageError
from etl.pipeline import commands
from etl.quality.data_docs import write_data_docs
from etl.quality.report import read_report, write_report
from etl.quality.report_page import quality_page
from etl.render.expectations import suites
from tests.support.browser import find_browser, text_of
from tests.support.page_parts import fetched_from_elsewhere, read_page
from tests.support.warehouse import Warehouse

# A value in every personal column of every row, loaded or rejected.
MARK = "Zzyzxmark"
PASSWORD_OF_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://")


def member(n: int, **more: str) -> dict[str, str]:
    marked = dict.fromkeys(("first_name", "last_name", "street", "city", "email", "phone"), MARK)
    return {"member_id": f"M{n}", "state": "TX", "zip": "73301", **marked, **more}


def claim(n: int, **more: str) -> dict[str, str]:
    known = {"member_id": f"M{n % 40}", "provider_id": "D1", "plan_id": "P1"}
    amounts = {"claim_amount": "100", "allowed_amount": "80", "paid_amount": "60"}
    codes = {"status": "approved", "diagnosis_code": "E119", "procedure_code": "99213"}
    return {"claim_id": f"C{n}", "service_date": "2025-01-05", **known, **amounts, **codes, **more}


@dataclass(frozen=True)
class Made:
    warehouse: Warehouse
    folder: Path
    out: str

    @property
    def page(self) -> Path:
        return self.folder / "report.html"

    @property
    def first_of_docs(self) -> Path:
        return self.folder / "data-docs" / "index.html"

    @property
    def pages(self) -> list[Path]:
        return sorted(self.folder.rglob("*.html"))


@pytest.fixture(scope="module")
def made(module_warehouse: Warehouse) -> Made:
    """Two batches with bad rows, the checks, a threshold changed afterwards, the report."""
    warehouse = module_warehouse
    warehouse.send(
        "2025-01-10",
        # A wrong year of birth rejects the whole row; an odd segment is a finding.
        members=[member(n) for n in range(40)] + [member(41, dob=f"19{MARK}")],
        plans=[{"plan_id": "P1", "effective_year": "2025", "metal_tier": "Silver"}],
        providers=[{"provider_id": "D1", "name": MARK, "state": "TX"}],
        claims=[claim(n) for n in range(60)]
        + [claim(n, diagnosis_code=MARK, paid_amount="90") for n in range(60, 65)]
        + [claim(66, claim_amount=MARK)],
    )
    warehouse.send("2025-02-01", claims=[claim(n) for n in range(70, 75)])
    warehouse.incremental(reject_share=0.5)
    with warehouse.pipeline(checks=None) as pipeline, suppress(CheckFailedError):
        commands.run_checks(pipeline)
    reported = warehouse.command("dq-report")
    assert reported.returncode == 0, reported.stderr
    return Made(warehouse, warehouse.data / "quality", reported.stdout)


@pytest.mark.slow
def test_report_prints_the_path_of_its_page(made: Made) -> None:
    assert str(made.page) in made.out
    assert str(made.first_of_docs) in made.out
    assert made.page.is_file()
    assert made.first_of_docs.is_file()


def test_report_files_are_readable_by_their_owner_alone(made: Made) -> None:
    for path in (made.folder, made.page, made.folder / "data-docs"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_report_pages_fetch_nothing(made: Made) -> None:
    assert len(made.pages) > 2 * len(suites())
    for path in made.pages:
        found = fetched_from_elsewhere(path.read_text(encoding="utf-8"))
        assert found == [], path


def test_links_of_report_pages_lead_to_files_and_ids(made: Made) -> None:
    for path in made.pages:
        parts = read_page(path.read_text(encoding="utf-8"))
        assert len(parts.ids) == len(set(parts.ids)), path
        for link in parts.links:
            file, _, part = unescape(link).partition("#")
            if file:
                assert (path.parent / file).is_file(), (path, link)
            elif part:
                assert part in parts.ids, (path, link)


def test_report_page_is_well_nested_html(made: Made) -> None:
    assert read_page(made.page.read_text(encoding="utf-8")).wrong == []


def test_report_contains_no_value_of_a_row_and_no_password(made: Made) -> None:
    rejected = made.warehouse.rows("select count(*) from quality.rejected_row")
    assert rejected[0][0] >= 2
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert MARK not in text, path
        assert not PASSWORD_OF_URL.search(text), path


def test_report_lists_every_failing_check_with_advice_and_keys(made: Made) -> None:
    html = made.page.read_text(encoding="utf-8")
    text = text_of(html)
    failing = made.warehouse.rows(
        "select check_name, advice, means, rows_failed, failing_keys from quality.failing_now"
    )
    assert {"fact_claim.amounts_in_order", "claims_raw.diagnosis_code.matches"} <= {
        row[0] for row in failing
    }
    for name, advice, means, failed, keys in failing:
        article = re.search(
            rf"<article[^>]*>(?:(?!</article>).)*>{re.escape(name)}<.*?</article>", html, re.S
        )
        assert article, name
        said = text_of(article[0])
        assert " ".join(means.split()) in said
        assert " ".join(advice.split()) in said
        assert f"{failed:,}" in said
        for key in keys:
            assert all(str(value) in said for value in key.values() if value is not None)
    passed = made.warehouse.rows("select count(*) from quality.check_definition")
    assert f"{passed[0][0]:,} checks in use" in text


def test_report_has_the_numbers_of_the_views(made: Made) -> None:
    text = text_of(made.page.read_text(encoding="utf-8"))
    open_rows = made.warehouse.rows(
        "select feed, reason, sum(rows_open) from quality.quarantine_open group by 1, 2"
    )
    assert open_rows
    for feed, reason, rows in open_rows:
        assert f"{feed} {reason} {rows:,}" in text
    for load, batch, loaded in made.warehouse.rows(
        "select load_id, batch_id, rows_loaded from quality.feed_arrival"
    ):
        assert re.search(rf"\b{load} {batch} \S+ delta [\d,]+ {loaded:,} ", text)
    ((score,),) = made.warehouse.rows(
        "select round(score * 100, 1) from quality.check_trend order by check_run_id desc limit 1"
    )
    assert f"Score {score}" in text


def test_data_docs_have_the_results_of_the_report(made: Made) -> None:
    index = text_of(made.first_of_docs.read_text(encoding="utf-8"))
    failing = {
        name for (name,) in made.warehouse.rows("select check_name from quality.failing_now")
    }
    for suite in suites():
        failed = sum(e.check.name in failing for e in suite.expectations)
        state = "failed" if failed else "passed"
        assert f"{state} {suite.table} {len(suite.expectations)} {failed}" in index
    (found,) = made.folder.glob("data-docs/validations/claims_raw/*/*/claims_raw.html")
    assert "5 unexpected values found." in text_of(found.read_text(encoding="utf-8"))


def test_report_of_changed_thresholds_needs_no_new_run(made: Made) -> None:
    name = "fact_claim.amounts_in_order"
    with connect(made.warehouse.url, "test") as connection:
        connection.execute(
            "insert into quality.check_threshold (check_name, threshold, reason) "
            "values (%s, 5, 'x')",
            [name],
        )
        report = read_report(connection)
        connection.execute("delete from quality.check_threshold")
    assert name not in {failure.check_name for failure in report.failing}
    assert "at most 5 rows (changed)" in text_of(quality_page(report))


@pytest.mark.slow
def test_pages_in_a_browser(made: Made, tmp_path: Path) -> None:
    browser = find_browser()
    (result,) = made.folder.glob("data-docs/validations/claims_raw/*/*/claims_raw.html")
    suite = made.folder / "data-docs" / "expectations" / "claims_raw.html"
    for path, said in (
        (made.page, "What fails now, and why"),
        (made.first_of_docs, "Validation results"),
        (result, "unexpected values found"),
        (suite, "values must never be null"),
    ):
        dom, console = browser.dom(path)
        assert console == [], path
        assert said in text_of(dom)
        assert browser.excess_widths(path, 390, 1280) == {390: 0, 1280: 0}, path
        assert browser.lines_of_picture(path, tmp_path / "page.png") > 50


def test_data_docs_can_show_what_failed_only(made: Made, tmp_path: Path) -> None:
    browser = find_browser()
    (result,) = made.folder.glob("data-docs/validations/claims_raw/*/*/claims_raw.html")
    page = tmp_path / "filtered.html"
    click = """<script>
    const rows = () => [...document.querySelectorAll(".ge-section tbody tr")].filter(
      (row) => row.offsetParent && row.querySelector("td .fas")).length;
    const all = rows();
    document.getElementById("option2").closest("label").click();
    const failed = rows();
    document.querySelector('[data-toggle="collapse"]').click();
    const unfolded = document.querySelectorAll(".collapse.show").length;
    document.title = [all > 10, failed, unfolded].join();
    </script></body>"""
    page.write_text(result.read_text(encoding="utf-8").replace("</body>", click))
    dom, console = browser.dom(page)
    assert console == []
    assert "<title>true,1,1</title>" in dom


def test_report_without_a_run_of_the_checks_says_what_to_do(warehouse: Warehouse) -> None:
    done = warehouse.command("dq-report")
    assert done.returncode == 2
    assert "no run of the quality checks has finished" in done.stderr
    assert "make dq-check" in done.stderr
    assert not (warehouse.data / "quality").exists()


def test_report_into_an_unwritable_folder_is_an_error(made: Made, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(made.warehouse.url, tmp_path / "file")


def test_report_does_not_replace_a_folder_of_other_files(made: Made, tmp_path: Path) -> None:
    (tmp_path / "data-docs").mkdir()
    (tmp_path / "data-docs" / "mine.txt").touch()
    with pytest.raises(UsageError, match="contains something else"):
        write_report(made.warehouse.url, tmp_path)
    assert (tmp_path / "data-docs" / "mine.txt").exists()


def test_report_and_data_docs_show_a_check_not_evaluated(made: Made, tmp_path: Path) -> None:
    with connect(made.warehouse.url, "test") as connection:
        report = read_report(connection)
    checks = [
        replace(c, rows_checked=None, measured=None, passed=False)
        if c.check_name == "claims_raw.claim_id.not_null"
        else c
        for c in report.checks
    ]
    index = write_data_docs(tmp_path / "docs", report.latest, checks)
    (found,) = index.parent.glob("validations/claims_raw/*/*/claims_raw.html")
    text = found.read_text(encoding="utf-8")
    assert "A table or column that it reads is missing." in text_of(text)
    assert fetched_from_elsewhere(text) == []
    assert "could not be evaluated" in text_of(quality_page(replace(report, checks=checks)))
