"""What people built on the warehouse, whose owner is no superuser, never makes a load fail."""

from __future__ import annotations

import psycopg
import pytest

from etl.db.connection import connect
from etl.errors import UsageError
from etl.pipeline import commands
from etl.schema import dependents
from etl.schema.build import kept_builds
from tests.support.managed import Managed

ANALYST = "managed_analyst"

# Kinds of views that the owner creates; each is counted by its providers.
FOLLOW = {
    "plain": "create view {s}.v as select provider_id from warehouse.dim_provider",
    "star": "create view {s}.v as select * from warehouse.dim_provider",
    "whole_row": "create view {s}.v as select p from warehouse.dim_provider as p",
    "whole_row_as_text": "create view {s}.v as select p::text from warehouse.dim_provider as p",
    "row_in_array": "create view {s}.v as select array[p] as r from warehouse.dim_provider as p",
    "staging": "create view {s}.v as select * from staging.providers_raw where load_id >= 0",
    "domain_column": "create view {s}.v as select provider_id as key from staging.providers_raw",
    "barrier": "create view {s}.v with (security_barrier, security_invoker) as"
    " select name from warehouse.dim_provider",
    "function": "create view {s}.v as select provider_sk from warehouse.dim_provider_as_known_at("
    "(select max(load_id) from ledger.load where status = 'loaded'))",
    "view_of_ours": "create view {s}.v as select * from warehouse.dim_provider_current",
    "columns_renamed": "create view {s}.v (a, b) as"
    " select provider_id, name from warehouse.dim_provider",
    "recursive": "create recursive view {s}.v (k) as select provider_sk from"
    " warehouse.dim_provider union select k from v where false",
    "quoted": 'create view {s}."V, ""x""" as select provider_id from warehouse.dim_provider',
    "as_known": "create view {s}.v as select provider_id from as_known.dim_provider",
    "chain": "create view {s}.v as select provider_id from warehouse.dim_provider;"
    " create view {s}.w as select * from {s}.v",
}
# Views that cannot follow a full load: they still read the old build.
STAY = {
    "types_with_a_chain": "create view {s}.v as select * from staging.providers_raw;"
    " create view {s}.w as select provider_id from {s}.v",
    "materialized": "create materialized view {s}.v as select * from warehouse.dim_provider",
    "function_with_body": "create function {s}.f() returns bigint language sql begin atomic"
    " select count(*) from warehouse.dim_provider; end;"
    " create view {s}.v as select provider_sk from warehouse.dim_provider limit {s}.f()",
}


def send(managed: Managed, day: str, *names: str) -> None:
    managed.send(day, providers=[{"provider_id": n, "name": n} for n in names])


def count(connection: psycopg.Connection, view: str) -> int:
    return connection.execute(f"select count(*) from {view} as v").fetchone()[0]


def views_in(connection: psycopg.Connection) -> list[str]:
    """Views and materialized views in schemas of people, as they are written in SQL."""
    return [
        name
        for (name,) in connection.execute(
            "select format('%I.%I', n.nspname, c.relname) from pg_class as c"
            " inner join pg_namespace as n on c.relnamespace = n.oid"
            " where c.relkind in ('v', 'm') and n.nspname ~ '^(own|their)_' order by 1"
        )
    ]


@pytest.fixture
def loaded(managed: Managed) -> Managed:
    """A loaded warehouse of one provider, and an analyst who may read it."""
    send(managed, "2025-01-10", "A")
    assert managed.rebuild().notes == []
    managed.login(ANALYST)
    managed.connection.execute(
        "grant usage on schema warehouse, internal, staging, cubes, as_known, ledger"
        " to managed_analyst;"
        "grant select on all tables in schema warehouse, internal, staging, cubes, as_known, ledger"
        " to managed_analyst;"
        "grant create on database managed to managed_analyst"
    )
    return managed


def analyst_of(managed: Managed) -> psycopg.Connection:
    return connect(f"{managed.address} user={ANALYST}", "tool of an analyst")


