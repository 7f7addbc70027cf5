"""A server of ours: make its database, start it, stop it, fix what a crash left.

Callers must have the lock of ``etl.server.server``; nothing here takes it.
"""

from __future__ import annotations

import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from etl.db.statements import run
from etl.errors import ServerError, UsageError
from etl.server.home import Home, open_private, write_private
from etl.server.transport import other_machines, resolve
from etl.server.tuning import MIB, core_count, memory_bytes, server_settings, shared_memory_bytes

MAJOR = 18
HOST = "127.0.0.1"
ROLE = "aca_owner"
DATABASE = "aca_warehouse"

_CONF = "warehouse.conf"
_PORTS = range(20_000, 30_000)  # below the ports that systems hand to outgoing connections
_START_SECONDS = 600  # recovery after a crash can take minutes
_RESTORE_SECONDS = 24 * 3600  # and that of a backup as long as its log is
_STOP_SECONDS = 300
_LOG_LIMIT = 20 * MIB
_NOT_YET = ("starting up", "not yet accepting", "recovery", "shutting down", "refused", "closed")


def url_of(password: str, port: int, database: str = DATABASE) -> str:
    """The libpq URL of a database on the embedded server."""
    return f"postgresql://{ROLE}:{password}@{HOST}:{port}/{database}"


def password_of(home: Home) -> str:
    """The owner's password, made up and kept in a file of mode 0600 at the first call."""
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


