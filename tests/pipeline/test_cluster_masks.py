"""Masks on a cluster with Citus: what a login can have nodes do, and what masked roles read.

Without the library of Citus these tests are skipped (docs/testing.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from etl.access.roles import ROLES
from etl.db.connection import connect
from etl.schema import grants
from etl.server import own_texts
from tests.support import citus
from tests.support.access import login_of, tables_behind
from tests.support.rehearsed import FIRST, send
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.cluster

# Ways to have a node run a text, tried by a login that may do nothing.
TEXTS = (
    "select run_command_on_workers('select 1')",
    "select run_command_on_all_nodes('select 1')",
    "select run_command_on_coordinator('select 1')",
    "select run_command_on_shards('pg_class', 'select 1')",
    "select run_command_on_placements('pg_class', 'select 1')",
    "select run_command_on_colocated_placements('pg_class', 'pg_class', 'select 1')",
    "select master_run_on_worker(array['127.0.0.1'], array[1], array['select 1'], false)",
    "select citus_run_local_command('select 1')",
    "select create_intermediate_result('r', 'select 1')",
    "select broadcast_intermediate_result('r', 'select 1')",
    "select * from worker_partition_query_result("
    "'r', 'select 1', 0, 'hash', '{0}', '{1}', false, false)",
    "select * from worker_save_query_explain_analyze('select 1', '{}') as (a integer)",
    "select worker_apply_shard_ddl_command(1, 'select 1')",
    "select alter_role_if_exists('aca_owner', 'alter role aca_owner superuser')",
)


@pytest.fixture(scope="module")
def url(server_folder: Path) -> Iterator[str]:
    """The address of a coordinator with two workers."""
    with citus.coordinator(server_folder) as url:
        yield url


def test_nobody_but_who_loads_has_a_node_run_a_text(url: str) -> None:
    with connect(url, "test") as owner:
        grants.make_roles(owner)
        assert own_texts.open_functions(owner) == set()
        owner.execute("set role aca_analyst")
        for text in TEXTS:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                owner.execute(text)
        owner.execute("set role aca_loader")
        call = "query_to_xml(text, boolean, boolean, text)"
        asked = f"select has_function_privilege('aca_loader', '{call}', 'execute')"
        there = owner.execute("select result from run_command_on_workers(%s)", [asked]).fetchall()
        assert there == [("t",), ("t",)]


def test_functions_of_a_version_that_is_not_known_are_taken(url: str) -> None:
    # Each that everybody keeps was looked at; of the rest nobody but the owner has any.
    with connect(url, "test") as owner:
        kept = owner.execute(
            """
            select array_agg(distinct p.proname::text)
            from pg_proc as p
            inner join pg_depend as d on p.oid = d.objid and d.classid = 'pg_proc'::regclass
            inner join pg_extension as e on d.refobjid = e.oid
                and d.refclassid = 'pg_extension'::regclass
            where e.extname ~ '^citus' and has_function_privilege('public', p.oid, 'execute')
            """
        ).fetchone()
        assert kept is not None
        assert set(kept[0]) == set(own_texts.KEPT)
        # As the next version of Citus may, or a node that was added.
        owner.execute("grant execute on function run_command_on_workers to public")
        assert not own_texts.are_closed(owner)
        assert own_texts.close(owner)
        assert own_texts.are_closed(owner)


def test_what_of_postgresql_runs_a_text_is_known(url: str) -> None:
    # By what such functions are made of; another major version may have more.
    with connect(url, "test") as owner:
        found = owner.execute(
            """
            select current_setting('server_version_num')::integer / 10000,
                array_agg(distinct proname::text order by proname::text)
            from pg_proc
            where pronamespace = 'pg_catalog'::regnamespace
                and (prosrc ~ '_to_xml|^ts_stat|^tsquery_rewrite|^currtid')
            """
        ).fetchone()
        assert found == (18, sorted(own_texts.TAKEN))


def test_role_that_may_not_take_functions_leaves_them(url: str) -> None:
    with connect(url, "test") as owner:
        owner.execute("grant execute on function citus_run_local_command to public")
        owner.execute("set role aca_loader")
        assert not own_texts.close(owner)
        owner.execute("reset role")
        assert own_texts.close(owner)


def test_masked_roles_can_make_nothing_that_nodes_would_be_sent(url: str) -> None:
    with connect(url, "test") as owner:
        for role in ROLES:
            may = owner.execute(
                "select has_database_privilege(%s, current_database(), 'create'), "
                "has_schema_privilege(%s, 'public', 'create')",
                [role, role],
            ).fetchone()
            assert may == (False, False)


# Of a member number, as files have it, in what Citus keeps of a step.
RAW = (
    "select count(*) from {schema}.claims_daily_member as m, {schema}.fact_claim as c",
    "select count(*) from {schema}.member_month as m, {schema}.dim_diagnosis as c",
    "with m as materialized (select * from {schema}.member_month) "
    "select count(*) from m, {schema}.claim as c",
)
STEPS = [f"{plan}_{step}" for plan in range(1, 30) for step in (1, 2, 3)]


def test_masked_roles_reach_nothing_that_citus_plans(url: str, tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    with connect(url, "test") as owner:
        one = Warehouse(url, tmp_path / "inbox", tmp_path / "data", owner)
        send(FIRST, one)
        one.rebuild()
        placed = {
            name
            for (name,) in owner.execute(
                "select format('%s.%s', c.relnamespace::regnamespace, c.relname) "
                "from pg_dist_partition as p inner join pg_class as c on p.logicalrelid = c.oid"
            )
        }
        assert "warehouse.fact_claim" in placed
        for role, schema in (
            ("aca_analyst", "limited"),
            ("aca_auditor", "limited"),
            ("aca_analyst_scoped", "scoped"),
            ("aca_analyst_deid", "safe_harbor"),
        ):
            assert not tables_behind(owner, role) & placed, role
            with login_of(owner, url, role, ["FL"]) as login:
                require_no_step(login, schema)
                require_no_own_table(login, placed)


def require_no_step(login: psycopg.Connection, schema: str) -> None:
    """No statement leaves behind what stands below a mask, also where it fails."""
    with login.transaction(force_rollback=True):
        for text in RAW:
            with suppress(psycopg.errors.FeatureNotSupported), login.transaction():
                login.execute(text.format(schema=schema).encode())
        for step in STEPS:
            with (
                pytest.raises(psycopg.Error, match=r"could not (open|stat) file"),
                login.transaction(),
                login.cursor() as cursor,
                cursor.copy(f'copy "{step}" to stdout with (format result)'.encode()) as copied,
            ):
                assert not any(copied), step


def require_no_own_table(login: psycopg.Connection, placed: set[str]) -> None:
    """No table of one's own is one of Citus."""
    login.execute("set citus.use_citus_managed_tables = on")
    login.execute("create temporary table own (a integer primary key)")
    found = login.execute("select count(*) from pg_dist_partition").fetchone()
    assert found is not None
    assert found[0] == len(placed)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login.execute("select create_reference_table('own')")
    login.execute("drop table own")
