"""Incidents: from when to when a service level was broken, and who knows of it.

The ledger has them. A file below DATA_DIR has the current ones too, so that they are known while
the database is down, and what became of them then is entered when it is back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import class_row

from etl.db.statements import run, statement
from etl.operations.judge import Judgment


@dataclass(frozen=True, slots=True)
class Incident:
    """A row of ``ledger.incident``; its comments say what the fields are."""

    incident_id: str
    objective: str
    subject: str
    severity: str
    began_at: datetime
    detected_at: datetime
    measured: float | None = None
    allowed: float | None = None
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    resolved_at: datetime | None = None
    alerted_at: datetime | None = None
    recovery_alerted_at: datetime | None = None

    @property
    def about(self) -> tuple[str, str]:
        """What it is about: of this only one incident is open at a time."""
        return (self.objective, self.subject)

    @property
    def is_open(self) -> bool:
        """Whether the objective is still broken."""
        return self.resolved_at is None


def follow(
    current: Iterable[Incident], judged: Sequence[Judgment], now: datetime, *, is_whole: bool
) -> list[Incident]:
    """What becomes of the current incidents by a judgment, and those that it begins.

    ``is_whole``: everything was judged, so that what is not among it is broken no more.
    """
    broken = {(j.objective.name, j.subject): j for j in judged if j.broken_since is not None}
    met = {(j.objective.name, j.subject) for j in judged} - broken.keys()
    followed = []
    for incident in current:
        is_met = incident.about in met or (is_whole and incident.about not in broken)
        if incident.is_open and is_met:
            incident = replace(incident, resolved_at=max(now, incident.detected_at))
        followed.append(incident)
    known = {incident.about for incident in followed if incident.is_open}
    return followed + [_begun(j, now) for about, j in broken.items() if about not in known]


def _begun(judgment: Judgment, now: datetime) -> Incident:
    assert judgment.broken_since is not None
    objective, subject = judgment.objective.name, judgment.subject
    # It becomes the name of a file, and a word of a command line.
    fit = re.sub(r"[^\w-]+", "-", subject)
    named = "-".join(filter(None, (f"{now:%Y%m%d-%H%M%S}", objective, fit)))
    return Incident(
        named,
        objective,
        subject,
        judgment.objective.severity.value,
        min(judgment.broken_since, now),
        now,
        judgment.measured,
        judgment.allowed,
    )


def enter(connection: psycopg.Connection[Any], incidents: Iterable[Incident]) -> None:
    """Enter incidents, and what became of them, into the ledger."""
    for incident in incidents:
        values = asdict(incident)
        run(connection, "operations/incidents.enter", values)
        run(connection, "operations/incidents.follow", values)


def current(connection: psycopg.Connection[Any], now: datetime) -> list[Incident]:
    """The incidents of the ledger that are open, or whose end is still to be sent."""
    with connection.cursor(row_factory=class_row(Incident)) as cursor:
        return cursor.execute(statement("operations/incidents.current"), {"now": now}).fetchall()


def latest(connection: psycopg.Connection[Any], most: int = 50) -> list[Incident]:
    """The latest incidents, those that are open first."""
    with connection.cursor(row_factory=class_row(Incident)) as cursor:
        return cursor.execute(statement("operations/incidents.latest"), {"most": most}).fetchall()


def read(file: Path) -> list[Incident]:
    """The incidents of a file; none if there is none, or if it is damaged."""
    try:
        return [_from_text(entry) for entry in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []


def write(file: Path, incidents: Iterable[Incident]) -> None:
    """Write incidents to a file, whole or not at all."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    text = json.dumps([asdict(i) for i in incidents], indent=2, default=datetime.isoformat)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(file)


def _from_text(entry: dict[str, Any]) -> Incident:
    instants = [field.name for field in fields(Incident) if field.name.endswith("_at")]
    found = {name: datetime.fromisoformat(entry[name]) for name in instants if entry.get(name)}
    return Incident(**{**entry, **found})
