"""What commands and readers do in the layout of a cluster, rehearsed with stand-ins for Citus."""

from __future__ import annotations

import shutil
from contextlib import suppress

import psycopg
import pytest

from etl.cli.run import require_tried
from etl.config import Settings
from etl.errors import BatchError, ServerError, UsageError
from etl.pipeline import breaker, commands, holds, session
from etl.pipeline.erase import erase
from etl.pipeline.room import need_of
from etl.quality import share, thresholds
from etl.quality.record import loads_of
from etl.schema import layout
from etl.server import topology
from etl.warehouse.details import DETAILS
from etl.warehouse.places import PLACES
from etl.warehouse.tables import LIVE
from tests.support import erasure, retention
from tests.support.looking import record
from tests.support.rehearsed import FIRST, claim, require_published, require_same, send
from tests.support.warehouse import Warehouse, failed_critical, found_by

# What shows a person, and is read by who may see one.
OF_PERSONS = (
    *("history.dim_member", "warehouse.dim_member_current", "dim_member_as_is"),
    *("as_known.dim_member", "warehouse.dim_member_as_known_at(1)", "dim_member"),
    *("mart.claim", "mart.claim_line", "mart.claim_diagnosis"),
    *("mart.enrollment", "mart.member_timeline"),
)
# What is published of persons: no reader who is noted may ask for it without a note.
PUBLISHED = ("warehouse.dim_member", "warehouse.dim_member_as_is")


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
            for relation in PUBLISHED:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    ida.execute(f"select member_id from {relation}")
        with psycopg.connect(kept.login("ann", "analyst"), autocommit=True) as ann:
            assert ann.execute("select count(*) from dim_member").fetchone() > (0,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                ann.execute("select member_id from history.dim_member")


def test_marts_of_claims_read_what_is_published_and_note_each_look_once(
    warehouse: Warehouse, on_cluster: Warehouse, server_settings: Settings
) -> None:
    send(FIRST, warehouse, on_cluster)
    for one in (warehouse, on_cluster):
        one.rebuild()
    # Another value than what loads change has, which is the same otherwise.
    for one in (warehouse, on_cluster):
        one.connection.execute("update warehouse.dim_member set state = 'XX' where member_sk > 0")
    asked = "select claim_id, member_id, state, paid_usd from mart.claim order by claim_id"
    assert on_cluster.rows(asked) == warehouse.rows(asked)
    assert {row[2] for row in on_cluster.rows(asked)} >= {"XX"}
    latest = "select member_sk, latest_member_sk, state from warehouse.dim_member_as_is order by 1"
    assert on_cluster.rows(latest) == warehouse.rows(latest)
    with record(server_settings, on_cluster.url, on_cluster.data) as kept:
        with psycopg.connect(kept.login("ida", "phi"), autocommit=True) as ida:
            for relation in ("claim", "claim_line", "claim_diagnosis"):
                for what in ("count(*)", "count(*) filter (where member_id = 'A')"):
                    after = kept.last()
                    query = f"select {what} from mart.{relation} where member_sk is not null"
                    assert ida.execute(query).fetchone() > (0,), query
                    kept.bring()
                    noted = kept.rows(
                        "select person, relation_name, statement from audit.look "
                        "where kind = 'look' and position > %s",
                        after,
                    )
                    assert noted == [("ida", "warehouse.dim_member", query)], query
        after = kept.last()
        on_cluster.rows(asked)
        kept.bring()
        assert kept.last() == after


def test_lines_of_a_claim_of_which_nothing_is_left_count_for_nothing(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    day, feeds = FIRST
    line = {"claim_id": "c1", "line_number": 1, "service_date": "2025-01-05", "line_paid": 7}
    first = (day, {**feeds, "claim_lines": [line]})
    nothing = dict.fromkeys(("claim_amount", "allowed_amount", "paid_amount"), 0)
    reversal = ("2025-01-12", {"claims": [claim(1, "A", "2025-01-05", **nothing)]})
    send(first, warehouse, on_cluster)
    send(reversal, warehouse, on_cluster)
    asked = "select * from mart.claim_line order by claim_id, line_number"
    paid = "select paid_usd from mart.claim_line where claim_id = 'c1'"
    line_paid = "select paid_amount from warehouse.fact_claim_line where claim_id = 'c1'"
    for one in (warehouse, on_cluster):
        one.rebuild(1)
        assert one.value(line_paid) == 7
        assert one.value(paid) == 0
    assert on_cluster.rows(asked) == warehouse.rows(asked) != []


# What is refused whole on a cluster, each with a part of the sentence.
NOT_READ = {
    **dict.fromkeys(
        ("limited.claim_line", "safe_harbor.claim_line", "scoped.claim_line"),
        "claim_line cannot be read masked on a cluster",
    ),
    **{
        f"limited_as_known.{table}": f"{table} as it was known cannot be read on a cluster by"
        for table in ("fact_claim", "fact_claim_line", "fact_enrollment", "dim_date")
    },
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
    for relation in ("limited.claim_line", "limited_as_known.fact_claim"):
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
    wanted = erasure.state_now(warehouse)
    assert erasure.state_now(on_cluster) == wanted
    assert erasure.found(erasure.dump(on_cluster)) == erasure.values_of(erasure.ERASED)
    for member in erasure.ERASED:
        on_cluster.run(erase, member, "request of the member")
    # The second full load repeats the erasures among the loads of the first.
    for _ in range(3):
        assert erasure.found(erasure.dump(on_cluster)) == []
        assert erasure.state_now(on_cluster) == wanted
        require_published(on_cluster)
        assert failed_critical(on_cluster.connection) == failed_critical(warehouse.connection)
        on_cluster.rebuild(1)


@pytest.mark.slow
def test_retention_leaves_the_rows_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    for one in (warehouse, on_cluster):
        for batch_id, feeds in retention.BATCHES:
            one.send(batch_id, **feeds)
        one.rebuild(1)
    require_same(warehouse, on_cluster)
    for one in (warehouse, on_cluster):
        retention.retain(one)
    require_same(warehouse, on_cluster)
    assert retention.traces(on_cluster, retention.OLD_CLAIMS) == []
    for one in (warehouse, on_cluster):
        one.rebuild(1)
    require_same(warehouse, on_cluster)


def test_lines_and_diagnoses_of_a_first_load_are_made_where_their_claims_lie(
    warehouse: Warehouse, on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, feeds = FIRST
    lines = [
        {"claim_id": claim_id, "line_number": number, "service_date": "2025-01-05"}
        for claim_id, number in (("c1", 1), ("c1", 2), ("c3", 1), ("waits", 1))
    ]
    sets = {
        "claim_lines": lines,
        "claim_diagnoses": [{"claim_id": "c2", "position": 1, "service_date": "2025-02-20"}],
    }
    send((day, {**feeds, **sets}), warehouse, on_cluster)
    spread, spread_as = list[str](), layout.spread

    def noted(connection: psycopg.Connection, table: str, other: str) -> None:
        spread.append(table)
        spread_as(connection, table, other)

    monkeypatch.setattr(layout, "spread", noted)
    warehouse.rebuild()
    assert spread == []
    on_cluster.rebuild()
    assert spread == [
        f"{detail.table}_{what}" for detail in DETAILS for what in ("sets", "loading")
    ]
    require_same(warehouse, on_cluster)
    assert on_cluster.value("select count(*) from warehouse.fact_claim_line") == 6
    left = f"select relname from pg_class where relname in {tuple(spread)}"
    assert on_cluster.rows(left) == []
    assert failed_critical(on_cluster.connection) == failed_critical(warehouse.connection)


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


def test_full_load_says_of_no_trigger_of_history_that_it_is_left_behind(
    on_cluster: Warehouse,
) -> None:
    send(FIRST, on_cluster)
    for _ in range(2):
        on_cluster.rebuild()
        assert [said for said in on_cluster.watcher.said if "Will not follow" in said] == []


def test_no_view_of_what_nodes_know_calls_a_function_that_reads_the_coordinators_tables(
    on_cluster: Warehouse,
) -> None:
    """Citus makes such a function on every node that is added, where it finds no such table."""
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    on_nodes = [f"warehouse.{n}" for n, lies in PLACES.items() if lies.is_managed]
    found = on_cluster.connection.execute(
        """
        with on_nodes as (
            select relation as oid from rehearsal.placed
            union all
            select unnest(%s::text[])::regclass
        )

        select distinct v.ev_class::regclass::text, f.refobjid::regprocedure::text
        from pg_rewrite as v
        inner join pg_depend as t on v.oid = t.objid and t.refclassid = 'pg_class'::regclass
        inner join pg_depend as f on v.oid = f.objid and f.refclassid = 'pg_proc'::regclass
        inner join pg_depend as r
            on f.refobjid = r.objid and r.classid = 'pg_proc'::regclass
            and r.refclassid = 'pg_class'::regclass
        where t.refobjid in (select oid from on_nodes)
            and r.refobjid not in (select oid from on_nodes)
        """,
        [on_nodes],
    )
    assert found.fetchall() == []
    after_one = on_cluster.value("select count(*) from warehouse.fact_enrollment_as_known_at(1)")
    assert on_cluster.value("select count(*) from as_known.fact_enrollment") == after_one == 1


@pytest.mark.slow
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


def test_what_touches_no_row_of_a_build_is_done_on_a_cluster(
    on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "is_cluster", layout.is_cluster)
    for command in ("hold", "dq-threshold", "sender-resume"):
        require_tried(command, on_cluster.url)
    with pytest.raises(ServerError, match="make look-at-stars was not tried yet"):
        require_tried("look-at-stars", on_cluster.url)
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    on_cluster.run(holds.hold, "A", "case 25-117")
    held = "select member_id, released_at is null from access.legal_hold"
    assert on_cluster.rows(held) == [("A", True)]
    on_cluster.run(holds.hold, "A", "", release=True)
    assert on_cluster.rows(held) == [("A", False)]
    with pytest.raises(UsageError, match="has no member of that number"):
        on_cluster.run(holds.hold, "nobody", "case 25-117")
    for day in range(20, 24):
        lacking = ["status"] if day < 23 else []
        on_cluster.send(f"2025-01-{day}", lacking=lacking, claims=[claim(day, "A", "2025-01-05")])
        with on_cluster.pipeline() as run, suppress(BatchError):
            commands.incremental(run)
    staged = "select count(*) from staging.claims_raw where claim_id = 'c23'"
    assert on_cluster.value(staged) == 0
    on_cluster.run(breaker.resume, "claims", "claims")
    with on_cluster.pipeline() as run, suppress(BatchError):
        commands.incremental(run)
    assert on_cluster.value(staged) == 1
    wanted = thresholds.Wanted("fact_claim.amounts_in_order", 2.0, why="known at the sender")
    assert "passes with at most 2 rows" in thresholds.change(on_cluster.connection, wanted)


@pytest.mark.slow
def test_members_who_are_listed_outside_stay_erased_in_the_first_loads_of_a_cluster(
    warehouse: Warehouse, on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "is_cluster", layout.is_cluster)
    require_tried("erase", on_cluster.url)
    for one in (warehouse, on_cluster):
        erasure.send_first(one)
    warehouse.rebuild(1)
    warehouse.run(erase, erasure.MARRIED, "request of the member")
    shutil.copytree(warehouse.data / "erasure", on_cluster.data / "erasure")
    on_cluster.rebuild(1)
    assert erasure.found(erasure.dump(on_cluster), [erasure.MARRIED]) == []
    for one in (warehouse, on_cluster):
        erasure.send_later(one)
        one.incremental(1)
        assert erasure.found(erasure.dump(one), [erasure.MARRIED]) == []
    token = erasure.token_of(warehouse, erasure.MARRIED)
    named = f"select count(*) from staging.members_raw where member_id = '{token}'"
    assert on_cluster.value(named) == warehouse.value(named) > 0
    require_published(on_cluster)
