"""Replicas: hot standbys of the embedded server, each in a folder next to its database.

A replica is a copy by ``pg_basebackup`` that reads the server's log through a slot of its own. It
contains nothing that the server does not, so what cannot be fixed is made again. Callers must
have the lock of ``locked``; who has it may take that of the server, and never the other way round.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from etl.db.statements import run, scalar
from etl.errors import ServerError, UsageError
from etl.server import cluster
from etl.server.home import WANTED, Home, open_private

# As many as an ordinary machine bears next to its server. Each takes a sender and a slot of ten.
MOST = 4
# What a copy takes besides the database: the log that comes while it is made.
_ROOM = 1.1
# A replica that neither reads the log nor comes nearer to its end for so long is made again.
_SILENT_SECONDS = 60
_SLOT_SECONDS = 30
# How long readers may keep the log from being applied (docs/decisions/0070).
_READERS_DELAY = "30s"


@dataclass(frozen=True, slots=True)
class Slot:
    """What the server knows of a replica; see ``server/replicas.slots``."""

    number: int
    is_active: bool
    is_lost: bool
    lag_bytes: int | None
    lag_seconds: float | None
    inactive_since: Any


def place(primary: Home, number: int) -> Home:
    """Where a replica lives, whether it is there or not."""
    base = primary.base / f"replica-{number}"
    return Home(base, base, primary.programs, primary.owner)


def slot_of(number: int) -> str:
    """The name of a replica's slot."""
    return f"aca_replica_{number}"


@contextmanager
def locked(primary: Home, *, waits: bool = True) -> Iterator[bool]:
    """Keep others from changing replicas; False if somebody does and nobody ``waits``."""
    with open(primary.state / "replicas.lock", "w", opener=open_private) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def slots(connection: psycopg.Connection[Any]) -> dict[int, Slot]:
    """The replicas that have a slot, by number."""
    return {row[0]: Slot(*row) for row in run(connection, "server/replicas.slots")}


def want(primary: Home, number: int) -> None:
    """Note that a replica is wanted from now on, also after a restart."""
    home = place(primary, number)
    home.make_private(home.base)
    (home.base / WANTED).touch(mode=0o600)


def bring_up(primary: Home, password: str, number: int) -> str:
    """Have a replica that answers and reads the log of a server that runs; what was done for it.

    Empty if it was as it has to be. Raises ``ServerError`` where it cannot be had.
    """
    with closing(cluster.connect(primary, password)) as connection:
        _require_primary(connection)
        home = _configured(primary, number, connection)
        why = _why_again(home, slots(connection).get(number))
        if not why:
            was_running = cluster.running_port(home) is not None
            try:
                cluster.reload(home)
                cluster.connect(home, password).close()
                _await_reading(home, password, connection, number)
            except ServerError:
                why = "could not be fixed"
            else:
                return "" if was_running else "was started"
        make(home, password, connection, number)
        cluster.connect(home, password).close()
        _await_reading(home, password, connection, number)
        return "was made" if why == _NEW else f"{why} and was made again"


_NEW = "is new"


def start_again(primary: Home, password: str) -> None:
    """Start the replicas that only have to be started; leave the others to ``bring_up``.

    Slots of replicas that nobody wants go: a restored database can have some.
    """
    with (
        suppress(ServerError, psycopg.Error, OSError),
        locked(primary, waits=False) as is_alone,
        closing(cluster.connect(primary, password)) as connection,
    ):
        if not is_alone:
            return
        known = slots(connection)
        for number in known.keys() - set(primary.replicas):
            drop_slot(connection, number)
        for number in primary.replicas:
            home = _configured(primary, number, connection)
            if not _why_again(home, known.get(number)):
                cluster.reload(home)
                cluster.connect(home, password).close()


def _require_primary(connection: psycopg.Connection[Any]) -> None:
    if scalar(connection, "server/replicas.is_standby"):
        raise ServerError(
            "The embedded server can only be read: it is a replica that was not promoted.",
            "Promote it: select pg_promote(); (docs/runbooks/replicas.md).",
        )


def _why_again(home: Home, slot: Slot | None) -> str:
    """Why a replica has to be made, as the end of a sentence about it; empty if it need not be."""
    if not home.cluster.exists():
        return _NEW
    if slot is None:
        return "is not one of this database"
    return "fell too far behind" if slot.is_lost else ""


