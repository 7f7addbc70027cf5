"""The report on data quality: from rows of the quality views to one self-contained HTML page.

A pure function. The page needs no network and no script; scripts only filter, sort and open what
is folded when it is printed. Texts come from feeds, folders and people, so the template escapes
every one of them, and the page forbids itself to fetch anything.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Any

import jinja2

from etl.contracts.checks import ASPECTS, CRITICAL, MOST_KEYS, SEVERITIES
from etl.contracts.reasons import Reason
from etl.errors import printable
from etl.inbox.refused import HeldBatch
from etl.quality.truth import Detection

# A feed is late once it is this many times its usual interval behind.
LATE = 2
# A load this many times the usual size is drawn cut off, or else it would flatten all others.
CUT_OFF = 5
# Below so many loads nothing is usual, and bars become no wider.
FEWEST_LOADS, FEWEST_BARS = 5, 12
# What a chart is drawn on: it is stretched to the width that the page has.
WIDTH, HEIGHT = 1000, 100


@dataclass(frozen=True, slots=True)
class Latest:
    """The run of the checks that the page is about; ``is_not_live``: of a build nobody reads."""

    check_run_id: int
    started_at: datetime
    finished_at: datetime
    load_id: int | None
    batch_id: str | None
    as_of: datetime | None
    is_not_live: bool | None
    made_at: datetime
    loads_since: int


@dataclass(frozen=True, slots=True)
class Run:
    """The score, 0 to 1, of a run."""

    check_run_id: int
    started_at: datetime
    load_id: int | None
    checks: int
    failed: int
    failed_critical: int
    score: float


@dataclass(frozen=True, slots=True)
class Score:
    """The score, 0 to 1, of a table in one dimension of quality."""

    table_name: str
    dimension: str
    checks: int
    failed: int
    failed_critical: int
    score: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A check that fails. ``rows_checked`` is ``None`` where it could not be evaluated."""

    check_name: str
    table_name: str
    column_name: str | None
    dimension: str
    severity: str
    rows_checked: int | None
    rows_failed: int
    measured: float | None
    unit: str | None
    threshold: float
    threshold_share: float | None
    means: str | None
    advice: str | None
    failing_since: datetime | None
    runs_failed: int | None
    keys: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A failure that has ended, and how long it lasted."""

    check_name: str
    severity: str
    failing_since: datetime
    resolved_at: datetime
    runs_failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class TimeToResolve:
    """How long failures of a severity lasted."""

    severity: str
    episodes: int
    unresolved: int
    median_seconds: float | None
    longest_seconds: float | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """A check that failed on the rows of one load, at the gate of a stage."""

    started_at: datetime
    gate: str
    batch_id: str | None
    check_name: str
    severity: str
    rows_checked: int | None
    rows_failed: int
    means: str | None
    advice: str | None


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a load brought of a feed."""

    load_id: int
    batch_id: str
    as_of: datetime
    feed: str
    kind: str
    status: str
    rows_read: int
    rows_loaded: int
    rows_rejected: int
    rows_duplicate: int


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a feed last came, and how often it usually does."""

    feed: str
    latest_as_of: datetime
    age_seconds: float
    behind_seconds: float
    files: int
    usual_seconds: float | None


@dataclass(frozen=True, slots=True)
class QuarantineReason:
    """Rows of a feed set aside for one reason."""

    feed: str
    reason: str
    rows_open: int
    loads: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Where rows set aside are. ``first_line``: of the file, where the first of them begins."""

    load_id: int
    batch_id: str
    as_of: datetime
    feed: str
    file: str
    is_refused: bool
    reason: str
    column_name: str | None
    rows_open: int
    first_line: int


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A check with its latest result; ``check_run_id`` is ``None`` where it never ran."""

    check_name: str
    table_name: str
    column_name: str | None
    dimension: str
    severity: str
    answered_by: str
    means: str
    check_run_id: int | None
    started_at: datetime | None
    passed: bool | None
    rows_checked: int | None
    rows_failed: int | None
    measured: float | None
    unit: str
    threshold: float
    threshold_share: float | None
    is_changed: bool
    rows_judged: int | None = None


@dataclass(frozen=True, slots=True)
class QualityReport:
    """Everything that the page shows.

    ``defects``: only of synthetic feeds; ``None`` leaves the section out. ``has_data_docs``:
    whether the pages of Great Expectations lie beside it in ``data-docs``. ``most_details``: how
    many rows of ``quarantine`` and ``resolved`` were asked for at most.
    """

    latest: Latest
    held: Sequence[HeldBatch] = ()
    trend: Sequence[Run] = ()
    scores: Sequence[Score] = ()
    failing: Sequence[Failure] = ()
    resolved: Sequence[Resolved] = ()
    times_to_resolve: Sequence[TimeToResolve] = ()
    stopped: Sequence[Stopped] = ()
    arrivals: Sequence[Arrival] = ()
    freshness: Sequence[Freshness] = ()
    quarantine_reasons: Sequence[QuarantineReason] = ()
    quarantine: Sequence[Quarantined] = ()
    checks: Sequence[CheckRow] = ()
    defects: Sequence[Detection] | None = None
    has_data_docs: bool = False
    most_details: int = 300


def quality_page(report: QualityReport) -> str:
    """The page as HTML text."""
    feeds: dict[str, list[Arrival]] = {}
    for arrival in report.arrivals:
        feeds.setdefault(arrival.feed, []).append(arrival)
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
            line=_score_line(report.trend),
            heat=_heat(report.scores),
            failure_ids={f.check_name: f"failure-{n}" for n, f in enumerate(report.failing, 1)},
            volumes=[_volume(feed, rows) for feed, rows in sorted(feeds.items())],
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


# Words and numbers


def share(value: float) -> str:
    """A share, 0 to 1, in percent. Only all is 100 % and only nothing is 0 %."""
    if value in (0, 1):
        return f"{value:.0%}".replace("%", "\u00a0%")
    # As the server rounds what it is asked for, so that page and views say the same.
    percent = min(max(Decimal(repr(value)) * 100, Decimal("0.01")), Decimal("99.99"))
    places = Decimal("0.1") if Decimal("0.1") <= percent <= Decimal("99.9") else Decimal("0.01")
    return f"{percent.quantize(places, ROUND_HALF_UP)}\u00a0%"


def number(value: float) -> str:
    """A number with marks at the thousands, and no more digits than tell something."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.4g}"


