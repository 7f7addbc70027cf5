"""The cubes and views that are declared deprecated."""

from __future__ import annotations

from etl.schema import repeatable
from etl.warehouse.deprecated import Deprecated
from etl.warehouse.tables import CUBES, LIVE


def deprecated() -> dict[tuple[str, str], Deprecated]:
    """Schema and name of each, in the live build, with what to read in its place."""
    found = {
        (LIVE.schemas.cubes, cube.name): cube.deprecated
        for cube in CUBES.values()
        if cube.deprecated
    }
    for view in (*repeatable.kept(), *repeatable.of_build()):
        if view.deprecated:
            found[view.place.in_build(LIVE.schemas), view.place.name] = view.deprecated
    return found
