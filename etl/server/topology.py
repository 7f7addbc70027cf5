"""How the nodes of a cluster know each other: entries of the coordinator, compared with what is.

A node is known by the number that it has itself, not by its port, which changes where another
program has taken it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from etl.db.connection import connect
from etl.db.passwords import set_password
from etl.db.statements import run, scalar
from etl.errors import ServerError
from etl.server.cluster import HOST

SESSION = "aca-warehouse nodes"
# So long workers may take to hear from the coordinator where a node has gone.
_KNOWN_SECONDS = 30.0


class Entry(NamedTuple):
    """What the coordinator knows of a node; ``shards`` that it has, ``only_here`` no other has."""

    group: int
    node: int
    host: str
    port: int
    is_active: bool
    shards: int
    only_here: int

    @property
    def is_here(self) -> bool:
        """Whether it is one of this machine; others were added by hand."""
        return self.host == HOST


def known(connection: psycopg.Connection[Any]) -> list[Entry]:
    """The nodes that the coordinator knows; none where its database is no node's."""
    if run(connection, "server/nodes.has_extension").fetchone() is None:
        return []
    return [Entry(*row) for row in run(connection, "server/nodes.known")]


def is_cluster(connection: psycopg.Connection[Any]) -> bool:
    """Whether a database is a cluster: one of Citus that uses a worker."""
    return any(entry.group and entry.is_active for entry in known(connection))


def require_one_server(url: str, message: str, hint: str) -> None:
    """Raise ``ServerError`` where the database is that of a cluster."""
    with connect(url, SESSION) as connection:
        if is_cluster(connection):
            raise ServerError(message, hint)


def are_known(connection: psycopg.Connection[Any], urls: Mapping[str, str]) -> bool:
    """Whether the coordinator knows the nodes at these addresses, and uses them."""
    used = {entry.port for entry in known(connection) if entry.is_here and entry.is_active}
    return used == set(map(_port, urls.values()))


def join(urls: Mapping[str, str], coordinator: str) -> None:
    """Let the nodes at these addresses know each other, wherever they were before.

    Raises ``ServerError`` where one that has data is lost.
    """
    with ExitStack() as opened:
        nodes = {name: opened.enter_context(connect(url, SESSION)) for name, url in urls.items()}
        for node in nodes.values():
            run(node, "server/nodes.make_extension")
        main = nodes.pop(coordinator)
        groups = {name: scalar(node, "server/nodes.own_group") for name, node in nodes.items()}
        entries = {entry.group: entry for entry in known(main)}
        _require_none_lost(entries, groups)
        for group in _forgotten(entries, groups):
            run(main, "server/nodes.remove", _at(entries[group].port))
        ports = {name: _port(urls[name]) for name in nodes}
        # First, since the coordinator lets workers know of all that comes later.
        for name, group in groups.items():
            if group and entries[group].port != ports[name]:
                moved = {"node": entries[group].node, **_at(ports[name])}
                run(main, "server/nodes.move", moved)
        own = _port(urls[coordinator])
        if 0 not in entries or entries[0].port != own:
            run(main, "server/nodes.set_coordinator", _at(own))
        for name, group in groups.items():
            if not group:
                run(main, "server/nodes.add", _at(ports[name]))
            elif not entries[group].is_active:
                run(main, "server/nodes.activate", _at(ports[name]))
        _let_know(main)
        run(main, "server/nodes.recover")


def _let_know(main: psycopg.Connection[Any]) -> None:
    """Let the workers of this machine know where all nodes are.

    The coordinator does so by itself within moments; the command that makes it do so also makes
    everything on the workers again, which fails where a view of somebody's calls a function that
    reads the coordinator's tables.
    """
    deadline = time.monotonic() + _KNOWN_SECONDS
    while not all(entry.is_active for entry in known(main) if entry.is_here):
        if time.monotonic() > deadline:
            run(main, "server/nodes.sync")
            return
        time.sleep(0.1)


def _forgotten(entries: Mapping[int, Entry], groups: Mapping[str, int]) -> list[int]:
    """Workers of this machine that the coordinator knows and that are no more."""
    there = {0, *groups.values()}
    return [group for group, entry in entries.items() if entry.is_here and group not in there]


def _require_none_lost(entries: Mapping[int, Entry], groups: Mapping[str, int]) -> None:
    strays = [name for name, group in groups.items() if group and group not in entries]
    if strays:
        raise ServerError(
            f"The node {strays[0]} of the cluster has data of a coordinator that is lost.",
            "Put the coordinator's folder back, or restore all nodes: docs/runbooks/cluster.md. "
            "Nothing was changed.",
        )
    shards = sum(entries[group].only_here for group in _forgotten(entries, groups))
    if shards:
        new = next(name for name, group in groups.items() if not group)
        raise ServerError(
            f"The node {new} of the cluster is new, and the coordinator misses {shards} shards "
            "that only the one before it had.",
            "Put the node's folder back, or restore all nodes: docs/runbooks/cluster.md. Nothing "
            "was changed.",
        )


def let_in(coordinator: str, workers: Iterable[str], role: str, secret: str) -> None:
    """Let a role that acts on every node log in to them by the secret of the nodes.

    The coordinator comes last, so that a role that may log in there may so everywhere.
    """
    with connect(coordinator, SESSION) as connection:
        if scalar(connection, "server/nodes.has_login", {"role": role}):
            return
        run(connection, "server/nodes.make_role", role=sql.Identifier(role))
    for url in (*workers, coordinator):
        with connect(url, SESSION) as connection:
            set_password(connection, role, secret)
            run(connection, "server/nodes.let_log_in", role=sql.Identifier(role))


def let_logins_in(worker: str, secret: str) -> None:
    """Give every login of a worker, apart from the owner, the secret of the nodes as password."""
    with connect(worker, SESSION) as connection:
        for (login,) in run(connection, "server/nodes.logins").fetchall():
            set_password(connection, login, secret)


def _port(url: str) -> int:
    return int(str(conninfo_to_dict(url)["port"]))


def _at(port: int) -> dict[str, Any]:
    return {"host": HOST, "port": port}
