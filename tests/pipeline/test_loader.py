"""Loads run as aca_loader, which is no superuser, owns the tables and sees every row."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from etl.db.connection import connect
from etl.db.statements import run
from etl.errors import ServerError
from etl.pipeline import commands
from etl.pipeline.status import overview
from etl.schema import loader
from tests.support.managed import Managed
from tests.support.warehouse import CopyOf, Warehouse

# Whatever is in the schemas of the warehouse, and does not belong to the loader.
OF_OTHERS = """
    with schemas as (
        select oid, nspname, nspowner from pg_namespace
        where nspname ~ '^(staging|warehouse|cubes|as_known|limited|limited_as_known|scoped'
            '|safe_harbor|ledger|quality|access|audit)(_|$)'
    )
    select identity from (
        select nspname as identity, nspowner as owner from schemas
        union all
        select c.oid::regclass::text, c.relowner from pg_class as c
        join schemas as s on c.relnamespace = s.oid
        union all
        select p.oid::regprocedure::text, p.proowner from pg_proc as p
        join schemas as s on p.pronamespace = s.oid
        union all
        select t.oid::regtype::text, t.typowner from pg_type as t
        join schemas as s on t.typnamespace = s.oid
        union all
        select x.stxname::text, x.stxowner from pg_statistic_ext as x
        join schemas as s on x.stxnamespace = s.oid
        union all
        select 'public.alembic_version', relowner from pg_class
        where oid = 'public.alembic_version'::regclass
    ) as found
    where pg_get_userbyid(owner) <> 'aca_loader'
