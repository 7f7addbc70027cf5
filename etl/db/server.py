"""The PostgreSQL server: the one that DATABASE_URL names, else an embedded one of our own.

The embedded server is made and started when something needs it, keeps running until ``stop``, and
is found again, or mended, by the next caller. Whoever starts or stops it holds a lock, so that two
callers at once do not get in each other's way.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import re
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from etl.config import Settings
from etl.db.home import Home, locate, packaged_programs, prepare, write_private
from etl.db.tuning import MIB, core_count, memory_bytes, server_settings, shared_memory_bytes
from etl.errors import ServerError

MAJOR = 18
HOST = "127.0.0.1"
ROLE = "aca_owner"
DATABASE = "aca_warehouse"

_CONF = "warehouse.conf"
_PORTS = range(20_000, 30_000)  # below the ports that systems hand to outgoing connections
_START_SECONDS = 600  # recovery after a crash can take minutes
_STOP_SECONDS = 300
_LOG_LIMIT = 20 * MIB
_NOT_YET = ("starting up", "not yet accepting", "recovery", "shutting down", "refused", "closed")


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of the server. ``data`` and ``size_bytes`` are None where we cannot tell."""

    embedded: bool
    running: bool
    port: int | None
    version: str
    data: Path | None
    size_bytes: int | None


def ensure_running(settings: Settings) -> str:
    """Return the libpq URL of a server that answers, starting the embedded one if need be.

    Raises ``ServerError`` where there is none to be had; no message holds a password.
    """
    if settings.database_url:
        _inspect_given(settings.database_url)
        return settings.database_url
    with _plain_errors(), _locked(settings):
        home = prepare(settings)
        password = _password(home)
        if not home.cluster.exists():
            _create_cluster(home, password)
        _require_own_major(home)
        with _connect_to_cluster(home, password) as connection:
            known = connection.execute(
                "select 1 from pg_catalog.pg_database where datname = %s", [DATABASE]
            )
            if known.fetchone() is None:
                connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
            return _url(password, connection.info.port)


def stop(settings: Settings) -> bool:
    """Stop the embedded server; False if it was not running."""
    if not (settings.data / "postgres").exists():
        return False
    with _plain_errors(), _locked(settings):
        home = locate(settings)
        postmaster = _postmaster(home)
        if postmaster is None:
            _clear_leftovers(home)
            return False
        postmaster.send_signal(signal.SIGINT)  # ends sessions, writes a checkpoint
        if not _wait(lambda: _postmaster(home) is None, _STOP_SECONDS):
            raise ServerError(
                f"PostgreSQL (process {postmaster.pid}) has not stopped in {_STOP_SECONDS} s.",
                f"It may still be writing to {home.cluster}; see {home.log}.",
            )
        return True


def remove(settings: Settings) -> None:
    """Stop the embedded server and delete its database, password and log."""
    stop(settings)
    if not (settings.data / "postgres").exists():
        return
    with _plain_errors(), _locked(settings):
        home = locate(settings)
        if home.base != home.state and home.base.exists():
            shutil.rmtree(home.base)
        shutil.rmtree(home.state)


def status(settings: Settings) -> Status:
    """Describe the server without starting or changing anything."""
    if settings.database_url:
        try:
            port, version, size = _inspect_given(settings.database_url)
        except ServerError:
            return Status(False, False, None, "", None, None)
        return Status(False, True, port, version, None, size)
    with _plain_errors():
        home = locate(settings)
        if not home.cluster.exists():
            return Status(True, False, None, "", home.cluster, None)
        major, size = _major(home), _folder_bytes(home.cluster)
        try:
            port = _running_port(home)
            with psycopg.connect(_url(_password(home), port, "postgres")) as connection:
                version = connection.execute("show server_version").fetchone()
        except (FileNotFoundError, psycopg.OperationalError):
            return Status(True, False, None, major, home.cluster, size)
        return Status(True, True, port, version[0].split()[0], home.cluster, size)


def binaries(settings: Settings) -> Path:  # noqa: ARG001
    """Return the folder with psql, pg_dump and pg_restore of PostgreSQL 18."""
    return packaged_programs()


# A server that somebody else runs.


