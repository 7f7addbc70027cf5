"""The layout of a cluster gives the rows of one server, rehearsed with stand-ins for Citus."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
import pytest

from etl.pipeline import commands
from etl.quality.runner import run_sql_checks
from etl.schema import layout
from etl.schema.warehouse_tables import tables_of_build
from etl.stages import bulk
from etl.warehouse.places import PLACES
from etl.warehouse.tables import DIMENSIONS, LIVE
from tests.support import corrections, details_model, rehearsal
from tests.support.rehearsed import (
    DAYS,
    FIRST,
    Batch,
    contents,
    require_same,
    require_same_known,
    send,
)
from tests.support.warehouse import Warehouse, failed_critical, found_by


def test_every_table_of_a_build_has_a_place() -> None:
    for schemas in (LIVE.schemas, replace(LIVE.schemas, has_history=True)):
        assert {table.name for table in tables_of_build(schemas).tables.values()} == PLACES.keys()
    for name, lies in PLACES.items():
        assert lies.colocated_with is None or PLACES[lies.colocated_with].on == "workers", name


def load_both(plain: Warehouse, clustered: Warehouse, days: Sequence[Batch]) -> None:
    """A full load of the first batch and then day by day, all tables compared after each."""
    send(FIRST, plain, clustered)
    for one in (plain, clustered):
        one.rebuild()
    require_same(plain, clustered)
    for batch in days:
        send(batch, plain, clustered)
        for one in (plain, clustered):
            one.incremental(reject_share=1.0)
        require_same(plain, clustered)


def test_days_after_a_full_load_give_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    load_both(warehouse, on_cluster, DAYS)
    require_same_known(warehouse, on_cluster)
    assert warehouse.value("select sum(facts) from ledger.fact_rekey") > 3
    spread = {name for name, lies in PLACES.items() if lies.on != "coordinator"}
    assert rehearsal.placed(on_cluster.connection) == spread
    assert failed_critical(on_cluster.connection) == failed_critical(warehouse.connection)


@pytest.mark.cluster
def test_loads_on_nodes_give_the_rows_of_one_server(
    warehouse: Warehouse, on_nodes: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_both(warehouse, on_nodes, DAYS)
    require_same_known(warehouse, on_nodes)
    assert warehouse.value("select sum(facts) from ledger.fact_rekey") > 3
    assert answers(on_nodes) == answers(warehouse)
    for one in (warehouse, on_nodes):
        replay_corrected(one)
    require_same(warehouse, on_nodes)
    for one in (warehouse, on_nodes):
        one.connection.execute("delete from staging.members_raw where last_name = 'Archer'")
        one.run(commands.restate, DIMENSIONS["member"], datetime(2025, 1, 1))
    require_same(warehouse, on_nodes)
    require_same_known(warehouse, on_nodes)
    monkeypatch.setattr(bulk, "ROWS", 1)  # as if very many came
    for one in (warehouse, on_nodes):
        one.rebuild(reject_share=1.0)
    require_same(warehouse, on_nodes)
    require_same_known(warehouse, on_nodes)
    assert answers(on_nodes) == answers(warehouse)
    require_past_of_changes_by_hand(on_nodes.connection)


def require_past_of_changes_by_hand(connection: psycopg.Connection) -> None:
    """Rows on workers change only for a load that is named, under which they are kept."""
    change = "update warehouse.fact_claim set paid_amount = 1 where claim_id = 'c2'"
    with pytest.raises(psycopg.Error, match="no setting says for which load"):
        connection.execute(change)
    with connection.transaction(force_rollback=True):
        connection.execute("set local citus.propagate_set_commands = 'local'")
        connection.execute("set local aca.load_id = '99'")
        connection.execute(change)
        kept = connection.execute(
            "select paid_amount from internal.fact_claim_past "
            "where claim_id = 'c2' and known_to_load_id = 99"
        )
        assert [float(paid) for (paid,) in kept] == [20.0]


def answers(one: Warehouse) -> dict[str, Any]:
    """What every check in SQL finds, but for statistics."""
    return {
        check.name: found and (found.rows_failed, found.measured)
        for check, found in run_sql_checks(one.connection, LIVE)
        if check.name != "planner.statistics_are_there"
    }


@pytest.mark.cluster
@pytest.mark.parametrize("number", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_drawn_batches_in_any_order_on_nodes_give_the_rows_of_one_server(
    warehouse: Warehouse, on_nodes: Warehouse, number: int
) -> None:
    load_drawn(warehouse, on_nodes, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [3, 5])
def test_drawn_batches_in_any_order_give_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse, number: int
) -> None:
    load_drawn(warehouse, on_cluster, number)


def load_drawn(plain: Warehouse, clustered: Warehouse, number: int) -> None:
    """Claims with lines and diagnoses, markers and snapshots, each batch after another."""
    dice = random.Random(number)
    batches = details_model.drawn_batches(dice)
    send(FIRST, plain, clustered)
    for one in (plain, clustered):
        one.rebuild()
    confirmed: list[str] = []
    for place in dice.sample(range(len(batches)), len(batches)):
        feeds = batches[place].feeds
        snapshots = [feed for feed in feeds if dice.random() < 0.3]
        confirmed += [batches[place].batch_id] * bool(snapshots)
        for one in (plain, clustered):
            one.send(batches[place].batch_id, snapshots=snapshots, **feeds)
            with one.pipeline(reject_share=1.0) as context:
                commands.confirm_snapshots(context, confirmed)
                commands.run_stages(context, ("stage", "dims", "facts"))
                commands.run_cubes(context)
        require_same(plain, clustered)
    require_same_known(plain, clustered)
    assert answers(clustered) == answers(plain)


def replay_corrected(one: Warehouse) -> None:
    """Correct the rows of a batch that were rejected, and load them."""
    for path in corrections.export(one, DAYS[3][0]):
        lines = path.read_text().replace("not a day", "2025-03-19").replace("never", "1990-01-01")
        path.write_text(lines)
        with one.pipeline(reject_share=1.0) as context:
            commands.replay_export(context, path)
    assert corrections.open_rows(one) == 0


@pytest.mark.slow
@pytest.mark.parametrize("order", [(4, 3, 2, 1, 0), (2, 0, 4, 1, 3), (1, 4, 0, 3, 2)])
def test_days_in_another_order_give_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse, order: tuple[int, ...]
) -> None:
    load_both(warehouse, on_cluster, [DAYS[day] for day in order])


@pytest.mark.slow
def test_restatement_and_a_second_full_load_give_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_both(warehouse, on_cluster, DAYS[:3])
    for one in (warehouse, on_cluster):
        one.connection.execute("delete from staging.members_raw where last_name = 'Archer'")
        one.run(commands.restate, DIMENSIONS["member"], datetime(2025, 1, 1))
    require_same(warehouse, on_cluster)
    require_same_known(warehouse, on_cluster)
    monkeypatch.setattr(bulk, "ROWS", 1)  # as if very many came
    for one in (warehouse, on_cluster):
        one.rebuild(reject_share=1.0)
    require_same(warehouse, on_cluster)
    require_same_known(warehouse, on_cluster)
    # A cluster without workers is a server.
    monkeypatch.setattr(layout, "is_cluster", lambda _: False)
    for one in (warehouse, on_cluster):
        one.rebuild(reject_share=1.0)
    assert contents(on_cluster) == contents(warehouse)
    assert on_cluster.value("select to_regnamespace('history')") is None


def test_version_that_is_not_published_is_found_and_published_by_the_next_load(
    on_cluster: Warehouse,
) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    check = "dim_member.published_as_kept"
    assert found_by(on_cluster.connection, check).rows_failed == 0
    assert found_by(on_cluster.connection, check).rows_checked == 5
    changed = "update warehouse.dim_member set last_name = 'other' where member_id = 'A'"
    on_cluster.connection.execute(changed)
    found = found_by(on_cluster.connection, check)
    assert found.rows_failed == len(found.keys) == 1
    send(DAYS[1], on_cluster)
    on_cluster.incremental()
    assert found_by(on_cluster.connection, check).rows_failed == 0


def test_schema_history_of_somebody_else_is_left_alone(warehouse: Warehouse) -> None:
    warehouse.connection.execute("create schema history")
    warehouse.connection.execute("create table history.dim_member (note text)")
    send(FIRST, warehouse)
    for _ in range(2):
        warehouse.rebuild()
    assert warehouse.value("select count(*) from history.dim_member") == 0
    assert warehouse.value("select count(*) from warehouse.dim_member") == 5


# What Citus refuses of a table on every node, or of one that is spread over the workers.
REFUSED = {
    "create temporary table few as select 1; delete from warehouse.fact_claim as f where exists ("
    "select from few)": "few is not distributed",
    "update warehouse.dim_plan as p set name = 'x' from history.dim_plan as h "
    "where p.plan_sk = h.plan_sk": "not distributed",
    "delete from warehouse.dim_plan where plan_sk in (select 1)": "not distributed",
    "merge into warehouse.dim_plan as p using history.dim_plan as h on p.plan_sk = h.plan_sk "
    "when matched then delete": "not distributed",
    "create trigger t after insert on warehouse.dim_plan for each statement "
    "execute function warehouse.keep_past()": "triggers are not supported",
    "create trigger t after insert on warehouse.fact_claim for each statement "
    "execute function warehouse.keep_past()": "triggers are not supported",
    "create policy p on warehouse.dim_member using (true)": "circular dependencies",
    "create unique index on warehouse.fact_claim (service_date)": "cannot create constraint",
    "alter table warehouse.fact_claim add foreign key (load_id) references ledger.load": (
        "cannot create foreign key"
    ),
    "create table other (claim_id bigint primary key); select create_distributed_table("
    "'other', 'claim_id', colocate_with => 'warehouse.fact_claim')": "cannot colocate",
    "select create_reference_table('history.dim_plan')": "has triggers",
}


def test_stand_ins_refuse_what_citus_does(on_cluster: Warehouse) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    for statement, why in REFUSED.items():
        with pytest.raises(psycopg.Error, match=why):
            on_cluster.connection.execute(statement)
