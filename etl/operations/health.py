"""One look at the warehouse from outside: service levels, incidents, alerts.

``make health`` takes it every minute, and each run when it ends. It needs no run to notice that one
never began, hangs or died, and no database to notice that there is none.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg

from etl.config import Settings
from etl.db.connection import connect, set_config, set_search_path
from etl.errors import ServerError, UsageError, one_line
from etl.operations import alerts, budget, incidents, metrics
from etl.operations.incidents import Incident
from etl.operations.judge import Judgment, database_down, judge, worst
from etl.operations.objectives import DATABASE
from etl.operations.within import TookTooLongError, within
from etl.server import server
from etl.warehouse.tables import LIVE

SESSION = "aca-warehouse health"
# A ledger of many years, on a machine that is busy, may take longer than the database to answer.
_JUDGE_SECONDS = 15.0
# Metrics that take longer are left out: a load must not wait for them.
_METRICS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Health:
    """What a look found.

    ``judged``: every objective and subject. ``open_incidents``: also those that it began.
    ``notes``: what kept the look from doing all that it does, a sentence each.
    """

    at: datetime
    judged: Sequence[Judgment]
    open_incidents: Sequence[Incident]
    notes: Sequence[str]

    @property
    def state(self) -> str:
        """ok, warning or breach."""
        return worst(self.judged)

    @property
    def broken(self) -> list[Judgment]:
        """The objectives that are not met."""
        return [judgment for judgment in self.judged if judgment.broken_since is not None]


@dataclass(slots=True)
class _Look:
    """A look under way.

    ``is_alone``: no other one is, so this one follows incidents. ``connection``: to a database that
    has answered, after so many ``seconds``.
    """

    settings: Settings
    now: datetime
    is_synthetic: bool
    is_alone: bool = True
    connection: psycopg.Connection[Any] | None = None
    seconds: float = 0.0
    judged: list[Judgment] = field(default_factory=list)
    current: list[Incident] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def look(settings: Settings, now: datetime, *, is_synthetic: bool) -> Health:
    """Judge every objective, follow incidents and send the alerts that are due.

    Of two looks at once only one follows incidents and sends alerts. Raises ``UsageError`` where
    the settings do not say where to look.
    """
    taken = _Look(settings, now, is_synthetic)
    with ExitStack() as opened:
        _take_lock(taken, opened)
        remembered = incidents.read(_file(settings))
        try:
            connection = within(DATABASE.limit, lambda: _connect(taken, opened))
            # What comes back later than that changes nothing of this look any more.
            answer = within(_JUDGE_SECONDS, lambda: _ask(taken, connection, remembered))
            taken.judged, taken.current, failures = answer
            taken.notes += failures
            taken.connection = connection
        except (ServerError, psycopg.Error, TookTooLongError) as error:
            taken.judged = [database_down(now, _why(error))]
            taken.current = incidents.follow(remembered, taken.judged, now, is_whole=False)
        if taken.is_alone:
            _send(taken)
            _remember(taken)
            _write_metrics(taken)
    open_now = [incident for incident in taken.current if incident.is_open]
    return Health(now, taken.judged, open_now, taken.notes)


def past(settings: Settings, now: datetime) -> tuple[list[Incident], list[budget.Record], str]:
    """The latest incidents, how each objective fared, and why that is not all that there is.

    While the database is down there are only the current incidents, and the reason.
    """

    def ask() -> tuple[list[Incident], list[budget.Record], str]:
        with connect(server.address(settings), SESSION) as connection:
            return incidents.latest(connection), budget.records(connection, now), ""

    try:
        return within(DATABASE.limit, ask)
    except (ServerError, psycopg.Error, TookTooLongError) as error:
        return incidents.read(_file(settings)), [], _why(error)


def acknowledge(settings: Settings, incident_id: str, who: str, now: datetime) -> Incident:
    """Note who takes an open incident on, also while the database is down; the first one stays.

    Raises ``UsageError`` where no such incident is open, or it cannot be noted.
    """
    with ExitStack() as opened:
        try:
            _lock(settings, opened, fcntl.LOCK_EX)
            return _acknowledge(settings, incident_id, who, now)
        except OSError as error:
            raise UsageError(
                f"{settings.health} cannot be used: {error.strerror}.",
                "Run make incident-ack as the user that runs make health.",
            ) from error


def _acknowledge(settings: Settings, incident_id: str, who: str, now: datetime) -> Incident:
    kept = incidents.read(_file(settings))
    with suppress(ServerError, psycopg.Error, TookTooLongError):
        kept = within(DATABASE.limit, lambda: _current(settings, kept, now))
    known = [i for i in kept if i.incident_id == incident_id and i.is_open]
    if not known:
        raise UsageError(
            f"No incident {one_line(incident_id)} is open.", "make incidents lists those that are."
        )
    taken = known[0]
    if taken.acknowledged_at is None:
        taken = replace(taken, acknowledged_at=now, acknowledged_by=who)
    incidents.write(_file(settings), [taken if i is known[0] else i for i in kept])
    with suppress(ServerError, psycopg.Error, TookTooLongError):
        within(DATABASE.limit, lambda: _current(settings, [taken], now))
    return taken


def _current(settings: Settings, kept: Sequence[Incident], now: datetime) -> list[Incident]:
    """The current incidents of the ledger, once what the file says of them is entered."""
    with connect(server.address(settings), SESSION) as connection:
        incidents.enter(connection, kept)
        return incidents.current(connection, now)


def _file(settings: Settings) -> Path:
    return settings.health / "incidents.json"


def _lock(settings: Settings, opened: ExitStack, how: int) -> None:
    """Keep other looks from following incidents until ``opened`` ends."""
    settings.health.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = opened.enter_context((settings.health / "lock").open("w"))
    fcntl.flock(lock, how)


def _take_lock(taken: _Look, opened: ExitStack) -> None:
    """Likewise for a look, which waits for no other one."""
    try:
        _lock(taken.settings, opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken.is_alone = False
        taken.notes.append("Another make health is at work; that one follows incidents.")
    except OSError as error:  # without a lock rather than without an alert
        taken.notes.append(f"{taken.settings.health} cannot be used: {error.strerror}.")


def _connect(taken: _Look, opened: ExitStack) -> psycopg.Connection[Any]:
    """A connection to a database that answers, open until ``opened`` ends."""
    started = time.monotonic()
    connection = opened.enter_context(closing(connect(server.address(taken.settings), SESSION)))
    # A look that was given up must not stay at work on the server.
    for name in ("statement_timeout", "lock_timeout"):
        set_config(connection, name, f"{_JUDGE_SECONDS:g}s", is_local=False)
    set_search_path(connection, LIVE.schemas.path, is_local=False)
    taken.seconds = time.monotonic() - started
    return connection


def _ask(
    taken: _Look, connection: psycopg.Connection[Any], remembered: Sequence[Incident]
) -> tuple[list[Judgment], list[Incident], list[str]]:
    """What the ledger says, what becomes of incidents by it, and what could not be entered."""
    now = taken.now
    judged = judge(connection, taken.settings, now, taken.is_synthetic, taken.seconds)
    try:
        if not taken.is_alone:
            return judged, incidents.current(connection, now), []
        incidents.enter(connection, remembered)
        current = incidents.current(connection, now)
        followed = incidents.follow(current, judged, now, is_whole=True)
        incidents.enter(connection, followed)
        return judged, followed, []
    except psycopg.Error as error:
        failure = f"Incidents cannot be entered into the ledger ({error.sqlstate})."
        return judged, incidents.follow(remembered, judged, now, is_whole=True), [failure]


def _why(error: Exception) -> str:
    """Why the database cannot be asked, in a sentence without the words of rows."""
    if isinstance(error, ServerError):
        return error.message
    if isinstance(error, TookTooLongError):
        return f"The database has not answered within {DATABASE.limit:g} s."
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        return f"The ledger could not be read within {_JUDGE_SECONDS:g} s."
    if isinstance(error, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return "The database has no ledger of this version: make migrate brings it."
    return f"The database cannot be asked ({type(error).__name__})."


def _send(taken: _Look) -> None:
    """Send what is due; a receiver that does not answer is tried again by the next look."""
    chosen = taken.settings.alerts
    pending = alerts.due(taken.current, taken.now, chosen.repeat_hours)
    if not pending or not (chosen.webhook or chosen.email):
        return
    is_sent, failures = alerts.send(pending, chosen)
    taken.notes += failures
    if is_sent:
        sent = {alert.incident.incident_id: alert.sent(taken.now) for alert in pending}
        taken.current = [sent.get(i.incident_id, i) for i in taken.current]
        _enter_sent(taken, list(sent.values()))


def _enter_sent(taken: _Look, sent: list[Incident]) -> None:
    """Enter at once what was sent: on a full disk the file cannot say so to the next look."""
    connection = taken.connection
    if connection is not None:
        with suppress(psycopg.Error, TookTooLongError):
            within(DATABASE.limit, lambda: incidents.enter(connection, sent))


def _remember(taken: _Look) -> None:
    """Keep the current incidents for the next look, with what was sent of them."""
    try:
        incidents.write(_file(taken.settings), taken.current)
    except OSError as error:
        taken.notes.append(f"{_file(taken.settings)} cannot be written: {error.strerror}.")


def _write_metrics(taken: _Look) -> None:
    rows: metrics.Rows = {}
    records: list[budget.Record] = []
    connection, now = taken.connection, taken.now
    if connection is not None:
        try:
            records = within(_METRICS_SECONDS, lambda: budget.records(connection, now))
            rows = within(_METRICS_SECONDS, lambda: metrics.measured(connection, now))
        except (psycopg.Error, TookTooLongError):
            taken.notes.append("Metrics of what is in the database could not be measured in time.")
    rows |= metrics.seen(taken.judged, taken.current, records, now)
    file = taken.settings.metrics_file
    try:
        metrics.write(file, rows)
    except OSError as error:
        taken.notes.append(f"{file} cannot be written: {error.strerror}.")
