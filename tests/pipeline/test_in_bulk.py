"""A rebuild that treats very many rows in bulk gives what an ordinary one gives."""

from __future__ import annotations

import shutil

import pytest

from etl.stages import bulk
from etl.warehouse.tables import LIVE
from tests.support.blocks import drawn_rows
from tests.support.catalog import catalog
from tests.support.warehouse import Warehouse, failed_critical

FEEDS = {
    feed: drawn_rows(feed, 12)
    for feed in ("members", "plans", "providers", "enrollments", "claims")
}
# Of the members that come twice, the first row alone: such a load takes the ordinary way.
FEEDS["members"] = list({row["member_id"]: row for row in reversed(FEEDS["members"])}.values())
TABLES = (LIVE.schemas.staging, LIVE.schemas.warehouse, LIVE.schemas.as_known)


@pytest.fixture
def two_batches(warehouse: Warehouse) -> Warehouse:
    """A warehouse with two batches in its inbox: all feeds, and a change of some members."""
    warehouse.send("2025-01-01", **FEEDS)
    changed = [row | {"last_name": "Other"} for row in FEEDS["members"][:5]]
    changed = [row | {"source_updated_at": "2025-02-01T00:00:00Z"} for row in changed]
    warehouse.send("2025-02-01", members=changed)
    return warehouse


@pytest.mark.parametrize("rejected", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_rebuild_in_bulk_gives_the_rows_and_objects_of_an_ordinary_one(
    two_batches: Warehouse, monkeypatch: pytest.MonkeyPatch, rejected: bool
) -> None:
    if rejected:  # A line that makes no version leaves its surrogate key out.
        bad = [
            row | {"dob": "never"} if at == 3 else row for at, row in enumerate(FEEDS["members"])
        ]
        shutil.rmtree(two_batches.inbox / "2025-01-01")
        two_batches.send("2025-01-01", **(FEEDS | {"members": bad}))
    two_batches.rebuild(reject_share=1.0)
    few = two_batches.contents(keys=False)
    declared = [catalog(two_batches.connection, schema, schema) for schema in TABLES]
    monkeypatch.setattr(bulk, "ROWS", 1)
    monkeypatch.setattr(bulk, "BYTES", 1)
    replaced: list[str] = []
    replace = bulk.replace
    monkeypatch.setattr(
        bulk, "replace", lambda *given: (replaced.append(given[1]), replace(*given))
    )
    two_batches.rebuild(reject_share=1.0)
    assert sorted(replaced) == ["dim_member", "dim_plan", "dim_provider"]
    assert two_batches.contents(keys=False) == few
    assert [catalog(two_batches.connection, schema, schema) for schema in TABLES] == declared
    assert failed_critical(two_batches.connection) == set()


def test_the_first_codes_leave_their_tables_as_they_are_declared(two_batches: Warehouse) -> None:
    declared = catalog(two_batches.connection, "access", "access")
    assert two_batches.value("select count(*) from access.member_crosswalk") == 0
    two_batches.rebuild(reject_share=1.0)
    assert two_batches.value("select count(*) > 5 from access.member_crosswalk")
    assert catalog(two_batches.connection, "access", "access") == declared


def test_a_table_whose_rows_are_elsewhere_is_not_begun_again(warehouse: Warehouse) -> None:
    connection = warehouse.connection
    # Of a table that is divided this server has no bytes under its name either.
    connection.execute("create table spread (key bigint) partition by list (key)")
    connection.execute("create table part partition of spread default")
    assert bulk.empty_if_no_rows(connection, "spread")
    connection.execute("insert into spread values (1)")
    assert warehouse.value("select pg_relation_size('spread')") == 0
    assert not bulk.empty_if_no_rows(connection, "spread")
    assert warehouse.value("select count(*) from spread") == 1