def _configured(primary: Home, number: int, connection: psycopg.Connection[Any]) -> Home:
    """A replica's home with the settings that it runs with."""
    settings = {
        # Its folder is where a server works, so that the path needs no quotes.
        "primary_conninfo": _address(primary, number),
        "primary_slot_name": slot_of(number),
        "hot_standby": "on",
        "hot_standby_feedback": "on",
        "max_standby_streaming_delay": _READERS_DELAY,
        "wal_receiver_status_interval": "1s",
        "summarize_wal": "off",
        # `make audit` reads the logs of all servers, each file once, by its name.
        "log_filename": f"replica-{number}-%Y-%m-%d_%H%M%S.log",
        **dict(run(connection, "server/replicas.least_settings").fetchall()),
    }
    return replace(place(primary, number), settings=settings)


def _address(primary: Home, number: int) -> str:
    port = cluster.running_port(primary)
    return (
        f"host={cluster.HOST} port={port} user={cluster.ROLE} passfile=../password "
        f"application_name={slot_of(number)}"
    )


def make(home: Home, password: str, connection: psycopg.Connection[Any], number: int) -> None:
    """Make a replica of a server that runs; what there was in its place goes."""
    discard(home)
    drop_slot(connection, number)
    _require_room(home, connection)
    home.make_private(home.base)
    home.write(home.base / "password", f"*:*:*:{cluster.ROLE}:{password}\n")
    run(connection, "server/replicas.make_slot", {"slot": slot_of(number)})
    new = Path(tempfile.mkdtemp(prefix="new-", dir=home.base))
    try:
        if home.owner:
            os.chown(new, home.owner.uid, home.owner.gid)
        done = home.run(
            "pg_basebackup",
            f"--dbname={home.settings['primary_conninfo']}",
            f"--pgdata={new / 'cluster'}",
            "--wal-method=stream",
            "--checkpoint=fast",
            f"--slot={slot_of(number)}",
            "--no-password",
            cwd=new,
        )
        if done.returncode != 0:
            raise cluster.failure(f"Replica {number} could not be made", done.stdout, home)
        home.write(new / "cluster" / "standby.signal", "")
        (new / "cluster").rename(home.cluster)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _require_room(home: Home, connection: psycopg.Connection[Any]) -> None:
    wanted = int(_ROOM * scalar(connection, "server/replicas.bytes"))
    free = shutil.disk_usage(home.base).free
    if free < wanted:
        raise UsageError(
            f"The disk of {home.base} has {free / 2**20:,.0f} MiB free, and a replica may need "
            f"{wanted / 2**20:,.0f} MiB.",
            "Free some space, or set DATA_DIR to a larger disk; nothing was changed.",
        )


def discard(home: Home) -> None:
    """Stop a replica and delete its database; its log stays, for ``make audit``."""
    for leftover in home.base.glob("new-*"):
        cluster.end_programs(leftover)
        shutil.rmtree(leftover)
    if home.cluster.exists():
        cluster.stop(home)
        shutil.rmtree(home.cluster)


def drop_slot(connection: psycopg.Connection[Any], number: int) -> None:
    """Let the server keep nothing for a replica any more."""
    slot = {"slot": slot_of(number)}
    deadline = time.monotonic() + _SLOT_SECONDS
    while True:
        run(connection, "server/replicas.release_slot", slot)
        try:
            run(connection, "server/replicas.drop_slot", slot)
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def stop_all(primary: Home, only: Sequence[int] = ()) -> list[int]:
    """Stop the replicas that run, or ``only`` some; which ran. They are still wanted.

    A copy under way is given up.
    """
    chosen = only or primary.replicas
    if not chosen:
        return []
    for number in chosen:
        for leftover in place(primary, number).base.glob("new-*"):
            cluster.end_programs(leftover)
    with locked(primary):
        return [number for number in chosen if cluster.stop(place(primary, number))]


def discard_all(primary: Home) -> None:
    """Stop the replicas and delete their databases, since their server gets another one."""
    if not primary.replicas:
        return
    stop_all(primary)
    with locked(primary):
        for number in primary.replicas:
            discard(place(primary, number))


def _await_reading(
    home: Home, password: str, connection: psycopg.Connection[Any], number: int
) -> None:
    """Wait until a replica reads the server's log; ``ServerError`` where it does not come to it."""
    with closing(cluster.connect(home, password)) as reader:
        reached = None
        deadline = time.monotonic() + _SILENT_SECONDS
        while True:
            slot = slots(connection).get(number)
            if slot is not None and slot.is_active:
                return
            now_at = scalar(reader, "server/replicas.replayed")
            if now_at != reached:
                reached, deadline = now_at, time.monotonic() + _SILENT_SECONDS
            if time.monotonic() > deadline or slot is None or slot.is_lost:
                raise ServerError(
                    f"Replica {number} does not read the log of its server.",
                    f"Its logs are {home.log} and {home.session_log}; `make replica-down "
                    f"N={number}` and `make replica-up N={number}` make it again.",
                )
            time.sleep(0.1)
