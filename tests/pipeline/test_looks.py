"""Every way to look at a person without a record, or past a refusal: recorded or refused."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from etl.config import Settings
from etl.contracts.reasons import Reason
from etl.db.connection import connect
from etl.pipeline import commands
from tests.support.looking import Record, record
from tests.support.warehouse import Warehouse, found_by
from tests.support.ways_to_look import LOG_SETTINGS, MEMBER, READ, RECORDED, REFUSED, SURNAME, run

ANN = "looking_ann"
BOB = "looking_bob"


@pytest.fixture(scope="module")
def looked(module_warehouse: Warehouse, server_settings: Settings) -> Iterator[Record]:
    """A warehouse with two loads, a reader who sees persons and one who does not."""
    warehouse = module_warehouse
    for day, city in (("2025-01-10", "Ames"), ("2025-02-10", "Boone")):
        warehouse.send(
            day,
            members=[{"member_id": "M1", "last_name": SURNAME, "city": city}, {"member_id": "M2"}],
            claims=[{"claim_id": "C1", "member_id": "M1", "service_date": "2025-01-05"}],
            enrollments=[{"enrollment_id": "E1", "member_id": "M1", "start_date": "2025-01-01"}],
        )
        warehouse.run(commands.incremental)
    with record(server_settings, warehouse.url, warehouse.data) as made:
        made.login(ANN, "aca_analyst_phi")
        made.login(BOB, "aca_analyst")
        made.owner.execute(
            "grant temporary on database " + warehouse.connection.info.dbname + " to public"
        )
        made.owner.execute(f"create schema ann; grant all on schema ann to {ANN}, {BOB}")
        yield made
        made.owner.execute("drop schema ann cascade")


@pytest.fixture
def ann(looked: Record) -> Iterator[psycopg.Connection[Any]]:
    with session(looked, ANN) as connection:
        yield connection


def session(looked: Record, person: str) -> psycopg.Connection[Any]:
    connection = psycopg.connect(looked.addresses[person], autocommit=True)
    connection.execute("set search_path = warehouse, cubes, staging, ann")
    return connection


@pytest.mark.parametrize("way", RECORDED)
def test_every_way_to_read_is_recorded(
    looked: Record, ann: psycopg.Connection[Any], way: str
) -> None:
    before = looked.last()
    notices: list[str] = []
    ann.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    RECORDED[way](ann)
    ann.close()
    read = looked.read_by(ANN, before)
    assert read & {MEMBER, "internal.dim_member_past"}


@pytest.mark.parametrize("way", REFUSED)
def test_what_would_avoid_the_record_is_refused(
    looked: Record, ann: psycopg.Connection[Any], way: str
) -> None:
    with pytest.raises(psycopg.Error) as refused:
        REFUSED[way](ann)
    assert SURNAME not in str(refused.value)


@pytest.mark.parametrize("name", LOG_SETTINGS[:6])
def test_no_session_begins_with_another_log(looked: Record, name: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"permission denied|cannot be"):
        psycopg.connect(looked.addresses[ANN], options=f"-c {name}=0")


def test_statements_are_logged_whatever_a_login_resets(looked: Record) -> None:
    with session(looked, ANN) as ann:
        ann.execute("alter role current_user reset all")
        ann.execute(f"alter role current_user in database {looked.owner.info.dbname} reset all")
    with session(looked, ANN) as ann:
        for again in ("discard all", "reset all", "select 1"):
            ann.execute(again)
            assert ann.execute("show log_statement").fetchone() == ("all",)


HIDDEN = {
    "statistics": run(
        "select * from pg_stats where schemaname = 'warehouse' and tablename = 'dim_member'"
    ),
    "extended statistics": run("select * from pg_stats_ext"),
    "plain explain": run(f"explain (verbose) {READ} where last_name = '{SURNAME}'"),
    "sessions of others": run("select query from pg_stat_activity where usename <> current_user"),
}


@pytest.mark.parametrize("way", HIDDEN)
def test_catalogs_show_no_value(ann: psycopg.Connection[Any], way: str) -> None:
    shown = repr(HIDDEN[way](ann)).replace(f"'{SURNAME}'::text", "")
    assert SURNAME not in shown


# The columns that begin an index of a table that notes its readers, each with whether it is bound.
BEGIN = (
    "select distinct t.relnamespace::regnamespace || '.' || t.relname, a.attname::text, "
    "format_type(pg_basetype(a.atttypid), null), "
    "a.attnotnull and exists (select 1 from pg_depend d where d.classid = 'pg_policy'::regclass "
    " and d.objid = p.oid and d.refobjid = a.attrelid and d.refobjsubid = a.attnum) "
    "from pg_policy p join pg_class t on t.oid = p.polrelid "
    "join pg_index i on i.indrelid = t.oid join pg_class c on c.oid = i.indexrelid "
    "join pg_am m on m.oid = c.relam and m.amname = 'btree' "
    "join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0] "
    "where p.polname = 'noted'"
)
NOBODYS = {"bigint": "-7", "timestamp with time zone": "1900-01-01"}


def test_every_index_of_such_a_table_begins_with_a_bound_column(looked: Record) -> None:
    found = looked.rows(BEGIN)
    assert {(MEMBER, "member_id"), (MEMBER, "member_sk")} <= {row[:2] for row in found}
    assert [row for row in found if not row[3]] == []


def test_a_lookup_that_finds_no_row_is_recorded(
    looked: Record, ann: psycopg.Connection[Any]
) -> None:
    readable = [
        (relation, column, kind)
        for relation, column, kind, _ in looked.rows(BEGIN)
        if ann.execute(
            "select has_schema_privilege(split_part(%s, '.', 1), 'usage')"
            " and has_table_privilege(to_regclass(%s), 'select')",
            [relation, relation],
        ).fetchone()
        == (True,)
    ]
    assert len(readable) >= 6
    looked.bring()
    before = looked.last()
    ann.execute("set enable_seqscan = off")
    for relation, column, kind in readable:
        nobody = NOBODYS.get(kind, "nobody")
        for query in (
            f"select * from {relation} where {column} = '{nobody}'",
            f"select count(*) from {relation} where {column} in ('{nobody}', '{nobody}')",
            f"select from generate_series(1, 2) as g join {relation} as r on {column} = '{nobody}'",
        ):
            plan = ann.execute(f"explain {query}").fetchall()
            assert "Index" in repr(plan), query
            ann.execute(query).fetchall()
    looked.bring()
    found = looked.rows(
        "select relation_name, count(distinct statement) from audit.look where position > %s"
        " and person = %s and kind = 'look' and statement !~ '^explain' group by 1",
        *(before, ANN),
    )
    asked = Counter({relation: 0 for relation, *_ in readable})
    for relation, *_ in readable:
        asked[relation] += 3
    assert dict(found) == dict(asked)


def test_the_bound_of_an_index_changes_no_estimate(
    looked: Record, ann: psycopg.Connection[Any]
) -> None:
    looked.owner.execute("analyze warehouse.dim_member")
    for condition in ("true", "member_id = 'M1'", "state = 'FL'"):
        query = f"select from {MEMBER} where {condition}"
        asked = f"explain (format json) {query}"
        shown = [
            row[0][0]["Plan"]["Plan Rows"]
            for connection in (ann, looked.owner)
            if (
                row := connection.execute(
                    asked.replace("from dim", "from warehouse.dim")
                ).fetchone()
            )
        ]
        assert shown[0] == shown[1], query


ALL = "select nspname || '.' || relname from pg_class join pg_namespace n on n.oid = relnamespace"


def test_every_table_that_identifies_a_person_notes_its_readers(looked: Record) -> None:
    from etl.access.classification import identifies

    tables = looked.rows(
        "select n.nspname, c.relname, array_agg(a.attname::text), "
        "(select count(*) from pg_policy p where p.polrelid = c.oid and p.polname = 'noted' "
        " and not p.polpermissive and c.relrowsecurity "
        " and position(format('%%L', n.nspname || '.' || c.relname) in "
        " pg_get_expr(p.polqual, c.oid)) > 0) "
        "from pg_class c join pg_namespace n on n.oid = c.relnamespace "
        "join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
        "where n.nspname = any(%s) and c.relkind in ('r', 'p', 'm') and not c.relispartition "
        "group by n.nspname, c.relname, c.oid, c.relrowsecurity",
        ["staging", "warehouse", "internal", "cubes", "ledger", "quality", "access", "audit"],
    )
    identifying = {f"{s}.{t}" for s, t, columns, _ in tables if identifies(s, t, columns)}
    noted = {f"{s}.{t}" for s, t, _, policies in tables if policies}
    assert noted == identifying
    assert {MEMBER, "staging.claims_raw", "cubes.claims_daily_member"} <= noted
    found = found_by(looked.owner, "access.looks_are_noted")
    assert (found.rows_checked, found.rows_failed) == (len(noted), 0)


@pytest.mark.parametrize(
    ("undone", "done_again"),
    [
        ("alter table {} disable row level security", "alter table {} enable row level security"),
        (
            "drop policy noted on {}",
            "create policy noted on {0} as restrictive "
            "using ((select audit.noted('{0}')) is not null)",
        ),
        (
            "alter policy noted on {0} using ((select audit.noted('x')) is not null)",
            "alter policy noted on {0} using ((select audit.noted('{0}')) is not null)",
        ),
        ("alter policy noted on {0} to aca_auditor", "alter policy noted on {0} to public"),
    ],
)
def test_a_table_that_no_longer_notes_fails_a_check(
    looked: Record, undone: str, done_again: str
) -> None:
    looked.owner.execute(undone.format("cubes.claims_daily_member"))
    try:
        found = found_by(looked.owner, "access.looks_are_noted")
        assert (found.rows_failed, found.keys) == (
            1,
            ({"schema_name": "cubes", "relation_name": "claims_daily_member"},),
        )
    finally:
        looked.owner.execute(done_again.format("cubes.claims_daily_member"))


def test_views_on_such_tables_read_as_the_reader(looked: Record) -> None:
    found = looked.rows(
        "select n.nspname || '.' || c.relname from pg_class c "
        "join pg_namespace n on n.oid = c.relnamespace "
        "where n.nspname in ('warehouse', 'as_known') and c.relkind = 'v' "
        "and c.relname like 'dim_member%' and c.reloptions @> '{security_invoker=true}'"
    )
    assert {name for (name,) in found} == {
        *("warehouse.dim_member_current", "warehouse.dim_member_as_is"),
        *("as_known.dim_member", "as_known.dim_member_current", "as_known.dim_member_as_is"),
    }


@pytest.mark.parametrize(
    "relation",
    [
        *("staging.members_raw", "staging.claims_raw", "staging.enrollments_raw"),
        *("internal.dim_member_past", "cubes.claims_daily_member"),
        *("cubes.high_cost_member_tracking",),
    ],
)
def test_other_tables_of_persons_are_recorded_too(
    looked: Record, ann: psycopg.Connection[Any], relation: str
) -> None:
    looked.owner.execute(
        "insert into cubes.high_cost_member_tracking (member_id, month) "
        "values ('M1', '2025-01-01') on conflict do nothing"
    )
    before = looked.last()
    ann.execute(f"select * from {relation}").fetchall()
    assert looked.read_by(ANN, before) == {relation}


def test_masked_readers_and_the_owner_leave_no_look(looked: Record) -> None:
    before = looked.last()
    with session(looked, BOB) as bob:
        assert bob.execute("select count(*) from limited.dim_member").fetchall() != [(0,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            bob.execute("select * from warehouse.dim_member")
    looked.owner.execute("select * from warehouse.dim_member").fetchall()
    assert looked.read_by(BOB, before) == set()
    assert looked.read_by("aca_owner", before) == set()


IMITATION = (
    """{"relation": "warehouse.dim_member", "statement_at": "2026-01-01", "statement": "x"}"""
)


@pytest.mark.parametrize(
    "made",
    [
        "do $$ begin raise log 'aca.noted %', {said}; end $$",
        'create schema if not exists "audit.noted(text) line 1 at RAISE"',
        "create or replace function ann.noted(relation text) returns boolean language plpgsql as "
        "$$ begin raise log 'aca.noted %', {said}; return true; end $$; "
        "set search_path = ann; select noted('x')",
        'do $$ begin raise log E\'x\\n{{"user": "bob"}}\'; end $$',
        "do $$ begin raise log "
        "'AUDIT: SESSION,1,1,READ,SELECT,TABLE,warehouse.dim_member,x,<none>'; end $$",
        "do $$ begin raise log 'statement: select 1 from dim_member'; end $$",
    ],
)
def test_what_somebody_writes_to_the_log_is_no_look(
    looked: Record, ann: psycopg.Connection[Any], made: str
) -> None:
    before = looked.last()
    try:
        ann.execute(made.format(said=f"'{IMITATION}'"))
    except psycopg.errors.InsufficientPrivilege:
        return
    looked.bring()
    found = looked.rows(
        "select kind, person from audit.look where position > %s and kind <> 'statement'", before
    )
    assert set(found) <= {("imitation", ANN)}
    assert ("noted" in made or "AUDIT" in made) == bool(found)
    said = (
        "select count(*) from audit.look where position > %s and statement like 'select 1 from%%'"
    )
    assert looked.rows(said, before) == [(0,)]


def test_the_record_has_who_when_where_and_what(looked: Record) -> None:
    before = looked.last()
    with session(looked, ANN) as ann:
        ann.execute("set application_name = 'report'")
        ann.execute("select * from dim_member where member_id = %s", ["M1"]).fetchall()
    looked.bring()
    found = looked.rows(
        "select person, client_address, application_name, database_name, relation_name, statement, "
        "parameters, source, looked_at - statement_at < '1 s', session_id <> '' "
        "from audit.look where position > %s and kind = 'look'",
        before,
    )
    assert found == [
        (
            *(ANN, "127.0.0.1", "report", looked.owner.info.dbname, MEMBER),
            *("select * from dim_member where member_id = $1", "Parameters: $1 = 'M1'"),
            *("noted", True, True),
        )
    ]


def test_a_statement_of_a_megabyte_is_recorded_whole(
    looked: Record, ann: psycopg.Connection[Any]
) -> None:
    before = looked.last()
    ann.execute(f"select last_name from dim_member where last_name <> '{'ü' * 500_000}'").fetchall()
    looked.bring()
    kept = "select max(length(statement)) from audit.look where kind = 'look' and position > %s"
    assert looked.rows(kept, before)[0][0] > 500_000


def test_a_policy_that_comes_later_changes_a_plan_that_is_cached(looked: Record) -> None:
    looked.owner.execute("drop policy noted on warehouse.dim_member")
    with session(looked, ANN) as ann:
        ann.execute("prepare p as select last_name from dim_member")
        for _ in range(7):
            ann.execute("execute p").fetchall()
        looked.owner.execute(
            "create policy noted on warehouse.dim_member as restrictive "
            "using ((select audit.noted('warehouse.dim_member')) is not null)"
        )
        looked.bring()
        before = looked.last()
        ann.execute("execute p").fetchall()
        assert looked.read_by(ANN, before) == {MEMBER}


def test_quarantine_and_failing_keys_are_recorded_where_they_are_shown(looked: Record) -> None:
    steward = looked.login("looking_steward", "aca_data_steward")
    looked.owner.execute(
        "with l as (select max(load_id) as id from ledger.load), q as (insert into "
        "quality.quarantined_row (load_id, feed, file, line, reason) select id, 'members', "
        "'members.csv', 2, %s from l returning rejected_row_id) "
        "insert into quality.quarantined_line select rejected_row_id, 'M1,Ann' from q",
        [Reason.NO_KEY.text],
    )
    with connect(steward, "steward") as reader:
        before = looked.last()
        assert reader.execute("select reason from quality.rejected_row").fetchall()
        assert looked.read_by("looking_steward", before) == set()
        assert reader.execute("select raw_line from quality.rejected_row").fetchall() == [
            ("M1,Ann",)
        ]
        assert looked.read_by("looking_steward", before) == {"quality.quarantined_line"}


def milliseconds(connection: psycopg.Connection[Any]) -> float:
    """The median time of a lookup by number."""
    times = []
    for _ in range(300):
        begun = time.perf_counter()
        connection.execute("select * from warehouse.dim_member where member_id = %s", ["M1"])
        times.append(time.perf_counter() - begun)
    return 1000 * statistics.median(times)


def test_a_noted_lookup_takes_at_most_a_millisecond_more(
    looked: Record, ann: psycopg.Connection[Any]
) -> None:
    assert milliseconds(ann) < milliseconds(looked.owner) + 1


@pytest.mark.slow
def test_no_read_during_full_loads_is_without_a_record(
    looked: Record, module_warehouse: Warehouse
) -> None:
    looked.bring()
    before, loads = looked.last(), threading.Event()
    read: list[int] = []

    def reads() -> None:
        with session(looked, ANN) as ann:
            while not loads.is_set():
                number = len(read)
                found = ann.execute(
                    f"select {number} from warehouse.dim_member, cubes.claims_daily_member"
                )
                assert found.fetchall()
                read.append(number)

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(reads)
        for _ in range(2):
            module_warehouse.rebuild()
        loads.set()
        reader.result()
    looked.bring()
    found = looked.rows(
        "select relation_name, count(distinct statement) from audit.look "
        "where position > %s and kind = 'look' and person = %s group by relation_name",
        before,
        ANN,
    )
    assert len(read) > 20
    assert found == [("cubes.claims_daily_member", len(read)), (MEMBER, len(read))]
