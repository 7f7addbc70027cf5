"""What a person, or a program that reads JSON, sees of a look at the warehouse's health."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from itertools import groupby
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
    columns = ("objective", "state", "measured", "allowed", "broken since, UTC")
    levels = table("Service levels", *columns)
    for row in _levels(found):
        levels.add_row(*row)
    screen.print(levels)
    for incident in found.open_incidents:
        known = f", acknowledged by {incident.acknowledged_by}" if incident.acknowledged_by else ""
        screen.write_line(f"{incident.incident_id}{known}", "Incident")
    for judgment in found.broken:
        screen.write_line(f"docs/runbooks/{judgment.objective.runbook}.md", "Runbook")
        if judgment.why:
            screen.write_line(judgment.why)
    for note in found.notes:
        screen.write_line(note, "Note")


def show_incidents(found: Sequence[Incident], records: Sequence[Record], why: str) -> None:
    """The latest incidents, then how each objective fared over its window.

    ``why``: the reason for which these are only those that are remembered while there is no ledger.
    """
    screen = Screen()
    columns = ("incident", "severity", "began, UTC", "detected", "acknowledged", "resolved")
    listed = table("Incidents", *columns)
    for one in found:
        instants = (one.detected_at, one.acknowledged_at, one.resolved_at)
        detected, taken, resolved = (f"{at:%m-%d %H:%M}" if at else "" for at in instants)
        began = f"{one.began_at:%Y-%m-%d %H:%M}"
        taken = f"{taken} {one.acknowledged_by or ''}"
        listed.add_row(one.incident_id, one.severity, began, detected, taken, resolved or "open")
    screen.print(listed)
    if why:
        screen.write_line(f"{why} Older incidents and error budgets are in it.", "Note")
        return
    counted = ("window", "objective met", "incidents", "MTTD", "MTTR", "broken", "budget left")
    budgets = table("Error budgets", "objective", *counted, right=counted)
    for record in records:
        seconds = (record.mttd, record.mttr, record.broken_seconds)
        budgets.add_row(
            record.objective.name,
            f"{record.objective.window.days} days",
            f"{record.objective.share:.1%}",
            f"{record.incidents:,}",
            *(_figure(n, "seconds") for n in seconds),
            f"{record.budget_left:.1%}",
        )
    screen.print(budgets)


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


def _levels(found: Health) -> Iterator[tuple[str, ...]]:
    """A row per objective; what is broken has one for each subject."""
    for objective, group in groupby(found.judged, key=lambda j: j.objective):
        judged = list(group)
        for judgment in (j for j in judged if j.broken_since is not None):
            yield _level(judgment, judgment.title)
        if met := [j for j in judged if j.broken_since is None]:
            worst = max(met, key=lambda j: (j.measured or 0) / (j.allowed or 1))
            title = f"{objective.name}, {len(met)} of {len(judged)}" if len(judged) > 1 else ""
            yield _level(worst, title or objective.name)


def _level(judgment: Judgment, title: str) -> tuple[str, ...]:
    since = f"{judgment.broken_since:%Y-%m-%d %H:%M}" if judgment.broken_since else ""
    figures = (judgment.measured, judgment.allowed)
    shown_figures = (_figure(n, judgment.objective.unit) for n in figures)
    return (title, judgment.state, *shown_figures, since)


def _figure(value: float | None, unit: str) -> str:
    return "" if value is None else shown(value, unit)