@pytest.mark.slow
def test_views_of_the_owner_follow_a_full_load_whatever_they_read(loaded: Managed) -> None:
    for kind, made in (FOLLOW | STAY).items():
        schema = f"own_{kind}"
        loaded.connection.execute(f"create schema {schema}; {made.format(s=schema)}")
        loaded.connection.execute(f"set search_path = {schema}")
    loaded.connection.execute(
        "grant usage on schema own_star to public; grant select on own_star.v to public;"
        "grant select on own_staging.v to managed_analyst;"
        "grant select (key) on own_domain_column.v to managed_analyst with grant option;"
        "comment on view own_staging.v is 'mine';"
        "comment on column own_staging.v.name is 'of it'"
    )
    before = {view: count(loaded.connection, view) for view in views_in(loaded.connection)}
    send(loaded, "2025-01-11", "B", "C")
    summary = loaded.rebuild()
    staying = {f"own_{kind}.{name}" for kind in STAY for name in "vw"} & set(before)
    for view, old in before.items():
        expected = old if view in staying else old + 2
        assert count(loaded.connection, view) == expected, view
    named = "\n".join(summary.notes)
    assert "function own_function_with_body.f()" in named
    for kind in STAY:
        assert f"own_{kind}." in named
        assert f"own_{kind}." in "\n".join(loaded.watcher.said)
    assert loaded.rows(
        "select obj_description('own_staging.v'::regclass), c.reloptions, c.relacl::text from"
        " pg_class as c where c.oid = 'own_barrier.v'::regclass"
    ) == [("mine", ["security_barrier=true", "security_invoker=true"], None)]
    assert loaded.rows("select col_description('own_staging.v'::regclass, 12)") != []
    assert loaded.rows(
        "select has_table_privilege('managed_analyst', 'own_staging.v', 'select'),"
        " has_column_privilege('managed_analyst', 'own_domain_column.v', 'key',"
        " 'select with grant option')"
    ) == [(True, True)]


@pytest.mark.slow
def test_views_of_another_role_fail_no_load_and_follow_once_granted(loaded: Managed) -> None:
    with analyst_of(loaded) as analyst:
        for kind, made in (FOLLOW | STAY).items():
            schema = f"their_{kind}"
            analyst.execute(f"create schema {schema}; {made.format(s=schema)}")
        loaded.admin.execute(
            "create schema boss;"
            "create view boss.v as select provider_id from warehouse.dim_provider"
        )
        analyst.execute("create temporary view passing as select * from warehouse.dim_provider")
        before = {view: count(analyst, view) for view in (*views_in(analyst), "passing")}
        for day in ("2025-01-11", "2025-01-12"):
            send(loaded, day, day)
            summary = loaded.rebuild()
            notes = "\n".join(summary.notes if day == "2025-01-12" else loaded.watcher.said)
            assert "view their_whole_row.v" in notes
            assert "(it belongs to managed_analyst): grant managed_analyst to managed_" in notes
            assert "view boss.v (it belongs to aca_owner): let aca_owner create" in notes
            assert {view: count(analyst, view) for view in before} == before
        # Of a replaced build only the tables that views read are kept.
        assert loaded.rows(
            "select count(*) from pg_class as c inner join pg_namespace as n"
            " on c.relnamespace = n.oid where n.nspname ~ '_(kept_1|retired)$'"
            " and c.relname in ('fact_claim', 'dim_member', 'claims_daily_member')"
        ) == [(0,)]
    loaded.admin.execute("grant managed_analyst to managed_owner; drop schema boss cascade")
    loaded.connection.execute("drop schema their_function_with_body cascade")
    loaded.connection.execute("drop schema their_materialized cascade")
    loaded.connection.execute("drop schema their_types_with_a_chain cascade")
    with loaded.pipeline() as pipeline:
        assert commands.tidy(pipeline).notes == []
    for view in views_in(loaded.connection):
        assert count(loaded.connection, view) == before[view] + 2, view
    assert kept_builds(loaded.connection) == []
    assert loaded.rows(
        "select distinct pg_get_userbyid(relowner) from pg_class where relname = 'v'"
    ) == [(ANALYST,)]