def _inspect_given(url: str) -> tuple[int, str, int]:
    """Port, version and size in bytes of the database that ``url`` names."""
    parts = _parts(url)
    where = f"{parts.get('host', 'the local socket')}:{parts.get('port', 5432)}"
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            version = connection.info.server_version
            size = connection.execute("select pg_database_size(current_database())").fetchone()
            port = connection.info.port
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        if password := parts.get("password"):
            reason = reason.replace(password, "***")
        raise ServerError(
            f"The server at {where} that DATABASE_URL names does not let us in: {reason}",
            "Check that it runs and that DATABASE_URL is right, or leave DATABASE_URL empty "
            "to use the embedded server.",
        ) from None
    if version < MAJOR * 10_000:
        raise ServerError(
            f"The server at {where} is PostgreSQL {version // 10_000}; the warehouse needs "
            f"{MAJOR} or later.",
            "Upgrade it, or leave DATABASE_URL empty to use the embedded server.",
        )
    return port, f"{version // 10_000}.{version % 10_000}", size[0]


def _parts(url: str) -> dict[str, Any]:
    """The parts of a URL. What libpq says of a malformed one is not repeated: a password with
    unescaped characters lands in its host or port.
    """  # noqa: D205
    try:
        parts = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        parts = {"port": "?"}
    host, port = str(parts.get("host", "")), str(parts.get("port", "5432"))
    if not re.fullmatch(r"[\w.:,/-]*", host) or not re.fullmatch(r"[\d,]+", port):
        raise ServerError(
            "DATABASE_URL is not a PostgreSQL URL.",
            "Write postgresql://user:password@host:port/database, with special characters of "
            "the password percent-encoded (@ as %40, / as %2F).",
        )
    return parts


# The embedded server: making it.


def _password(home: Home) -> str:
    file = home.state / "password"
    if file.exists():
        return file.read_text().strip()
    if home.cluster.exists():
        raise ServerError(
            f"The password of the embedded server is gone: {file} is missing.",
            "Put the file back, or delete the database with `make clean-data CONFIRM=yes`.",
        )
    password = secrets.token_urlsafe(24)
    write_private(file, password)
    return password