def instant(value: datetime | None) -> str:
    """An instant as ISO date and time of day, UTC."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(value: datetime) -> str:
    """The day of an instant, UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d}"


def span(seconds: float | None) -> str:
    """A duration in its two largest units."""
    if seconds is None:
        return "not known"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    left = round(max(seconds, 0))
    said = []
    for name, size in units:
        if left >= size:
            said.append(f"{left // size:,}\u00a0{name}")
            left %= size
        elif said:
            break
    return " ".join(said[:2]) or "0\u00a0s"


def plural(count: int, word: str, words: str = "") -> str:
    """A count with its noun; ``words``: more than one, where that is not formed with an s."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {words or word + 's'}"


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


# Charts: geometry only; the template draws


@dataclass(frozen=True, slots=True)
class Mark:
    """A place of a chart and what it says; bars of ``parts`` are (class, y, height)."""

    x: float
    y: float
    width: float
    says: str
    kind: str = ""
    parts: tuple[tuple[str, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """The score by run: ``path`` through the marks; ``low`` is the score at the bottom."""

    marks: tuple[Mark, ...]
    path: str
    low: float


@dataclass(frozen=True, slots=True)
class Bars:
    """Rows by load. ``most``: of the tallest that is not cut off; ``top``: where the chart ends."""

    marks: tuple[Mark, ...]
    most: int
    top: float

    @property
    def cut(self) -> int:
        """How many loads are drawn cut off."""
        return sum(mark.kind == "cut" for mark in self.marks)


@dataclass(frozen=True, slots=True)
class Volume:
    """How much came of a feed: charts of what was loaded and of what was set aside."""

    feed: str
    rows: list[Arrival]
    loaded: Bars
    aside: Bars
    usual: tuple[float, float] | None
    band: tuple[float, float] | None


def _score_line(trend: Sequence[Run]) -> Line | None:
    if not trend:
        return None
    worst = min(run.score for run in trend)
    # A step of five points below the worst, so that what varies can be seen.
    low = max(0.0, min(math.floor(worst * 20) / 20, 0.95))
    step = WIDTH / len(trend)
    marks = tuple(
        Mark(
            round(step * (n + 0.5), 2),
            round(HEIGHT * (1 - run.score) / (1 - low), 2),
            round(step, 2),
            f"{instant(run.started_at)}, run {run.check_run_id}: {share(run.score)}, "
            f"{run.failed:,} of {plural(run.checks, 'check')} failed, "
            f"{run.failed_critical:,} critical",
            "critical" if run.failed_critical else "failed" if run.failed else "passed",
        )
        for n, run in enumerate(trend)
    )
    return Line(marks, "M" + " L".join(f"{m.x} {m.y}" for m in marks), low)


def _bars(rows: list[Arrival], parts: tuple[str, ...]) -> Bars:
    """One bar a load of these parts, the first at the bottom."""
    totals = [sum(getattr(row, f"rows_{part}") for part in parts) for row in rows]
    usual = statistics.median_low([total for total in totals if total] or [1])
    most = max((total for total in totals if 0 < total <= CUT_OFF * usual), default=1)
    top_of_chart = 1.1 * most  # so that the tallest is seen not to be cut off
    step = WIDTH / max(len(rows), FEWEST_BARS)
    marks = []
    for n, (row, total) in enumerate(zip(rows, totals, strict=True)):
        bottom, drawn = float(HEIGHT), []
        for part in parts:
            amount = getattr(row, f"rows_{part}")
            top = max(bottom - HEIGHT * amount / top_of_chart, 0.0)
            if amount:
                drawn.append((part, round(top, 2), round(bottom - top, 2)))
            bottom = top
        says = (
            f"{day(row.as_of)}, batch {row.batch_id}: {row.rows_loaded:,} loaded, "
            f"{row.rows_rejected:,} rejected, {row.rows_duplicate:,} duplicate"
        )
        kind = "cut" if total > most else ""
        marks.append(
            Mark(round(step * (n + 0.15), 2), 0, round(step * 0.7, 2), says, kind, tuple(drawn))
        )
    return Bars(tuple(marks), most, top_of_chart)


def _volume(feed: str, rows: list[Arrival]) -> Volume:
    loaded, aside = _bars(rows, ("loaded",)), _bars(rows, ("rejected", "duplicate"))
    comparable = [row.rows_loaded for row in rows if row.rows_loaded <= loaded.most]
    usual = band = None
    if len(comparable) >= FEWEST_LOADS:
        deciles = statistics.quantiles(comparable, n=10, method="inclusive")
        usual = (deciles[0], deciles[-1])
        top, bottom = (HEIGHT * (1 - limit / loaded.top) for limit in reversed(usual))
        band = (round(top, 2), round(bottom - top, 2))
    return Volume(feed, rows, loaded, aside, usual, band)


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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("etl", "quality/page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        share=share,
        number=number,
        instant=instant,
        day=day,
        span=span,
        plural=plural,
        plain=printable,
    )
    environment.globals.update(
        allowed=allowed,
        figure=figure,
        is_late=is_late,
        is_silent=is_silent,
        columns_of=columns_of,
        heat_class=heat_class,
        CRITICAL=CRITICAL,
    )
    return environment
