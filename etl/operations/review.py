"""The review of an incident: the template, with what the ledger knows of that time filled in."""

from __future__ import annotations

from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import class_row

from etl.config import ROOT
from etl.db.connection import reading
from etl.db.statements import run, statement
from etl.docs.generated import table
from etl.errors import UsageError, one_line
from etl.operations.incidents import Incident
from etl.operations.objectives import OBJECTIVES, shown

TEMPLATE = ROOT / "docs" / "operations" / "pir-template.md"
# What happened so long before and after belongs to it too.
_MARGIN = timedelta(hours=1)
# What is filled in, below which heading of the template: title, statement, columns.
_FILLED = {
    "Loads, checks and plans": (
        ("Runs", "tries", ("began", "ended", "command", "try", "error", "SQLSTATE")),
        ("Stages that ran", "stages", ("began", "ended", "stage", "batch", "status", "error")),
        ("Batches refused", "refused", ("at", "folder", "code", "reason")),
        ("Checks that began to fail", "checks", ("since", "check", "severity", "passed again")),
        ("Plans that changed", "plans", ("at", "report", "cost before", "cost after")),
        ("Other incidents of that time", "others", ("began", "incident")),
    )
}


def write(
    connection: psycopg.Connection[Any], incident_id: str, folder: Path, now: datetime
) -> Path:
    """Write the review of an incident into a folder; its file.

    Raises ``UsageError`` if there is no such incident, or its review is there: people wrote in it.
    """
    with reading(connection):
        incident = _incident(connection, incident_id)
        file = folder / f"{incident.incident_id}.md"
        text = _render(connection, incident, now)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise UsageError(
            f"The review {file} is there already.", "Go on writing in it, or move it away."
        ) from None
    except OSError as error:
        raise UsageError(
            f"The review {file} cannot be written: {error.strerror}.",
            "See that the folder can be written.",
        ) from error
    return file


def _incident(connection: psycopg.Connection[Any], incident_id: str) -> Incident:
    with connection.cursor(row_factory=class_row(Incident)) as cursor:
        values = {"incident_id": incident_id}
        found = cursor.execute(statement("operations/incidents.one"), values).fetchone()
    if found is None:
        raise UsageError(
            f"There is no incident {one_line(incident_id)}." if incident_id else "Which incident?",
            "make incidents lists them: make pir ID=...",
        )
    return found


def _render(connection: psycopg.Connection[Any], incident: Incident, now: datetime) -> str:
    filled = {
        "What happened": table(("", ""), _facts(incident)),
        "Timeline": table(("UTC", "what"), _timeline(incident)),
        **{heading: _known(connection, incident, now, heading) for heading in _FILLED},
    }
    _, *sections = TEMPLATE.read_text(encoding="utf-8").split("\n## ")
    parts = [f"# Review of {incident.incident_id}\n"]
    for section in sections:
        heading = section.partition("\n")[0]
        known = f"\n{filled[heading]}" if heading in filled else ""
        parts.append(f"## {section.rstrip()}\n{known}")
    return "\n".join(parts)


def _facts(incident: Incident) -> list[tuple[str, str]]:
    objective = next((o for o in OBJECTIVES if o.name == incident.objective), None)
    unit = objective.unit if objective else ""
    figures = [
        "unknown" if figure is None else shown(figure, unit) if unit else f"{figure:g}"
        for figure in (incident.measured, incident.allowed)
    ]
    return [
        ("objective", " of ".join(filter(None, (incident.objective, incident.subject)))),
        ("met when", objective.means if objective else "it is no objective any more"),
        ("severity", incident.severity),
        ("measured, allowed", ", ".join(figures)),
        ("from broken to detected", _took(incident.began_at, incident.detected_at)),
        ("from detected to met again", _took(incident.detected_at, incident.resolved_at)),
    ]


def _took(begun: datetime, ended: datetime | None) -> str:
    return shown((ended - begun).total_seconds(), "seconds") if ended else "still open"


def _timeline(incident: Incident) -> list[tuple[str, str]]:
    events = (
        (incident.began_at, "the objective was broken"),
        (incident.detected_at, "make health noticed"),
        (incident.acknowledged_at, f"acknowledged by {incident.acknowledged_by}"),
        (incident.alerted_at, "a receiver took the latest alert"),
        (incident.resolved_at, "the objective was met again"),
    )
    known = sorted(((at, what) for at, what in events if at), key=itemgetter(0))
    return [(_cell(at), what) for at, what in known]


def _known(
    connection: psycopg.Connection[Any], incident: Incident, now: datetime, heading: str
) -> str:
    """What the ledger knows of the time from an hour before to an hour after."""
    values = {
        "incident_id": incident.incident_id,
        "since": incident.began_at - _MARGIN,
        "until": (incident.resolved_at or now) + _MARGIN,
    }
    parts = []
    for title, name, columns in _FILLED[heading]:
        rows = run(connection, f"operations/review.{name}", values).fetchall()
        cells = [[_cell(value) for value in row] for row in rows]
        parts.append(f"### {title}\n\n{table(columns, cells) if cells else 'None.' + chr(10)}")
    return "\n".join(parts)


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, float):
        return f"{value:,.0f}"
    return "" if value is None else " ".join(str(value).split())
