"""What a person, or a program that reads JSON, sees of a look at the warehouse's health."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from etl.operations.budget import Record
from etl.operations.health import Health
from etl.operations.incidents import Incident
from etl.operations.judge import Judgment
from etl.operations.objectives import shown
from etl.pipeline.screen import Screen, table


def show(found: Health, *, as_json: bool) -> None:
    """Print it on stdout."""
    if as_json:
        print(json.dumps(described(found), indent=2))
        return
    screen = Screen()
    shown = table(
        "Service levels", "objective", "state", "measured", "allowed", "broken since, UTC"
    )
    for judgment in found.judged:
        since = f"{judgment.broken_since:%Y-%m-%d %H:%M}" if judgment.broken_since else ""
        unit = judgment.objective.unit
        figures = (_figure(n, unit) for n in (judgment.measured, judgment.allowed))
        shown.add_row(judgment.title, judgment.state, *figures, since)
    screen.print(shown)
    for incident in found.open_incidents:
        known = f", acknowledged by {incident.acknowledged_by}" if incident.acknowledged_by else ""
        screen.write_line(f"{incident.incident_id}{known}", "Incident")
    for judgment in found.broken:
        screen.write_line(f"docs/runbooks/{judgment.objective.runbook}.md", "Runbook")
        if judgment.why:
            screen.write_line(judgment.why)
    for note in found.notes:
        screen.write_line(note, "Note")


def show_incidents(found: Sequence[Incident], records: Sequence[Record]) -> None:
    """The latest incidents, then how each objective fared over its window."""
    screen = Screen()
    columns = ("incident", "severity", "began, UTC", "detected", "acknowledged", "resolved")
    shown = table("Incidents", *columns)
    for one in found:
        taken = f"{one.acknowledged_at:%m-%d %H:%M} {one.acknowledged_by}"
        shown.add_row(
            one.incident_id,
            one.severity,
            f"{one.began_at:%Y-%m-%d %H:%M}",
            f"{one.detected_at:%m-%d %H:%M}",
            taken if one.acknowledged_at else "",
            f"{one.resolved_at:%m-%d %H:%M}" if one.resolved_at else "open",
        )
    screen.print(shown)
    counted = ("window", "objective met", "incidents", "MTTD", "MTTR", "broken", "budget left")
    shown = table("Error budgets", "objective", *counted, right=counted)
    for record in records:
        seconds = (record.mttd, record.mttr, record.broken_seconds)
        shown.add_row(
            record.objective.name,
            f"{record.objective.window.days} days",
            f"{record.objective.share:.1%}",
            f"{record.incidents:,}",
            *(_figure(n, "seconds") for n in seconds),
            f"{record.budget_left:.1%}",
        )
    screen.print(shown)


def verdict(found: Health) -> tuple[str, str]:
    """What is broken, in a sentence, and which runbook says what to do."""
    names = ", ".join(judgment.title for judgment in found.broken)
    runbooks = dict.fromkeys(f"docs/runbooks/{j.objective.runbook}.md" for j in found.broken)
    count = "A service level is" if len(found.broken) == 1 else f"{len(found.broken)} levels are"
    return f"{count} not met: {names}.", f"What to do: {', '.join(runbooks)}."


def described(found: Health) -> dict[str, Any]:
    """The same as JSON takes it: instants as ISO 8601, figures in their units."""
    return {
        "state": found.state,
        "judged_at": found.at.isoformat(),
        "objectives": [_described(judgment) for judgment in found.judged],
        "incidents": [
            {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(i).items()}
            for i in found.open_incidents
        ],
        "notes": list(found.notes),
    }


def _described(judgment: Judgment) -> dict[str, Any]:
    objective = judgment.objective
    since = judgment.broken_since
    return {
        "objective": objective.name,
        "subject": judgment.subject,
        "state": judgment.state,
        "measured": judgment.measured,
        "allowed": judgment.allowed,
        "unit": objective.unit,
        "broken_since": since.isoformat() if since else None,
        "why": judgment.why,
        "severity": objective.severity.value,
        "runbook": f"docs/runbooks/{objective.runbook}.md",
    }


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else shown(value, unit)
