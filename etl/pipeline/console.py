"""What a person sees of a run: progress while it goes on, a summary when it is over."""

from __future__ import annotations

import itertools
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from etl.access.logins import Login
from etl.access.roles import ROLES
from etl.contracts.checks import SEVERITIES
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.db import steps
from etl.errors import printable
from etl.masked_inbox.copy import LIMITED_DATA_SET, MaskedCopy
from etl.pipeline import screen
from etl.pipeline.screen import Screen
from etl.pipeline.summary import Summary
from etl.quality.runner import CheckReport, CheckResult
from etl.reports.text import plural
from etl.stages.stage.staged import Staged

# What a column of money is summed into, as the ledger names it; the last is a count.
_SUMS = {
    "in_file": "read",
    "loaded": "loaded",
    **{name: name for name in ("rejected", "duplicate", "expired", "filtered")},
    "unread": "unreadable",
}
# How many failed checks the summary names.
_SHOWN = 8
# A step shorter than this is not shown: nobody could read it.
_STEP_SECONDS = 1
_NEXT = {
    "full-load": "make psql to query, make incremental for the next batch, make dq-check to verify",
    "incremental": "make psql to query, make dq-check to verify",
    "stage": "make dims",
    "dims": "make facts",
    "facts": "make cubes",
    "cubes": "make dq-check",
    "retention": "make psql to query ledger.retention_run, which has what went and why",
    "archive-staging": "make psql to query ledger.staging_archive, which has what is in which file",
    "restate": "make psql to query; ledger.fact_rekey counts the facts that were keyed again",
    "quarantine-replay": "make quarantine for what is still open, make psql to query",
    "dq-check": "make dq-report for a page of the results; make psql to query quality.failing_now",
}


