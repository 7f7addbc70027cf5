"""Masks on a cluster with Citus: what a login can have nodes do, and what masked roles read.

Without the library of Citus these tests are skipped (docs/testing.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl.access.roles import ROLES
from etl.db.connection import connect
from etl.schema import grants
from etl.server import own_texts
from tests.support import citus

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
        there = owner.execute(
            "select result from run_command_on_workers(%s)",
            [
                "select has_function_privilege('aca_loader', 'query_to_xml(text,boolean,boolean,text)'"
                ", 'execute')"
            ],
        ).fetchall()
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
