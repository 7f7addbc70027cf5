"""What a load can hardly do without, alone: its hash joins and one grouped scan of the claims.

Measured on a loaded warehouse, with the settings of a stage. So is each cube by itself, made from
its definition as a full load makes it.
"""

from __future__ import annotations

import time
from typing import Any

import psycopg
from measuring import ratio_cells, show_table
from psycopg import sql

from etl.db.connection import connect, set_search_path
from etl.db.statements import Parts, run
from etl.stages.cubes.definitions import definition
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
        }


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
        run(connection, "cubes/build.add_grain", index=index, cube=cube, grain=grain)
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
