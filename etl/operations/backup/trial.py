"""A restored copy on trial: compared with what its backup noted, and freed of the erased."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from types import MappingProxyType

import psycopg

from etl.access import erasure_files
from etl.config import Settings
from etl.db.connection import connect, reading
from etl.db.statements import run
from etl.errors import AcaError, RestoreError, some_of
from etl.operations.backup import archive, checksums, copy, dump, store, timelines
from etl.operations.backup.copy import Copy
from etl.operations.backup.encryption import Identity
from etl.operations.backup.store import DUMP, Backup
from etl.pipeline import erase
from etl.pipeline.session import open_run
from etl.pipeline.summary import Watcher
from etl.server import cluster, server
from etl.server.cluster import MAJOR
from etl.server.home import Home

# Unpacked, combined and started, a copy takes at most so many times the database.
_ROOM = 1.5
_NAMED = 5
_ANOTHER = "Restore another one (make backups lists them); nothing was changed."


@contextmanager
def brought_up(
    settings: Settings, home: Home, name: str = "", moment: datetime | None = None
) -> Iterator[Copy]:
    """A server on a restored copy, until the block ends.

    ``name``: of the backup; the newest one if empty. ``moment``: whose state the copy is to have,
    instead of the backup's. Raises ``RestoreError`` where the backup cannot be restored.
    """
    identity = Identity(settings.backup.identity)
    backups = _readable_ones(settings, name)
    among = [store.named(name, backups)] if name else backups
    if moment is None:
        backup, target = among[-1], copy.to_mark(among[-1])
    else:
        backup, target = _toward(settings, home, among, moment, identity)
    chain = store.chain_of(backup, backups)
    _require_readable(backup, chain, identity)
    store.require_room(home.base, int(_ROOM * backup.label.database_bytes), "the copy")
    if backup.label.kind == DUMP:
        with dump.on_second_server(home, backup, identity) as made:
            yield made
        return
    copy.unpack(chain, home, identity)
    made = copy.start(home, cluster.password_of(server.home_of(settings)), backup, target)
    if moment is not None and not made.is_short:
        made.state_at = moment
    try:
        yield made
    finally:
        copy.stop(made)


@contextmanager
def dump_brought_up(settings: Settings, url: str, home: Home, name: str) -> Iterator[Copy]:
    """A restored dump in a new database of the server of a URL, dropped after an error."""
    identity = Identity(settings.backup.identity)
    backups = _readable_ones(settings, name)
    backup = store.named(name, backups) if name else backups[-1]
    if backup.label.kind != DUMP:
        raise RestoreError(
            f"{backup.name} is a backup of an embedded server, and DATABASE_URL names another.",
            "Name a dump (make backups), or leave DATABASE_URL empty; nothing was changed.",
        )
    _require_readable(backup, [backup], identity)
    store.require_room(home.base, backup.bytes, "the dump")
    with dump.in_new_database(url, home, backup, identity) as made:
        yield made


def _readable_ones(settings: Settings, name: str) -> list[Backup]:
    """The backups there are; ``RestoreError`` where the one that is meant cannot be read."""
    backups, wrong = store.listed(settings.backups)
    newest = max((backup.name for backup in backups), default="")
    for folder, error in wrong.items():
        # An older one in place of the newest would lose what came in between.
        if folder == name or (not name and folder > newest):
            raise error
    if not backups:
        raise RestoreError(f"There is no backup in {settings.backups}.", "make backup makes one.")
    return backups


def _toward(
    settings: Settings, home: Home, backups: list[Backup], moment: datetime, identity: Identity
) -> tuple[Backup, dict[str, str]]:
    """The backup from which the log leads to a moment, with the log, and how far to read that."""
    live, log = server.home_of(settings), home.base / copy.SEGMENTS
    archive.unpack(settings, live, log, archive.is_history, identity)
    backup, line = timelines.latest_before(backups, moment, log)
    archive.unpack(settings, live, log, archive.follows(backup), identity)
    return backup, copy.to_moment(moment, line)


def _require_readable(backup: Backup, chain: Sequence[Backup], identity: Identity) -> None:
    if backup.label.major != MAJOR:
        raise RestoreError(
            f"The backup {backup.name} is of PostgreSQL {backup.label.major}; this version of the "
            f"warehouse runs {MAJOR}.",
            "Restore it with the version of the warehouse that made it; nothing was changed.",
        )
    if any(one.label.recipients for one in chain):
        identity.require()


def prove(made: Copy) -> None:
    """Compare a copy with what its backup noted, and note that it came out right.

    Raises ``RestoreError`` where a table or the answer of a documented report differs.
    """
    label = made.backup.label
    with closing(connect(made.url, copy.SESSION)) as session, reading(session):
        found = checksums.of_tables(session)
        differing = checksums.differences(label.tables, found)
        asked = checksums.of_reports(session)
        differing += [
            f"the report {name.split()[0]} answers otherwise"
            for name, answer in label.reports.items()
            if name in asked and asked[name] != answer
        ]
    if differing:
        raise RestoreError(
            f"What was restored from {made.backup.name} is not what it was made of: "
            f"{some_of(differing, _NAMED)}.",
            _ANOTHER,
        )
    _require_some(made, found)
    store.prove(made.backup, datetime.now(UTC))


def require_rows(made: Copy) -> None:
    """Raise ``RestoreError`` where nothing came."""
    with closing(connect(made.url, copy.SESSION)) as session, reading(session):
        _require_some(made, checksums.of_tables(session))


def _require_some(made: Copy, tables: store.Tables) -> None:
    if not any(rows for rows, _ in tables.values()):
        raise RestoreError(
            f"The backup {made.backup.name} has no row in any table: restoring it would lose all.",
            _ANOTHER,
        )


def apply_erasures(
    settings: Settings,
    watcher: Watcher,
    url: str,
    *,
    is_dump: bool = False,
    also: Mapping[str, str | None] = MappingProxyType({}),
) -> None:
    """Erase in a database that is to be live who was erased since, as all lists say.

    These are the list outside and those of all backups. ``is_dump``: it was restored from a dump.
    ``also``: more tokens, as ``erased_in`` has them of another database.
    Raises ``RestoreError`` where that cannot be, such as without the key of erasures, or with
    another one than that of the database or of a backup.
    """
    listed = erased_by_now(settings) | also.keys()
    known = erased_in(url)
    keys = (*known.values(), *also.values(), *_keys_of(settings))
    key_checks = {key for key in keys if key}
    try:
        erasure_files.require_key_of(settings.data, key_checks)
        # A dump has no settings of the database, which a run gives it.
        if not listed - known.keys() and not is_dump:
            return
        if listed:
            erasure_files.tokens(settings.data)
            erasure_files.keep_list(settings.data, listed)
        with open_run(url, settings, watcher, "restore", lambda: None) as context:
            erase.catch_up(context)
    except AcaError as error:
        raise RestoreError(
            f"Erasures since then could not be applied to what was to be live: {error.message}",
            f"{error.hint} Nothing was changed.",
        ) from error


def erased_by_now(settings: Settings) -> set[str]:
    """The tokens of all who were erased, by the list outside and those of all backups."""
    return erasure_files.listed(settings.data) | _listed_in(settings)


def erased_in(url: str) -> dict[str, str | None]:
    """The tokens that a database has, each with what its key is known by."""
    with closing(connect(url, copy.SESSION)) as session:
        try:
            return {token: key for token, _, key in run(session, "access/erasure.erased")}
        except psycopg.errors.UndefinedTable:
            return {}


def _keys_of(settings: Settings) -> set[str]:
    """What the keys of all backups are known by."""
    return {backup.label.erasure_key for backup in store.listed(settings.backups)[0]}


def _listed_in(settings: Settings) -> set[str]:
    """Who was erased as all backups say; the list outside may be lost with its disk."""
    return {
        token
        for backup in store.listed(settings.backups)[0]
        for token in (backup.folder / store.ERASED).read_text(encoding="ascii").split()
    }
