"""Dimensions without history, extended by what a load names: calendar, geography, sets of codes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.feeds import FEEDS
from etl.db.statements import run
from etl.render.values import is_open_end
from etl.stages.dims import code_sets, publishing
from etl.warehouse.tables import Schemas


def extend(
    connection: psycopg.Connection[Any],
    load_id: int,
    as_of: datetime,
    schemas: Schemas,
    made_by: int | None = None,
) -> int:
    """Extend these dimensions by what the load names; days, places and codes added.

    In the caller's transaction. ``schemas``: those of the build. ``made_by``: the load in whose
    name they come, where that is another one.
    """
    values = {"load_id": load_id, "as_of": as_of, "made_by": made_by or load_id}
    open_end = is_open_end(FEEDS["enrollments"].column("end_date"))
    with publishing.at_versions(connection, schemas) as placed:
        days = _extend(connection, placed, "date", values, ("years",), is_open_end=open_end)
        places = _extend(connection, placed, "geography", values, ("states", "regions"))
        publishing.publish(connection, placed, "dim_geography", "geography_sk")
        return days + places + code_sets.extend(connection, placed, values)


def _extend(
    connection: psycopg.Connection[Any],
    schemas: Schemas,
    dimension: str,
    values: dict[str, Any],
    lists: tuple[str, ...],
    **parts: sql.Composable,
) -> int:
    """Add the rows that a dimension lacks; ``lists``: the columns by which they are made."""
    run(connection, f"dims/{dimension}.ensure_unknown")
    # A query of its own, since one that inserts at once would use one core.
    missing = run(connection, f"dims/{dimension}.missing", values, **parts).fetchall()
    if not missing:
        return 0
    columns = map(list, zip(*missing, strict=True))
    given = values | dict(zip(lists, columns, strict=True))
    added = run(connection, f"dims/{dimension}.extend", given).rowcount
    publishing.analyze(connection, schemas, f"dim_{dimension}")
    return added
