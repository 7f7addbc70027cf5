"""What the rows of members say of where they live, and of attributes corrected in place."""

from __future__ import annotations

from tests.support.tables import draw, drawn
from tests.support.warehouse import Warehouse


def test_regions_of_one_state_are_places_of_their_own(warehouse: Warehouse) -> None:
    north = {"member_id": "A", "state": "WI", "region": "North"}
    south = {"member_id": "B", "state": "WI", "region": "South"}
    for day, member in (("2025-01-10", north), ("2025-02-10", south)):
        warehouse.send(day, members=[member])
        warehouse.incremental()
    assert drawn(
        warehouse.connection,
        "select member_id, g.state, g.region from warehouse.dim_member "
        "join warehouse.dim_geography as g using (geography_sk) where member_sk > 0 order by 1",
    ) == draw("""
        member_id | state | region
        A         | WI    | North
        B         | WI    | South
    """)


def test_type_1_attribute_is_that_of_the_latest_batch_whose_file_has_it(
    warehouse: Warehouse,
) -> None:
    """The file that lacks it brings a driver, so that the key is rebuilt."""
    member = {"member_id": "A", "source_updated_at": "2025-01-01T00:00:00Z"}
    warehouse.send("2025-01-10", members=[member | {"email": "first@example.org"}])
    warehouse.send("2025-02-10", members=[member | {"email": "second@example.org"}])
    late = member | {"last_name": "y", "source_updated_at": "2024-12-01T00:00:00Z"}
    warehouse.send("2025-03-10", None, ["email"], members=[late])
    warehouse.incremental()
    assert set(warehouse.column("select email from warehouse.dim_member where member_sk > 0")) == {
        "second@example.org"
    }


def test_of_several_rows_of_a_batch_the_latest_in_time_has_the_type_1_attributes(
    warehouse: Warehouse,
) -> None:
    row = {"member_id": "A", "last_name": "x"}
    march = row | {"email": "march@example.org", "source_updated_at": "2025-03-01T00:00:00Z"}
    january = row | {
        "last_name": "y",
        "email": "january@example.org",
        "source_updated_at": "2025-01-01T00:00:00Z",
    }
    warehouse.send("2025-03-10", members=[march, january])
    warehouse.incremental()
    assert set(warehouse.column("select email from warehouse.dim_member where member_sk > 0")) == {
        "march@example.org"
    }
