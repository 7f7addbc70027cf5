"""A worker that is added to a cluster which has a warehouse, as docs/runbooks/cluster.md says.

Without the library of Citus this test is skipped (docs/testing.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.access.roles import LOADER
from etl.db.passwords import set_password
from etl.server import cluster, nodes, own_texts
from etl.server.cluster import HOST
from tests.support import citus
from tests.support.rehearsed import DAYS, FIRST, contents, send
from tests.support.warehouse import Warehouse

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LIES_ON = """
select count(distinct nodeport) from citus_shards
where table_name = 'warehouse.fact_claim'::regclass
"""


@contextmanager
def started(here: citus.Cluster) -> Iterator[str]:
    """The address of one more server with Citus, which no node knows yet."""
    other = here.node("worker-2")
    home = replace(
        other,
        state=other.state.with_name("worker-3"),
        base=other.base.with_name("worker-3"),
    )
    password = str(conninfo_to_dict(here.url)["password"])
    try:
        nodes._start(home, password)
        yield make_conninfo(here.url, port=cluster.running_port(home))
    finally:
        cluster.stop(home)


def ask(url: str, query: str) -> Any:
    """The value of a query.

    No command is asked for the address: it would find a node that it has not made, and forget it.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone()[0]


def add(coordinator: str, url: str) -> None:
    """Let the coordinator use the node and let in who loads, then move parts to it."""
    address = conninfo_to_dict(url)
    password = str(address["password"])
    database = sql.Identifier(str(address["dbname"]))
    with psycopg.connect(url, autocommit=True) as new:
        new.execute("create extension citus")
        ask(coordinator, f"select citus_add_node('{HOST}', {address['port']})")
        new.execute("set citus.enable_ddl_propagation = off")
        set_password(new, LOADER, password)
        loader = sql.Identifier(LOADER)
        new.execute(sql.SQL("alter role {} login").format(loader))
        granted = "grant create, temporary on database {} to {}"
        new.execute(sql.SQL(granted).format(database, loader))
    ask(coordinator, "select citus_rebalance_start(shard_transfer_mode := 'block_writes')")
    ask(coordinator, "select citus_rebalance_wait()")


def test_worker_is_added_where_there_is_a_warehouse_and_loads_go_on(
    warehouse: Warehouse, server_folder: Path
) -> None:
    with citus.cluster_in(server_folder, "aca-grown-") as here:
        assert here.command("cluster-up").returncode == 0
        here.ask("alter database aca_warehouse set citus.shard_count = 3")
        warehouse.inbox = here.settings.inbox
        send(FIRST, warehouse)
        warehouse.rebuild()
        assert here.start("full-load").ended(timeout=900).returncode == 0
        coordinator = here.url
        assert ask(coordinator, LIES_ON) == 2
        with started(here) as url:
            add(coordinator, url)
            assert ask(coordinator, LIES_ON) == 3
            # From now on it is a cluster that the commands did not make.
            here.environment |= {"DATABASE_URL": coordinator, "REJECT_SHARE": "1"}
            with psycopg.connect(coordinator, autocommit=True) as connection:
                grown = Warehouse(coordinator, warehouse.inbox, warehouse.data, connection)
                assert own_texts.open_functions(connection)
                send(DAYS[1], warehouse)
                warehouse.incremental(1.0)
                for command in ("incremental", "full-load"):
                    ended = here.start(command).ended(timeout=900)
                    assert ended.returncode == 0, ended.stderr
                    assert facts(grown) == facts(warehouse)
                    assert ask(coordinator, LIES_ON) == 3
                    assert not own_texts.open_functions(connection)


def facts(warehouse: Warehouse) -> dict[str, list[str]]:
    """What lies on the workers, without the numbers of loads, which a full load counts on."""
    found = contents(warehouse)
    return {
        name: [row.partition('"load_id"')[0] for row in found[name]]
        for name in found
        if name in ("warehouse.fact_claim", "warehouse.fact_claim_line", "warehouse.dim_member")
    }
