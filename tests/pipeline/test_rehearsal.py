"""The layout of a cluster gives the rows of one server, rehearsed with stand-ins for Citus."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from etl.config import Settings
from etl.db.connection import connect
from etl.errors import ServerError
from etl.pipeline import commands, session
from etl.pipeline.erase import erase
from etl.pipeline.room import need_of
from etl.quality import share
from etl.quality.record import loads_of
from etl.quality.runner import run_sql_checks
from etl.schema import layout
from etl.schema.warehouse_tables import tables_of_build
from etl.server import topology
from etl.stages import bulk
from etl.warehouse.places import PLACES
from etl.warehouse.tables import DIMENSIONS, LIVE
from tests.support import citus, corrections, details_model, erasure, rehearsal, retention
from tests.support.looking import record
from tests.support.warehouse import Warehouse, failed_critical, found_by

MEMBERS = [
    {"member_id": name, "last_name": name, "source_updated_at": "2025-01-01T00:00:00Z"}
    for name in ("A", "B", "C")
]
PLANS = [{"plan_id": "P1", "effective_year": 2025}]
PROVIDERS = [{"provider_id": "D1", "name": "Dr One"}, {"provider_id": "D2", "name": "Dr Two"}]


def claim(number: int, member: str, day: str, **more: Any) -> dict[str, Any]:
    known = {"provider_id": "D1", "plan_id": "P1", "paid_amount": 10 * number}
    return {"claim_id": f"c{number}", "member_id": member, "service_date": day, **known, **more}


def moved(member: str, name: str, day: str, **more: Any) -> dict[str, Any]:
    said = {"member_id": member, "last_name": name, "source_updated_at": f"{day}T00:00:00Z"}
    return {**said, **more}


# A batch by its day; feeds with a star are snapshots.
Batch = tuple[str, dict[str, Any]]
FIRST: Batch = (
    "2025-01-10",
    {
        "members": MEMBERS,
        "plans": PLANS,
        "providers": PROVIDERS,
        "enrollments": [
            {"enrollment_id": "e1", "member_id": "A", "plan_id": "P1", "start_date": "2025-01-01"}
        ],
        "claims": [
            claim(1, "A", "2025-01-05"),
            claim(2, "A", "2025-02-20"),
            claim(3, "B", "2025-03-05"),
            claim(4, "late", "2025-01-07", provider_id="D9"),
        ],
    },
)
DAYS: list[Batch] = [
    # A version ends, and facts of its later days get the next one.
    ("2025-02-10", {"members": [moved("A", "Archer", "2025-02-01")]}),
    # Known late: a key that a fact made is completed, and a claim changes.
    (
        "2025-03-10",
        {
            "members": [moved("late", "Known", "2025-01-01")],
            "providers": [{"provider_id": "D1", "name": "Dr Other"}],
            "claims": [
                claim(1, "A", "2025-01-05", status="denied"),
                claim(5, "C", "2025-03-01"),
                claim(6, "new", "2025-03-02"),
            ],
        },
    ),
    # Late: a version comes before another, and takes facts from it.
    (
        "2025-01-20",
        {"members": [moved("A", "Abbott", "2025-01-03"), moved("B", "Bo", "2025-01-15")]},
    ),
    # Dirt, and a key twice.
    (
        "2025-03-20",
        {
            "members": [
                moved("C", "Cole", "2025-03-01"),
                moved("C", "Coleman", "2025-03-15"),
                moved("D", "Dee", "2025-03-15", dob="never"),
            ],
            "claims": [claim(7, "A", "not a day"), claim(8, "A", "2025-03-19", paid_amount=-5)],
        },
    ),
    # A snapshot without one member, who is gone from then on.
    ("2025-04-10", {"snapshots": ("members",), "members": [MEMBERS[0], MEMBERS[1]]}),
]


@pytest.fixture
def on_cluster(other_warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse whose builds are made in the layout of a cluster."""
    rehearsal.begin(other_warehouse.connection, monkeypatch)
    return other_warehouse


