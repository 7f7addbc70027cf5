"""What masked schemas show, value by value, against a rule that is written once more.

The reference is ``tests/support/masked_rows.py``. The world is drawn with what could slip through:
people over 89, odd ZIP codes, moves between states, claims that name nobody.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from etl.access import logins
from etl.access.roles import ROLES
from etl.db.connection import connect, set_config
from etl.docs import report_queries
from etl.synthetic.generate import generate
from etl.warehouse.tables import CUBES, LIVE, MARTS, MARTS_OF_CUBES
from tests.support import masked_rows
from tests.support.access import login_of
from tests.support.masked_rows import LIMITED, SAFE_HARBOR, Codes, Row, counted, masked
from tests.support.warehouse import Warehouse

PERSONS = """
    member_id  | first_name | last_name | dob        | age_group | state | zip        | email | city
    ZZ-old     | Methuselah | Quigley   | 1921-05-06 | 85-94     | FL    | 33101      | m@q   | Bell
    ZZ-oldest  | Noah       | Quigley   | 1900-01-01 | 104       | FL    | 03601      | n@q   | Rome
    ZZ-unborn  | Nobody     | Featherby |            |           | OH    | 1234       |       | Cody
    ZZ-long    | Longina    | Ramsden   | 1980-02-03 | 35-44     | OH    | 43004-1234 | l@r   | Lima
    ZZ-odd     | Oddy       | Ramsden   | 1980-02-04 | 89        | OH    | 43004x     | o@r   | Lima
    ZZ-moves   | Peregrine  | Wandersby | 1990-03-04 | 25-34     | FL    | 59001      | p@w   | Bell
    ZZ-nowhere | Ulysses    | Wandersby | 1990-03-05 | 90        |       |            |       |
"""
CLAIMS = """
    claim_id | member_id | plan_id | provider_id | service_date | paid_amount | status
    m1       | ZZ-old    | P       | R           | 2025-12-20   | 60000.00    | approved
    m2       | ZZ-moves  | P       | R           | 2025-12-20   | 20.00       | approved
    m3       | ZZ-moves  | P       | R           | 2026-01-20   | 30.00       | approved
"""
# A month later. One moves on the first of February.
PERSONS_LATER = """
    member_id | first_name | last_name | dob        | age_group | state | source_updated_at
    ZZ-moves  | Peregrine  | Wandersby | 1990-03-04 | 25-34     | OH    | 2026-02-01T00:00:00Z
    ZZ-unborn | Nobody     | Featherby |            | 100+      | FL    | 2026-02-01T00:00:00Z
"""
CLAIMS_LATER = """
    claim_id | member_id   | plan_id | provider_id | service_date | paid_amount | status
    m2       | ZZ-moves    | P       | R           | 2025-12-20   | 21.00       | adjusted
    m4       | ZZ-moves    | P       | R           | 2026-02-20   | 40.00       | denied
    m5       |             | P       | R           | 2026-02-20   | 50.00       | approved
    m6       | ZZ-unnamed | P       | R           | 2026-02-20   | 60.00       | pending
    m7       | ZZ-nowhere  | P       | R           | 2026-02-20   | 70.00       | VOID
"""
COVERED_LATER = """
    enrollment_id | member_id | plan_id | start_date
    e1            | ZZ-moves  | P       | 2026-02-01
