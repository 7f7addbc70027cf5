"""Commands on replicas of the embedded server: up, down, their addresses, how far they are.

``etl.server.replica`` does the work on one of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg

from etl.config import Settings
from etl.db.connection import connect
from etl.db.statements import scalar
from etl.errors import ServerError, UsageError
from etl.server import cluster, replica, server
from etl.server.home import WANTED, Home, locate

SESSION = "aca-warehouse replicas"
_CATCH_UP_SECONDS = 60

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica that somebody wants.

    ``port`` is None where it does not run, ``slot`` where its server knows nothing of it or does
    not answer.
    """

    number: int
    port: int | None
    slot: replica.Slot | None


def number_of(text: str) -> int:
    """The number of a replica, as a person wrote it."""
    if text.isdecimal() and text.isascii() and 1 <= int(text) <= replica.MOST:
        return int(text)
    raise UsageError(f"{text!r} is no number of a replica.", f"Name one from 1 to {replica.MOST}.")


def up(settings: Settings, numbers: Sequence[int], say: Say) -> None:
    """Have these replicas, started, fixed or made; say of each where it is."""
    _require_embedded(settings)
    server.ensure_running(settings)
    home = server.home_of(settings)
    with replica.locked(home):
        password = cluster.password_of(home)
        for number in numbers:
            replica.want(home, number)
        # The server's own limits of what it keeps for them.
        cluster.reload(server.home_of(settings))
        for number in numbers:
            done = replica.bring_up(home, password, number)
            port = cluster.running_port(replica.place(home, number))
            say(f"Replica {number} {done or 'runs already'}; it listens on port {port}.")


def bring_back(settings: Settings, say: Say) -> None:
    """Have the replicas again that there were before a stop, a crash or a restore."""
    if wanted := wanted_in(settings):
        up(settings, wanted, say)


def wanted_in(settings: Settings) -> list[int]:
    """Numbers of the replicas that there are to be."""
    if not settings.is_embedded or not server.is_there(settings):
        return []
    return locate(settings).replicas


def stop(settings: Settings) -> list[int]:
    """Stop the replicas that run, which come back with their server; which these were."""
    return replica.stop_all(locate(settings)) if server.is_there(settings) else []


def down(settings: Settings, numbers: Sequence[int]) -> list[int]:
    """Stop replicas and delete them, all where none is named; which there were."""
    _require_embedded(settings)
    home = locate(settings)
    wanted = home.replicas if server.is_there(settings) else []
    for number in numbers:
        _require_wanted(number, wanted)
    chosen = list(numbers or wanted)
    if not chosen:
        return []
    replica.stop_all(home, only=chosen)
    server.ensure_running(settings)
    home = server.home_of(settings)
    with replica.locked(home), _primary(home) as connection:
        for number in chosen:
            place = replica.place(home, number)
            (place.base / WANTED).unlink(missing_ok=True)
            replica.discard(place)
            replica.drop_slot(connection, number)
    return chosen


def address(settings: Settings, number: int, say: Say) -> str:
    """URL of a replica, started or fixed if it does not run.

    While it runs nothing is asked of its server, which may be down.
    """
    _require_embedded(settings)
    _require_wanted(number, wanted_in(settings))
    home = locate(settings)
    place = replica.place(home, number)
    if cluster.running_port(place) is None:
        up(settings, [number], say)
    port = cluster.running_port(place)
    if port is None:
        raise ServerError(f"Replica {number} does not run.", f"make replica-up N={number}")
    return cluster.url_of(cluster.password_of(home), port)


def running_url(settings: Settings, number: int) -> str | None:
    """URL of a replica if it runs; starts nothing."""
    home = locate(settings)
    port = cluster.running_port(replica.place(home, number))
    return None if port is None else cluster.url_of(cluster.password_of(home), port)


@contextmanager
def sessions(settings: Settings) -> Iterator[list[psycopg.Connection[Any]]]:
    """A session on each replica that answers."""
    with ExitStack() as opened:
        found = []
        for number in wanted_in(settings):
            url = running_url(settings, number)
            with suppress(ServerError):
                if url is not None:
                    found.append(opened.enter_context(closing(connect(url, SESSION))))
        yield found


def await_caught_up(settings: Settings, number: int) -> None:
    """Wait until a replica has what its server has now; ``ServerError`` where it takes long."""
    with connect(server.ensure_running(settings), SESSION) as connection:
        lsn = scalar(connection, "server/replicas.end_of_log")
    deadline = time.monotonic() + _CATCH_UP_SECONDS
    with connect(address(settings, number, lambda _: None), SESSION) as reader:
        while not scalar(reader, "server/replicas.has_replayed", {"lsn": lsn}):
            if time.monotonic() > deadline:
                raise ServerError(
                    f"Replica {number} is more than {_CATCH_UP_SECONDS} s behind, and may not "
                    "know the login yet.",
                    "make status shows how far it is; then ask again.",
                )
            time.sleep(0.05)


def look(settings: Settings) -> list[Replica]:
    """The replicas that are wanted, and how they are; starts and changes nothing."""
    wanted = wanted_in(settings)
    if not wanted:
        return []
    home = locate(settings)
    known = _known(settings)
    ports = {number: cluster.running_port(replica.place(home, number)) for number in wanted}
    return [Replica(number, ports[number], known.get(number)) for number in wanted]


def _known(settings: Settings) -> dict[int, replica.Slot]:
    url = server.running_url(settings)
    if url is None:
        return {}
    try:
        with connect(url, SESSION) as connection:
            return replica.slots(connection)
    except ServerError:
        return {}


def describe(found: Replica) -> str:
    """How a replica is, in a phrase."""
    number, slot = found.number, found.slot
    if slot is not None and slot.is_lost:
        return f"{number}, fell too far behind: make replica-up N={number} makes it again"
    if found.port is None:
        return f"{number}, not running: make replica-up N={number}"
    where = f"{number}, running on port {found.port}"
    if slot is None:
        return f"{where}, its server does not answer or does not know it"
    if slot.lag_bytes is None:
        return f"{where}, reads nothing of its server"
    return f"{where}, {slot.lag_bytes:,} bytes and {slot.lag_seconds or 0.0:,.1f} s behind"


def _primary(home: Home) -> closing[psycopg.Connection[Any]]:
    return closing(cluster.connect(home, cluster.password_of(home)))


def _require_embedded(settings: Settings) -> None:
    if settings.database_url:
        raise UsageError(
            "Replicas are made of the embedded server only, and DATABASE_URL names another.",
            "Ask whoever runs that server for one, and connect to it with a URL of its own.",
        )
    if settings.cluster:
        raise UsageError(
            "Replicas are made of the embedded server only, and commands use the cluster.",
            "Readers of a cluster use its coordinator: make db-url ROLE=analyst",
        )


def _require_wanted(number: int, wanted: Sequence[int]) -> None:
    if number not in wanted:
        raise UsageError(f"There is no replica {number}.", f"make replica-up N={number} makes it.")
