"""The PostgreSQL server: the one that DATABASE_URL names, else one of our own.

That is the coordinator of the cluster in DATA_DIR while somebody wants it (``etl.server.nodes``),
else the embedded server.

The embedded server is made and started when something needs it, keeps running until ``stop``, and
is found again, or fixed, by the next caller. Whoever starts or stops it takes a lock, so that two
callers at once do not get in each other's way.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from etl.config import Settings
from etl.db import trouble
from etl.db.connection import as_url, is_url, session_options
from etl.db.statements import statement
from etl.errors import ServerError
from etl.server import cluster, exchange, nodes, replica
from etl.server.cluster import DATABASE, MAJOR
from etl.server.guard import locked, plain_errors
from etl.server.home import Home, locate, packaged_programs, prepare
from etl.server.transport import require_verified


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of the server. ``data`` and ``size_bytes`` are None where they are unknown.

    ``trouble``: why one that is given does not answer. ``kind``: which of ours it is.
    """

    embedded: bool
    running: bool
    port: int | None
    version: str
    data: Path | None
    size_bytes: int | None
    trouble: str = ""
    kind: str = "embedded server"


def ensure_running(settings: Settings, *, only_if_wanted: bool = False) -> str:
    """Return the URL of a server that answers, starting the embedded one if need be.

    It is for libpq to read, which knows more forms of a URL than other libraries do.
    ``only_if_wanted``: not where a person stopped or deleted it since, which fails as transient as
    long as they may start it again.

    Raises ``ServerError`` where there is none to be had, ``UsageError`` where DATABASE_URL leads to
    another machine without verified TLS; no message contains a password.
    """
    if settings.database_url:
        _inspect_given(settings)
        return as_url(settings.database_url)
    if settings.cluster:
        return nodes.ensure_running(settings, only_if_wanted=only_if_wanted)
    with plain_errors(settings.data), locked(settings.data / "postgres"):
        home = prepare(settings)
        exchange.complete(home)
        if only_if_wanted:
            _require_wanted(home)
        cluster.note_wanted(home)
        password = cluster.password_of(home)
        was_running = cluster.postmaster(home) is not None
        if not home.cluster.exists():
            cluster.create(home, password)
        cluster.require_own_major(home)
        with cluster.connect(home, password) as connection:
            cluster.ensure_database(connection)
            url = cluster.url_of(password, connection.info.port)
    if not was_running:
        # Without the server's lock, which others wait for.
        replica.start_again(home, password)
    return url


def _require_wanted(home: Home) -> None:
    if not home.cluster.exists():
        raise ServerError(
            "The database was deleted while the run was at work.",
            "Run again for a new one, or restore the old one.",
        )
    if cluster.is_unwanted(home):
        raise ServerError(
            "The server was stopped by make down.",
            "make up starts it again; then run again.",
            sqlstate=trouble.REFUSED,
        )


def running_url(settings: Settings, database: str = "postgres") -> str | None:
    """URL of a database of the embedded server if it runs, whatever DATABASE_URL says.

    Starts nothing.
    """
    if not (settings.data / "postgres").exists():
        return None
    with plain_errors(settings.data):
        home = locate(settings)
        port = cluster.running_port(home) if home.cluster.exists() else None
        return None if port is None else cluster.url_of(cluster.password_of(home), port, database)


def address(settings: Settings) -> str:
    """URL of the warehouse's database, for who only asks whether it answers; starts nothing.

    Raises ``ServerError`` where a server of our own does not run, ``UsageError`` where DATABASE_URL
    leads to another machine without verified TLS.
    """
    if settings.database_url:
        _parts(settings.database_url)
        if not settings.allow_plaintext:
            require_verified(settings.database_url)
        return as_url(settings.database_url)
    url = nodes.running_url(settings) if settings.cluster else running_url(settings, DATABASE)
    if url is None:
        title = nodes.TITLE if settings.cluster else "embedded server"
        raise ServerError(f"The {title} does not run.", "make up starts it.")
    return url


def stop(settings: Settings) -> bool:
    """Stop the embedded server and its replicas; False if it was not running."""
    if not (settings.data / "postgres").exists():
        return False
    replica.stop_all(locate(settings))
    with plain_errors(settings.data), locked(settings.data / "postgres"):
        return cluster.stop(locate(settings))


def home_of(settings: Settings) -> Home:
    """Where the embedded server lives, made ready for it; there need not be a database yet."""
    with plain_errors(settings.data), locked(settings.data / "postgres"):
        home = prepare(settings)
        exchange.complete(home)
        return home


def is_there(settings: Settings) -> bool:
    """Whether there ever was an embedded server."""
    return (settings.data / "postgres").exists()


def take_place(settings: Settings, new: Path) -> Path | None:
    """Stop the embedded server and let it have another database from now on.

    ``new``: its folder, below that of the server. Where the one before it is kept, if any. Replicas
    are of the one before: they go, and have to be made again.
    """
    replica.discard_all(locate(settings))
    with plain_errors(settings.data), locked(settings.data / "postgres"):
        home = prepare(settings)
        cluster.stop(home)
        return exchange.begin(home, new)


def session_log(settings: Settings) -> Path | None:
    """The folder of the own log of a server of ours; none of a server that is given."""
    return None if settings.database_url else _home(settings).session_log


