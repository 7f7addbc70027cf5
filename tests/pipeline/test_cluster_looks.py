"""Who may see persons reads claims of a cluster with Citus, and is noted for it.

Without the library of Citus these tests are skipped (docs/testing.md).
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from etl.access.roles import LOADER
from etl.db.connection import connect
from etl.docs import report_queries
from etl.schema import grants, layout
from etl.server import nodes, own_texts
from tests.support import citus
from tests.support.looking import Record, record
from tests.support.rehearsed import FIRST, send
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.cluster

OF_CLAIMS = ("mart.claim", "mart.claim_line", "mart.claim_diagnosis")
# What the pages say that these roles do not get, next to what nobody gets.
NOT_FOR_READERS = {"one_member", "paid_by_broker_as_was"}


def rows(connection: psycopg.Connection, query: str) -> list[str]:
    found = connection.execute(f"select to_jsonb(t)::text from ({query}) as t order by 1")
    return [row for (row,) in found]


def noted(kept: Record, after: int) -> list[tuple[str, str]]:
    kept.bring()
    return kept.rows(
        "select person, relation_name from audit.look where kind = 'look' and position > %s", after
    )


def test_who_may_see_persons_reads_claims_of_nodes_and_is_noted_once(
    warehouse: Warehouse, server_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "inbox of nodes").mkdir()
    with citus.cluster_in(server_folder, "aca-looks-") as made:
        nodes.up(made.settings, lambda _: None, LOADER)
        with connect(made.url, "test") as owner:
            places = (tmp_path / "inbox of nodes", tmp_path / "data of nodes")
            on_nodes = Warehouse(made.url, *places, owner)
            send(FIRST, warehouse, on_nodes)
            for one in (warehouse, on_nodes):
                one.rebuild()
            with record(made.settings, made.url, on_nodes.data) as kept:
                address = kept.login("ida", "phi")
                nodes.let_logins_in(made.settings)
                with psycopg.connect(address, autocommit=True) as ida:
                    require_noted_rows(warehouse, ida, kept)
                    require_nothing_without_a_note(ida, owner)
                    assert refused(ida) == NOT_FOR_READERS
                # Another full load makes other parts, with the same rights.
                on_nodes.rebuild()
                with psycopg.connect(address, autocommit=True) as ida:
                    require_noted_rows(warehouse, ida, kept)
                    require_nothing_without_a_note(ida, owner)
                    require_rights_only_where_nobody_runs_a_text(ida, owner, made.url)
            assert refused(owner, "public, warehouse, cubes, mart") == set()


def require_noted_rows(plain: Warehouse, ida: psycopg.Connection, kept: Record) -> None:
    for relation in OF_CLAIMS:
        kept.bring()
        after = kept.last()
        shown = f"select to_jsonb(t) - 'load_id' as row from {relation} as t"
        found = rows(ida, shown)
        assert noted(kept, after) == [("ida", "warehouse.dim_member")], relation
        assert found == rows(plain.connection, shown) != []


def require_nothing_without_a_note(ida: psycopg.Connection, owner: psycopg.Connection) -> None:
    """Neither on the coordinator nor, by a text of one's own, on a worker."""
    part = owner.execute(
        "select shard_name(logicalrelid, shardid) from pg_dist_shard "
        "where logicalrelid = 'warehouse.dim_member'::regclass"
    ).fetchone()
    assert part is not None
    assert own_texts.open_functions(owner) == set()
    for query in (
        "select member_id from warehouse.dim_member",
        f"select member_id from {part[0]}",
        "select member_id from warehouse.dim_member_as_is",
        "select count(*) from fact_claim inner join warehouse.dim_member using (member_sk)",
        f"select run_command_on_workers('select min(member_id) from {part[0]}')",
        f"select max(query_to_xml('select * from {part[0]}', true, true, '')::text) "
        "from warehouse.fact_claim",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ida.execute(query)


def require_rights_only_where_nobody_runs_a_text(
    ida: psycopg.Connection, owner: psycopg.Connection, url: str
) -> None:
    asked = "select count(member_id) from mart.claim"
    layout.settle(owner, url)
    owner.execute("grant execute on function run_command_on_workers to public")
    grants.apply(owner)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        ida.execute(asked)
    assert own_texts.close(owner)
    grants.apply(owner)
    assert ida.execute(asked).fetchone() == owner.execute(asked).fetchone()


def refused(connection: psycopg.Connection, path: str = "") -> set[str]:
    """The documented reports that a session does not get."""
    if path:
        connection.execute(f"set search_path = {path}")
    found = set()
    for name, report in report_queries.reports().items():
        try:
            report.ask(connection)
        except psycopg.Error:
            found.add(name)
    return found
