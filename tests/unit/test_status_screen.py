"""`make status` in each state of a warehouse: one screen, the worst first, one thing to do next."""

from __future__ import annotations

import io
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from etl.config import Settings
from etl.inbox.refused import WAITING, HeldBatch
from etl.pipeline.latest import LastChecks, LastLoad, Latest
from etl.pipeline.status import Overview
from etl.pipeline.status_screen import Look, show_status
from etl.server.server import Status

NOON = datetime(2025, 12, 15, 12, tzinfo=UTC)
SETTINGS = Settings("", Path("inbox"), Path("data"), reject_share=0.05)
UP = Status(True, True, 5433, "18.1", Path("data"), 3 << 30)
DOWN = Status(True, False, None, "", Path("data"), None)
UNREACHED = Status(False, False, None, "", None, None, "Connection refused.")

LOAD = LastLoad("2025-12-15", NOON, date(2025, 12, 15), 1)
GOOD = Latest(LOAD, LastChecks(NOON, 404, 0, None, ()))
STALE = Latest(LOAD, LastChecks(NOON, 404, 2, None, ()))
MINOR = Latest(LOAD, LastChecks(NOON, 404, 0, None, (("dim_plan.key", "minor", 1),)))
CRITICAL = Latest(
    LOAD,
    LastChecks(
        NOON, 404, 0, None, tuple((f"fact_claim.check_{n}", "critical", n) for n in range(1, 9))
    ),
)
REFUSED = HeldBatch("2025-12-16", "refused", NOON, "claims.csv is empty.", "Ask for it.", "no_rows")
STOPPED = HeldBatch("2025-12-16", "stopped", NOON, "a gate failed.", "make status.", "gate")
HELD = HeldBatch("2025-12-17", "held", NOON, "its sender's claims wait.", "make sender-resume.")
WAITS = HeldBatch("2025-12-18", WAITING, None, "no run has come to it.", "make incremental.")
OPEN = Look(incidents=("3: feed claims is late since 2025-12-15 06:00 UTC",))
STAGES = [(NOON, "stage", f"2025-12-{day:02}", "done", 1.5) for day in range(1, 29)]


@pytest.mark.parametrize(
    ("status", "seen", "look", "first", "following"),
    [
        (DOWN, Overview(), Look(), "Server   embedded server, not running", "make up starts"),
        (UNREACHED, Overview(), Look(), "Server   server of DATABASE_URL, not", "start the server"),
        (UP, Overview(), Look(), "Server   embedded server, PostgreSQL 18.1", "make full-load"),
        (UP, Overview(latest=GOOD), Look(), "Server", "make psql to query; there is nothing to"),
        (UP, Overview(latest=STALE), Look(), "Server", "make dq-check runs all checks"),
        (UP, Overview(latest=MINOR), Look(), "Server", "make psql to query"),
        (UP, Overview(latest=CRITICAL), Look(), "Server", "make dq-report shows what fails"),
        (
            UP,
            Overview([REFUSED], latest=GOOD),
            OPEN,
            "Refused  batch 2025-12-16",
            "do what is said",
        ),
        (UP, Overview([STOPPED, WAITS], latest=GOOD), Look(), "Stopped  batch", "do what is said"),
        (UP, Overview([HELD], latest=GOOD), Look(), "Held     batch", "do what is said"),
        (
            UP,
            Overview([WAITS], latest=GOOD),
            Look(),
            "Waiting  batch 2025-12-18",
            "make incremental",
        ),
        (UP, Overview(latest=GOOD), OPEN, "Server", "make incidents lists what is open"),
        (UP, Overview([WAITS], ["full-load"], latest=GOOD), OPEN, "Waiting", "wait for the run to"),
        (
            UP,
            Overview([REFUSED, *[WAITS] * 40], latest=CRITICAL, stages=STAGES),
            Look(["a notice that is longer than a line of the terminal is wide: " + "word " * 20]),
            "Refused",
            "do what is said of the first",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_status_fits_a_screen_and_says_what_to_do(
    status: Status,
    seen: Overview,
    look: Look,
    first: str,
    following: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = _on_terminal(monkeypatch, status, seen, look)
    assert shown[0].startswith(first)
    assert len(shown) <= 23
    assert max(map(len, shown)) <= 80
    [step] = [line for line in shown if line.startswith("Next ")]
    assert step.removeprefix("Next").strip().startswith(following)
    for text in look.incidents:
        assert any(text[:50] in line for line in shown)


def test_what_a_screen_leaves_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Overview([REFUSED, *[WAITS] * 40], latest=CRITICAL)
    lines = _on_terminal(monkeypatch, UP, seen, Look())
    rest = 41 - sum(line.startswith(("Refused", "Waiting")) for line in lines)
    shown = "\n".join(lines)
    assert f"and {rest} more batches, {rest} of them waiting" in shown
    assert "and 6 more: make dq-report" in shown


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _on_terminal(
    monkeypatch: pytest.MonkeyPatch, status: Status, seen: Overview, look: Look
) -> list[str]:
    """The lines that a terminal of 80 columns and 24 lines shows."""
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    for name, value in (("COLUMNS", "80"), ("LINES", "24"), ("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    show_status(status, SETTINGS, seen, look)
    return terminal.getvalue().splitlines()
