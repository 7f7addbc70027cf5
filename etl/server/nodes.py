"""The cluster in DATA_DIR: a coordinator and two workers of Citus on this machine.

Each node is a server of ours in a folder of its own, made, started and fixed as the embedded one
is (``etl.server.cluster``, whose name is PostgreSQL's word for a folder of data). While somebody
wants the cluster, it is used in place of the embedded server.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from etl.config import Settings
from etl.db import trouble
from etl.db.connection import connect
from etl.errors import ServerError, UsageError
from etl.server import citus, cluster, own_texts, topology
from etl.server.cluster import DATABASE, HOST
from etl.server.guard import locked, plain_errors
from etl.server.home import Home, enterable, locate_in, owner_of, packaged_programs

TITLE = "cluster"
COORDINATOR = "coordinator"
WORKERS = ("worker-1", "worker-2")
NODES = (COORDINATOR, *WORKERS)
# By which a node logs in to the others, whoever asks; libpq takes it from PGPASSFILE.
_SECRET = "nodes.pgpass"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Node:
    """How a node is. ``port`` is None where it does not run; ``shards`` where nobody knows."""

    name: str
    data: Path
    port: int | None
    version: str
    size_bytes: int
    is_active: bool = False
    shards: int | None = None


def up(settings: Settings, say: Say, role: str | None = None) -> str:
    """Have a cluster, made, started or fixed, which commands use from now on; its URL.

    ``role``: one that acts on all nodes, and that they log in as, though no person does.
    Raises ``UsageError`` where DATABASE_URL names a server, as ``citus.programs`` without the
    library, ``ServerError`` where a node that has data is lost.
    """
    if settings.database_url:
        raise UsageError(
            "DATABASE_URL names a server, which commands would go on using next to a cluster.",
            "Leave it empty, in the environment and in .env, then run make cluster-up again.",
        )
    with _at_work(settings):
        place = _prepare(settings)
        url = _bring_up(place, say)
        if role:
            workers = [_url(place, name) for name in WORKERS]
            topology.let_in(url, workers, role, _password(settings))
            _close(url)  # what nobody but the role is left with
        settings.cluster_mark.touch(mode=0o600)
    return url


def ensure_running(settings: Settings, *, only_if_wanted: bool = False) -> str:
    """URL of the coordinator's database, with all nodes started and fixed if need be.

    ``only_if_wanted``: as for the embedded server.
    """
    with _at_work(settings):
        place = _locate(settings)
        if only_if_wanted and not (settings.cluster_mark.exists() and is_wanted(place)):
            raise ServerError(
                "The cluster was stopped.",
                "make cluster-up starts it again; then run again.",
                sqlstate=trouble.REFUSED,
            )
        return _running(place) or _bring_up(_prepare(settings), lambda _: None)


def running_url(settings: Settings, database: str = DATABASE) -> str | None:
    """URL of a database of the coordinator if it runs; starts nothing."""
    if not is_there(settings):
        return None
    with plain_errors(settings.data, TITLE):
        port = cluster.running_port(coordinator(settings))
        return None if port is None else cluster.url_of(_password(settings), port, database)


def coordinator(settings: Settings) -> Home:
    """Where the coordinator lives."""
    return _node(_locate(settings), COORDINATOR)


def is_there(settings: Settings) -> bool:
    """Whether there ever was a cluster, or a part of one."""
    place = _locate(settings)
    return any(_node(place, name).cluster.exists() for name in NODES)


def is_wanted(place: Home) -> bool:
    """Whether nobody has stopped the nodes since somebody wanted them."""
    return not cluster.is_unwanted(_node(place, COORDINATOR))


def stop(settings: Settings) -> list[str]:
    """Stop the nodes; which ran."""
    if not is_there(settings):
        return []
    with _at_work(settings):
        place = _locate(settings)
        return [name for name in NODES if cluster.stop(_node(place, name))]


def give_up(settings: Settings) -> list[str]:
    """Stop the nodes, and use the embedded server again from now on; which ran.

    Their files stay.
    """
    stopped = stop(settings)
    settings.cluster_mark.unlink(missing_ok=True)
    return stopped


def remove(settings: Settings) -> None:
    """Stop the nodes and delete their databases, the secret and the logs."""
    give_up(settings)
    state = _state(settings)
    if not state.exists():
        return
    with _at_work(settings):
        place = _locate(settings)
        if place.base != place.state and place.base.exists():
            shutil.rmtree(place.base)
        shutil.rmtree(place.state)


def look(settings: Settings) -> list[Node]:
    """How each node is, the coordinator first; starts and changes nothing."""
    with plain_errors(settings.data, TITLE):
        place = _locate(settings)
        found = [_look_at(_node(place, name), name) for name in NODES]
        main = found[0]
        if main.port is None:
            return found
        known = _known(cluster.url_of(_password(settings), main.port))
        return [_with_entry(node, known.get(node.port)) for node in found]


def let_logins_in(settings: Settings) -> None:
    """Let the nodes log in to workers for every login that there is; for no other server.

    A node connects to others as whoever asks. People know the password of their login on the
    coordinator; on workers each login has the secret of the nodes, so people reach none directly.
    """
    if settings.cluster:
        with _at_work(settings):
            place, secret = _locate(settings), _password(settings)
            for name in WORKERS:
                topology.let_logins_in(_url(place, name), secret)


@contextmanager
def _at_work(settings: Settings) -> Iterator[None]:
    with plain_errors(settings.data, TITLE), locked(_state(settings)):
        yield


def _state(settings: Settings) -> Path:
    return settings.cluster_mark.parent


def _locate(settings: Settings) -> Home:
    """The folder that has those of the nodes; there is no database in itself."""
    programs = settings.citus_programs or packaged_programs()
    place = locate_in(_state(settings), programs)
    owners = (owner_of(place.base / name / "cluster") for name in NODES)
    return replace(place, owner=next((owner for owner in owners if owner), None), title=TITLE)


def _prepare(settings: Settings) -> Home:
    """The same, with all in place that is needed to start nodes."""
    citus.programs(settings)
    place = _locate(settings)
    secret = _password(settings)
    place = enterable(place, place.base / COORDINATOR / "cluster")
    line = f"{HOST}:*:*:*:{secret}\n"
    file = place.base / _SECRET
    if not file.exists() or file.read_text() != line:
        place.write(file, line)
    return place


def _password(settings: Settings) -> str:
    """The owner's password, which is also the secret of the nodes; made up at the first call."""
    place = _locate(settings)
    file = place.state / "password"
    if not file.exists() and is_there(settings):
        raise ServerError(
            f"The password of the cluster is gone: {file} is missing.",
            "Put the file back, or delete the cluster with `make cluster-down CONFIRM=yes`.",
        )
    return cluster.password_of(place)