def session_logs(settings: Settings) -> list[Path]:
    """That folder and those of replicas, also of ones that are gone; none of a server given."""
    if settings.database_url:
        return []
    home = _home(settings)
    return [home.session_log, *sorted(home.base.glob("replica-*/log"))]


def data_folder(settings: Settings) -> Path | None:
    """The folder of the database of a server of ours; none of a server that is given."""
    return None if settings.database_url else _home(settings).cluster


def _home(settings: Settings) -> Home:
    """Where the server of ours that is used lives: of a cluster the coordinator."""
    return nodes.coordinator(settings) if settings.cluster else locate(settings)


def remove(settings: Settings) -> None:
    """Stop the embedded server and delete its database, password and log."""
    stop(settings)
    if not (settings.data / "postgres").exists():
        return
    with plain_errors(settings.data), locked(settings.data / "postgres"):
        home = locate(settings)
        if home.base != home.state and home.base.exists():
            shutil.rmtree(home.base)
        shutil.rmtree(home.state)


def status(settings: Settings) -> Status:
    """Describe the server without starting or changing anything."""
    if settings.database_url:
        try:
            port, version, size = _inspect_given(settings)
        except ServerError as error:
            return Status(False, False, None, "", None, None, error.message)
        return Status(False, True, port, version, None, size)
    if settings.cluster:
        return _status_of_cluster(settings)
    with plain_errors(settings.data):
        home = locate(settings)
        if not home.cluster.exists():
            return Status(True, False, None, "", home.cluster, None)
        size = cluster.folder_bytes(home.cluster)
        running_on = cluster.running_port(home)
        if running_on is None:
            return Status(True, False, None, cluster.major_of(home), home.cluster, size)
        with cluster.connect(home, cluster.password_of(home)) as connection:
            version = _readable(connection.info.server_version)
        return Status(True, True, running_on, version, home.cluster, size)


def _status_of_cluster(settings: Settings) -> Status:
    """The same of a cluster, which runs if all of its nodes do."""
    found = nodes.look(settings)
    main, folder = found[0], found[0].data.parent.parent
    size = sum(node.size_bytes for node in found)
    runs = all(node.port is not None for node in found)
    return Status(True, runs, main.port, main.version, folder, size, kind=nodes.TITLE)


def binaries(settings: Settings) -> Path:
    """Return the folder with psql, pg_dump and pg_restore of PostgreSQL 18."""
    return packaged_programs()


def _inspect_given(settings: Settings) -> tuple[int, str, int]:
    """Port, version and size in bytes of the database that DATABASE_URL names."""
    address = settings.database_url
    parts = _parts(address)
    where = f"The server at {parts['host']}" if "host" in parts else "The server"
    where += f":{parts['port']}" if "port" in parts else ""
    try:
        if not settings.allow_plaintext:
            require_verified(address)
        options = session_options(address)
        with psycopg.connect(address, connect_timeout=10, options=options) as connection:
            version = connection.info.server_version
            port = connection.info.port
            encoding, is_standby, size = connection.execute(
                statement("server/server.database")
            ).fetchone() or ("", False, 0)
    except psycopg.Error as error:
        reason = cluster.reason_of(error)
        if password := parts.get("password"):
            reason = reason.replace(password, "***")
        raise ServerError(
            f"{where} that DATABASE_URL names does not let us in: {reason}",
            "Check that it runs and that DATABASE_URL is right, or leave DATABASE_URL empty "
            "to use the embedded server.",
            sqlstate=trouble.state_of(error),
        ) from None
    if version < MAJOR * 10_000:
        raise ServerError(
            f"{where} is PostgreSQL {version // 10_000}; the warehouse needs {MAJOR} or later.",
            "Upgrade it, or leave DATABASE_URL empty to use the embedded server.",
        )
    if encoding != "UTF8":
        raise ServerError(
            f"The database that DATABASE_URL names keeps text as {encoding}, which cannot contain "
            "every name.",
            "Create one with: create database ... encoding 'UTF8' template template0",
        )
    if is_standby:
        raise ServerError(
            f"{where} that DATABASE_URL names can only be read: it is a standby.",
            "Name the primary; of several hosts, target_session_attrs=read-write chooses it.",
        )
    return port, _readable(version), size


def _readable(version: int) -> str:
    return f"{version // 10_000}.{version % 10_000}"


def _parts(address: str) -> dict[str, str]:
    """The parts of an address.

    What libpq says of a malformed one is not repeated: where the password of a URL has characters
    that are not escaped, pieces of it land in the host, the port or the name of the database.
    """
    shape = {"host": r"[\w.:,/@-]*", "port": r"[\d,]*", "dbname": "[^@]*"}
    try:
        address.encode()
        parts = {name: str(value) for name, value in conninfo_to_dict(address).items()}
        is_sound = not is_url(address) or (
            all(re.fullmatch(shape[name], parts.get(name, "")) for name in shape)
            and "@" not in parts.get("host", "")[1:]
        )
    except (psycopg.ProgrammingError, UnicodeError):
        is_sound = False
    if not is_sound:
        raise ServerError(
            "DATABASE_URL is not a PostgreSQL URL, nor key=value pairs as libpq reads them.",
            "Write postgresql://user:password@host:port/database, with special characters of "
            "the password percent-encoded (@ as %40, / as %2F), or "
            "host=... port=... dbname=... user=... password='...'.",
        )
    return parts
