"""A file that says the same as the one before is skipped until another comes between them."""

from __future__ import annotations

from tests.support.tables import draw, drawn
from tests.support.warehouse import Warehouse

SAME = [{"provider_id": "P", "name": "Ames"}]
OTHER = [{"provider_id": "P", "name": "Bell"}]


def load(warehouse: Warehouse, batch_id: str, rows: list[dict[str, str]]) -> None:
    warehouse.send(batch_id, providers=rows)
    warehouse.incremental()


def test_of_two_skipped_files_the_one_after_a_late_file_is_loaded_with_the_rows_of_the_first(
    warehouse: Warehouse,
) -> None:
    for day in ("2025-01-10", "2025-01-15", "2025-03-10"):
        load(warehouse, day, SAME)
    load(warehouse, "2025-02-10", OTHER)
    connection = warehouse.connection
    assert drawn(
        connection,
        "select batch_id, f.status, rows_loaded from ledger.load_file as f "
        "join ledger.load using (load_id) order by batch_id",
    ) == draw("""
        batch_id   | status  | rows_loaded
        2025-01-10 | loaded  | 1
        2025-01-15 | skipped | 0
        2025-02-10 | loaded  | 1
        2025-03-10 | loaded  | 1
    """)
    assert drawn(
        connection,
        "select name, validity_start_ts as since, current_flag as now from warehouse.dim_provider "
        "where provider_id = 'P' order by since",
    ) == draw("""
        name | since      | now
        Ames | 1900-01-01 | false
        Bell | 2025-02-10 | false
        Ames | 2025-03-10 | true
    """)


def test_a_skipped_file_before_a_late_file_stays_skipped(warehouse: Warehouse) -> None:
    for day in ("2025-01-10", "2025-01-15"):
        load(warehouse, day, SAME)
    load(warehouse, "2025-02-10", OTHER)
    assert drawn(
        warehouse.connection,
        "select batch_id, f.status from ledger.load_file as f "
        "join ledger.load using (load_id) order by batch_id",
    ) == draw("""
        batch_id   | status
        2025-01-10 | loaded
        2025-01-15 | skipped
        2025-02-10 | loaded
    """)


def test_of_two_skipped_files_after_a_late_file_the_next_one_is_loaded(
    warehouse: Warehouse,
) -> None:
    for day in ("2025-01-10", "2025-03-10", "2025-04-10"):
        load(warehouse, day, SAME)
    load(warehouse, "2025-02-10", OTHER)
    assert drawn(
        warehouse.connection,
        "select batch_id, f.status from ledger.load_file as f "
        "join ledger.load using (load_id) order by batch_id",
    ) == draw("""
        batch_id   | status
        2025-01-10 | loaded
        2025-02-10 | loaded
        2025-03-10 | loaded
        2025-04-10 | skipped
    """)
    assert drawn(
        warehouse.connection,
        "select name, validity_start_ts as since from warehouse.dim_provider "
        "where provider_id = 'P' order by since",
    ) == draw("""
        name | since
        Ames | 1900-01-01
        Bell | 2025-02-10
        Ames | 2025-03-10
    """)