class _Bar(Progress):
    """A bar, and below it the step that it is at once that lasts, with its seconds."""

    def __init__(self, *columns: ProgressColumn, console: Screen) -> None:
        self._step, self._begun = "", time.monotonic()
        super().__init__(*columns, console=console, transient=True)

    def note_step(self, what: str) -> None:
        """A step begins; the same words again go on with it."""
        if what != self._step:
            self._step, self._begun = what, time.monotonic()

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar, then the step."""
        yield self.make_tasks_table(self.tasks)
        seconds = time.monotonic() - self._begun
        if self._step and seconds >= _STEP_SECONDS:
            clock = f", {seconds:.0f} s"
            said = Text(printable(f"       {self._step}"))
            said.truncate(self.console.width - len(clock), overflow="ellipsis")
            yield Text.assemble(said, clock, no_wrap=True)


class Terminal:
    """Shows stages as they run: bars on a terminal, nothing where nobody looks."""

    def __init__(self) -> None:
        self.console = Screen(stderr=True)
        self.said = 0
        self._progress: _Bar | None = None
        self._task: TaskID | None = None
        if self.console.is_terminal:
            steps.listen(self._note_step)

    def begin(self, stage: str, what: str, total: int | None = None) -> None:
        """A stage begins."""
        self.end()
        if not self.console.is_terminal:
            return
        self._progress = _Bar(
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f}%") if total else TextColumn(""),
            TimeElapsedColumn(),
            console=self.console,
        )
        self._progress.start()
        title = stage if what == stage else f"{stage:<7}{what}"
        self._task = self._progress.add_task(printable(title), total=total)

    def _note_step(self, what: str) -> None:
        if self._progress is not None:
            self._progress.note_step(what)

    @contextmanager
    def showing(self, stage: str, what: str) -> Iterator[None]:
        """Show that something goes on for which nobody can say how much there is to do."""
        self.begin(stage, what)
        try:
            yield
        finally:
            self.end()

    def advance(self, amount: int) -> None:
        """So much of the stage is done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, amount)

    def agree(self, text: str) -> bool:
        """Say what is about to last, and ask whether it may if somebody is there to answer."""
        self.say(text)
        return not sys.stdin.isatty() or Confirm.ask("Go on?", console=self.console)

    def end(self) -> None:
        """The stage is over."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def say(self, text: str) -> None:
        """Something that a person should read."""
        self.said += 1
        self.console.write_line(text)


@contextmanager
def step_bar(command: str, total: int) -> Iterator[Callable[[str], None]]:
    """Progress of a command that is no run: call it with the name of each step that begins."""
    terminal = Terminal()
    numbers = itertools.count(1)

    def step(name: str) -> None:
        terminal.end()
        terminal.begin(command, f"{name} ({next(numbers)} of {total})")

    try:
        yield step
    finally:
        terminal.end()


def _verdict(console: Screen, title: str, reports: list[CheckReport]) -> None:
    """How many checks passed, and what failed, the worst first."""
    checks, failed = sum(r.checks for r in reports), sum(r.failed for r in reports)
    verdict = f"{checks - failed:,} of {checks:,} checks passed"
    if failed:
        verdict += f", {failed:,} failed ({sum(r.failed_critical for r in reports):,} critical)"
    silent = sorted({name for r in reports for name in r.judged_nothing})
    if silent:
        verdict += f"; {len(silent):,} judged 0 rows, having no values to judge"
    console.write_line(verdict, title)
    failures = [failure for report in reports for failure in report.failures]
    for failure in sorted(failures, key=lambda f: SEVERITIES.index(f.check.severity))[:_SHOWN]:
        console.write_line(f"         {_described(failure)}")
    if len(failures) > _SHOWN:
        console.write_line(f"         and {len(failures) - _SHOWN:,} more")


def _looked_at(console: Screen, report: CheckReport) -> None:
    """What the checks looked at, where that was not everything, and what may fail still."""
    if report.look is None or report.look.is_whole:
        return
    console.write_line(report.look.words, "")
    if report.still_open:
        checks = "check" if len(report.still_open) == 1 else "checks"
        console.write_line(
            f"{len(report.still_open):,} {checks} passed on that, and failed before at claims that "
            "were not all looked at again: see quality.failing_now.",
            "",
        )


def _described(failure: CheckResult) -> str:
    rows = "row" if failure.rows_failed == 1 else "rows"
    return f"{failure.check.severity}: {failure.check.name}, {failure.rows_failed:,} {rows}"


def show_summary(summary: Summary) -> None:
    """The last words of a run, on stdout."""
    console = Screen()
    console.print()
    if summary.going:
        console.write_numbers(_going(summary))
    if summary.files:
        console.print(_files(summary))
        _money(console, summary)
    _counts(console, summary)
    if summary.gates:
        _verdict(console, "Gates", summary.gates)
    if summary.checks is not None:
        _verdict(console, "Checks", [summary.checks])
        _looked_at(console, summary.checks)
    if summary.detections:
        console.print(_detections(summary))
    if summary.seconds:
        times = ", ".join(f"{name} {s:.1f}" for name, s in summary.seconds.items())
        console.write_line(times, "Seconds")
    for note in summary.notes:
        console.write_line(note, "Note")
    console.write_line(_NEXT.get(summary.command, "make help"), "Next")


def _going(summary: Summary) -> Table:
    """What is older than the horizon: rows, facts, days, bytes and money, by feed."""
    counted = ("rows", "facts", "MiB", "from", "to", "US dollars")
    table = screen.table("Before the horizon", "feed", *counted, right=counted)
    for one in summary.going:
        cells = (f"{one.rows:,}", f"{one.facts:,}", f"{one.size_bytes / 2**20:,.1f}")
        days = (str(one.first_day or "-"), str(one.last_day or "-"))
        sums = (f"{column} {Decimal(total):,.2f}" for column, total in one.totals.items())
        table.add_row(one.feed, *cells, *days, "\n".join(sums))
    return table


def _files(summary: Summary) -> Table:
    """How many files of each feed there were, and what became of their rows."""
    feeds: dict[str, Counter[str]] = {}
    for staged in _by_feed(summary):
        row = feeds.setdefault(staged.file.feed.name, Counter())
        row["files"] += len(staged.file.files)
        row.update({name.removeprefix("rows_"): n for name, n in staged.counts().items()})
        row["skipped"] += staged.status == "skipped"
    # Few contracts filter rows or make several of one.
    rare = [name for name in ("added", "filtered") if any(row[name] for row in feeds.values())]
    counted = ("files", "read", *rare, "loaded", "rejected", "duplicate", "expired", "skipped")
    table = screen.table("Rows", "feed", *counted, right=counted)
    for feed, row in feeds.items():
        table.add_row(feed, *(f"{row[name]:,}" for name in counted))
    return table


def _by_feed(summary: Summary) -> list[Staged]:
    """The files of a run, feed by feed as the contracts are listed."""
    order = list(FEEDS)
    return sorted(summary.files, key=lambda staged: order.index(staged.file.feed.name))


def _money(console: Screen, summary: Summary) -> None:
    """What the files contain, and what became of it.

    That is: read = rejected + duplicate + expired + filtered + loaded. What is nothing in every
    line is said below them, so that lines fit on a narrow terminal.
    """
    sums: dict[str, Counter[str]] = {}
    unsaid: set[str] = set()
    for staged in _by_feed(summary):
        for column, total in staged.totals.items():
            name = f"{staged.file.feed.name}.{column}"
            sums.setdefault(name, Counter()).update({k: Decimal(v) for k, v in total.items()})
            if "expected" not in total:
                unsaid.add(name)
    if not sums:
        return
    shown = {k: name for k, name in _SUMS.items() if any(sum_of[k] for sum_of in sums.values())}
    summed = ("sender says", *shown.values())
    table = screen.table("US dollars", "column", *summed, right=summed)
    for name, sum_of in sums.items():
        said = "-" if name in unsaid else f"{sum_of['expected']:,.2f}"
        table.add_row(name, said, *(_sum_shown(k, sum_of[k]) for k in shown))
    console.write_numbers(table)
    if nothing := [name for k, name in _SUMS.items() if k not in shown]:
        *others, last = nothing
        console.write_line(f"Nothing was {', '.join(others)}{' or ' if others else ''}{last}.")


def _sum_shown(name: str, amount: Decimal | int) -> str:
    return f"{amount:,}" if name == "unread" else f"{amount:,.2f}"


def _detections(summary: Summary) -> Table:
    counted = ("injected", "detected", "false negatives", "false positives", "consequences")
    table = screen.table("Defects injected and detected", "kind", *counted, right=counted)
    for kind in summary.detections:
        counts = astuple(kind)[1:]
        if any(counts):
            table.add_row(kind.kind, *(f"{n:,}" for n in counts))
    return table


def _counts(console: Screen, summary: Summary) -> None:
    """What became of dimensions and facts, in lines that fit on a narrow terminal."""

    def sum_of(*names: str) -> int:
        return sum(summary.counts[name] for name in names)

    versions = {
        "new": sum_of("new_versions", "added"),
        "expired": sum_of("expired", "shortened"),
        "corrected in place": sum_of("corrected"),
        "completed": sum_of("completed"),
    }
    claims = {
        "claims new": sum_of("claim_inserted"),
        "claims updated": sum_of("claim_updated"),
    }
    enrollments = {
        "enrollments new": sum_of("enrollment_inserted"),
        "enrollments updated": sum_of("enrollment_updated"),
        "enrollments displaced": sum_of("enrollment_displaced"),
    }
    facts = {
        "expired": sum_of("claims_expired", "enrollments_expired"),
        "taken back": sum_of("claim_taken_back", "enrollment_taken_back"),
        "re-keyed": sum_of("rekeyed"),
        "keys inferred": sum_of("claim_inferred", "enrollment_inferred"),
    }
    for name, lines in (("Versions", (versions,)), ("Facts", (claims, enrollments, facts))):
        if not any(n for line in lines for n in line.values()):
            continue
        for at, line in enumerate(lines):
            text = ", ".join(f"{label} {n:,}" for label, n in line.items())
            console.write_line(text, " " if at else name)


def show_quarantine(rows: list[tuple[Any, ...]]) -> None:
    """Rows of the quarantine that nobody has dealt with, what to do about it, and how."""
    console = Screen(width=120)
    if not rows:
        console.write_line("Nothing is open in the quarantine.")
        return
    show_rejected(console, "Open in the quarantine", rows)
    console.write_line(
        f"make quarantine-export BATCH={shlex.quote(rows[0][0])} writes the rows as CSV; correct "
        "them, then make quarantine-replay FILE=...",
        "Next",
    )


def show_trial(
    summary: Summary,
    rejected: list[tuple[Any, ...]],
    failures: Sequence[CheckResult],
    other_failures: int,
) -> None:
    """What became of a file that was tried: its rows, what was rejected, what checks find."""
    console = Screen(width=120)
    if summary.files:
        console.print(_files(summary))
        if any(staged.totals for staged in summary.files):
            _money(console, summary)
    if rejected:
        show_rejected(console, "Rejected", rejected)
    if summary.checks is not None and not failures:
        console.write_line("No check of these feeds fails.", "Checks")
    for failure in failures[:_SHOWN]:
        console.write_line(f"{_described(failure)}: {failure.check.means}", "Fails")
    if len(failures) > _SHOWN:
        console.write_line(f"and {len(failures) - _SHOWN:,} more checks of these feeds", " ")
    if other_failures:
        console.write_line(
            f"{other_failures:,} checks of other tables fail; they need the other feeds too",
            "Note",
        )
    console.write_line("Nothing was kept of this trial; the warehouse is as it was.", "Note")


def show_rejected(console: Screen, title: str, rows: list[tuple[Any, ...]]) -> None:
    """Rejected rows by file, reason and column, and what to do about each reason."""
    columns = ("batch", "file", "reason", "column", "rows", "first line", "since, UTC")
    table = screen.table(title, *columns, right=("rows", "first line"))
    for batch, file, is_refused, reason, column, count, line, since in rows:
        shown = f"{file} (refused)" if is_refused else file
        began = f"{since:%Y-%m-%d %H:%M}"
        table.add_row(batch, shown, reason, column or "", f"{count:,}", f"{line:,}", began)
    console.print(table)
    advice = {reason.text: reason.advice for reason in Reason}
    console.print()
    for reason in dict.fromkeys(row[3] for row in rows):
        console.write_prose(f"{reason}: {advice[reason]}")
    console.print()


def show_roles(logins: Sequence[Login]) -> None:
    """The roles of the warehouse with what they are for, then who has them."""
    console = Screen(width=120)
    table = screen.table("Roles", "role", "ROLE=", "who")
    for role in ROLES.values():
        table.add_row(role.name, role.short, role.description)
    console.print(table)
    console.print()
    if not logins:
        console.write_line("Nobody has one. make role-add LOGIN=jdoe ROLE=analyst", "Next")
        return
    table = screen.table("Logins", "login", "role", "states", "sessions", right=("sessions",))
    for login in logins:
        name = login.name if login.may_log_in else f"{login.name} (kept out)"
        table.add_row(name, login.role, login.states, f"{login.sessions}")
    console.print(table)


def show_exports(written: list[tuple[Path, int]]) -> None:
    """Which files were written, and what to do with them."""
    console = Screen()
    for path, rows in written:
        console.write_line(f"{rows:,} rows in {path}")
    file = shlex.quote(str(written[0][0]))
    console.write_line(f"correct them, then make quarantine-replay FILE={file}", "Next")


def show_masked_copy(copied: MaskedCopy) -> None:
    """What was copied, what was left out and why, and what the copy still is."""
    console = Screen()
    for error in copied.left_out:
        console.write_line(f"Left out: {error.message}")
    console.write_line(
        f"{plural(copied.files, 'file')} of {plural(copied.batches, 'batch', 'batches')} with "
        f"invented people in {copied.folder}"
    )
    console.write_line(LIMITED_DATA_SET)
    console.write_line(f"make full-load INBOX={shlex.quote(str(copied.folder))}", "Next")
