"""Each node of a cluster killed in each stage of a load, and while a full load goes live.

The rows afterwards are those of one server that nothing happened to. Without the library of Citus
these tests are skipped (docs/testing.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import cycle, product
from pathlib import Path

import pytest

from etl.db.connection import connect
from etl.server import nodes
from tests.support import citus, lasting
from tests.support.kills import Outcome, crash, run_command
from tests.support.rehearsed import FIRST, Batch, claim, moved, send
from tests.support.warehouse import Warehouse

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

STAGES = ("stage", "facts", "cubes")
# In the midst of a stage, before its transaction ends, and when the end was sent and not answered.
MOMENTS = (10, "before commit", "commit sent")
# Checks have other answers where one is of statistics, and the runs on one server here make none.
SCHEMAS = ("staging.", "warehouse.", "internal.", "cubes.", "ledger.")
# How many partitions a load made, in what the ledger says of it.
_PARTITIONS = re.compile("'claim_partitions': [0-9]+, ")


@pytest.fixture
def here(server_folder: Path) -> Iterator[citus.Cluster]:
    with citus.cluster_in(server_folder, "aca-killed-") as made:
        assert made.command("cluster-up").returncode == 0
        # Each part of a table costs a moment, and how many there are is not what this is about.
        made.ask("alter database aca_warehouse set citus.shard_count = 4")
        yield made


def day(number: int) -> Batch:
    """A day whose claims are new, changed and known late, and whose member is another version."""
    date = f"2025-02-{number + 10}"
    claims = [
        claim(1 + number % 3, "A", "2025-01-05", status="denied", paid_amount=number),
        claim(100 + number, "B", date),
        claim(200 + number, f"new {number}", "2025-01-20"),
    ]
    members = [moved("A", f"name {number}", date), moved(f"new {number - 1}", "known", date)]
    return (date, {"members": members, "claims": claims})


def struck(
    here: citus.Cluster, name: str, stage: str, moment: int | str, *, is_tried_again: bool
) -> Outcome:
    """A command whose node is killed; the run tries again, or the next run does what is left."""
    command = "full-load" if stage == "swap" else "incremental"
    environment = {
        **here.environment,
        "REJECT_SHARE": "1",
        "RETRY_MINUTES": "20" if is_tried_again else "0",
    }
    run = partial(run_command, environment, command, checks=False)
    ended = run(strike_at=(moment,), strike=partial(crash, here.node(name)), stage=stage)
    return ended if is_tried_again or ended.code == 0 else run()


def rows(url: str) -> lasting.Contents:
    """What is there, but for partitions by themselves, which on a cluster are of years."""
    found = lasting.contents(url)
    with connect(url, "test") as connection:
        parts = {
            f"{schema}.{table}"
            for schema, table in connection.execute(
                "select relnamespace::regnamespace::text, relname from pg_class "
                "where relispartition"
            )
        }
    return {
        table: [_PARTITIONS.sub("", row) for row in lines]
        for table, lines in found.items()
        if table.startswith(SCHEMAS) and table not in parts
    }


def test_node_killed_in_any_stage_leaves_the_rows_of_one_server(
    warehouse: Warehouse, here: citus.Cluster
) -> None:
    warehouse.inbox = here.settings.inbox
    send(FIRST, warehouse)
    warehouse.rebuild()
    assert run_command(here.environment, "full-load", checks=False).code == 0
    trials = product(STAGES, nodes.NODES)
    for number, ((stage, name), moment) in enumerate(zip(trials, cycle(MOMENTS), strict=False)):
        send(day(number), warehouse)
        warehouse.incremental(1.0)
        ended = struck(here, name, stage, moment, is_tried_again=bool(number % 2))
        assert ended.code == 0, (stage, name, moment, ended.said)
        found = lasting.differing(rows(here.url), rows(warehouse.url))
        assert found == {}, (stage, name, moment)
    for name, moment in zip(nodes.NODES, MOMENTS, strict=True):
        warehouse.rebuild(1.0)
        ended = struck(here, name, "swap", moment, is_tried_again=name == "worker-1")
        assert ended.code == 0, (name, moment, ended.said)
        found = lasting.differing(rows(here.url), rows(warehouse.url))
        assert found == {}, (name, moment)
    left = "select sum(result::int) from run_command_on_all_nodes($$select count(*) from "
    assert here.ask(f"{left}pg_prepared_xacts$$)") == 0
