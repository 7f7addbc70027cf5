"""The page on data quality from hand-made rows: empty, full, hostile."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.config import ROOT
from etl.contracts.checks import ASPECTS
from etl.contracts.reasons import Reason
from etl.inbox.refused import HeldBatch
from etl.quality import report_page as page
from etl.quality import report_rows as rows
from etl.quality.data_docs import offline
from etl.quality.report_page import quality_page
from etl.quality.truth import Detection
from etl.reports.text import share, span
from tests.support.browser import find_browser, text_of
from tests.support.page_parts import contrast, ensure_sound, fetched_from_elsewhere, read_page

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\"'&{{7*7}}"


def latest(**changes) -> rows.Latest:
    return replace(
        rows.Latest(7, NOW, NOW + timedelta(seconds=8), 3, "2025-02-28", NOW, False, NOW, 0),
        **changes,
    )


def failure(name: str, severity: str = "major", **changes) -> rows.Failure:
    made = rows.Failure(
        *(name, "fact_claim", "paid_amount", "validity", severity, 1000, 3, 3.0, "rows", 0.0, None),
        *("paid is above allowed", "Ask the sender.", NOW, 2, ({"claim_id": "C1"},)),
    )
    return replace(made, **changes)


def run(n: int, failed: int = 0, critical: int = 0) -> rows.Run:
    return rows.Run(n, NOW + timedelta(hours=n), n, 300, failed, critical, 1 - failed / 300)


def check(name: str, **changes) -> rows.CheckRow:
    made = rows.CheckRow(
        *(name, "fact_claim", None, "validity", "minor", "sql", "means", 7, NOW, True),
        *(1000, 0, 0.0, "rows", 0.0, None, False),
    )
    return replace(made, **changes)


def arrivals(feed: str, loads: int) -> list[rows.Arrival]:
    return [
        rows.Arrival(
            *(n, f"batch {n}", NOW + timedelta(days=n), feed, "delta", "loaded"),
            *(100_000 if n == 0 else 50 + n % 7, 100_000 if n == 0 else 48 + n % 7, 1, 1, 0),
        )
        for n in range(loads)
    ]


def full(text: str = "plain") -> rows.QualityReport:
    """A long history; ``text`` in every place where a name or a sentence can be."""
    keys = tuple({"claim_id": f"C{n}", text: n, "member_id": None} for n in range(100))
    failing = [
        failure(
            f"{text}.{n}", severity, rows_failed=12_345, failing_keys=keys, means=text, advice=text
        )
        for n, severity in enumerate(["critical", "major", "major", "minor"])
    ]
    names = [f"{text}.{n}" for n in range(300)]
    return rows.QualityReport(
        latest=latest(batch_id=text, loads_since=2),
        held=[HeldBatch(text, state, NOW, text, text) for state in ("refused", "waiting")],
        trend=[run(n, n % 5, n % 5 // 4) for n in range(119)] + [run(119, 4, 1)],
        scores=[
            rows.Score(f"table_{n}", aspect, 3, n % 2, n % 4 // 3, 1 - n % 2 / 3)
            for n in range(24)
            for aspect in ASPECTS
        ],
        failing=failing,
        resolved=[rows.Resolved(text, "minor", NOW, NOW, 1, 90_061.0)],
        times_to_resolve=[rows.TimeToResolve("minor", 3, 1, 90_061.0, 1e6)],
        stopped=[rows.Stopped(NOW, "facts", text, text, "critical", 10, 2, text, text)],
        arrivals=[row for feed in ("claims", text) for row in arrivals(feed, 120)],
        freshness=[rows.Freshness(text, NOW, 1e6, 1e6, 5, 86_400.0)],
        quarantine_reasons=[rows.QuarantineReason(text, text, 4, 2, NOW)],
        quarantine=[
            rows.Quarantined(1, text, NOW, text, text, n == 0, text, None, 4, 2) for n in range(300)
        ],
        checks=[
            check(name, passed=n > 3, rows_failed=0 if n > 3 else 5) for n, name in enumerate(names)
        ],
        defects=[Detection(text, 10, 9, 1, 0, 0)],
        has_data_docs=True,
    )


EMPTY = rows.QualityReport(latest())
NO_LOADS = rows.QualityReport(
    latest(load_id=None, batch_id=None, as_of=None),
    trend=[run(1, 1, 1)],
    failing=[
        failure("dim_member.there", "critical", rows_checked=None, measured=None, failing_keys=())
    ],
    checks=[check("dim_member.there", passed=False, rows_checked=None, rows_failed=0)],
)
REPORTS = {"empty": EMPTY, "no loads": NO_LOADS, "full": full(), "hostile": full(HOSTILE)}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_page_is_complete_and_fetches_nothing(report: rows.QualityReport) -> None:
    ensure_sound(quality_page(report), scripts=1)


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_tables_of_the_page_have_captions_and_headers(report: rows.QualityReport) -> None:
    tags = read_page(quality_page(report)).tags
    names = [tag for tag, _ in tags]
    assert names.count("table") == names.count("caption")
    assert all(found.get("scope") in ("col", "row") for tag, found in tags if tag == "th")


def test_failures_with_one_cause_are_together_and_come_before_the_score() -> None:
    failing = [
        failure("a.one", "critical", advice="Ask the sender."),
        failure("b.alone", "major", advice="make full-load."),
        failure("c.two", "minor", advice="Ask the sender."),
        failure("d.unsaid", "minor", advice=None),
        failure("e.unsaid", "minor", advice=None),
    ]
    html = quality_page(replace(full(), failing=failing))
    articles = [text_of(part) for part in re.findall(r"<article.*?</article>", html, re.S)]
    assert ["critical" in part for part in articles] == [True, False, False, False]
    assert "critical 2 checks fail for one cause critical a.one" in articles[0]
    assert "c.two" in articles[0]
    assert articles[0].count("Ask the sender.") == 1
    assert [name in part for name, part in zip("bde", articles[1:], strict=True)] == [True] * 3
    places = [html.index(f'<h2 id="{name}">') for name in ("held", "failing", "gates", "score")]
    assert places == sorted(places)
    ids = re.findall(r'id="(failure-\d)"', html)
    assert ids == [f"failure-{n}" for n in range(1, 6)]


def test_hostile_text_stays_text() -> None:
    text = quality_page(full(HOSTILE))
    tags = read_page(text).tags
    assert not any(tag == "img" for tag, _ in tags)
    assert not any(name.startswith("on") for _, found in tags for name in found)
    assert "{{7*7}}" in text
    assert HOSTILE not in text


def test_full_page_is_of_sane_size() -> None:
    assert len(quality_page(full())) < 1_500_000


def test_page_without_failures_says_so() -> None:
    text = text_of(quality_page(rows.QualityReport(latest(), trend=[run(1)])))
    assert "Score 100 %: all 300 checks passed." in text
    assert "Nothing fails." in text
    assert "The quarantine is empty." in text
    assert "Defects" not in text


def test_page_shows_every_detail_of_a_failure() -> None:
    found = failure(
        "x.late",
        unit="days",
        measured=12.34,
        rows_failed=1234,
        rows_checked=1_000_000,
        threshold=3,
        threshold_share=0.01,
    )
    text = text_of(quality_page(rows.QualityReport(latest(), trend=[run(1, 1)], failing=[found])))
    for said in (
        "1 of 300 checks fails, 0 critical, 1 major and 0 minor",
        "12.34 days; 1,234 rows of 1,000,000",
        "at most 3 days, or 1.0 % of the rows checked",
        "2025-03-01 12:00 UTC , 2 runs",
        "Ask the sender.",
        "The first 1 key of 1,234 rows",
    ):
        assert said in text


def test_quarantine_has_the_advice_of_its_reason() -> None:
    for reason in Reason:
        row = rows.QuarantineReason("claims", reason.text, 12_345, 2, NOW)
        text = text_of(quality_page(rows.QualityReport(latest(), quarantine_reasons=[row])))
        assert reason.advice in text
        assert "12,345" in text


def test_page_names_loads_after_the_run_and_failed_rebuilds() -> None:
    text = text_of(quality_page(rows.QualityReport(latest(loads_since=2, is_not_live=True))))
    assert "2 loads came after this run." in text
    assert "a rebuild that did not go live" in text


def test_page_shows_defects_only_if_there_are_any() -> None:
    defect = Detection("wrong date", 1000, 998, 2, 0, 0)
    text = text_of(quality_page(rows.QualityReport(latest(), defects=[defect])))
    assert "wrong date 1,000 998 2 0" in text


def test_huge_load_is_cut_off_and_does_not_flatten_the_others() -> None:
    report = rows.QualityReport(latest(), arrivals=arrivals("claims", 30))
    text = quality_page(report)
    assert text.count('class="cut"') == 1
    tall = [float(h) for h in re.findall(r'class="loaded"[^>]*height="([\d.]+)"', text)]
    assert len(tall) == 30
    assert min(tall) > 50
    assert "usual are 48 to 54 loaded" in text_of(text)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 %"), (1, "100 %"), (0.99999, "99.99 %"), (1e-9, "0.01 %"), (0.5, "50.0 %")],
)
def test_share_is_rounded_to_all_only_if_it_is(value: float, said: str) -> None:
    assert share(value).replace("\u00a0", " ") == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "not known"), (0, "0 s"), (61, "1 min 1 s"), (90_061, "1 d 1 h"), (86_405, "1 d")],
)
def test_span_is_written_in_its_two_largest_units(seconds: float | None, said: str) -> None:
    assert span(seconds).replace("\u00a0", " ") == said


@pytest.mark.parametrize("style", ["reports/frame/base.css", "quality/page/data_docs.css"])
def test_text_has_contrast_to_its_background(style: str) -> None:
    text = (ROOT / "etl" / style).read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--([\w-]+): (#\w{6})", part))
        for part in re.findall(r":root \{[^}]*\}", text)
    ]
    assert len([theme for theme in themes if theme]) == 2
    for theme in filter(None, themes):
        pairs = [(ink, ground) for ink in ("ink", "soft", "link") for ground in ("paper", "shade")]
        pairs += [(name.removesuffix("-paper"), name) for name in theme if name.endswith("-paper")]
        pairs += [(name, "paper") for name in ("bad", "good") if name in theme]
        for ink, ground in pairs:
            assert contrast(theme[ink], theme[ground]) >= 4.5, (ink, ground)


def test_data_docs_page_loses_what_it_would_fetch() -> None:
    stock = """<html><head><title>T</title><link rel="stylesheet" href="https://cdn.example/a.css">
    <script src="https://cdn.example/a.js"></script><style>a{background:url('https://cdn.example/x.png')}</style>
    </head><body><img src="https://cdn.example/logo.png"><a href="https://example.org">more</a>
    <script>$("x").modal()</script><p>kept</p><footer>Subscribe</footer></body></html>"""
    found = offline(stock, "../report.html")
    assert fetched_from_elsewhere(found) == []
    assert "kept" in found
    assert "more" in found
    assert "Subscribe" not in found
    assert "modal" not in found


# In a browser


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
def test_page_fits_and_runs_in_a_browser(name: str, tmp_path: Path) -> None:
    browser = find_browser()
    file = tmp_path / "report.html"
    file.write_text(quality_page(REPORTS[name]), encoding="utf-8")
    dom, said = browser.dom(file)
    assert said == []
    assert "owned" not in re.findall(r"<title>(.*?)</title>", dom)[0][:5]
    if shown := len(REPORTS[name].checks):
        assert f"{shown} of {shown} shown" in text_of(dom)
    assert browser.excess_widths(file, 390, 1280) == {390: 0, 1280: 0}
    assert browser.lines_of_picture(file, tmp_path / "page.png") > 50


def test_filter_and_order_of_the_page_change_its_rows(tmp_path: Path) -> None:
    browser = find_browser()
    file = tmp_path / "report.html"
    steps = """<script>
    const f = document.getElementById("filter"), t = document.getElementById("all-checks");
    f.elements.state.value = "failed";
    f.dispatchEvent(new Event("input"));
    const button = t.tHead.rows[0].cells[4].querySelector("button");
    button.click(); button.click();
    dispatchEvent(new Event("beforeprint"));
    document.title = JSON.stringify({
      shown: document.getElementById("shown").textContent,
      first: t.tBodies[0].rows[0].cells[0].textContent,
      order: t.tHead.rows[0].cells[4].getAttribute("aria-sort"),
      folded: document.querySelectorAll("details:not([open])").length,
    });
    </script>"""
    text = quality_page(full())
    file.write_text(text.replace("</body>", f"{steps}</body>"), encoding="utf-8")
    dom, said = browser.dom(file)
    assert said == []
    found = json.loads(re.findall(r"<title>(.*?)</title>", dom)[0])
    assert found["shown"] == "4 of 300 shown"
    assert found["order"] == "descending"
    assert found["first"] in {f"plain.{n}" for n in range(4)}
    assert found["folded"] == 4  # the lists of keys


def test_a_check_that_could_judge_no_row_says_so() -> None:
    assert page.figure(check("a", rows_judged=0)) == "judged 0 of 1,000 rows"
    assert page.figure(check("a", rows_judged=7)) == "0 of 1,000 rows"
    assert page.figure(check("a", rows_checked=0, rows_judged=0)) == "0 of 0 rows"
