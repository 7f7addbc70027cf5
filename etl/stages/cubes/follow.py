"""The cubes that follow what changed in the claims: it costs what changed and not what there is.

The past tables contain every row as it was when the cubes were last made, so what the changes add
and take away is known to the cent.
"""

from __future__ import annotations

from typing import Any

import psycopg

from etl.db.statements import run, scalar
from etl.render import claim_measures
from etl.stages import tables
from etl.stages.cubes import changes
from etl.stages.cubes.definitions import merge, merge_touched, part
from etl.warehouse.tables import CUBES

_DAILY = CUBES["claims_daily_member"]
# Small ones, made of their own rows and the changes.
_SUMS = (CUBES["claims_by_month"], CUBES["cost_month"])
_HIGH_COST = CUBES["high_cost_member_tracking"]


def follow(connection: psycopg.Connection[Any], schema: str, since: int) -> dict[str, int]:
    """Bring these cubes up to what changed since that load; rows written by cube."""
    changed = changes.find(connection, since)
    others = (cube for cube in CUBES.values() if cube is not _DAILY)
    run(connection, "cubes/changes.days_before", days_of_cubes=claim_measures.days_of(others))
    connection.execute(part(_DAILY, "changed_days"))
    month_before = scalar(connection, "cubes/high_cost_member_tracking.last_month")
    rows = {
        _DAILY.name: connection.execute(part(_DAILY, "follow")).rowcount,
        **{
            cube.name: merge(connection, cube, schema, part(cube, "follow")) if changed else 0
            for cube in _SUMS
        },
    }
    months = {
        "month_before": month_before,
        "month_now": scalar(connection, "cubes/high_cost_member_tracking.last_month"),
    }
    connection.execute(part(_HIGH_COST, "members_to_track"), months)
    tables.analyze(connection, "members_to_track")
    connection.execute(part(_HIGH_COST, "tracked"), months)
    gone = connection.execute(part(_HIGH_COST, "delete_untracked"), months).rowcount
    rows[_HIGH_COST.name] = gone + connection.execute(part(_HIGH_COST, "follow")).rowcount
    for cube in CUBES.values():
        if cube.by_member:
            rows |= merge_touched(connection, cube, schema, since)
    return rows
