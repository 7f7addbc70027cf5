"""What a load can hardly do without, alone: its hash joins and one grouped scan of the claims.

Measured on a loaded warehouse, with the settings of a stage. So is each cube by itself, made from
its definition as a full load makes it, and what the last load changed in those that follow it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from measuring import ratio_cells, show_table
from psycopg import sql

from etl.db.connection import connect, set_search_path
from etl.db.statements import Parts, run, scalar
from etl.stages.cubes import changes
from etl.stages.cubes.definitions import definition, merge, merge_touched, part
from etl.warehouse.tables import CUBES, LIVE, TABLE

ALONE = ("members_joined", "claims_joined", "claims_grouped")
_ROUNDS = 2


def measure(url: str) -> dict[str, Any]:
    """Seconds of each part alone and of each cube, the best of two rounds each."""
    with connect(url, "aca-warehouse bench") as connection, connection.transaction():
        run(connection, "ledger/session.work_session")
        run(connection, "ledger/session.work_transaction")
        set_search_path(connection, LIVE.schemas.path)
        return {
            "alone": {name: _best(connection, f"bench/floor.{name}") for name in ALONE},
            "cubes": {name: _cube(connection, name) for name in CUBES},
            "followed": _followed(connection),
        }


def _followed(connection: psycopg.Connection[Any]) -> dict[str, float]:
    """Seconds in which cubes that care is counted in follow the last load once more.

    What they find is there already, so only what is added to sums is written. The changes
    themselves, which all cubes share, are the first; sums of rows of members are made with these.
    """
    since = int(scalar(connection, "bench/floor.last_load")) - 1
    schema = LIVE.schemas.cubes
    cost = CUBES["cost_month"]
    steps: dict[str, Callable[[], object]] = {
        "changes of claims": lambda: changes.find(connection, since),
        cost.name: lambda: merge(connection, cost, schema, part(cost, "follow")),
    }
    for cube in CUBES.values():
        if cube.by_member:
            steps[cube.name] = partial(merge_touched, connection, cube, schema, since)
    found = {cube.name: 0.0 for cube in CUBES.values() if cube.sums_of}
    with connection.transaction(force_rollback=True):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            found[name] = round(time.perf_counter() - started, 3)
    return found


def _best(connection: psycopg.Connection[Any], name: str, **parts: Parts) -> float:
    found = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        run(connection, name, **parts).fetchall()
        found.append(time.perf_counter() - started)
    return round(min(found), 2)


def _cube(connection: psycopg.Connection[Any], name: str) -> float:
    """Seconds until a cube is a logged table with its grain, which then goes again."""
    cube = sql.Identifier(LIVE.schemas.cubes, "bench_cube")
    found = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        run(
            connection,
            "cubes/build.create",
            table_or_view=sql.SQL(TABLE),
            cube=cube,
            definition=definition(CUBES[name]),
        )
        grain = sql.SQL(", ").join(sql.Identifier(column) for column in CUBES[name].grain)
        index = sql.Identifier("bench_cube_grain_idx")
        run(connection, "cubes/build.add_key", index=index, cube=cube, grain=grain)
        found.append(time.perf_counter() - started)
        run(connection, "bench/floor.drop_untyped", table=cube)
    return round(min(found), 2)


def show(result: dict[str, Any]) -> None:
    """Print the parts and the cubes, each cube with its ratio to the grouped scan."""
    grouped = result["alone"]["claims_grouped"]
    measured = (result["alone"] | result["cubes"]).items()
    show_table(
        "Parts alone, and each cube; one grouped scan of the claims = 1",
        ("what", "seconds", "ratio"),
        ((what.replace("_", " "), *ratio_cells(spent, grouped)) for what, spent in measured),
    )
    show_table(
        "The last load followed; one grouped scan of the claims = 1",
        ("what", "seconds", "ratio"),
        ((what, *ratio_cells(spent, grouped)) for what, spent in result["followed"].items()),
    )
