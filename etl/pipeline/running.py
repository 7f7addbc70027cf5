"""The run that is at work: one has the warehouse's lock, and its session says who it is."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

import psycopg

from etl.db.connection import PREFIX, connect
from etl.db.statements import run
from etl.errors import AlreadyRunningError, ServerError
from etl.pipeline.summary import os_user

LOCK_KEY = 0x0ACA
_PROGRAM = f"{PREFIX} "


def session_name(command: str) -> str:
    """What the session of a run calls itself, so that others see who uses the warehouse."""
    return f"{_PROGRAM}{command} by {os_user()}, process {os.getpid()}"


def who_runs(connection: psycopg.Connection[Any], *, anywhere: bool = False) -> list[str]:
    """The run on this database, or those ``anywhere`` on the server, a phrase each."""
    values = {"key": LOCK_KEY, "anywhere": anywhere}
    return [
        f"make {name.removeprefix(_PROGRAM)}, since {since or 'a time that is not shown'} "
        f"(session {pid} of {role or 'another user'})"
        for pid, name, role, since in run(connection, "ledger/session.who_runs", values)
    ]


def refuse_to_end_run(url: str, *, command: str) -> None:
    """Raise ``AlreadyRunningError`` while a run is at work on a server that is to be stopped."""
    found: list[str] = []
    # A server that does not answer has no run that could go on.
    with suppress(ServerError, psycopg.Error), connect(url, "aca-warehouse down") as connection:
        found = who_runs(connection, anywhere=True)
    if found:
        raise AlreadyRunningError(
            f"A run is at work and would be ended: {'; '.join(found)}.",
            f"Wait for it, or stop the server anyway: make {command} FORCE=yes. A run goes on when "
            "its server is started again soon. Nothing was changed.",
        )
