"""A backup of a server that is not the embedded one: a dump, and the server's roles.

What the dump has is one snapshot, in which every table is read for its checksum too. It is restored
into a new database of that server, or for a drill into a second embedded one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.db.connection import as_url, connect, reading
from etl.db.statements import run, scalar
from etl.errors import RestoreError
from etl.operations.backup import checksums, copy, encryption, programs, store
from etl.operations.backup.copy import Copy
from etl.operations.backup.encryption import Identity
from etl.operations.backup.store import Backup
from etl.server import cluster
from etl.server.home import Home

SESSION = "aca-warehouse backup"
_PACKED = "dump.tar.gz"
ROLES = "roles.sql"
_NEW, _KEPT = "_restored", "_kept_"
_MAINTENANCE = "postgres"
# Sessions that come back at once are in the way of a new name. The server waits for them for five
# seconds each time.
_TRIES = 3


def write(url: str, folder: Path) -> tuple[datetime, dict[str, Any]]:
    """Write a dump into a folder; the moment of its state, and what was in tables and reports.

    ``programs.ProgramError`` where that cannot be.
    """
    folder.mkdir(mode=0o700)
    with closing(connect(url, SESSION)) as session, reading(session):
        snapshot, state_at = run(session, "operations/dump.snapshot").fetchone() or ("", None)
        assert state_at is not None  # it is the clock
        programs.dump(url, folder / "dump", snapshot)
        found = {
            "tables": checksums.of_tables(session),
            "reports": checksums.of_reports(session),
        }
    programs.dump_roles(url, folder / ROLES)
    encryption.pack(folder / "dump", folder / _PACKED)
    shutil.rmtree(folder / "dump")
    return state_at, found


def packed(folder: Path) -> Path:
    """The file of a dump that is to be encrypted."""
    return folder / _PACKED


@contextmanager
def on_second_server(home: Home, backup: Backup, identity: Identity) -> Iterator[Copy]:
    """A second embedded server with a dump, until the block ends."""
    folder = _unpack(home, backup, identity)
    password = cluster.password_of(home)
    cluster.create(home, password)
    with closing(cluster.connect(home, password)) as session:
        url = cluster.url_of(password, session.info.port)
        run(session, "operations/dump.create_database", database=_database(url))
    # Its owner is there already, which is no reason to stop.
    programs.run_script(url, backup.folder / ROLES)
    _fill(url, folder)
    made = Copy(backup, home, url, backup.label.state_at)
    try:
        yield made
    finally:
        copy.stop(made)


@contextmanager
def in_new_database(url: str, home: Home, backup: Backup, identity: Identity) -> Iterator[Copy]:
    """A new database of the same server with a dump; dropped where the block does not end well."""
    folder = _unpack(home, backup, identity)
    name = f"{conninfo_to_dict(url)['dbname']}{_NEW}"
    with closing(connect(at(url, _MAINTENANCE), SESSION)) as session:
        try:
            run(session, "operations/dump.drop_database", database=sql.Identifier(name))
            run(session, "operations/dump.create_database", database=sql.Identifier(name))
        except psycopg.errors.InsufficientPrivilege as error:
            raise RestoreError(
                "The role of DATABASE_URL may not create a database to restore into.",
                "Let a superuser run: alter role ... createdb. Nothing was changed.",
            ) from error
        try:
            _fill(at(url, name), folder)
            yield Copy(backup, home, at(url, name), backup.label.state_at)
        except BaseException:
            run(session, "operations/dump.drop_database", database=sql.Identifier(name))
            raise


def take_place(url: str) -> str:
    """Let the new database have the name of the live one, which gets another: both or neither."""
    new = f"{conninfo_to_dict(url)['dbname']}{_NEW}"
    try:
        return _exchange(url, new)
    except RestoreError:
        with closing(connect(at(url, _MAINTENANCE), SESSION)) as session:
            run(session, "operations/dump.drop_database", database=sql.Identifier(new))
        raise


def take_place_again(url: str, database: str) -> str:
    """The same for a database that is kept, which stays where it cannot be."""
    return _exchange(url, database)


def _exchange(url: str, new: str) -> str:
    """What the live database is called now that another one has its name."""
    live = str(conninfo_to_dict(url)["dbname"])
    name_kept = f"{live}{_KEPT}{datetime.now(UTC):%Y%m%dt%H%M%S%f}"
    with closing(connect(at(url, _MAINTENANCE), SESSION)) as session:
        for _ in range(_TRIES):
            run(session, "operations/dump.end_sessions", {"databases": [live, new]})
            with suppress(psycopg.errors.ObjectInUse), session.transaction():
                for name, next_name in ((live, name_kept), (new, live)):
                    parts = {"database": sql.Identifier(name), "name": sql.Identifier(next_name)}
                    run(session, "operations/dump.rename_database", **parts)
                return name_kept
    raise RestoreError(
        f"Sessions that this role may not end use the database {live}.",
        "End them, then run make restore again. Nothing was changed.",
    )


def kept(url: str) -> list[str]:
    """The databases that others took the places of, the oldest first."""
    live = str(conninfo_to_dict(url)["dbname"])
    with closing(connect(at(url, _MAINTENANCE), SESSION)) as session:
        found = run(session, "operations/dump.kept", {"prefix": f"{live}{_KEPT}"}).fetchall()
    return [name for (name,) in found]


def forget(url: str) -> list[str]:
    """Drop the databases that others took the places of; their names."""
    names = kept(url)
    with closing(connect(at(url, _MAINTENANCE), SESSION)) as session:
        for name in names:
            run(session, "operations/dump.drop_database", database=sql.Identifier(name))
    return names


def size(url: str) -> int:
    """Bytes of the database."""
    with closing(connect(url, SESSION)) as session:
        return int(scalar(session, "operations/dump.size"))


def _unpack(home: Home, backup: Backup, identity: Identity) -> Path:
    store.verify(backup)
    file = next(path for path in backup.folder.iterdir() if path.name.startswith(_PACKED))
    plain = identity.decrypt(file, home.base)
    encryption.unpack(plain, home.base / "dump")
    return home.base / "dump"


def _fill(url: str, folder: Path) -> None:
    try:
        programs.restore_dump(url, folder)
    except programs.ProgramError as error:
        raise RestoreError(
            f"The dump cannot be restored: {error}.",
            f"Roles that are missing are made by psql with the file {ROLES} of the backup. Nothing "
            "was changed.",
        ) from error


def _database(url: str) -> sql.Identifier:
    return sql.Identifier(str(conninfo_to_dict(url)["dbname"]))


def at(url: str, database: str) -> str:
    """The URL of another database of a server."""
    return as_url(make_conninfo(url, dbname=database))