@pytest.fixture
def on_nodes(server_folder: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """An empty warehouse on a cluster of Citus; skips where there is none."""
    (tmp_path / "inbox of nodes").mkdir()
    with citus.coordinator(server_folder) as url, connect(url, "test") as connection:
        yield Warehouse(url, tmp_path / "inbox of nodes", tmp_path / "data of nodes", connection)


def send(batch: Batch, *warehouses: Warehouse) -> None:
    day, feeds = batch
    for warehouse in warehouses:
        warehouse.send(day, **feeds)


def rows(connection: psycopg.Connection, schema: str, table: str) -> list[str]:
    """Rows of a table without what no two loads have the same: times, and codes that are drawn."""
    left_out = ["created_at", "load_timestamp", "entered_at"]
    left_out += ["member_id", "member_sk"] if table == "dim_member_limited" else []
    found = connection.execute(
        f'select (to_jsonb(t) - %s::text[])::text from "{schema}"."{table}" as t order by 1',
        [left_out],
    )
    return [row for (row,) in found]


def contents(warehouse: Warehouse) -> dict[str, list[str]]:
    """Every row of every table of the live build, and why facts were re-keyed."""
    schemas = LIVE.schemas
    names = (schemas.staging, schemas.warehouse, schemas.internal, schemas.cubes)
    tables = warehouse.rows(
        "select schemaname, tablename from pg_tables where schemaname in "
        f"{names} union all select schemaname, matviewname from pg_matviews "
        f"where schemaname in {names} union all values ('ledger', 'fact_rekey')"
    )
    return {f"{s}.{t}": rows(warehouse.connection, s, t) for s, t in tables}


def require_same(plain: Warehouse, clustered: Warehouse) -> None:
    expected, found = contents(plain), contents(clustered)
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
    assert any(expected["warehouse.fact_claim"])
    for table in ("dim_geography", *(dimension.table for dimension in DIMENSIONS.values())):
        assert rows(clustered.connection, "history", table) == found[f"warehouse.{table}"]


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
    assert warehouse.value("select sum(facts) from ledger.fact_rekey") > 3
    spread = {name for name, lies in PLACES.items() if lies.on != "coordinator"}
    assert rehearsal.placed(on_cluster.connection) == spread
    assert failed_critical(on_cluster.connection) == failed_critical(warehouse.connection)


@pytest.mark.cluster
def test_loads_on_nodes_give_the_rows_of_one_server(
    warehouse: Warehouse, on_nodes: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_both(warehouse, on_nodes, DAYS)
    assert warehouse.value("select sum(facts) from ledger.fact_rekey") > 3
    assert answers(on_nodes) == answers(warehouse)
    for one in (warehouse, on_nodes):
        replay_corrected(one)
    require_same(warehouse, on_nodes)
    for one in (warehouse, on_nodes):
        one.connection.execute("delete from staging.members_raw where last_name = 'Archer'")
        one.run(commands.restate, DIMENSIONS["member"], datetime(2025, 1, 1))
    require_same(warehouse, on_nodes)
    monkeypatch.setattr(bulk, "ROWS", 1)  # as if very many came
    for one in (warehouse, on_nodes):
        one.rebuild(reject_share=1.0)
    require_same(warehouse, on_nodes)
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


def test_restatement_and_a_second_full_load_give_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_both(warehouse, on_cluster, DAYS[:3])
    for one in (warehouse, on_cluster):
        one.connection.execute("delete from staging.members_raw where last_name = 'Archer'")
        one.run(commands.restate, DIMENSIONS["member"], datetime(2025, 1, 1))
    require_same(warehouse, on_cluster)
    monkeypatch.setattr(bulk, "ROWS", 1)  # as if very many came
    for one in (warehouse, on_cluster):
        one.rebuild(reject_share=1.0)
    require_same(warehouse, on_cluster)
    # A cluster without workers is a server.
    monkeypatch.setattr(layout, "is_cluster", lambda _: False)
    for one in (warehouse, on_cluster):
        one.rebuild(reject_share=1.0)
    assert contents(on_cluster) == contents(warehouse)
    assert on_cluster.value("select to_regnamespace('history')") is None


def require_published(clustered: Warehouse) -> None:
    for dimension in DIMENSIONS.values():
        kept, shown = (
            rows(clustered.connection, schema, dimension.table)
            for schema in ("history", "warehouse")
        )
        assert kept == shown


# What shows a person, and is read by who may see one.
OF_PERSONS = (
    *("history.dim_member", "warehouse.dim_member_current", "warehouse.dim_member_as_is"),
    *("as_known.dim_member", "warehouse.dim_member_as_known_at(1)", "dim_member"),
    *("mart.claim", "mart.enrollment", "mart.member_timeline"),
)


def test_looks_at_persons_are_noted_where_loads_change_them(
    on_cluster: Warehouse, server_settings: Settings
) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    assert found_by(on_cluster.connection, "access.looks_are_noted").rows_failed == 0
    assert found_by(on_cluster.connection, "access.as_declared").rows_failed == 0
    with record(server_settings, on_cluster.url, on_cluster.data) as kept:
        with psycopg.connect(kept.login("ida", "phi"), autocommit=True) as ida:
            for relation in OF_PERSONS:
                after = kept.last()
                assert ida.execute(f"select * from {relation}").fetchone(), relation
                assert "warehouse.dim_member" in kept.read_by("ida", after), relation
            assert ida.execute("select count(*) from dim_plan").fetchone() > (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ida.execute("select member_id from warehouse.dim_member")
        with psycopg.connect(kept.login("ann", "analyst"), autocommit=True) as ann:
            assert ann.execute("select count(*) from dim_member").fetchone() > (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ann.execute("select member_id from history.dim_member")


# What is refused whole on a cluster, each with a part of the sentence.
NOT_READ = {
    **dict.fromkeys(
        ("mart.claim_line", "limited.claim_line", "safe_harbor.claim_line"),
        "claim_line cannot be read on a cluster",
    ),
    **dict.fromkeys(
        ("as_known.fact_claim", "limited_as_known.fact_claim"),
        "fact_claim as it was known cannot be read on a cluster",
    ),
    "warehouse.fact_claim_as_known_at(1)": "fact_claim as it was known cannot be read",
    "as_known.dim_date": "dim_date as it was known cannot be read on a cluster",
}


def test_what_citus_cannot_read_is_refused_with_a_sentence(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    send(FIRST, warehouse, on_cluster)
    for one in (warehouse, on_cluster):
        one.rebuild()
        assert "as known after load 1" in one.value("select warehouse.as_known_at(1)")
    columns = (
        "select table_schema, column_name, case table_schema when 'mart' then data_type end "
        "from information_schema.columns where table_name = 'claim_line' "
        "order by table_schema, ordinal_position"
    )
    assert on_cluster.rows(columns) == warehouse.rows(columns) != []
    for relation, why in NOT_READ.items():
        asked = f"select count(*) from {relation}"
        assert warehouse.value(asked) >= 0
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=why):
            on_cluster.connection.execute(asked)
    # Also where a condition would let the planner find out that no row fulfills it.
    for relation in ("mart.claim_line", "as_known.fact_claim", "limited_as_known.fact_claim"):
        asked = f"select 1 from {relation} where service_date >= date '2025-01-01'"
        with pytest.raises(psycopg.errors.FeatureNotSupported, match=NOT_READ[relation]):
            on_cluster.connection.execute(asked)


@pytest.mark.slow
def test_erased_members_leave_nothing_in_history(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    for one in (warehouse, on_cluster):
        erasure.send_first(one)
        one.rebuild(1)
    wanted = erasure.state(warehouse)
    assert erasure.state(on_cluster) == wanted
    assert erasure.found(erasure.dump(on_cluster)) == erasure.values_of(erasure.ERASED)
    for member in erasure.ERASED:
        on_cluster.run(erase, member, "request of the member")
    # The second full load repeats the erasures among the loads of the first.
    for _ in range(3):
        assert erasure.found(erasure.dump(on_cluster)) == []
        assert erasure.state(on_cluster) == wanted
        require_published(on_cluster)
        assert failed_critical(on_cluster.connection) == failed_critical(warehouse.connection)
        on_cluster.rebuild(1)


@pytest.mark.slow
def test_retention_leaves_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    for one in (warehouse, on_cluster):
        retention.send_all(one)
        one.rebuild(1)
    require_same(warehouse, on_cluster)
    for one in (warehouse, on_cluster):
        retention.retain(one)
    require_same(warehouse, on_cluster)
    assert retention.traces(on_cluster, retention.OLD_CLAIMS) == []
    for one in (warehouse, on_cluster):
        one.rebuild(1)
    require_same(warehouse, on_cluster)


def test_what_a_full_load_needs_counts_history(on_cluster: Warehouse) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    sizes = on_cluster.value(
        "select sum(pg_total_relation_size(c.oid)) from pg_class as c where c.relkind = 'r' "
        "and c.relnamespace = 'history'::regnamespace"
    )
    before = need_of(on_cluster.connection).tables
    assert sizes > 0
    on_cluster.connection.execute("drop trigger dim_member_guard_inserts on history.dim_member")
    assert need_of(on_cluster.connection).tables == before - sizes


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


def test_sessions_of_a_run_change_nodes_one_after_the_other(on_cluster: Warehouse) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    with on_cluster.pipeline() as context:
        for session in (context.ledger, context.work):
            for setting, value in layout._SESSION.items():
                assert session.execute(f"show {setting}").fetchone() == (value,)


def test_rows_are_kept_for_the_load_that_is_named_where_the_ledger_is_not(
    warehouse: Warehouse,
) -> None:
    send(FIRST, warehouse)
    warehouse.rebuild()
    connection = warehouse.connection
    # As on a worker, which has no ledger.
    connection.execute("alter schema ledger rename to elsewhere")
    change = "update warehouse.fact_claim set paid_amount = 1 where claim_id = 'c2'"
    with pytest.raises(psycopg.Error, match="no setting says for which load"):
        connection.execute(change)
    with connection.transaction():
        connection.execute("set local aca.load_id = '7'")
        connection.execute(change)
    kept = "select paid_amount::int, known_to_load_id from internal.fact_claim_past"
    assert warehouse.rows(kept) == [(20, 7)]


def test_days_of_a_cluster_without_a_full_load_are_refused(on_cluster: Warehouse) -> None:
    send(FIRST, on_cluster)
    with pytest.raises(ServerError, match="only a full load lays a warehouse out"):
        on_cluster.incremental()


def test_what_people_added_is_named_and_not_what_moves_to_history(on_cluster: Warehouse) -> None:
    send(FIRST, on_cluster)
    on_cluster.connection.execute("create index of_mine on warehouse.dim_member (state)")
    notes = [note for note in on_cluster.rebuild().notes if note.startswith("Not carried over")]
    assert [note.rpartition(": ")[2] for note in notes] == [
        "index of_mine on warehouse.dim_member."
    ]
    assert found_by(on_cluster.connection, "planner.indexes_are_there").rows_failed == 0
    index = "history.dim_plan_plan_id_effective_year_validity_start_ts_key"
    on_cluster.connection.execute(f"alter index {index} rename to other")
    assert found_by(on_cluster.connection, "planner.indexes_are_there").rows_failed == 1


def test_checks_look_at_everything_on_a_cluster(
    on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    monkeypatch.setattr(share, "WHOLE_UP_TO", -1)
    for expected in (True, False):
        with on_cluster.pipeline(checks=None) as context:
            commands.run_checks(context)
            look = share.plan(context.ledger, LIVE, loads_of(context.ledger, LIVE), 30)
        assert look.is_whole is expected
        monkeypatch.setattr(layout, "is_cluster", lambda _: False)


def test_migrations_of_a_build_over_nodes_are_refused(
    on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    monkeypatch.setattr(session.revisions, "is_newest", lambda _: False)
    with pytest.raises(ServerError, match="no migration was tried on one yet"):
        on_cluster.incremental()


def test_loads_of_a_cluster_where_members_are_erased_are_refused(
    on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(FIRST, on_cluster)
    (on_cluster.data / "erasure").mkdir(parents=True)
    (on_cluster.data / "erasure" / "erased").write_text("erased-0123456789abcdef\n")
    monkeypatch.setattr(topology, "is_cluster", layout.is_cluster)
    with pytest.raises(ServerError, match="lists members who are to stay erased"):
        on_cluster.rebuild()
    assert on_cluster.value("select count(*) from ledger.load") == 0


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
