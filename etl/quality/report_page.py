"""The report on data quality: from rows of the quality views to one self-contained HTML page.

A pure function. The page needs no network and no script; scripts only filter, sort and open what
is folded when it is printed. Texts come from feeds, folders and people, so the template escapes
every one of them, and the page forbids itself to fetch anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jinja2

from etl.contracts.checks import ASPECTS, CRITICAL, MOST_KEYS, SEVERITIES
from etl.contracts.reasons import Reason
from etl.quality.report_charts import FEWEST_BARS, HEIGHT, WIDTH, score_line, volume
from etl.quality.report_rows import Arrival, CheckRow, Failure, Freshness, QualityReport, Score
from etl.reports.frame import environment
from etl.reports.text import number, plural, share

# A feed is late once it is this many times its usual interval behind.
LATE = 2


def quality_page(report: QualityReport) -> str:
    """The page as HTML text."""
    feeds: dict[str, list[Arrival]] = {}
    for arrival in report.arrivals:
        feeds.setdefault(arrival.feed, []).append(arrival)
    causes = causes_of(report.failing)
    in_order = [failure for cause in causes for failure in cause.failures]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            latest=report.latest,
            verdict=_verdict(report),
            failed_by_severity={
                severity: sum(f.severity == severity for f in report.failing)
                for severity in SEVERITIES
            },
            line=score_line(report.trend),
            heat=_heat(report.scores),
            causes=causes,
            failure_ids={f.check_name: f"failure-{n}" for n, f in enumerate(in_order, 1)},
            volumes=[volume(feed, rows) for feed, rows in sorted(feeds.items())],
            advice={reason.text: reason.advice for reason in Reason},
            aspects=ASPECTS,
            severities=SEVERITIES,
            most_keys=MOST_KEYS,
            fewest_bars=FEWEST_BARS,
            width=WIDTH,
            height=HEIGHT,
            tables=sorted({c.table_name for c in report.checks}),
        )
    )


class Cause(NamedTuple):
    """Failures that are settled in the same way, the worst first."""

    advice: str | None
    failures: list[Failure]

    @property
    def severity(self) -> str:
        """That of the worst."""
        return self.failures[0].severity


def causes_of(failing: Sequence[Failure]) -> list[Cause]:
    """Failures by their cause, which is what their advice is about; without one each by itself.

    Both are in the order of the failures, the worst first.
    """
    causes: dict[str, Cause] = {}
    for failure in failing:
        cause = causes.setdefault(failure.advice or failure.check_name, Cause(failure.advice, []))
        cause.failures.append(failure)
    return list(causes.values())


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _verdict(report: QualityReport) -> str:
    """The state of the warehouse in one sentence."""
    if not report.trend:
        return "This run of the checks left no results."
    run = report.trend[-1]
    begin = f"Score {share(run.score)}: "
    if not run.failed:
        return f"{begin}all {plural(run.checks, 'check')} passed."
    counted = [
        f"{sum(f.severity == severity for f in report.failing)} {severity}"
        for severity in SEVERITIES
    ]
    verb = "fails" if run.failed == 1 else "fail"
    return f"{begin}{run.failed:,} of {plural(run.checks, 'check')} {verb}, {_listed(counted)}."


def allowed(check: Failure | CheckRow) -> str:
    """The most that a check lets pass."""
    unit = check.unit or "rows"
    said = f"at most {number(check.threshold)} {unit}"
    if check.threshold_share is not None:
        said += f", or {share(check.threshold_share)} of the rows checked"
    return said


def figure(check: Failure | CheckRow) -> str:
    """What a check measured, in its unit."""
    if check.rows_checked is None:
        return "could not be evaluated"
    unit = check.unit or "rows"
    if unit != "rows" and check.measured is not None:
        return f"{number(check.measured)} {unit}"
    if check.rows_checked and isinstance(check, CheckRow) and check.rows_judged == 0:
        return f"judged 0 of {plural(check.rows_checked, 'row')}"
    failed = check.rows_failed or 0
    said = f"{failed:,} of {plural(check.rows_checked, 'row')}"
    if failed and check.rows_checked:
        said += f" ({share(min(failed / check.rows_checked, 1))})"
    return said


def is_late(feed: Freshness) -> bool:
    """Whether a feed is further behind the newest batch than is usual for it."""
    return feed.usual_seconds is not None and feed.behind_seconds > LATE * feed.usual_seconds


def is_silent(feed: Freshness) -> bool:
    """Whether a feed has not come for longer than is usual for it, by the clock."""
    return feed.usual_seconds is not None and feed.age_seconds > LATE * feed.usual_seconds


def columns_of(keys: Iterable[dict[str, Any]]) -> list[str]:
    """The columns that any of the keys names, in their order."""
    return list(dict.fromkeys(name for key in keys for name in key))


def _heat(scores: Sequence[Score]) -> dict[str, dict[str, Score]]:
    """Scores by table and dimension of quality."""
    tables: dict[str, dict[str, Score]] = {}
    for score in scores:
        tables.setdefault(score.table_name, {})[score.dimension] = score
    return tables


def heat_class(score: Score) -> str:
    """How a cell of the table of scores is coloured: by what failed, then by how much."""
    if score.failed_critical:
        return "critical"
    if not score.failed:
        return "good"
    return "fair" if score.score >= 0.9 else "poor"


@cache
def _environment() -> jinja2.Environment:
    made = environment("quality/page")
    functions = (allowed, figure, is_late, is_silent, columns_of, heat_class)
    made.globals.update({f.__name__: f for f in functions}, CRITICAL=CRITICAL)
    return made
