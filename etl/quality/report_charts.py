"""The charts of the report on data quality: geometry only; the template draws."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from etl.quality.report_rows import Arrival, Run
from etl.reports.text import day, instant, plural, share

# A load this many times the usual size is drawn cut off, or else it would flatten all others.
CUT_OFF = 5
# Below so many loads nothing is usual, and bars become no wider.
FEWEST_LOADS, FEWEST_BARS = 5, 12
# What a chart is drawn on: it is stretched to the width that the page has.
WIDTH, HEIGHT = 1000, 100


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
    """How much came of a feed: charts of what was loaded and of what was rejected."""

    feed: str
    rows: list[Arrival]
    loaded: Bars
    aside: Bars
    usual: tuple[float, float] | None
    band: tuple[float, float] | None


def score_line(trend: Sequence[Run]) -> Line | None:
    """The scores of the runs, in order."""
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
            f"{row.rows_rejected:,} rejected, {row.rows_duplicate:,} duplicate, "
            f"{row.rows_expired:,} expired"
        )
        kind = "cut" if total > most else ""
        marks.append(
            Mark(round(step * (n + 0.15), 2), 0, round(step * 0.7, 2), says, kind, tuple(drawn))
        )
    return Bars(tuple(marks), most, top_of_chart)


def volume(feed: str, rows: list[Arrival]) -> Volume:
    """The rows of a feed, load by load, with what is usual."""
    loaded, aside = _bars(rows, ("loaded",)), _bars(rows, ("rejected", "duplicate"))
    comparable = [row.rows_loaded for row in rows if row.rows_loaded <= loaded.most]
    usual = band = None
    if len(comparable) >= FEWEST_LOADS:
        deciles = statistics.quantiles(comparable, n=10, method="inclusive")
        usual = (deciles[0], deciles[-1])
        top, bottom = (HEIGHT * (1 - limit / loaded.top) for limit in reversed(usual))
        band = (round(top, 2), round(bottom - top, 2))
    return Volume(feed, rows, loaded, aside, usual, band)