def _create_cluster(home: Home, password: str) -> None:
    """Make the database in a folder of its own and move it into place when it is whole."""
    for leftover in home.base.glob("new-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=home.base))
    try:
        if home.owner:
            os.chown(new, home.owner.uid, home.owner.gid)
        home.write(new / "password", password)
        done = home.run(
            "initdb",
            f"--pgdata={new / 'cluster'}",
            f"--username={ROLE}",
            f"--pwfile={new / 'password'}",
            "--auth=scram-sha-256",
            "--data-checksums",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        if done.returncode != 0:
            raise _failure("The database could not be made", done.stdout, home)
        with (new / "cluster" / "postgresql.conf").open("a") as conf:
            conf.write(f"\ninclude = '{_CONF}'  # written anew at every start\n")
        (new / "cluster").rename(home.cluster)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _major(home: Home) -> str:
    try:
        return (home.cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return ""


def _require_own_major(home: Home) -> None:
    found = _major(home)
    if found != str(MAJOR):
        what = f"was made by PostgreSQL {found}" if found else "holds no PostgreSQL database"
        raise ServerError(
            f"The folder {home.cluster} {what}; this version of the warehouse runs {MAJOR}.",
            "Move the folder away (a dump made with the old version can be restored), then run "
            "the command again.",
        )


# The embedded server: starting it.


def _connect_to_cluster(home: Home, password: str) -> psycopg.Connection[Any]:
    """Connect to the server's own database, starting the server first if it does not run."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        if _postmaster(home) is None:
            _start(home)
        try:
            url = _url(password, _running_port(home), "postgres")
            return psycopg.connect(url, autocommit=True, connect_timeout=10)
        except FileNotFoundError:
            pass  # it ended between the two looks
        except psycopg.OperationalError as error:
            reason = str(error).strip().splitlines()[-1]
            if not any(word in reason for word in _NOT_YET) or time.monotonic() > deadline:
                raise ServerError(
                    f"The embedded server runs but does not let us in: {reason}",
                    f"Its log is {home.log}; `make down` stops it.",
                ) from None
        time.sleep(0.1)


def _start(home: Home) -> None:
    _clear_leftovers(home)
    if home.log.exists() and home.log.stat().st_size > _LOG_LIMIT:
        home.log.replace(home.log.with_suffix(".log.1"))
    for attempt in range(5):
        port = _choose_port(home, keep=attempt == 0)
        home.write(home.cluster / _CONF, _configuration(home, port))
        with open(home.log, "ab", opener=_open_private) as log:  # noqa: PTH123
            before = log.tell()
            done = home.run(
                "pg_ctl", "start", "--silent", "--wait", f"--timeout={_START_SECONDS}",
                f"--pgdata={home.cluster}", output=log,
            )  # fmt: skip
        if done.returncode == 0:
            write_private(home.state / "port", f"{port}\n")
            return
        if _is_free(port):
            break  # the port was not what stood in the way
    with home.log.open("rb") as log:
        log.seek(before)
        raise _failure("PostgreSQL did not start", log.read(), home)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _configuration(home: Home, port: int) -> str:
    values = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "cluster_name": home.name,
        **server_settings(memory_bytes(), core_count(), shared_memory_bytes()),
    }
    lines = [f"{name} = '{value}'" for name, value in values.items()]
    header = "# Written at every start of the server. To override a line, use ALTER SYSTEM."
    return "\n".join((header, *lines, ""))


def _choose_port(home: Home, *, keep: bool) -> int:
    """The port that we had, or another if somebody else has taken it."""
    try:
        remembered = int((home.state / "port").read_text())
    except (FileNotFoundError, ValueError):
        remembered = 0
    if keep and remembered in _PORTS and _is_free(remembered):
        return remembered
    for port in random.sample(_PORTS, 200):
        if _is_free(port):
            return port
    raise ServerError(
        f"No port between {_PORTS.start} and {_PORTS.stop} is free on {HOST}.",
        "Stop some of the programs that listen there.",
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As PostgreSQL does, so that connections of the last server do not count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


# The embedded server: telling whether it runs.


def _postmaster(home: Home) -> psutil.Process | None:
    """The server's main process, if it runs.

    The process id in the server's own file proves nothing: after a crash it may be stale, and by
    then belong to another program, or to the server of a checkout that this one was copied from.
    """
    try:
        line = (home.cluster / "postmaster.pid").read_text().split("\n", 1)[0]
        process = psutil.Process(int(line))
        return process if _is_ours(home, process) else None
    except (FileNotFoundError, ValueError, psutil.Error):
        return None


def _is_ours(home: Home, process: psutil.Process) -> bool:
    """Whether a process is part of this server; every one of them works in its data folder."""
    try:
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        try:
            return Path(process.cwd()) == home.cluster.resolve()
        except psutil.AccessDenied:
            # In a container root may not see where another user's process works.
            command = " ".join(process.cmdline())
            return str(home.cluster) in command or home.name in command
    except psutil.Error:
        return False


def _running_port(home: Home) -> int:
    """The port that the running server listens on; ``FileNotFoundError`` if it does not run."""
    if _postmaster(home) is None:
        raise FileNotFoundError
    lines = (home.cluster / "postmaster.pid").read_text().splitlines()
    if len(lines) < 4:
        raise FileNotFoundError
    return int(lines[3])


def _clear_leftovers(home: Home) -> None:
    """Clear away what a killed server leaves: processes that outlive it, and its pid file."""
    orphans = [process for process in psutil.process_iter() if _is_ours(home, process)]
    for stop_signal in (signal.SIGQUIT, signal.SIGKILL):
        for process in orphans:
            try:
                process.send_signal(stop_signal)
            except psutil.NoSuchProcess:
                continue
        if _wait(lambda: not any(_is_ours(home, process) for process in orphans), 5):
            break
    (home.cluster / "postmaster.pid").unlink(missing_ok=True)


def _wait(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# Common to all.


@contextmanager
def _locked(settings: Settings) -> Iterator[None]:
    """Hold the lock of the embedded server; the system frees it if we are killed."""
    state = settings.data / "postgres"
    state.mkdir(parents=True, exist_ok=True)
    # The server's own user has to pass through, and nobody has to look around.
    state.chmod(0o711 if os.geteuid() == 0 else 0o700)
    with open(state / "lock", "w", opener=_open_private) as lock:  # noqa: PTH123
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Say in a sentence what the file system refused."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _disk_full(Path(error.filename or "/")) from error
        raise ServerError(
            f"The embedded server needs {error.filename}: {error.strerror}.",
            "Run make as the user that owns the data folder, or set DATA_DIR to a folder of yours.",
        ) from error


def _disk_full(path: Path) -> ServerError:
    return ServerError(
        f"The disk that holds {path} is full.", "Free some space, then run the command again."
    )


def _failure(what: str, output: bytes, home: Home) -> ServerError:
    """The error that the last telling line of a program's output explains."""
    lines = output.decode(errors="replace").splitlines()
    if any(words in line for line in lines for words in ("No space left", "quota exceeded")):
        return _disk_full(home.cluster)
    telling = [line for line in lines if re.search("FATAL|PANIC|error:", line)] or lines[-1:]
    reason = re.split("FATAL: +|PANIC: +|error: ", telling[0])[-1] if telling else "no reason given"
    return ServerError(f"{what}: {reason}", f"The folder is {home.cluster}, the log {home.log}.")


def _url(password: str, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{ROLE}:{password}@{HOST}:{port}/{database}"


def _folder_bytes(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.lstat().st_size
        except FileNotFoundError:
            continue  # a running server comes and goes with files
    return size