"""
ACTS_AS = "select current_user, current_setting('is_superuser'), current_setting('row_security')"


def send(warehouse: Warehouse, day: str) -> None:
    """A batch of a member, with a plan, a claim and an enrollment."""
    claim = "claim_id | member_id | plan_id | provider_id | service_date\n"
    enrollment = "enrollment_id | member_id | plan_id | start_date\n"
    warehouse.send(
        f"2025-01-{day}",
        members=f"member_id | state \n M{day} | FL",
        plans="plan_id | metal_tier \n P | Silver",
        claims=f"{claim} c{day} | M{day} | P | R | 2025-01-{day}",
        enrollments=f"{enrollment} e{day} | M{day} | P | 2025-01-01",
    )


def give_all_to(connection: psycopg.Connection, login: str) -> None:
    """Let everything belong to a login, as in a warehouse from before there was a loader."""
    values = {"role": login, **loader._SCHEMAS}
    for (statement,) in run(connection, "access/loader.of_others", values).fetchall():
        connection.execute(statement)
    assert len(connection.execute(OF_OTHERS).fetchall()) > 300


def load_and_rebuild(warehouse: Warehouse) -> None:
    send(warehouse, "10")
    warehouse.rebuild()


@pytest.fixture
def loaded(copy_of: CopyOf) -> Warehouse:
    return copy_of(load_and_rebuild)


@pytest.mark.slow
def test_every_session_of_a_run_acts_as_the_loader_and_owns_what_it_makes(
    warehouse: Warehouse,
) -> None:
    send(warehouse, "10")
    with warehouse.pipeline(checks=None) as pipeline:
        summary = commands.full_load(pipeline)
        with connect(pipeline.url, "test") as another:
            for session in (pipeline.ledger, pipeline.work, another):
                assert session.execute(ACTS_AS).fetchone() == ("aca_loader", "off", "off")
    assert summary.checks is not None
    assert summary.checks.failed_critical == 0
    assert warehouse.column(OF_OTHERS) == []
    assert warehouse.rows(
        "select rolcanlogin, rolsuper, rolbypassrls, rolcreaterole from pg_roles"
        " where rolname = 'aca_loader'"
    ) == [(False, False, False, False)]
    send(warehouse, "11")
    warehouse.incremental()
    assert warehouse.column(OF_OTHERS) == []
    said = warehouse.overview().loader
    assert said.startswith("aca_loader loads and owns the tables; the login aca_owner is a super")


@pytest.mark.slow
def test_policies_of_people_change_nothing_for_a_load(loaded: Warehouse) -> None:
    policies = "".join(
        f"create policy hidden on {table} as {kind} using (false);"
        f"alter table {table} enable row level security;"
        for kind, table in (
            ("restrictive", "staging.members_raw"),
            ("restrictive", "staging.claims_raw"),
            ("restrictive", "warehouse.dim_member"),
            ("permissive", "warehouse.dim_plan"),
            ("restrictive", "warehouse.fact_claim"),
            ("permissive", "ledger.load"),
            ("restrictive", "quality.check_result"),
        )
    )
    loaded.connection.execute(policies)
    before = loaded.contents()
    send(loaded, "11")
    loaded.incremental()
    after = loaded.contents()
    for table, more in (("dim_member", 1), ("dim_plan", 0), ("fact_claim", 1)):
        assert len(after[table]) == len(before[table]) + more
    loaded.rebuild()
    assert {k: len(v) for k, v in loaded.contents().items()} == {
        k: len(v) for k, v in after.items()
    }


@pytest.mark.slow
def test_row_security_that_is_forced_is_refused_and_never_hides_rows(loaded: Warehouse) -> None:
    loaded.connection.execute(
        "alter table warehouse.dim_member force row level security;"
        "create policy hidden on warehouse.dim_member as restrictive using (false)"
    )
    send(loaded, "11")
    with pytest.raises(ServerError, match=r"every row of warehouse\.dim_member") as caught:
        loaded.incremental()
    assert caught.value.message.startswith("The role aca_loader lacks rights")
    assert loaded.column("select member_id from warehouse.dim_member where member_sk > 0") == [
        "M10"
    ]
    loaded.connection.execute(caught.value.hint.partition(": ")[2])
    with loaded.pipeline() as pipeline:
        loaded.connection.execute("alter table warehouse.dim_member force row level security")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            commands.run_stages(pipeline, ("stage", "dims"))
    loaded.connection.execute("alter table warehouse.dim_member no force row level security")
    loaded.incremental()
    assert loaded.value("select count(*) from warehouse.dim_member where member_sk > 0") == 2


HAND_MADE = """
    create table quality.mine as select 1 as one;
    create view ledger.mine as select count(*) from ledger.load;
    create function quality.mine() returns integer language sql return 1;
    drop view limited.dim_plan_current;
    create view limited.dim_plan_current as select * from limited.dim_plan where false;
    create view public.own as select provider_id from warehouse.dim_provider;
    create index own on warehouse.dim_provider (name);
    create statistics quality.own on load_id, feed from ledger.load_file;
    grant select on warehouse.dim_plan to public;
