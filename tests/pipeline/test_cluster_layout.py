"""A build on a cluster with Citus: where its tables lie, and dimensions that are published.

Without the library of Citus these tests are skipped (docs/testing.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from etl.schema import build
from etl.stages.dims import publishing
from etl.warehouse.places import PLACES
from etl.warehouse.tables import NEXT
from tests.support import citus

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def url(server_folder: Path) -> Iterator[str]:
    """The address of a coordinator with two workers."""
    with citus.coordinator(server_folder) as url:
        yield url


def test_build_lies_over_the_nodes_as_declared(url: str) -> None:
    with built(url) as connection:
        found = connection.execute(
            """
            select c.relname, column_to_column_name(p.logicalrelid, p.partkey), p.colocationid
            from pg_dist_partition as p inner join pg_class as c on p.logicalrelid = c.oid
            where c.relnamespace::regnamespace::text in ('warehouse_next', 'internal_next')
                and (p.partmethod = 'h' or p.repmodel = 't')
            """
        ).fetchall()
        columns = {name: column for name, column, _ in found}
        assert columns == {
            name: lies.column or None for name, lies in PLACES.items() if lies.on != "coordinator"
        }
        groups = {group for _, column, group in found if column}
        assert len(groups) == 1
        assert next(iter(groups)) != 0
    with psycopg.connect(url) as connection:
        gone = connection.execute("select to_regnamespace('warehouse_next') is null").fetchone()
    assert gone == (True,)


def test_dimension_is_published_to_every_node(url: str) -> None:
    kept, shown = (
        f"select * from {schema}.dim_provider order by provider_sk"
        for schema in ("history_next", "warehouse_next")
    )
    with built(url) as connection:
        # Past rows are not what this is about.
        connection.execute("set session_replication_role = replica")
        schemas = replace(NEXT.schemas, has_history=True)
        for change in (
            """
            insert into history_next.dim_provider (
                provider_sk, provider_id, validity_start_ts, validity_end_ts, current_flag,
                attr_hash, hash_version, load_id
            )
            select n, 'P' || n, '1900-01-01', '9999-12-31', true, gen_random_uuid(), 2, 1
            from generate_series(1, 5) as n
            """,
            "update history_next.dim_provider set name = 'other' where provider_sk = 1",
            "delete from history_next.dim_provider where provider_sk in (2, 3)",
        ):
            with connection.transaction():
                connection.execute(change)
                for step in (publishing.publish, publishing.withdraw):
                    step(connection, schemas, "dim_provider", "provider_sk")
            expected = connection.execute(kept).fetchall()
            assert expected
            assert connection.execute(shown).fetchall() == expected
        counts = connection.execute(
            "select result from run_command_on_all_nodes("
            "'select count(*) from warehouse_next.dim_provider')"
        )
        assert [int(count) for (count,) in counts] == [3, 3, 3]


@contextmanager
def built(url: str) -> Iterator[psycopg.Connection]:
    """A connection to a build without rows, which goes afterwards."""
    with psycopg.connect(url, autocommit=True) as connection:
        build.create(connection)
        try:
            yield connection
        finally:
            build.drop(connection, NEXT.schemas)
