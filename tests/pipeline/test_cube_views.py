"""Cubes that are views: over dimensions, facts and other cubes, refreshed if these have changed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.db import statements
from etl.pipeline import commands
from etl.warehouse.tables import CUBES, Cube
from tests.support.warehouse import Warehouse

# Each with its one column, which is its grain.
ADDED = {
    "plan_ids": ("plan_id", "select distinct plan_id from dim_plan where plan_id <> ''"),
    "claim_days": ("service_date", "select distinct service_date from fact_claim"),
    "plan_counts": ("plans", "select count(*) as plans from plan_ids"),
    "metal_tiers": ("tier", "select distinct category as tier from claims_by_month"),
    "current_members": ("member", "select member_id as member from dim_member_current"),
}
DEFINITION = """-- name: definition
-- The cube as a plain query.
{query};

-- name: columns
-- What each column means.
select
    '{column}' as column_name,
    'Described.' as description;
"""


def define(folder: Path, name: str, query: str) -> None:
    text = DEFINITION.format(column=ADDED[name][0], query=query)
    (folder / "cubes" / f"{name}.sql").write_text(text, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The statements with those of the cubes that are added."""
    folder = Path(shutil.copytree(statements.FOLDER, tmp_path / "sql"))
    monkeypatch.setattr(statements, "FOLDER", folder)
    for name, (column, query) in ADDED.items():
        define(folder, name, query)
        monkeypatch.setitem(CUBES, name, Cube(name, (column,), "For a test."))
    yield folder
    statements.read_file.cache_clear()


@pytest.fixture
def loaded(warehouse: Warehouse, folder: Path) -> Warehouse:
    warehouse.send("2025-02-01", plans=plans("PQ"), claims=[claim("c1")])
    warehouse.incremental()
    return warehouse


def plans(ids: str) -> list[dict[str, Any]]:
    return [{"plan_id": i, "effective_year": 2025, "metal_tier": "Silver"} for i in ids]


def claim(claim_id: str) -> dict[str, Any]:
    return {"claim_id": claim_id, "plan_id": "P", "service_date": "2025-01-10"}


def refreshed(warehouse: Warehouse) -> set[str]:
    """Those of the added cubes that the latest run made or refreshed."""
    ((counts,),) = warehouse.rows(
        "select counts from ledger.stage_run where stage = 'cubes'"
        " and status = 'done' order by stage_run_id desc limit 1"
    )
    return set(counts) & ADDED.keys()


def test_a_cube_is_refreshed_if_what_it_reads_has_changed_and_only_then(loaded: Warehouse) -> None:
    assert refreshed(loaded) == ADDED.keys()
    members = [{"member_id": "A"}]
    for day, feeds, expected in (
        (2, {"claims": [claim("c2")]}, {"claim_days", "metal_tiers"}),
        (3, {"plans": plans("R")}, {"plan_ids", "plan_counts"}),
        (4, {"members": members}, {"current_members"}),
        # Rows that are sent again change nothing.
        (5, {"members": members, "plans": plans("P")}, set()),
        # A row that changes in place.
        (6, {"members": [{"member_id": "A", "call_count": 7}]}, {"current_members"}),
    ):
        loaded.send(f"2025-02-0{day}", **feeds)
        loaded.incremental()
        assert refreshed(loaded) == expected, day
    assert loaded.value("select plans from cubes.plan_counts") == 3
    loaded.run(commands.run_cubes, whole=True)
    assert refreshed(loaded) == ADDED.keys()


def test_a_cube_that_is_refreshed_without_a_change_changes_no_other(loaded: Warehouse) -> None:
    # Another version of a plan that is there: its cube reads the table, and has the same rows.
    loaded.send("2025-02-02", plans=[{**plans("P")[0], "name": "another"}])
    loaded.incremental()
    assert refreshed(loaded) == {"plan_ids"}


@pytest.mark.slow
def test_a_changed_definition_makes_its_cube_and_those_that_read_it_again(
    loaded: Warehouse, folder: Path
) -> None:
    loaded.connection.execute("grant select on cubes.plan_counts to public")
    define(folder, "plan_ids", "select distinct plan_id from dim_plan where plan_id = 'P'")
    statements.read_file.cache_clear()
    loaded.run(commands.run_cubes)
    assert refreshed(loaded) == {"plan_ids", "plan_counts"}
    readable = "select plans, has_table_privilege('public', 'cubes.plan_counts', 'select')"
    assert loaded.rows(f"{readable} from cubes.plan_counts") == [(1, True)]
    # The same after a full load, which creates the cubes in the schemas of its build.
    loaded.rebuild()
    assert refreshed(loaded) == ADDED.keys()
    assert loaded.rows(f"{readable} from cubes.plan_counts") == [(1, True)]
    assert loaded.rows(
        "select distinct schema_name, load_id from ledger.cube_refresh"
        " where load_id = (select max(load_id) from ledger.load)"
    ) == loaded.rows("select distinct schema_name, load_id from ledger.cube_refresh")


@pytest.mark.slow
def test_refresh_of_a_view_does_not_block_its_readers(loaded: Warehouse) -> None:
    loaded.send("2025-02-02", plans=plans("R"))
    counted = "select count(*) from cubes.plan_ids"
    with loaded.connection.transaction():
        assert loaded.value(counted) == 2
        loaded.run(commands.incremental)
    assert loaded.value(counted) == 3


def test_a_cube_of_persons_that_could_not_note_its_readers_is_refused() -> None:
    with pytest.raises(ValueError, match="is_followed"):
        Cube("persons", ("member_id", "month"), "For a test.")