def _node(place: Home, name: str) -> Home:
    """A node's home with the settings that it runs with."""
    base = place.base / name
    return Home(
        base,
        base,
        place.programs,
        place.owner,
        citus.settings_of_node(len(NODES), is_worker=name in WORKERS),
        {"PGPASSFILE": str(place.base / _SECRET)},
        f"node {name} of the cluster",
    )


def _url(place: Home, name: str) -> str:
    """URL of a node's database; the node runs."""
    port = cluster.running_port(_node(place, name))
    if port is None:
        raise ServerError(
            f"The node {name} of the cluster does not run.", "make cluster-up starts it."
        )
    return cluster.url_of(cluster.password_of(place), port)


def _running(place: Home) -> str | None:
    """URL of the coordinator's database if all nodes run and know each other."""
    if any(cluster.running_port(_node(place, name)) is None for name in NODES):
        return None
    cluster.require_leads_here(_url(place, COORDINATOR), TITLE)
    try:
        urls = {name: _url(place, name) for name in NODES}
        with connect(urls[COORDINATOR], topology.SESSION) as connection:
            return urls[COORDINATOR] if topology.are_known(connection, urls) else None
    except ServerError:
        return None


def _bring_up(place: Home, say: Say) -> str:
    """Make, start and join what is not there, does not run or is not joined."""
    password = cluster.password_of(place)
    for name in NODES:
        done = _start(_node(place, name), password)
        port = cluster.running_port(_node(place, name))
        say(f"Node {name} {done}; it listens on port {port}.")
    urls = {name: _url(place, name) for name in NODES}
    topology.join(urls, COORDINATOR)
    _close(urls[COORDINATOR])
    for name in WORKERS:
        topology.let_logins_in(urls[name], password)
    return urls[COORDINATOR]


def _close(url: str) -> None:
    with connect(url, topology.SESSION) as connection:
        own_texts.close(connection)


def _start(home: Home, password: str) -> str:
    """Have a node that answers, with a database; what was done for it."""
    home.make_private(home.base)
    cluster.note_wanted(home)
    is_new = not home.cluster.exists()
    was_running = cluster.postmaster(home) is not None
    if is_new:
        cluster.create(home, password)
    cluster.require_own_major(home)
    with closing(cluster.connect(home, password)) as connection:
        cluster.ensure_database(connection)
    return "was made" if is_new else "runs already" if was_running else "was started"


def _look_at(home: Home, name: str) -> Node:
    there = home.cluster.exists()
    size = cluster.folder_bytes(home.cluster) if there else 0
    return Node(name, home.cluster, cluster.running_port(home), cluster.major_of(home), size)


def _known(url: str) -> dict[int | None, topology.Entry]:
    """What the coordinator knows of nodes of this machine, by port; nothing if it is silent."""
    try:
        with connect(url, topology.SESSION) as connection:
            return {entry.port: entry for entry in topology.known(connection) if entry.is_here}
    except (ServerError, psycopg.Error):
        return {}


def _with_entry(node: Node, entry: topology.Entry | None) -> Node:
    if entry is None:
        return node
    return replace(node, is_active=entry.is_active, shards=entry.shards)
