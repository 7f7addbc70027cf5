"""What changed in the plans of the documented reports since a load, node by node."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from etl.db.statements import run, scalar
from etl.errors import UsageError
from etl.operations.report_plans import Plan, change_of, current, report_seconds

# Lines of a plan around one that changed.
_AROUND = 2


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A plan as it was recorded after a load."""

    plan: Plan
    load_id: int
    batch_id: str
    recorded_at: datetime


def plan_diff(connection: psycopg.Connection[Any], since: str = "") -> Iterator[str]:
    """Lines for a person: the plans of now next to those recorded since a load or an instant.

    ``since``: a load's number or an ISO date, UTC; without one the load before the latest of which
    plans were recorded. Raises ``UsageError`` where none were.
    """
    before = _recorded(connection, since)
    now = current(connection)
    first = min(before.values(), key=lambda found: found.recorded_at)
    yield (
        f"Plans of now, compared with those recorded up to {first.recorded_at:%Y-%m-%d %H:%M} UTC "
        f"(load {first.load_id}, batch {first.batch_id}):"
    )
    unchanged = 0
    for report, plan in now.items():
        if report not in before:
            yield f"\n{report}: is new, cost {plan.cost:,.0f}"
        elif before[report].plan.shape == plan.shape:
            unchanged += 1
        else:
            yield from _changed(connection, before[report], plan)
    for report in before.keys() - now.keys():
        yield f"\n{report}: is no longer documented, or cannot be asked"
    yield f"\n{unchanged} of {len(now)} plans have the shape that they had."
    for slow in sorted(report_seconds(connection), key=lambda s: -s.p95_seconds)[:3]:
        yield f"{slow.report}: {slow.p95_seconds:.3f} s (p95 of {slow.times} in 30 days)"


def _recorded(connection: psycopg.Connection[Any], since: str) -> dict[str, _Recorded]:
    values = _point(connection, since)
    found = {
        report: _Recorded(Plan(report, *planned), load_id, batch_id, at)
        for report, load_id, batch_id, at, *planned in run(
            connection, "operations/report_plans.plans_at", values
        )
    }
    if not found:
        raise UsageError(
            f"No plans are recorded up to {since}." if since else "No plans are recorded yet.",
            "They are recorded after each load: make status lists the loads. Name a later one.",
        )
    return found


def _point(connection: psycopg.Connection[Any], since: str) -> dict[str, Any]:
    """Up to which load, or up to when, plans are asked for."""
    if not since:
        earlier = scalar(connection, "operations/report_plans.load_before")
        return {"load_id": earlier, "at": None}
    if since.isascii() and since.isdigit() and len(since) < 10:
        return {"load_id": int(since), "at": None}
    try:
        at = datetime.fromisoformat(since)
    except ValueError:
        raise UsageError(
            f"{since!r} is neither a load nor a date.",
            "Name a load_id or a date: make plan-diff SINCE=2025-01-31",
        ) from None
    return {"load_id": None, "at": at if at.tzinfo else at.replace(tzinfo=UTC)}


def _changed(connection: psycopg.Connection[Any], before: _Recorded, now: Plan) -> Iterator[str]:
    then = before.plan
    change = change_of(connection, before.load_id, before.recorded_at, then, now)
    breach = "  <- BREACH" if change.is_breach else ""
    yield (
        f"\n{now.report}: another shape since load {before.load_id}, cost {then.cost:,.0f} to "
        f"{now.cost:,.0f} ({change.ratio:.2f} times what the size of its tables explains){breach}"
    )
    lines = difflib.unified_diff(
        then.shape.splitlines(), now.shape.splitlines(), lineterm="", n=_AROUND
    )
    # The first two lines name files.
    yield from (f"  {line}" for line in list(lines)[2:])