"""


@pytest.fixture(scope="module")
def world(module_warehouse: Warehouse) -> Warehouse:
    """Generated members and drawn ones, a full load and two more."""
    generate(module_warehouse.inbox, members=150)
    module_warehouse.rebuild()
    module_warehouse.send("2026-01-31", members=PERSONS, claims=CLAIMS)
    module_warehouse.incremental()
    later = {"members": PERSONS_LATER, "claims": CLAIMS_LATER, "enrollments": COVERED_LATER}
    module_warehouse.send("2026-02-28", **later)
    module_warehouse.incremental()
    return module_warehouse


def relations(connection: psycopg.Connection[Any], schema: str) -> list[str]:
    """The relations of a masked schema."""
    found = connection.execute(
        "select relname from pg_class where relnamespace = %s::regnamespace order by 1", [schema]
    )
    return [name for (name,) in found]


def source(relation: str) -> str:
    """What a relation of a masked schema shows."""
    if relation in (*MARTS, *MARTS_OF_CUBES):
        return f"mart.{relation}"
    return f"cubes.{relation}" if relation in CUBES else f"warehouse.{relation}"


def expected(connection: psycopg.Connection[Any], schema: str, relation: str) -> list[Row]:
    codes = Codes.read(connection, schema)
    found = masked_rows.rows(connection, source(relation))
    return [masked(relation, row, codes) for row in found]


CUBES_OF_MANY = {name for name, cube in CUBES.items() if not cube.is_of_persons}


@pytest.mark.parametrize("schema", [LIMITED, SAFE_HARBOR])
def test_each_row_is_shown_as_its_standard_says(world, schema):
    shown = relations(world.connection, schema)
    assert {"dim_member", "fact_claim", "fact_claim_history"} < set(shown)
    for relation in shown:
        if schema == SAFE_HARBOR and relation in CUBES_OF_MANY:
            continue  # their cells are a matter of their own
        found = masked_rows.rows(world.connection, f"{schema}.{relation}")
        wanted = expected(world.connection, schema, relation)
        differing = counted(found) - counted(wanted), counted(wanted) - counted(found)
        assert differing == ({}, {}), relation


@pytest.mark.parametrize("schema", [LIMITED, SAFE_HARBOR])
def test_a_person_has_one_random_code_in_all_relations_of_a_schema(world, schema):
    codes = Codes.read(world.connection, schema)
    other = Codes.read(world.connection, SAFE_HARBOR if schema == LIMITED else LIMITED)
    for mine, others in ((codes.of_person, other.of_person), (codes.of_key, other.of_key)):
        assert len(set(mine.values())) == len(mine) > 100
        assert len(set(mine.values()) & set(others.values()) - {-1, "", "(unknown)"}) == 0
    # A code says nothing of the order of files.
    keys = [codes.of_key[sk] for sk in sorted(codes.of_key) if sk > 0]
    rises = sum(a < b for a, b in pairwise(keys))
    assert 0.3 < rises / len(keys) < 0.7
    for relation in ("dim_member", "dim_member_as_is", "claims_daily_member"):
        shown = world.column(f"select distinct member_id from {schema}.{relation}")
        assert set(shown) <= {*codes.of_person.values()}, relation


@pytest.mark.slow
def test_nobody_has_the_same_codes_in_another_warehouse(world, other_warehouse):
    other_warehouse.send("2026-01-31", members=PERSONS)
    other_warehouse.rebuild()
    for schema in (LIMITED, SAFE_HARBOR):
        here, there = (Codes.read(w.connection, schema).of_person for w in (world, other_warehouse))
        assert here["ZZ-moves"] != there["ZZ-moves"]


@pytest.mark.parametrize("schema", [LIMITED, SAFE_HARBOR])
def test_keys_join_the_same_rows_as_the_owners(world, schema):
    joined = """
        select m.state, m.broker_name, m.gender, count(*), sum(f.paid_amount), sum(f.claim_amount)
        from {0}.fact_claim as f
        inner join {0}.dim_member as m on f.member_sk = m.member_sk
        inner join {0}.dim_member_as_is as n on f.member_sk = n.member_sk
        inner join {0}.dim_member as latest on n.latest_member_sk = latest.member_sk
        inner join {0}.dim_plan as p on f.plan_sk = p.plan_sk
        where latest.member_id = m.member_id
        group by 1, 2, 3 order by 1, 2, 3
    """
    assert world.rows(joined.format(schema)) == world.rows(joined.format("warehouse")) != []


@pytest.mark.parametrize(
    "report", ["paid_by_broker_as_was", "paid_by_broker_as_is", "covered_on_a_day"]
)
def test_a_report_that_joins_members_reads_no_more_tables_than_the_owners(world, report):
    question = report_queries.reports()[report].question
    login, password = logins.trial(world.connection, logins.role_of("analyst"), [], None)
    address = make_conninfo(world.url, user=login, password=password)
    with psycopg.connect(address, autocommit=True) as analyst:
        plan = str(analyst.execute(f"explain {question}").fetchall())
    logins.drop(world.connection, login)
    path = ", ".join(LIVE.schemas.readers_path)
    with world.connection.transaction(force_rollback=True):
        world.connection.execute(f"set local search_path to {path}")
        owners = str(world.rows(f"explain {question}"))
    read = len(re.findall(r" on dim_member_limited\b", plan))
    assert read == len(re.findall(r" on dim_member\b", owners)) > 0
    assert not re.search(r" on (member_key|member_crosswalk|dim_member)\b", plan)


READERS = [("analyst", LIMITED), ("deid", SAFE_HARBOR), ("scoped", "scoped")]


@pytest.mark.parametrize(("role", "schema"), READERS)
def test_a_question_about_one_code_reads_no_table_whole_but_as_the_owners_does(world, role, schema):
    codes = Codes.read(world.connection, LIMITED if schema == "scoped" else schema)
    (key,) = world.column(
        "select max(member_sk) from warehouse.dim_member where member_id = 'ZZ-moves'"
    )
    asked = {
        "member_id": ("ZZ-moves", codes.of_person["ZZ-moves"]),
        "member_sk": (str(key), str(codes.of_key[key])),
    }
    states = ["FL", "OH"] if role == "scoped" else []
    login, password = logins.trial(world.connection, logins.role_of(role), states, None)
    looked_at = set()
    with psycopg.connect(
        make_conninfo(world.url, user=login, password=password), autocommit=True
    ) as reader:
        for relation in relations(world.connection, schema):
            for column, (number, code) in asked.items():
                if column in masked_rows.columns(reader, f"{schema}.{relation}"):
                    own = read_whole(world.connection, source(relation), column, number)
                    found = read_whole(reader, f"{schema}.{relation}", column, code)
                    assert found - {"login_state"} <= own, (relation, column)
                    looked_at.add(relation)
    logins.drop(world.connection, login)
    assert {"claim", "claims_daily_member", "dim_member", "member_timeline"} < looked_at


def read_whole(
    connection: psycopg.Connection[Any], relation: str, column: str, value: str
) -> set[str]:
    """The tables that have no index by which a question finds the rows of a value."""
    question = f"explain select * from {relation} where {column} = '{value}'"
    with connection.transaction(force_rollback=True):
        connection.execute("set local enable_seqscan = off")
        plan = connection.execute(question).fetchall()
    return set(re.findall(r"Seq Scan on (\w+)", str(plan)))


def test_the_planner_knows_how_often_reports_find_a_status(world):
    known = world.column(
        "select s.tablename from pg_stats_ext_exprs as s where s.schemaname = 'internal'"
        " and s.expr like 'lower(COALESCE(status, %' and s.n_distinct is not null"
    )
    months = world.column(
        "select c.relname from pg_class as c join pg_inherits as i on c.oid = i.inhrelid"
        " where i.inhparent = 'warehouse.fact_claim'::regclass"
    )
    assert sorted(known) == sorted(months) != []


@pytest.mark.parametrize("schema", [LIMITED, SAFE_HARBOR])
def test_sums_and_counts_are_those_of_the_owner(world, schema):
    for relation in relations(world.connection, schema):
        if schema == SAFE_HARBOR and relation in CUBES_OF_MANY:
            continue
        numbers = world.column(
            "select attname from pg_attribute where attrelid = "
            f"'{schema}.{relation}'::regclass and atttypid = 'numeric'::regtype order by 1"
        )
        asked = ", ".join(["count(*)", *(f"sum({column})" for column in numbers)])
        shown = world.rows(f"select {asked} from {schema}.{relation}")
        withheld = masked_rows.AREAS | masked_rows.DURATIONS if schema == SAFE_HARBOR else set()
        kept = [n for n in numbers if n not in withheld]
        asked = ", ".join(["count(*)", *(f"sum({column})" for column in kept)])
        shown = world.rows(f"select {asked} from {schema}.{relation}")
        assert shown == world.rows(f"select {asked} from {source(relation)}"), relation


@pytest.mark.slow
def test_codes_are_the_same_after_a_full_load(world):
    before = [Codes.read(world.connection, schema) for schema in (LIMITED, SAFE_HARBOR)]
    asked = "select member_id, count(*) from limited.dim_member group by 1 order by 1"
    shown = world.rows(asked)
    world.rebuild()
    after = [Codes.read(world.connection, schema) for schema in (LIMITED, SAFE_HARBOR)]
    assert [codes.of_person for codes in after] == [codes.of_person for codes in before]
    assert world.rows(asked) == shown


@pytest.mark.slow
def test_as_known_is_masked_as_known_at_the_point_of_each_load(world):
    loads = world.column("select load_id from ledger.load where status = 'loaded' order by 1")
    assert len(loads) == 3
    seen = []
    for load in loads:
        with login_of(world.connection, world.url, "aca_analyst") as analyst:
            analyst.execute("select limited.as_known_at(%s::bigint)", [load])
            shown = {
                name: masked_rows.rows(analyst, f"limited_as_known.{name}")
                for name in relations(world.connection, "limited_as_known")
            }
            analyst.execute("select limited.as_known_now()")
            present = masked_rows.rows(analyst, "limited_as_known.fact_claim")
        codes = Codes.read(world.connection, LIMITED)
        with world.connection.transaction(force_rollback=True):
            world.connection.execute("select warehouse.as_known_at(%s::bigint)", [load])
            for name, found in shown.items():
                owners = masked_rows.rows(world.connection, f"as_known.{name}")
                wanted = [masked(name, row, codes) for row in owners]
                assert counted(found) == counted(wanted), (load, name)
        assert counted(present) == counted(expected(world.connection, LIMITED, "fact_claim"))
        seen.append(len(shown["fact_claim"]))
    assert seen == sorted(set(seen))


def direct_values(world: Warehouse) -> set[str]:
    """What names a member by itself, of now and of before.

    Of names those that no provider and no place has.
    """
    found: set[str] = set()
    for table in ("warehouse.dim_member", "internal.dim_member_past", "staging.members_raw"):
        for column in ("member_id", "street", "phone", "email", "first_name", "last_name"):
            found |= set(world.column(f"select distinct {column} from {table}"))
    public = " ".join(
        world.column("select concat(name, city, street, phone) from warehouse.dim_provider")
    )
    cities = set(world.column("select distinct city from staging.members_raw"))
    found -= {None, "x", "(unknown)", *cities}
    return {value for value in found if value not in public}


def test_no_value_that_names_a_person_is_in_a_masked_schema(world):
    direct = direct_values(world)
    assert {"Methuselah", "Wandersby", "ZZ-moves", "m@q"} < direct
    for schema in ("limited", "limited_as_known", "safe_harbor"):
        for relation in relations(world.connection, schema):
            for row in masked_rows.rows(world.connection, f"{schema}.{relation}"):
                assert direct.isdisjoint(map(str, row.values())), (schema, relation)
                assert not re.search(r"Methuselah|Wandersby|ZZ-|m@q", str(row)), (schema, relation)


@pytest.mark.slow
@pytest.mark.parametrize("role", ["aca_analyst", "aca_analyst_scoped", "aca_analyst_deid"])
def test_the_catalog_and_errors_name_nobody(world, role):
    world.connection.execute("analyze")
    direct = {v for v in direct_values(world) if re.search(r"\d|@|-|Methus|Wanders", v)}
    with login_of(world.connection, world.url, role, ["FL"]) as reader:
        statistics = reader.execute("select * from pg_stats").fetchall()
        assert not {row[0] for row in statistics} & {"warehouse", "staging", "cubes", "as_known"}
        said = [str(statistics), str(reader.execute("select * from pg_stats_ext").fetchall())]
        said += map(str, reader.execute("select definition from pg_views").fetchall())
        said += map(str, reader.execute("select description from pg_description").fetchall())
        for schema, relation, column in reader.execute(
            "select table_schema, table_name, column_name from information_schema.columns"
            " where table_schema in ('limited', 'limited_as_known', 'scoped', 'safe_harbor')"
        ).fetchall():
            for asked in (
                f"select sum({column}::text::integer) from {schema}.{relation}",
                f"select sum(1 / ({column} is null)::integer) from {schema}.{relation}",
                f"insert into {schema}.{relation} ({column}) values (null)",
                f"insert into {schema}.{relation} ({column}) select null on conflict do nothing",
                f"update {schema}.{relation} set {column} = null",
            ):
                try:
                    reader.execute(asked)
                except psycopg.Error as error:
                    said.append(f"{error} {error.diag.message_detail} {error.diag.context}")
        for asked in (
            "insert into access.member_crosswalk (member_id) values ('ZZ-moves')",
            "insert into access.member_key values (1, 1, 1)",
            "select * from access.member_crosswalk",
            "table warehouse.dim_member",
            "select warehouse.known_load(9::bigint)",
            "select * from warehouse.dim_member_as_known_at(1)",
        ):
            with pytest.raises(psycopg.Error) as refused:
                reader.execute(asked)
            said.append(f"{refused.value} {refused.value.diag.message_detail}")
    everything = "\n".join(said)
    assert not sorted(value for value in direct if value in everything)


STATES = ("FL",)


def in_scope(connection: psycopg.Connection[Any], relation: str) -> list[Row]:
    """The rows of a relation that a login with these states has to see, before they are masked."""
    found = masked_rows.rows(connection, source(relation))
    members = masked_rows.rows(connection, "warehouse.dim_member")
    states = {m["member_sk"]: m["state"] for m in members}
    if relation == "dim_member_as_is":
        found = [row for row in found if states[row["member_sk"]] in STATES]
    if relation.startswith("dim_member") or relation == "dim_geography":
        return [row for row in found if row["state"] in STATES]
    if relation.startswith(("fact_", "bridge_")) or relation in MARTS:
        return [row for row in found if states[row["member_sk"]] in STATES]
    if relation in CUBES and "state" in found[0]:
        return [row for row in found if row["state"] in STATES]
    if relation in CUBES:
        day = next(column for column in ("service_date", "month") if column in found[0])
        return [
            row
            for row in found
            if any(
                m["member_id"] == row["member_id"]
                and m["validity_start_ts"].date() <= row[day] < m["validity_end_ts"].date()
                and m["state"] in STATES
                for m in members
            )
        ]
    return found


def test_a_login_sees_the_rows_of_its_states_and_no_other(world):
    codes = Codes.read(world.connection, LIMITED)
    with login_of(world.connection, world.url, "aca_analyst_scoped", STATES) as reader:
        shown = relations(world.connection, "scoped")
        assert {"dim_member_as_is", "fact_claim", "claims_daily_member"} < set(shown)
        for relation in shown:
            found = counted(masked_rows.rows(reader, f"scoped.{relation}"))
            rows = in_scope(world.connection, relation)
            assert found == counted([masked(relation, row, codes) for row in rows]), relation
        # One who moved away is there until then.
        moved = codes.of_person["ZZ-moves"]
        claims = reader.execute(
            "select claim_id from scoped.fact_claim as f inner join scoped.dim_member as m"
            " on f.member_sk = m.member_sk where m.member_id = %s order by 1",
            [moved],
        ).fetchall()
        assert claims == [("m2",), ("m3",)]
        days = "select count(*) from scoped.claims_daily_member where member_id = %s"
        assert reader.execute(days, [moved]).fetchone() == (2,)


def test_a_login_without_a_state_sees_nobody(world):
    with login_of(world.connection, world.url, "aca_analyst_scoped") as reader:
        for relation in relations(world.connection, "scoped"):
            if relation.startswith(masked_rows.OF_NOBODY):
                continue
            asked = f"select count(*) from scoped.{relation}"
            assert reader.execute(asked).fetchone() == (0,), relation


PEEK = """
    create function pg_temp.peek(value text) returns boolean language plpgsql cost 0.0000001
    as $$ begin raise notice 'seen: %', value; return true; end $$;
    create function pg_temp.peek_two(value text, other text) returns boolean language plpgsql
    cost 0.0000001 as $$ begin raise notice 'seen: %', value; return true; end $$;
    create operator pg_temp.<<<< (leftarg = text, rightarg = text, function = pg_temp.peek_two);
