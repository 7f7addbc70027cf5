"""Readers of a cluster with Citus: documented reports, and a build that takes another's place.

Without the library of Citus these tests are skipped (docs/testing.md).
"""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql

from etl.config import ROOT
from etl.db.connection import connect, set_config, set_search_path
from etl.db.statements import run
from etl.docs import report_queries
from etl.pipeline import swap
from etl.schema import build, grants, layout, objects, repeatable
from etl.schema.dependents import LOCK_PATIENCE
from etl.schema.migrations import migrate
from etl.server import nodes, server
from etl.stages.cubes.definitions import definition
from etl.warehouse.tables import CUBES, LIVE, NEXT, RETIRED
from tests.support import citus

pytestmark = pytest.mark.cluster

READERS = 6
SWAPS = 20
# What lies on the workers, on every node and on the coordinator, each with the mark of its build.
ASKS = (
    "select array[(select min(status) from internal.fact_claim_state), "
    "(select min(name) from warehouse.dim_provider), (select min(name) from history.dim_provider)]",
    "select array_agg(s.status || p.name) from internal.fact_claim_state as s "
    "inner join warehouse.dim_provider as p on s.load_id = p.provider_sk",
    "select array_agg(status) from internal.fact_claim_state where claim_id = 'c1'",
)


@pytest.fixture(scope="module")
def url(server_folder: Path) -> Iterator[str]:
    """The address of a coordinator with two workers."""
    citus.programs()  # skips before there is a folder
    folder = Path(tempfile.mkdtemp(prefix="aca-readers-", dir=server_folder))
    settings = citus.settings_in(folder)
    try:
        nodes.up(settings, lambda _: None)
        yield server.ensure_running(settings)
    finally:
        nodes.remove(settings)
        shutil.rmtree(folder)


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make objects with one statement after the other, as nodes take them."""

    def each(connection: psycopg.Connection, statements: list[sql.Composable]) -> None:
        for statement in statements:
            connection.execute(statement)

    monkeypatch.setattr(objects, "run_together", each)


@pytest.fixture
def owner(url: str, one_by_one: None) -> Iterator[psycopg.Connection]:
    """A session of the owner in a database whose live build is laid out over the nodes."""
    migrate(url)
    with connect(url, "test") as connection:
        grants.make_roles(connection)
        repeatable.ensure(connection)
        complete(connection)
        with connection.transaction():
            build.swap(connection)
        build.drop(connection, RETIRED)
        connection.execute(
            "insert into ledger.load (batch_id, as_of, status, is_rebuild, live_at, finished_at) "
            "values ('2025-01-10', '2025-01-10', 'loaded', true, '2025-01-10', '2025-01-10')"
        )
        yield connection


def complete(connection: psycopg.Connection) -> None:
    """Make another build with its cubes and views, and no rows."""
    build.create(connection)
    with connection.transaction():
        set_search_path(connection, NEXT.schemas.path)
        for cube in CUBES.values():
            run(
                connection,
                "cubes/build.create",
                table_or_view=sql.SQL(cube.kind),
                cube=sql.Identifier(NEXT.schemas.cubes, cube.name),
                definition=definition(cube),
            )
    repeatable.ensure(
        connection, [repeatable.of_build_and_cubes(connection, NEXT.schemas)], NEXT.schemas
    )


def listed() -> set[str]:
    """The reports that the documentation calls refused."""
    page = (ROOT / "docs" / "cluster.md").read_text()
    section = page.split("\n## Reports\n")[1].split("\n## ")[0]
    return {
        name
        for row in re.findall(r"^\| (`.*?) \|", section, re.M)
        for name in re.findall(r"`(\w+)`", row)
    }


def test_every_documented_report_runs_or_is_named_as_refused(owner: psycopg.Connection) -> None:
    refused = {}
    for name, report in report_queries.reports().items():
        path = ", ".join(LIVE.schemas.readers_path)
        set_config(owner, "search_path", path, is_local=False)
        try:
            report.ask(owner)
        except psycopg.Error as error:
            refused[name] = str(error)
    assert refused.keys() == listed(), refused


def test_view_that_nodes_have_is_made_again_where_it_reads_the_coordinators_tables(
    url: str, owner: psycopg.Connection
) -> None:
    layout.settle(owner, url)
    view = "as_known.dim_date"
    owner.execute(f"create or replace view {view} as select * from warehouse.dim_date")
    owner.execute(f"comment on view {view} is 'Another text. Definition 0123456789abcdef.'")
    repeatable.ensure(owner)
    (definition,) = owner.execute("select pg_get_viewdef(%s::regclass)", [view]).fetchone() or ("",)
    assert "known_load" in definition


def test_readers_meet_no_error_and_no_half_of_a_build_that_takes_anothers_place(
    url: str, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(owner)
    for schemas, mark in ((LIVE.schemas, "A"), (NEXT.schemas, "B")):
        fill(owner, schemas.internal, schemas.warehouse, mark)
        fill_dimension(owner, schemas.history, mark)
    monkeypatch.setattr(swap.replica_readers, "are_there", lambda _: False)
    ended = threading.Event()

    def read() -> Counter[str]:
        wrong: Counter[str] = Counter()
        with psycopg.connect(url, autocommit=True) as session:
            while not ended.is_set():
                for asked in ASKS:
                    try:
                        ((found,),) = session.execute(asked).fetchall()
                    except psycopg.Error as error:
                        wrong[str(error)] += 1
                    else:
                        if set("".join(found)) not in ({"A"}, {"B"}):
                            wrong[f"{found}"] += 1
                    time.sleep(0.02)
        return wrong

    with ThreadPoolExecutor(READERS) as readers:
        reading = [readers.submit(read) for _ in range(READERS)]
        try:
            for _ in range(SWAPS):
                go_live(owner)
                trade_names(owner)
        finally:
            ended.set()
        assert sum((found.result() for found in reading), Counter()) == Counter()


def fill(connection: psycopg.Connection, internal: str, warehouse: str, mark: str) -> None:
    connection.execute(
        f"insert into {internal}.fact_claim_state (claim_id, load_id, service_date, status) "
        "select 'c' || n, 1, '2025-01-01', %s from generate_series(1, 100) as n",
        [mark],
    )
    fill_dimension(connection, warehouse, mark)


def fill_dimension(connection: psycopg.Connection, schema: str, mark: str) -> None:
    connection.execute(
        f"insert into {schema}.dim_provider (provider_sk, provider_id, name, validity_start_ts, "
        "validity_end_ts, current_flag, attr_hash, hash_version, load_id) values "
        "(1, 'P', %s, '1900-01-01', '9999-12-31', true, gen_random_uuid(), 2, 1)",
        [mark],
    )


def go_live(connection: psycopg.Connection) -> None:
    """As a full load does, until there is a moment for it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
            set_config(connection, "lock_timeout", LOCK_PATIENCE)
            build.swap(connection)
            swap._let_reports_end(SimpleNamespace(work=connection, ledger=connection))
            return
    raise AssertionError("no moment was found")


def trade_names(connection: psycopg.Connection) -> None:
    """Let the build that was replaced be the next one, when nobody reads it any more."""
    while True:
        with suppress(psycopg.errors.LockNotAvailable), connection.transaction():
            set_config(connection, "lock_timeout", LOCK_PATIENCE)
            tables = run(connection, "rebuild/swap.tables", {"schemas": list(RETIRED.names)})
            named = sql.SQL(", ").join(sql.Identifier(*row) for row in tables.fetchall())
            run(connection, "rebuild/swap.lock_tables", tables=named)
            build._rename_build(connection, RETIRED, NEXT.schemas)
            return
