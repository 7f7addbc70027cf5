"""A warehouse of a version from before the baseline: it is refused, or kept and rebuilt."""

from __future__ import annotations

import pytest

from etl.db.connection import connect
from etl.pipeline.status import notices
from etl.schema import revisions
from etl.schema.migrations import migrate
from tests.support.warehouse import Warehouse

COUNT = "select count(*) from {}.dim_provider where provider_sk > 0"
MADE = "select nspname from pg_namespace where nspname like '%\\_before' order by 1"


def make_old(warehouse: Warehouse, revision: str = "0014") -> None:
    """A loaded warehouse marked as an earlier version, and a user's view on it."""
    warehouse.send("2025-01-01", providers=[{"provider_id": "P1"}])
    warehouse.incremental()
    warehouse.connection.execute(
        "create view public.mine as select provider_id from warehouse.dim_provider;"
        f"update public.alembic_version set version_num = '{revision}'"
    )


@pytest.mark.parametrize("revision", ["0014", "0101", "0102"])
def test_warehouse_of_an_earlier_version_is_refused(warehouse: Warehouse, revision: str) -> None:
    make_old(warehouse, revision)
    for command in ("incremental", "migrate", "dq-check"):
        done = warehouse.command(command)
        assert done.returncode == 8, done.stderr
        assert f"made by an earlier version (migration {revision})" in done.stderr
        assert "make full-load rebuilds it" in done.stderr
    assert warehouse.value(COUNT.format("warehouse")) == 1
    assert warehouse.rows(MADE) == []


@pytest.mark.slow
def test_full_load_rebuilds_an_earlier_version_and_keeps_it(warehouse: Warehouse) -> None:
    make_old(warehouse)
    warehouse.send("2025-01-02", providers=[{"provider_id": "P2"}])
    done = warehouse.command("full-load")
    assert done.returncode == 0, done.stderr
    assert (
        "of an earlier version is now in the schemas access_before, as_known_before"
        in done.stdout + done.stderr
    )
    assert warehouse.value(COUNT.format("warehouse")) == 2
    assert warehouse.value(COUNT.format("warehouse_before")) == 1
    assert warehouse.value("select count(*) from ledger_before.load") == 1
    # The view still reads the earlier version.
    assert ("P2",) not in warehouse.rows("select provider_id from public.mine")
    assert warehouse.command("incremental").returncode == 0


def test_full_load_from_an_empty_inbox_leaves_an_earlier_version(warehouse: Warehouse) -> None:
    make_old(warehouse)
    warehouse.inbox.joinpath("2025-01-01").rename(warehouse.inbox.parent / "elsewhere")
    done = warehouse.command("full-load")
    assert done.returncode == 8, done.stderr
    assert warehouse.rows(MADE) == []
    assert warehouse.value(COUNT.format("warehouse")) == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_killed", [False, True])
def test_failed_full_load_gives_an_earlier_version_its_names_back(
    warehouse: Warehouse, is_killed: bool
) -> None:
    make_old(warehouse)
    if is_killed:  # after the old one was given other names and a new one begun
        with connect(warehouse.url, "test") as connection:
            revisions.keep_old(connection)
        migrate(warehouse.url)
        assert warehouse.value(COUNT.format("warehouse")) == 0
    else:
        warehouse.send("2025-01-02", providers=[{"provider_id": "P2"}])
        (warehouse.inbox / "2025-01-02" / "providers.csv").write_text("provider_id\nP2\n")
    done = warehouse.command("incremental" if is_killed else "full-load")
    assert done.returncode == (8 if is_killed else 4), done.stderr
    assert "has its names back" in done.stderr + done.stdout
    assert warehouse.rows(MADE) == []
    assert warehouse.value(COUNT.format("warehouse")) == 1
    assert warehouse.value("select version_num from public.alembic_version") == "0014"


def test_status_of_an_earlier_version_is_the_same_message(warehouse: Warehouse) -> None:
    make_old(warehouse)
    for command in ("quarantine", "dq-report"):
        done = warehouse.command(command)
        assert done.returncode == 8, done.stderr
        assert "make full-load rebuilds it" in done.stderr
    assert any(
        "make full-load rebuilds it" in notice
        for notice in notices(warehouse.url, warehouse.data / "archive")
    )