def create(home: Home, password: str) -> None:
    """Make the database in a folder of its own and move it into place when it is whole."""
    for leftover in home.base.glob("new-*"):
        end_programs(leftover)
        shutil.rmtree(leftover)
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
            raise failure("The database could not be made", done.stdout, home)
        with (new / "cluster" / "postgresql.conf").open("a") as conf:
            conf.write(f"\ninclude = '{_CONF}'  # written again at every start\n")
        (new / "cluster").rename(home.cluster)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def major_of(home: Home) -> str:
    """The major version that made the database, empty if there is no database."""
    try:
        return (home.cluster / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        return ""


def require_own_major(home: Home) -> None:
    """Raise ``ServerError`` unless the database is one that our programs can run."""
    found = major_of(home)
    if found != str(MAJOR):
        what = f"was made by PostgreSQL {found}" if found else "contains no PostgreSQL database"
        raise ServerError(
            f"The folder {home.cluster} {what}; this version of the warehouse runs {MAJOR}.",
            "Move the folder away (a dump made with the old version can be restored), then run "
            "the command again.",
        )


def set_password(home: Home, alter_role: str) -> None:
    """Give the owner a password by a statement, on a server that does not run.

    For a database that was restored where nobody knows its password any more.
    """
    done = home.run("postgres", "--single", "-D", str(home.cluster), "postgres", text=alter_role)
    if done.returncode != 0:
        raise failure("The restored database did not take a password", done.stdout, home)


def connect(home: Home, password: str) -> psycopg.Connection[Any]:
    """Connect to the database postgres, starting the server first if it does not run."""
    require_leads_here(url_of(password, _PORTS.start), home.title)
    deadline = time.monotonic() + _START_SECONDS
    reason = "it has not come up"
    while time.monotonic() < deadline:
        if postmaster(home) is None:
            _start(home)
        if port := running_port(home):
            try:
                url = url_of(password, port, "postgres")
                return psycopg.connect(url, autocommit=True, connect_timeout=10)
            except psycopg.OperationalError as error:
                reason = reason_of(error)
                if not any(word in reason for word in _NOT_YET):
                    break
        time.sleep(0.1)
    raise ServerError(
        f"The {home.title} does not let us in: {reason}",
        f"Its logs are {home.log} and {home.session_log}; `make down` stops it.",
    )


def ensure_database(connection: psycopg.Connection[Any]) -> None:
    """Make the warehouse's database where the server has none; the connection commits by itself."""
    if run(connection, "server/server.has_database", {"database": DATABASE}).fetchone() is None:
        run(connection, "server/server.create_database", database=sql.Identifier(DATABASE))


def require_leads_here(url: str, title: str) -> None:
    """Raise ``UsageError`` where the environment makes libpq go to another machine anyway."""
    if elsewhere := other_machines(resolve(url)):
        raise UsageError(
            f"The environment leads connections to the {title} to {elsewhere[0]}.",
            "Unset PGHOSTADDR, and hostaddr in the service that PGSERVICE names.",
        )


def start_copy(home: Home, options: Sequence[str]) -> None:
    """Start a server on a restored copy, and wait until it has recovered.

    ``options``: settings, such as ``archive_command=``, that win over all that the copy has. What
    they say goes through a shell. ``ServerError`` where it does not come up.
    """
    _start(home, options)
    # As long as it recovers and lets nobody in, that is a start that went well.
    if not _wait_until(lambda: _status(home) in ("ready", ""), _RESTORE_SECONDS):
        raise ServerError(f"The copy in {home.cluster} has not recovered in a day.")
    if not _status(home):
        raise failure("PostgreSQL stopped", _last_messages(home), home)


def _status(home: Home) -> str:
    """How far the server is, as its own file says; empty if it does not run."""
    if postmaster(home) is None:
        return ""
    try:
        return (home.cluster / "postmaster.pid").read_text().splitlines()[7].strip()
    except (FileNotFoundError, IndexError):
        return "starting"


def _start(home: Home, options: Sequence[str] = ()) -> None:
    _clear_leftovers(home)
    if "archive_mode" in home.settings:
        home.make_private(home.archive)
    if home.log.exists() and home.log.stat().st_size > _LOG_LIMIT:
        home.log.replace(home.log.with_suffix(".log.1"))
    home.make_private(home.session_log)
    for attempt in range(5):
        port = _choose_port(home, keep=attempt == 0)
        home.write(home.cluster / _CONF, _configuration(home, port))
        with open(home.log, "ab", opener=open_private) as log:
            before = log.tell()
            start = ("pg_ctl", "start", "--silent", "--wait", f"--timeout={_START_SECONDS}")
            given = " ".join(f"-c {option}" for option in (f"cluster_name={home.name}", *options))
            # pg_ctl puts the folder into a command of the shell between double quotes and no more:
            # a path with a double quote, dollar sign or back-tick would mean something else there.
            # So it is named from the folder above; the server's own name is what it is known by.
            done = home.run(
                *start,
                f"--pgdata={home.cluster.name}",
                f"--options={given}",
                output=log,
                cwd=home.base,
            )
        if done.returncode == 0:
            write_private(home.state / "port", f"{port}\n")
            return
        if _is_free(port):
            break  # the port was not the reason
    with home.log.open("rb") as log:
        log.seek(before)
        raise failure("PostgreSQL did not start", log.read() + _last_messages(home), home)


def _last_messages(home: Home) -> bytes:
    """What the server's own log says of the latest start, which it enters once it is open."""
    files = sorted(home.session_log.glob("*.json"))
    entries = map(json.loads, files[-1].read_bytes().splitlines()) if files else ()
    lines = (f"{entry['error_severity']}:  {entry.get('message')}\n" for entry in entries)
    return "".join(lines).encode()


def _configuration(home: Home, port: int) -> str:
    values = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        "cluster_name": home.name,
        "log_directory": str(home.session_log).replace("'", "''"),
        **server_settings(memory_bytes(), core_count(), shared_memory_bytes()),
        **home.settings,
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


def stop(home: Home) -> bool:
    """Stop the server and wait until it is gone; False if it was not running.

    A run that this ends does not start it again (``is_unwanted``).
    """
    _unwanted(home).touch(mode=0o600)
    process = postmaster(home)
    if process is None:
        _clear_leftovers(home)
        return False
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGINT)  # ends all sessions, then writes a checkpoint
    if not _wait_until(lambda: postmaster(home) is None, _STOP_SECONDS):
        raise ServerError(
            f"PostgreSQL (process {process.pid}) has not stopped in {_STOP_SECONDS} seconds.",
            f"It may still be writing to {home.cluster}; see {home.log}.",
        )
    return True


