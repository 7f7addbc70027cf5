"""Alerts: one message for all that is new, to a webhook and by e-mail, in five seconds at most.

A message names objectives, feeds, senders and reports, with figures; never a person or a key.
"""

from __future__ import annotations

import json
import smtplib
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from functools import partial
from typing import Any
from urllib import request
from urllib.parse import SplitResult, unquote, urlsplit

from etl.config import AlertSettings
from etl.operations.incidents import Incident
from etl.operations.objectives import OBJECTIVES
from etl.operations.within import TookTooLongError, within

SECONDS = 5.0  # for all receivers and tries together
TRIES = 3
_PAUSE = 0.2
_TITLES = {"begun": "Broken", "repeated": "Still broken", "recovered": "Met again"}
_OBJECTIVES = {objective.name: objective for objective in OBJECTIVES}
# Machines on which a password may be sent without TLS: it does not leave this one.
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Alert:
    """What is to be sent of an incident: that it has begun, goes on, or is over."""

    kind: str
    incident: Incident

    @property
    def text(self) -> str:
        """One line for a person."""
        found = self.incident
        about = f"{found.objective} of {found.subject}" if found.subject else found.objective
        since = f"since {found.began_at:%Y-%m-%d %H:%M} UTC"
        means = _OBJECTIVES[found.objective].means if found.objective in _OBJECTIVES else ""
        return f"{_TITLES[self.kind]} ({found.severity}): {about}, {since}. Objective: {means}"

    def sent(self, now: datetime) -> Incident:
        """The incident once a receiver has taken the alert."""
        if self.kind == "recovered":
            return replace(self.incident, recovery_alerted_at=now)
        return replace(self.incident, alerted_at=now)


def due(incidents: Sequence[Incident], now: datetime, repeat_hours: float) -> list[Alert]:
    """What has to be sent: each incident once, again after hours until somebody acknowledges it."""
    again = timedelta(hours=repeat_hours)
    found = []
    for incident in incidents:
        if not incident.is_open:
            if incident.alerted_at and not incident.recovery_alerted_at:
                found.append(Alert("recovered", incident))
        elif incident.alerted_at is None:
            found.append(Alert("begun", incident))
        elif incident.acknowledged_at is None and now >= incident.alerted_at + again:
            found.append(Alert("repeated", incident))
    return found


def send(alerts: Sequence[Alert], settings: AlertSettings) -> tuple[bool, list[str]]:
    """Send them to every receiver; whether one took them, and who did not, in a sentence each.

    Each receiver is tried three times. When the five seconds are over all are given up.
    """
    deadline = time.monotonic() + SECONDS
    receivers = _receivers(alerts, settings)
    failures = []
    for at, (name, give) in enumerate(receivers.items()):
        # The first receiver leaves time for the other.
        left = (deadline - time.monotonic()) / (len(receivers) - at)
        try:
            within(left, partial(_try, give, left))
        except (TookTooLongError, TimeoutError):
            failures.append(f"The alert to {name} was given up: no answer in time.")
        except Exception as error:
            # Not the error's text: it can contain the address, with a password in it.
            failures.append(f"The alert to {name} was given up: {_reason(error)}.")
    return len(failures) < len(receivers), failures


def _receivers(
    alerts: Sequence[Alert], settings: AlertSettings
) -> dict[str, Callable[[float], None]]:
    found: dict[str, Callable[[float], None]] = {}
    if settings.webhook:
        found["ALERT_WEBHOOK"] = lambda seconds: _post(settings.webhook, body(alerts), seconds)
    if settings.email:
        found["ALERT_EMAIL"] = lambda seconds: _mail(settings, alerts, seconds)
    return found


def _try(give: Callable[[float], None], seconds: float) -> None:
    """Three tries within so many seconds; raises the error of the last one."""
    deadline = time.monotonic() + seconds
    for left in reversed(range(TRIES)):
        try:
            give(max(0.1, deadline - time.monotonic()))
            return
        except Exception:
            if not left or time.monotonic() + _PAUSE > deadline:
                raise
            time.sleep(_PAUSE)


def body(alerts: Sequence[Alert]) -> dict[str, Any]:
    """The JSON that the webhook gets; ``text`` alone is what chat programs show."""
    return {
        "text": "\n".join(alert.text for alert in alerts),
        "alerts": [_described(alert) for alert in alerts],
    }


def _described(alert: Alert) -> dict[str, Any]:
    incident = alert.incident
    objective = _OBJECTIVES.get(incident.objective)
    instants = {
        name: found.isoformat() if (found := getattr(incident, name)) else None
        for name in ("began_at", "detected_at", "resolved_at")
    }
    return {
        "kind": alert.kind,
        "incident_id": incident.incident_id,
        "objective": incident.objective,
        "subject": incident.subject,
        "severity": incident.severity,
        "measured": incident.measured,
        "allowed": incident.allowed,
        "unit": objective.unit if objective else "",
        **instants,
        "runbook": f"docs/runbooks/{objective.runbook}.md" if objective else "",
    }


class _NoRedirect(request.HTTPRedirectHandler):
    """A receiver that has moved is an error: what is sent goes to the address that was named."""

    def redirect_request(self, *_: Any) -> None:
        """Follow none."""


def _post(url: str, content: dict[str, Any], seconds: float) -> None:
    sent = request.Request(
        url,
        json.dumps(content).encode(),
        {"Content-Type": "application/json", "User-Agent": "aca-warehouse"},
    )
    opener = request.build_opener(_NoRedirect)
    with opener.open(sent, timeout=seconds):
        pass  # any answer but an error means that it was taken


def _mail(settings: AlertSettings, alerts: Sequence[Alert], seconds: float) -> None:
    message = EmailMessage()
    more = f" and {len(alerts) - 1} more" if len(alerts) > 1 else ""
    message["Subject"] = f"ACA warehouse: {alerts[0].text.partition('. Objective')[0]}{more}"
    message["From"] = settings.email[0]
    message["To"] = ", ".join(settings.email)
    lines = (f"{a.text}\n{_described(a)['runbook']}\n{a.incident.incident_id}" for a in alerts)
    message.set_content("\n\n".join(lines) + "\n")
    parts = urlsplit(settings.smtp_url)
    with _mail_server(parts, seconds) as server:
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)


def _mail_server(parts: SplitResult, seconds: float) -> smtplib.SMTP:
    """A connection to a mail server, with TLS unless it is on this machine or offers none.

    A password is never sent to another machine without TLS.
    """
    host, verified = parts.hostname or "", ssl.create_default_context()
    if parts.scheme == "smtps":
        return smtplib.SMTP_SSL(host, parts.port or 465, timeout=seconds, context=verified)
    server = smtplib.SMTP(host, parts.port or 25, timeout=seconds)
    server.ehlo()
    if host not in _HERE and (parts.username or server.has_extn("starttls")):
        server.starttls(context=verified)
    return server


def _reason(error: Exception) -> str:
    """What kind of error it was; the number that the receiver answered, if it did."""
    number = getattr(error, "code", None) or getattr(error, "smtp_code", None)
    return f"{type(error).__name__} {number}" if number else type(error).__name__
