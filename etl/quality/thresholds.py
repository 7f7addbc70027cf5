"""Thresholds of checks as people change them, without running a check again.

The registry in the code says what a check is judged by; ``quality.check_threshold`` has what
people say in its place. Every result keeps what was measured, so that the past is judged by the
same measure as the next run.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import psycopg

from etl.contracts.checks import SEVERITIES
from etl.db.connection import set_search_path
from etl.db.statements import run
from etl.errors import UsageError
from etl.warehouse.tables import LIVE

# How many results are judged again to show what a change means.
LATEST = 10
_EXAMPLE = "make dq-threshold CHECK=fact_claim.amounts_in_order COUNT=20 WHY='known at the sender'"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants of a check's judgement; ``None`` leaves a part as it is.

    ``count`` is in the unit of the check, ``share`` of the rows checked. ``reset``: back to what
    the registry says.
    """

    check: str
    count: float | None = None
    share: float | None = None
    severity: str | None = None
    why: str = ""
    reset: bool = False

    def validate(self) -> None:
        """Raise ``UsageError`` with the sentence that fixes it."""
        changes = (self.count, self.share, self.severity)
        if not self.check:
            raise UsageError("Which check is meant?", f"Name it: {_EXAMPLE}")
        if self.reset and any(c is not None for c in changes):
            raise UsageError(
                "To reset a check and to change it are two things.",
                f"Either RESET=yes or a new value: make dq-threshold CHECK={self.check} RESET=yes",
            )
        if not self.reset and all(c is None for c in changes):
            raise UsageError(
                f"What is to change about {self.check}?",
                f"Give COUNT, SHARE or SEVERITY, or RESET=yes: {_EXAMPLE}",
            )
        if not self.reset and not self.why.strip():
            raise UsageError(
                "A changed threshold needs a reason for those who come after.",
                f"Say why: {_EXAMPLE}",
            )
        if self.count is not None and not 0 <= self.count < float("inf"):
            raise UsageError(f"COUNT is {self.count:g}.", "Set COUNT to 0 or more.")
        if self.share is not None and not 0 <= self.share <= 1:
            raise UsageError(f"SHARE is {self.share:g}.", "Set SHARE between 0 and 1.")
        if self.severity is not None and self.severity not in SEVERITIES:
            raise UsageError(
                f"SEVERITY is {self.severity!r}.", f"Set it to {', '.join(SEVERITIES)}."
            )


def change(connection: psycopg.Connection[Any], wanted: Wanted) -> str:
    """Change what a check is judged by; a few sentences on what that means."""
    wanted.validate()
    name = {"name": wanted.check}
    with connection.transaction():
        set_search_path(connection, LIVE.schemas.path)
        limits = run(connection, "checks/thresholds.limits", name).fetchone()
        if limits is None:
            known = [found for (found,) in run(connection, "checks/thresholds.known")]
            raise UsageError(
                f"There is no check {wanted.check!r}.",
                f"{_meant(wanted.check, known)}quality.check_definition lists them all.",
            )
        before = _judged(connection, wanted.check)
        if wanted.reset:
            run(connection, "checks/thresholds.reset", name)
        else:
            run(
                connection,
                "checks/thresholds.change",
                {
                    **name,
                    "threshold": wanted.count,
                    "threshold_share": wanted.share,
                    "severity": wanted.severity,
                    "reason": wanted.why.strip(),
                },
            )
        now = run(connection, "checks/thresholds.limits", name).fetchone()
        assert now is not None  # it was there in this transaction
        after = _judged(connection, wanted.check)
    return (
        f"{wanted.check} passes with {_said(now)}; until now with {_said(limits)}. "
        f"{_difference(before, after)}"
    )


def _judged(connection: psycopg.Connection[Any], check: str) -> dict[int, bool]:
    values = {"name": check, "latest": LATEST}
    return dict(run(connection, "checks/thresholds.judged", values).fetchall())


def _said(limits: tuple[Any, ...]) -> str:
    threshold, share, severity, unit = limits
    or_share = "" if share is None else f", or {share:.4g} of the rows checked"
    return f"at most {threshold:g} {unit}{or_share} ({severity})"


def _difference(before: dict[int, bool], after: dict[int, bool]) -> str:
    """What judging the latest results again changes."""
    if not before:
        return "It has no results yet."
    count = f"the last {len(before)} results" if len(before) > 1 else "its only result"
    changed = {
        "passed": sum(after[r] and not passed for r, passed in before.items()),
        "failed": sum(passed and not after[r] for r, passed in before.items()),
    }
    changes = [
        f"{n} of {count} {'change' if n > 1 else 'changes'} to {to}"
        for to, n in changed.items()
        if n
    ]
    return f"{'; '.join(changes) or f'None of {count} changes'}."


def _meant(check: str, known: list[str]) -> str:
    near = difflib.get_close_matches(check, known, n=3)
    return f"Is {' or '.join(near)} meant? " if near else ""