def reload(home: Home) -> None:
    """Let a server that runs have the settings that it is to have by now."""
    process, port = postmaster(home), running_port(home)
    if process is not None and port is not None:
        home.write(home.cluster / _CONF, _configuration(home, port))
        process.send_signal(signal.SIGHUP)


def note_wanted(home: Home) -> None:
    """Note that somebody wants the server to run."""
    _unwanted(home).unlink(missing_ok=True)


def is_unwanted(home: Home) -> bool:
    """Whether a person stopped the server and nobody has wanted it since."""
    return _unwanted(home).exists()


def _unwanted(home: Home) -> Path:
    return home.state / "stopped"


def postmaster(home: Home) -> psutil.Process | None:
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
        if not _lives(process) or not process.name().startswith("postgres"):
            return False
        try:
            return Path(process.cwd()) == home.cluster.resolve()
        except psutil.AccessDenied:
            # In a container root may not see where another user's process works.
            command = " ".join(process.cmdline())
            return str(home.cluster) in command or home.name in command
    except psutil.Error:
        return False


def running_port(home: Home) -> int | None:
    """The port that the server listens on; None if it does not run or is not that far yet."""
    if postmaster(home) is None:
        return None
    try:
        return int((home.cluster / "postmaster.pid").read_text().splitlines()[3])
    except (FileNotFoundError, IndexError):
        return None


def _clear_leftovers(home: Home) -> None:
    """Clear away what a killed server leaves: processes that outlive it, and its pid file."""
    _end([process for process in psutil.process_iter() if _is_ours(home, process)])
    (home.cluster / "postmaster.pid").unlink(missing_ok=True)


def end_programs(folder: Path) -> None:
    """End what still works on a folder after a kill, such as initdb or pg_basebackup."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_ours = process.name() == "initdb" or process.name().startswith("pg_")
            if is_ours and str(folder) in " ".join(process.cmdline()):
                found += [process, *process.children(recursive=True)]
    _end(found)


def _end(processes: list[psutil.Process]) -> None:
    for stop_signal in (signal.SIGQUIT, signal.SIGKILL):
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(stop_signal)
        if _wait_until(lambda: not any(map(_lives, processes)), 5):
            break


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until(done: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def reason_of(error: psycopg.Error) -> str:
    """What libpq says in its first line; the others are guesses at why."""
    return str(error).strip().partition("\n")[0].rpartition("failed: ")[2]


def disk_full(path: Path) -> ServerError:
    """The error that says so."""
    return ServerError(
        f"The disk of {path} is full.", "Free some space, then run the command again."
    )


def failure(what: str, output: bytes, home: Home) -> ServerError:
    """The error that the last telling line of a program's output explains."""
    lines = output.decode(errors="replace").splitlines()
    if any(words in line for line in lines for words in ("No space left", "quota exceeded")):
        return disk_full(home.base)
    telling = [line for line in lines if re.search("FATAL|PANIC|error:", line)] or lines[-1:]
    reason = (
        re.split("FATAL: +|PANIC: +|error: ", telling[-1])[-1] if telling else "no reason given"
    )
    where = f"The folder is {home.cluster}, the logs are {home.log} and {home.session_log}."
    return ServerError(f"{what}: {reason}", where)


def folder_bytes(folder: Path) -> int:
    """What the files below a folder take."""
    size = 0
    for path in folder.rglob("*"):
        try:
            size += path.lstat().st_size
        except FileNotFoundError:
            continue  # a running server comes and goes with files
    return size
