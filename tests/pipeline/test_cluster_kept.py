"""Erasing members and letting old rows go on a cluster of Citus, by commands.

Each is killed once, and a node of it once. Without the library of Citus these tests are skipped
(docs/testing.md).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from etl.access import erasure_files
from etl.db.connection import connect
from etl.pipeline.erase import erase
from etl.server import cluster, nodes
from tests.support import citus, erasure, retention
from tests.support.kills import crash, die, run_command
from tests.support.rehearsed import require_same
from tests.support.warehouse import Warehouse, failed_critical

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def here(server_folder: Path) -> Iterator[citus.Cluster]:
    with citus.cluster_in(server_folder, "aca-kept-") as made:
        assert made.command("cluster-up").returncode == 0
        # Each part of a table costs a moment, and how many there are is not what this is about.
        made.ask("alter database aca_warehouse set citus.shard_count = 4")
        yield made


def run(here: citus.Cluster, *arguments: str, stage: str = "", robbed_of: str = "") -> None:
    """Run a command; with a ``stage`` killed in it first, or robbed of a node, and run again."""
    environment = {**here.environment, "REJECT_SHARE": "1", "RETRY_MINUTES": "0"}
    start = partial(run_command, environment, *arguments, checks=False)
    if stage:
        strike = partial(crash, here.node(robbed_of)) if robbed_of else die
        ended = start(strike_at=("before commit",), strike=strike, stage=stage)
        assert ended.code != 0
    ended = start()
    assert ended.code == 0, ended.said


def named(here: citus.Cluster, texts: list[str]) -> set[str]:
    """Tables of any node, parts of tables among them, of which a row has one of these texts."""
    words = rf"\y({'|'.join(map(re.escape, texts))})\y"
    password = str(conninfo_to_dict(here.url)["password"])
    found = set()
    for name in nodes.NODES:
        port = cluster.running_port(here.node(name))
        assert port is not None
        with psycopg.connect(cluster.url_of(password, port), autocommit=True) as node:
            # Else Citus does not list parts of tables.
            node.execute("set citus.override_table_visibility = off")
            tables = node.execute(
                "select format('%I.%I', relnamespace::regnamespace, relname) from pg_class where "
                "relkind in ('r', 'm') and relnamespace::regnamespace::text not in "
                "('pg_catalog', 'information_schema')"
            ).fetchall()
            assert any("warehouse.dim_member_1" in table for (table,) in tables), name
            found |= {
                f"{name}: {table}"
                for (table,) in tables
                if node.execute(
                    f"select from {table} as t where t::text ~ %s limit 1", [words]
                ).rowcount
            }
    return found


def test_members_and_old_rows_go_from_every_node(warehouse: Warehouse, here: citus.Cluster) -> None:
    warehouse.inbox = here.settings.inbox
    erasure.send_first(warehouse)
    for batch_id, feeds in retention.BATCHES:
        warehouse.send(batch_id, **feeds)
    warehouse.rebuild(1)
    run(here, "full-load")
    with connect(here.url, "test") as connection:
        clustered = Warehouse(here.url, here.settings.inbox, here.settings.data, connection)
        require_same(warehouse, clustered)
        erasure_files.tokens(warehouse.data, is_new=True)
        shutil.copytree(warehouse.data / "erasure", here.settings.data / "erasure")
        said = erasure.values_of(erasure.ERASED)
        assert any("worker-1: warehouse.dim_member_" in table for table in named(here, said))
    for member, node in zip(erasure.ERASED, nodes.NODES, strict=True):
        warehouse.run(erase, member, "asked")
        robbed_of = "" if node == "coordinator" else node
        run(here, "erase", "--member", member, "--why", "asked", stage="erase", robbed_of=robbed_of)
        assert named(here, erasure.values_of([member])) == set()
    with connect(here.url, "test") as clustered.connection:
        require_same(warehouse, clustered)
        erasure.send_later(warehouse)
        warehouse.incremental(1)
        run(here, "incremental")
        require_same(warehouse, clustered)
        assert named(here, retention.OLD_CLAIMS) != set()
    retention.retain(warehouse)
    letting_go = ("retention", "--years", "1", "--confirm")
    run(here, *letting_go, stage="retention", robbed_of="worker-2")
    said += retention.OLD_CLAIMS
    with connect(here.url, "test") as clustered.connection:
        require_same(warehouse, clustered)
        assert named(here, said) == set()
        # What comes again from the inbox is erased, or has expired, at its place among the loads.
        warehouse.rebuild(1)
        run(here, "full-load")
        require_same(warehouse, clustered)
        assert named(here, said) == set()
        assert failed_critical(clustered.connection) == failed_critical(warehouse.connection)