"""


@pytest.mark.slow
def test_what_a_superuser_makes_by_hand_fails_no_load(loaded: Warehouse) -> None:
    loaded.connection.execute(HAND_MADE)
    send(loaded, "11")
    loaded.incremental()
    assert loaded.value("select count(*) > 0 from limited.dim_plan_current where plan_id = 'P'")

    def make_one() -> None:
        """What comes while a rebuild is checked is in the build that is replaced."""
        loaded.connection.execute(
            "create materialized view cubes.mine as select 1 as one;"
            "create table staging.mine as select 1 as one"
        )

    with loaded.pipeline(checks=make_one) as pipeline:
        notes = "\n".join(commands.full_load(pipeline).notes)
    assert "staging_retired.mine was put into the warehouse" in notes
    assert loaded.value("select count(*) from public.own") == loaded.value(
        "select count(*) from warehouse.dim_provider"
    )
    assert loaded.column("select pg_get_userbyid(relowner) from pg_class where relname = 'own'"
                         " and relkind = 'v'") == ["aca_owner"]  # fmt: skip
    assert loaded.value("select has_table_privilege('public', 'warehouse.dim_plan', 'select')")
    send(loaded, "12")
    loaded.incremental()
    assert loaded.column(OF_OTHERS) == []
    assert loaded.rows("select one from quality.mine") == [(1,)]


@pytest.mark.slow
def test_a_warehouse_of_a_superuser_is_handed_over_unless_somebody_reads_it(
    loaded: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "_HAND_OVER_SECONDS", 0.3)
    give_all_to(loaded.connection, "aca_owner")
    owned = len(loaded.column(OF_OTHERS))
    with psycopg.connect(loaded.url) as reader:
        reader.execute("select count(*) from warehouse.dim_member")
        send(loaded, "11")
        with loaded.pipeline() as pipeline:
            assert pipeline.ledger.execute(ACTS_AS).fetchone() == ("aca_owner", "on", "off")
            commands.run_stages(pipeline, ("stage", "dims", "facts"))
        assert len(loaded.column(OF_OTHERS)) >= owned
    said = loaded.overview().loader
    assert said.startswith("aca_owner owns the tables until the next run, which gives them to aca_")
    send(loaded, "12")
    loaded.incremental()
    assert loaded.column(OF_OTHERS) == []
    assert loaded.value("select count(*) from warehouse.dim_member where member_sk > 0") == 3


@pytest.fixture
def plain(managed: Managed) -> Iterator[Managed]:
    """A warehouse whose owner is no superuser; what it was granted is taken from it again."""
    yield managed
    managed.server.execute(f"alter role {managed.owner} nocreaterole")
    managed.server.execute(f"revoke aca_loader from {managed.owner}")


@pytest.mark.slow
def test_an_owner_who_may_not_act_as_the_loader_loads_and_status_says_what_to_grant(
    plain: Managed,
) -> None:
    plain.server.execute("do $$ begin create role aca_loader; exception when others then end $$")
    send(plain, "10")
    plain.rebuild()
    owner, said = plain.owner, overview(plain.address, plain.inbox, None).loader
    assert said.startswith(
        f"{owner} loads and owns the tables; for aca_loader to do so a superuser"
    )
    made = plain.contents()
    plain.admin.execute(said.partition("runs: ")[2])
    send(plain, "11")
    plain.incremental()
    assert plain.column(OF_OTHERS) == []
    assert (
        overview(plain.address, plain.inbox, None).loader == "aca_loader loads and owns the tables"
    )
    plain.connection.execute(
        "create schema own; create view own.v as select * from warehouse.dim_member;"
        "create table quality.mine as select 1 as one"
    )
    plain.rebuild()
    assert plain.column(OF_OTHERS) == []
    assert plain.value("select count(*) from own.v where member_sk > 0") == 2
    assert (
        plain.value("select pg_get_userbyid(relowner) from pg_class where relname = 'v'") == owner
    )
    assert len(plain.contents()["fact_claim"]) == len(made["fact_claim"]) + 1


@pytest.mark.slow
def test_an_owner_who_may_make_roles_becomes_the_loader_by_itself(plain: Managed) -> None:
    plain.server.execute(f"alter role {plain.owner} createrole")
    plain.server.execute(f"grant aca_loader to {plain.owner} with admin option")
    send(plain, "10")
    with plain.pipeline() as pipeline:
        assert pipeline.work.execute(ACTS_AS).fetchone() == ("aca_loader", "off", "off")
        commands.full_load(pipeline)
    assert plain.column(OF_OTHERS) == []


def test_loader_that_nodes_do_not_let_in_leaves_loads_to_the_login(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "is_cluster", lambda _: True)
    with connect(warehouse.url, "test") as connection:
        loader.become(connection, warehouse.url)
        assert connection.execute("select current_user = session_user").fetchone() == (True,)
        monkeypatch.setattr(loader, "is_cluster", lambda _: False)
        loader.become(connection, warehouse.url)
        assert connection.execute("select current_user").fetchone() == (loader.LOADER,)
