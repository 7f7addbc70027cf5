"""Where an incident drill takes place: a server, a database and an inbox of its own.

What a person would do is done by the same commands, each a process of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from etl.config import ROOT, AlertSettings, BackupSettings, Settings
from etl.db.connection import connect, set_search_path
from etl.errors import AcaError
from etl.operations import health
from etl.operations.incidents import Incident
from etl.server import cluster, server
from etl.warehouse.tables import LIVE

SESSION = "aca-warehouse incident drill"
_FOLDER = "incident-drill"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit code, and the sentence that it printed of an error."""

    command: str
    code: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Place:
    """A warehouse of its own. ``settings``: that of the drill, with nobody to be alerted."""

    settings: Settings
    known: set[str] = field(default_factory=set)

    def run(self, command: str) -> Done:
        """Run ``python -m etl`` with a command to its end."""
        return self._run(command, "-m", "etl", command)

    def seed(self, *arguments: str) -> None:
        """Write synthetic feeds; the truth about them is deleted, which no sender would give."""
        done = self._run("seed", str(ROOT / "scripts" / "generate_seed_data.py"), *arguments)
        shutil.rmtree(self.settings.truth, ignore_errors=True)
        self.require(done)

    def next_batch(self) -> Path:
        """Write the next day's batch, which is not loaded yet; its folder."""
        self.seed("--days", "1")
        return self.batches()[-1]

    def batches(self) -> list[Path]:
        """The folders of the inbox, the oldest first."""
        return sorted(p for p in self.settings.inbox.iterdir() if p.is_dir())

    def require(self, done: Done) -> None:
        """Raise ``AcaError`` where something failed that is no fault of the drill."""
        if done.code:
            raise AcaError(
                f"The drill could not go on: {done.command} ended with {done.code}: "
                f"{done.sentence}",
                f"Its warehouse is in {self.settings.data}.",
            )

    def new_incidents(self) -> list[Incident]:
        """Look as ``make health`` does; incidents that are open and were not the time before."""
        found = health.look(self.settings, datetime.now(UTC), is_synthetic=True).open_incidents
        new = [incident for incident in found if incident.incident_id not in self.known]
        self.known.update(incident.incident_id for incident in found)
        return new

    @contextmanager
    def session(self) -> Iterator[psycopg.Connection[Any]]:
        """A session of the owner on its database."""
        with connect(server.address(self.settings), SESSION) as connection:
            set_search_path(connection, LIVE.schemas.path, is_local=False)
            yield connection

    def kill_server(self) -> None:
        """Kill every process of its server."""
        main = cluster.postmaster(server.home_of(self.settings))
        if main is not None:
            # The others first: without it they would end by themselves, some time.
            for process in (*main.children(recursive=True), main):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs([main], timeout=60)

    def _run(self, command: str, *arguments: str) -> Done:
        chosen = self.settings
        given = ("DATABASE_URL=", "DATABASE_URL_FILE=", "ALERT_WEBHOOK=", "ALERT_EMAIL=")
        places = (f"DATA_DIR={chosen.data}", f"INBOX={chosen.inbox}")
        ended = subprocess.run(
            ["env", *given, *places, sys.executable, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
        return Done(
            f"make {command}", ended.returncode, (lines or [""])[-1].removeprefix("Error: ")
        )


@contextmanager
def place_in(settings: Settings) -> Iterator[Place]:
    """A place below DATA_DIR, empty at first, which goes when the drill ends."""
    folder = settings.data / _FOLDER
    chosen = replace(
        settings,
        database_url="",
        cluster=False,
        data=folder,
        inbox=folder / "inbox",
        names_inbox=True,
        alerts=AlertSettings(),
        backup=BackupSettings(),
    )
    _remove(chosen)
    chosen.inbox.mkdir(parents=True)
    try:
        yield Place(chosen)
    finally:
        _remove(chosen)


def _remove(chosen: Settings) -> None:
    server.remove(chosen)
    shutil.rmtree(chosen.data, ignore_errors=True)