@pytest.mark.slow
def test_view_whose_definition_no_longer_fits_fails_no_load(
    loaded: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded.connection.execute(
        "create schema own; create view own.v as select name from warehouse.dim_provider;"
        "create view own.w as select name from warehouse.dim_provider"
    )
    replace = dependents._replace

    def no_longer_fits(connection: psycopg.Connection, view: dependents.View) -> None:
        if view.name == "v":
            connection.execute("select no_longer from warehouse.dim_provider")
        replace(connection, view)

    monkeypatch.setattr(dependents, "_replace", no_longer_fits)
    send(loaded, "2025-01-11", "B")
    (note,) = loaded.rebuild().notes
    assert "view own.v (it was in use, or its definition no longer fits)" in note
    assert (count(loaded.connection, "own.v"), count(loaded.connection, "own.w")) == (2, 3)


@pytest.mark.slow
def test_table_of_somebody_in_a_schema_of_the_warehouse_is_refused_by_name(loaded: Managed) -> None:
    """It would be dropped with the build that contains it."""
    loaded.connection.execute(
        "create table cubes.mine as select 1 as one; create view warehouse.ours as select 1 as one;"
        "create function as_known.f() returns integer language sql return 1;"
        "create sequence staging.numbers; create type warehouse.kind as enum ('a');"
        "alter table warehouse.dim_plan add column remark text"
    )
    with pytest.raises(UsageError) as caught:
        loaded.rebuild()
    for name in ("table cubes.mine", "view warehouse.ours", "function as_known.f()",
                 "sequence staging.numbers", "type warehouse.kind"):  # fmt: skip
        assert name in caught.value.message
        assert f"alter {name} set schema ...;" in caught.value.hint
    assert "column warehouse.dim_plan.remark" in caught.value.message
    loaded.connection.execute("create schema mine")
    for statement in caught.value.hint.partition("again: ")[2].split(";")[:-1]:
        loaded.connection.execute(statement.replace("...", "mine"))
    loaded.rebuild()
    assert loaded.value("select one from mine.mine") == 1


@pytest.mark.slow
def test_table_that_comes_while_a_full_load_runs_is_kept(loaded: Managed) -> None:
    def checks() -> None:
        loaded.connection.execute("create table cubes.late as select 7 as seven")

    with loaded.pipeline(checks=checks) as pipeline:
        summary = commands.full_load(pipeline)
    assert any("table cubes_retired.late" in note for note in summary.notes)
    assert loaded.value("select seven from cubes_retired.late") == 7
    assert (
        loaded.value("select count(*) from pg_class where relname = 'fact_claim' and relkind = 'p'")
        == 1
    )


@pytest.mark.slow
def test_full_load_keeps_a_copy_that_uses_types_of_the_warehouse(loaded: Managed) -> None:
    with analyst_of(loaded) as analyst:
        analyst.execute("create schema own; create table own.copy as table staging.providers_raw")
        analyst.execute("create temporary table passing as table staging.providers_raw")
        for _ in range(2):
            summary = loaded.rebuild()
            assert summary.notes == []
        assert analyst.execute("select provider_id from own.copy natural join passing") is not None
        assert count(analyst, "own.copy") == count(analyst, "passing") == 1


@pytest.mark.slow
def test_full_load_names_indexes_and_policies_that_it_does_not_carry_over(loaded: Managed) -> None:
    assert loaded.rebuild().notes == []
    loaded.connection.execute(
        "create index mine on warehouse.fact_claim (status);"
        "create statistics warehouse.mine on state, city from warehouse.dim_provider;"
        "create policy mine on cubes.claims_daily_member"
    )
    (note,) = loaded.rebuild().notes
    for name in (
        "index mine on warehouse.fact_claim",
        "statistics mine on warehouse.dim_provider",
        "policy mine on cubes.claims_daily_member",
    ):
        assert name in note
    assert loaded.rebuild().notes == []


@pytest.mark.slow
def test_cube_that_becomes_a_table_leaves_nothing_of_anybody_behind(loaded: Managed) -> None:
    loaded.connection.execute("drop table cubes.cost_month cascade")
    loaded.connection.execute("create materialized view cubes.cost_month as select 1 as one")
    assert loaded.rebuild().notes == []