"""


@pytest.mark.parametrize(
    "question",
    [
        "select count(*) from scoped.{0} as s where pg_temp.peek(s::text)",
        "select count(*) from scoped.{0} as s where s::text operator(pg_temp.<<<<) 'x'",
        "select count(*) from (values (1)) as v left join scoped.{0} as s on pg_temp.peek(s::text)",
        "select count(v.x) from scoped.{0} as s left join (values (1), (2)) as v (x)"
        " on pg_temp.peek(s::text)",
        "select count(*) from scoped.dim_plan as p left join scoped.{0} as s"
        " on pg_temp.peek(s::text) and p.plan_sk = 0",
        "select (select count(*) from scoped.{0} as s where pg_temp.peek(s::text)) from"
        " generate_series(1, 2)",
        "select count(*) filter (where pg_temp.peek(s::text)) from scoped.{0} as s",
    ],
)
@pytest.mark.parametrize(
    "relation",
    [
        *("dim_member", "dim_member_as_is", "claims_daily_member", "member_month"),
        *("member_timeline", "claim", "enrollment"),
    ],
)
def test_a_function_of_a_reader_sees_no_row_that_it_may_not(world, relation, question):
    codes = Codes.read(world.connection, LIMITED)
    with login_of(world.connection, world.url, "aca_analyst_scoped", STATES) as reader:
        seen: list[str] = []
        reader.add_notice_handler(lambda said: seen.append(str(said.message_primary)))
        reader.execute(PEEK)
        reader.execute(question.format(relation))
    visible = {
        codes.of_person.get(row["member_id"], "(unknown)")
        for row in in_scope(world.connection, relation)
    }
    named = {code for line in seen for code in codes.of_person.values() if code and code in line}
    assert named <= visible
    assert named, "it was not called"


# It calls a function on identified tables, as the page says.
ONLY_IDENTIFIED = "claims_changed_since_a_load"


@pytest.mark.parametrize("name", report_queries.reports())
def test_a_documented_report_answers_an_analyst_as_the_owner(world, name):
    report = report_queries.reports()[name]
    with login_of(world.connection, world.url, "aca_analyst") as analyst:
        analyst.execute("set search_path = limited, public")
        if name == ONLY_IDENTIFIED:
            with pytest.raises(psycopg.errors.UndefinedFunction):
                report.ask(analyst)
            return
        found = Counter(map(repr, report.ask(analyst)))
    with connect(world.url, "test") as owner:
        set_config(owner, "search_path", ", ".join(LIVE.schemas.readers_path), is_local=False)
        assert found == Counter(map(repr, report.ask(owner)))


@pytest.mark.parametrize("role", ROLES)
def test_every_role_may_ask_for_the_day_of_the_data(world, role):
    """A report on what is visible to a role is not refused for a function that it calls."""
    states = STATES if role == "aca_analyst_scoped" else []
    with login_of(world.connection, world.url, role, states) as reader:
        ((day,),) = reader.execute("select mart.as_of()").fetchall()
        reader.execute(f"set search_path = {', '.join(ROLES[role].path)}")
        months = report_queries.reports()["backlog"].ask(reader)
    assert str(day) == "2026-02-28"
    assert months
