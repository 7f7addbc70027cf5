"""An embedded server of a test's own, small data in it, and commands of backups on it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from etl.config import BackupSettings, Settings
from etl.operations.backup import restore as restores
from etl.operations.backup import store
from etl.operations.backup.restore import Restored
from etl.operations.backup.store import Backup
from etl.operations.backup.take import take
from etl.pipeline import commands
from etl.pipeline.session import RunContext, open_run
from etl.schema.migrations import migrate
from etl.server import server
from etl.server.home import locate
from tests.support.feeds import write_batch
from tests.support.processes import Command
from tests.support.watching import Silent


@dataclass
class Site:
    """A folder with a server, an inbox and backups."""

    settings: Settings
    said: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return server.ensure_running(self.settings)

    def ask(self, query: str) -> Any:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query)
            return cursor.fetchone()[0] if cursor.description else None

    @contextmanager
    def run(self) -> Iterator[RunContext]:
        """A run in the test's own process."""
        with open_run(self.url, self.settings, Silent(), "test", lambda: None) as context:
            yield context

    def load(self, batch_id: str, member: str) -> None:
        """Load a batch with one member, without the checks of everything."""
        write_batch(self.settings.inbox, batch_id, members=[{"member_id": member}])
        with self.run() as context:
            commands.run_stages(context, ("stage", "dims", "facts"))

    def backup(self, *, full: bool = False) -> Backup:
        self.said.clear()
        return take(self.settings, self.said.append, full=full)

    def backups(self) -> list[Backup]:
        return store.listed(self.settings.backups)[0]

    def restore(self, name: str = "", at: str = "") -> Restored:
        return restores.restore(self.settings, Silent(), name, at)

    def with_backup(self, **changes: Any) -> Site:
        """The same with other settings of backups."""
        return Site(replace(self.settings, backup=replace(self.settings.backup, **changes)))

    def start(self, *arguments: str, **environment: str) -> Command:
        """Begin ``python -m etl ...`` here."""
        places = {"INBOX": str(self.settings.inbox), "DATA_DIR": str(self.settings.data)}
        given = {"DATABASE_URL": "", "DATABASE_URL_FILE": "", **environment}
        return Command(*arguments, environment={**os.environ, **given, **places})

    def leftovers(self) -> list[str]:
        """What is next to the database and should not be."""
        base = locate(self.settings).base
        return [path.name for path in base.iterdir() if path.name in ("restore", "exchange")]


@contextmanager
def site(place: Path | None = None, **backup: Any) -> Iterator[Site]:
    """A migrated warehouse without a load, on a server that is removed at the end.

    ``place``: the folder that it gets a folder in.
    """
    folder = Path(tempfile.mkdtemp(prefix="aca backup's ", dir=place))
    folder.chmod(0o755)
    (folder / "inbox").mkdir()
    settings = Settings(
        "", folder / "inbox", folder / "data", 0.05, backup=BackupSettings(**backup)
    )
    made = Site(settings)
    try:
        migrate(made.url)
        yield made
    finally:
        server.remove(settings)
        shutil.rmtree(folder)


def flip(file: Path, position: int) -> None:
    """Change one bit of a file."""
    content = bytearray(file.read_bytes())
    content[position % len(content)] ^= 1
    file.write_bytes(content)
