"""What was known after each load, or at a time, can be read again, row by row and to the cent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from etl.db.connection import connect
from etl.errors import BatchError
from etl.pipeline import commands
from tests.support.as_known import (
    BATCHES,
    REPORT,
    TABLES,
    VIEWS,
    State,
    as_known,
    present,
    read,
    without_clock,
)
from tests.support.feeds import write_batch
from tests.support.warehouse import Warehouse


def bring(warehouse: Warehouse, number: int) -> int:
    """Write one of the batches and load it."""
    batch_id, feeds = BATCHES[number]
    snapshots = ["members"] if batch_id == "2025-04-10" else []
    warehouse.send(batch_id, snapshots=snapshots, **feeds)
    warehouse.run(commands.run_stages, ("stage", "dims", "facts"))
    return latest(warehouse)


def latest(warehouse: Warehouse) -> int:
    return int(warehouse.value("select max(load_id) from ledger.load where status = 'loaded'"))


@pytest.fixture
def states(warehouse: Warehouse) -> dict[int, State]:
    """Every batch loaded, and the state that each load left."""
    return {bring(warehouse, number): present(warehouse.connection) for number in range(6)}


@pytest.mark.slow
def test_the_state_after_each_load_is_read_again_also_after_a_rebuild(
    warehouse: Warehouse, states: dict[int, State]
) -> None:
    connection = warehouse.connection
    assert len({repr(state["report"]) for state in states.values()}) >= 4
    for load_id, state in states.items():
        assert as_known(connection, load_id) == state, load_id
    before = warehouse.value("select max(load_id) from ledger.load")
    for _ in range(2):
        warehouse.rebuild()
        for load_id, state in states.items():
            known = as_known(connection, load_id)
            assert without_clock(known) == without_clock(state), load_id
            (rebuilds_load_id,) = warehouse.rows(f"select warehouse.known_load({load_id})")[0]
            assert rebuilds_load_id > before
    # The loads of the rebuild itself leave the same states.
    live = warehouse.rows("select load_id from ledger.load where status = 'loaded' order by 1")
    assert [without_clock(as_known(connection, n)) for (n,) in live] == [
        without_clock(state) for state in states.values()
    ]


@pytest.mark.slow
def test_past_loads_are_refused_after_a_rebuild_from_other_batches(
    warehouse: Warehouse, states: dict[int, State]
) -> None:
    connection = warehouse.connection
    first, second, *_, last = states
    sayings = [
        connection.execute("select warehouse.as_known_at(%s)", [n]).fetchone()
        for n in (first, last)
    ]
    assert all("as known after load" in said for (said,) in sayings)
    file = warehouse.inbox / "2025-02-10" / "claims.csv"
    file.write_text(file.read_text().replace("11.50", "12.50"))
    warehouse.rebuild()
    assert without_clock(as_known(connection, first)) == without_clock(states[first])
    for load_id in (second, last):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
            connection.execute("select warehouse.known_load(%s)", [load_id])
        assert refused.value.diag.message_primary == (
            f"load {load_id} was replaced by a rebuild from other batches, and what was known "
            "after it is no longer kept"
        )
        assert refused.value.diag.message_hint
    # The session keeps its point, and gets the error that the point is gone.
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=f"load {last} was repl"):
        connection.execute("select * from as_known.fact_claim")
    assert connection.execute("select warehouse.as_known_now()").fetchone() == ("as known now",)
    assert read(connection, "select * from as_known.fact_claim") == read(
        connection, "select * from warehouse.fact_claim"
    )
    # A new file in an old batch changes what was known from that batch on.
    warehouse.send("2025-01-01", plans=[{"plan_id": "P", "metal_tier": "Bronze"}])
    warehouse.rebuild()
    assert without_clock(as_known(connection, first)) == without_clock(states[first])


@pytest.mark.slow
def test_session_keeps_its_point_over_rebuild(
    warehouse: Warehouse, states: dict[int, State]
) -> None:
    second = list(states)[1]
    with connect(warehouse.url, "test") as reader:
        (said,) = reader.execute("select warehouse.as_known_at(%s)", [second]).fetchone()
        (live_at,) = warehouse.rows(f"select live_at from ledger.load where load_id = {second}")[0]
        assert said == (
            f"as known after load {second} (batch 2025-02-10, live {live_at:%Y-%m-%d %H:%M} UTC)"
        )
        # Plans made before the swap may not outlive it.
        for _ in range(7):
            assert read(reader, "select * from as_known.dim_member") == states[second]["dim_member"]
        warehouse.rebuild()
        reader.execute("set search_path = as_known, warehouse")
        assert read(reader, REPORT) == states[second]["report"]
        (said,) = reader.execute("select warehouse.as_known_at(%s)", [second]).fetchone()
        assert said.endswith(" represents it")
        with pytest.raises(psycopg.errors.NoDataFound, match="there is no load 999"):
            reader.execute("select warehouse.as_known_at(999)")
        assert read(reader, REPORT) == states[second]["report"]


def test_without_a_point_the_views_show_the_present(warehouse: Warehouse) -> None:
    connection = warehouse.connection
    empty = {name: [] for name in (*TABLES, *VIEWS)}
    assert {n: read(connection, f"select * from as_known.{n}") for n in empty} == empty
    bring(warehouse, 0)
    bring(warehouse, 1)
    connection.execute("update warehouse.fact_claim set paid_amount = 1234.56")
    for name in empty:
        assert read(connection, f"select * from as_known.{name}") == read(
            connection, f"select * from warehouse.{name}"
        )


def test_point_in_time_gives_the_state_after_the_last_load_before_it(warehouse: Warehouse) -> None:
    connection = warehouse.connection
    moments: list[tuple[datetime, State]] = []
    for number in range(3):
        bring(warehouse, number)
        (now,) = warehouse.rows("select clock_timestamp()")[0]
        moments.append((now, present(connection)))

    def compare(same: Callable[[State], State]) -> None:
        for moment, state in moments:
            (load_id,) = connection.execute("select warehouse.known_load(%s)", [moment]).fetchone()
            assert same(as_known(connection, load_id)) == same(state)

    compare(lambda state: state)
    warehouse.rebuild()
    compare(without_clock)
    (said,) = connection.execute("select warehouse.as_known_at(now())").fetchone()
    assert f"load {latest(warehouse)} (batch 2025-01-20, live " in said
    (said,) = connection.execute("select warehouse.as_known_at(%s)", [moments[0][0]]).fetchone()
    assert said.startswith("as known after load 1 (batch 2025-01-10, live ")
    assert read(connection, "select claim_id from as_known.fact_claim") == read(
        connection, f"select claim_id from warehouse.fact_claim_as_known_at({1})"
    )
    with pytest.raises(psycopg.errors.NoDataFound, match="no load is known to have been live"):
        connection.execute(
            "select warehouse.known_load(%s)", [datetime.now(UTC) - timedelta(days=1)]
        )


@pytest.mark.slow
def test_after_a_failed_load_the_state_is_that_of_the_load_before(warehouse: Warehouse) -> None:
    first = bring(warehouse, 0)
    state = present(warehouse.connection)
    folder = warehouse.send("2025-01-15", plans=[{"plan_id": "P1"}])
    good = (folder / "plans.csv").read_text()
    (folder / "plans.csv").write_text("nonsense\n1\n")
    with warehouse.pipeline() as pipeline, pytest.raises(BatchError):
        commands.run_stages(pipeline, ("stage", "dims", "facts"))
    (folder / "plans.csv").write_text(good)
    second = bring(warehouse, 1)
    assert second > first + 2
    assert as_known(warehouse.connection, first + 1) == state
    (said,) = warehouse.rows(f"select warehouse.as_known_at({first + 1})")[0]
    assert said == f"as known after load {first + 1} (batch 2025-01-15, failed)"
    # The failed load is not part of the rebuild, and can still be asked for.
    warehouse.rebuild()
    assert without_clock(as_known(warehouse.connection, first + 1)) == without_clock(state)


def test_running_load_and_one_from_before_rows_were_kept_are_refused(warehouse: Warehouse) -> None:
    first = bring(warehouse, 0)
    warehouse.send("2025-01-15", plans=BATCHES[0][1]["plans"])
    warehouse.run(commands.run_stages, ("stage",))
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="still under way"):
        warehouse.rows(f"select warehouse.known_load({first + 1})")
    warehouse.rows("update ledger.load set live_at = null where load_id = 1 returning 1")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="1 is not kept"):
        warehouse.rows("select * from warehouse.dim_member_as_known_at(1)")


@pytest.mark.parametrize("stages", [(), ("stage",), ("stage", "dims")])
def test_change_by_hand_is_of_the_next_load(warehouse: Warehouse, stages: tuple[str, ...]) -> None:
    connection = warehouse.connection
    first = bring(warehouse, 0)
    state = present(connection)
    if stages:
        warehouse.send("2025-01-20", **BATCHES[2][1])
        warehouse.run(commands.run_stages, stages)
    # C4 of the batch that comes is not among them; C1 is, and is changed by both.
    connection.execute("update warehouse.fact_claim set paid_amount = paid_amount + 1000")
    connection.execute("update warehouse.dim_member set email = 'by hand' where member_sk > 0")
    connection.execute("delete from warehouse.fact_enrollment")
    if stages:
        warehouse.run(commands.run_stages, ("dims", "facts"))
    second = latest(warehouse) if stages else bring(warehouse, 2)
    after = present(connection)
    third = bring(warehouse, 1)
    assert as_known(connection, first) == state
    assert as_known(connection, second) == after
    assert as_known(connection, third) == present(connection)


@pytest.mark.slow
def test_ledger_names_the_build_of_a_load_and_since_when_it_is_live(warehouse: Warehouse) -> None:
    bring(warehouse, 0)
    bring(warehouse, 1)
    warehouse.rebuild()
    bring(warehouse, 2)
    rows = warehouse.rows(
        "select load_id, build_id, live_at, started_at, finished_at from ledger.load order by 1"
    )
    assert [row[:2] for row in rows] == [(1, 0), (2, 0), (3, 3), (4, 3), (5, 3)]
    live = [row[2] for row in rows]
    assert live == sorted(live)
    assert live[0] < live[1] < live[2] == live[3] < live[4]
    assert all(started <= at for _, _, at, started, _ in rows)


@pytest.mark.slow
def test_single_stages_run_loads_one_after_the_other(warehouse: Warehouse) -> None:
    for batch_id, feeds in BATCHES[:3]:
        warehouse.send(batch_id, **feeds)
        with warehouse.pipeline() as pipeline:  # each alone, so that the last came last
            commands.run_stages(pipeline, ("stage",))
    warehouse.run(commands.run_stages, ("dims",))
    done = "select load_id, stage from ledger.stage_run where stage <> 'stage' order by 1, 2"
    ran = "select load_id, stage from ledger.stage_run where stage <> 'stage' order by stage_run_id"
    assert warehouse.rows(ran) == [
        (1, "dims"),
        (1, "facts"),
        (2, "dims"),
        (2, "facts"),
        (3, "dims"),
    ]
    assert warehouse.rows("select batch_id from ledger.load order by load_id")[2] == ("2025-01-20",)
    said = [text for text in warehouse.watcher.said if "one after the other" in text]
    assert len(said) == 2
    warehouse.run(commands.run_stages, ("facts",))
    assert len(warehouse.rows(done)) == 6
    assert as_known(warehouse.connection, 3) == present(warehouse.connection)
    # Batches that are not even staged do not overtake either.
    for number in (3, 4):
        batch_id, feeds = BATCHES[number]
        warehouse.send(batch_id, **feeds)
    warehouse.run(commands.run_stages, ("stage", "dims"))
    assert warehouse.rows(ran)[6:] == [(4, "dims"), (4, "facts"), (5, "dims")]


@pytest.mark.slow
def test_filter_on_as_known_prunes_partitions(
    warehouse: Warehouse, states: dict[int, State]
) -> None:
    load_id = list(states)[1]
    connection = warehouse.connection
    connection.execute("select warehouse.as_known_at(%s)", [load_id])

    def plan(query: str) -> str:
        rows = connection.execute(f"explain {query}").fetchall()
        return "\n".join(line for (line,) in rows)

    month = "where service_date >= date '2025-01-01' and service_date < date '2025-02-01'"
    for source in (f"warehouse.fact_claim_as_known_at({load_id})", "as_known.fact_claim"):
        steps = plan(f"select sum(paid_amount) from {source} {month}")
        assert "fact_claim_2025_01" in steps
        assert "fact_claim_2025_02" not in steps
        assert "Function Scan" not in steps
    for table in TABLES:
        steps = plan(f"select * from warehouse.{table}_as_known_at({load_id})")
        assert "Function Scan" not in steps
        assert "SubPlan" not in steps
    assert "member_id = 'A'" in plan("select * from as_known.dim_member where member_id = 'A'")


@pytest.mark.slow
def test_grants_and_views_on_as_known_outlive_a_rebuild(warehouse: Warehouse) -> None:
    first = bring(warehouse, 0)
    bring(warehouse, 1)
    connection = warehouse.connection
    role = sql.Identifier("test_known_reader")
    connection.execute(sql.SQL("drop role if exists {}").format(role))  # outlives a test's database
    connection.execute(sql.SQL("create role {}").format(role))
    for statement in (
        "grant usage on schema as_known, warehouse, internal, ledger to {}",
        "grant select on all tables in schema as_known, warehouse, internal, ledger to {}",
        "revoke execute on function warehouse.as_known_at(bigint) from public",
        "revoke execute on function warehouse.as_known_now() from public",
        "grant execute on function warehouse.as_known_at(bigint) to {} with grant option",
    ):
        connection.execute(sql.SQL(statement).format(role))
    connection.execute("create schema analyst")
    connection.execute(
        "create view analyst.paid as select sum(paid_amount) from as_known.fact_claim"
    )
    warehouse.rebuild()
    with connection.transaction():
        connection.execute(sql.SQL("set local role {}").format(role))
        connection.execute("select warehouse.as_known_at(%s)", [first])
        paid = connection.execute("select sum(paid_amount) from as_known.fact_claim").fetchone()
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute("select warehouse.as_known_now()")
    assert (
        paid
        == connection.execute(
            "select sum(paid_amount) from warehouse.fact_claim_as_known_at(%s)", [first]
        ).fetchone()
    )
    assert connection.execute("select * from analyst.paid").fetchone() == paid
    granted = "select has_function_privilege(%s, 'warehouse.as_known_at(bigint)', 'execute{}')"
    for option in ("", " with grant option"):
        has = connection.execute(granted.format(option), ["test_known_reader"]).fetchone()
        assert has == (True,)
    connection.execute(sql.SQL("drop owned by {}").format(role))
    connection.execute(sql.SQL("drop role {}").format(role))


@pytest.mark.slow
def test_restated_past_is_refused_after_a_rebuild(warehouse: Warehouse) -> None:
    first = bring(warehouse, 0)
    # As a restatement leaves it: a load without files.
    (restated,) = warehouse.rows(
        "insert into ledger.load "
        "(batch_id, as_of, kind, subject, status, is_rebuild, finished_at, live_at) values "
        "('restated', now(), 'restatement', 'dim_member', 'loaded', false, now(), now()) "
        "returning load_id"
    )[0]
    state = present(warehouse.connection)
    assert as_known(warehouse.connection, restated) == state
    warehouse.rebuild()
    assert without_clock(as_known(warehouse.connection, first)) == without_clock(state)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="other batches"):
        warehouse.rows(f"select warehouse.known_load({restated})")


@pytest.mark.slow
def test_a_batch_that_was_loaded_in_parts_is_rebuilt_in_parts(warehouse: Warehouse) -> None:
    day = date(2025, 1, 10)
    first = BATCHES[0][1]
    folder = warehouse.send(str(day), members=first["members"][:1])
    states = []
    for feed, rows in (("claims", first["claims"][:2]), ("plans", first["plans"])):
        warehouse.incremental()
        states.append(present(warehouse.connection))
        aside = write_batch(warehouse.inbox.parent / feed, str(day), **{feed: rows})
        (aside / f"{feed}.csv").rename(folder / f"{feed}.csv")
    warehouse.incremental()
    states.append(present(warehouse.connection))
    warehouse.rebuild()
    for load_id, state in enumerate(states, 1):
        assert without_clock(as_known(warehouse.connection, load_id)) == without_clock(state)
