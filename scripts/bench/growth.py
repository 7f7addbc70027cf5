"""How the cost of a full load grows with its claims: feeds of several sizes, one after the other.

    python scripts/bench/growth.py                  100 thousand, 1 million and 5 million claims
    python scripts/bench/growth.py --members 800000 --members 1600000

Each size in an empty database, seeded again, with the plain COPY of its files. From one size to the
next the growth of the cost is given as what twice the claims would cost.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from measuring import (
    floor_seconds,
    measured_run,
    measured_seed,
    next_day,
    ratio_cells,
    scratch,
    show_table,
    write_result,
)

from etl.cli.guard import guarded

# About 100 thousand, 1 million and 5 million claims in two plan years.
SIZES = (8_000, 80_000, 400_000)


def measure(members: int) -> dict[str, Any]:
    """One size: the floor, a full load, and an incremental day after it."""
    with scratch() as (url, folder):
        batch = Path(measured_seed(folder, members, years=2)["batch"])
        floors = floor_seconds(url, batch)
        full = measured_run(url, folder / "inbox", "full-load")
        next_day(folder)
        day = measured_run(url, folder / "inbox", "incremental")
    return {
        "members": members,
        "floor_seconds": round(sum(floors.values()), 2),
        "full_load": full,
        "incremental": day,
    }


def show(results: list[dict[str, Any]]) -> None:
    """Print a row per size, with what twice the claims cost since the size before."""
    before = None
    rows = []
    for result in results:
        full, day = result["full_load"], result["incremental"]
        row = (
            f"{full['claims']:,}",
            f"{result['floor_seconds']:.2f}",
            *ratio_cells(full["loading"], result["floor_seconds"]),
            f"{full['wall']:.1f}",
            f"{_doubling(before, full):.2f}" if before else "",
            f"{day['wall']:.2f}",
            f"{max(full['peak_mb'], day['peak_mb'])}",
        )
        rows.append(row)
        before = full
    columns = ("claims", "COPY", "load", "ratio", "with checks", "twice costs", "day", "peak MB")
    show_table("Growth with the claims", columns, rows)


def _doubling(smaller: dict[str, Any], larger: dict[str, Any]) -> float:
    """By how much the wall time of a full load grows when its claims double."""
    doublings = math.log2(larger["claims"] / smaller["claims"])
    return float((larger["wall"] / smaller["wall"]) ** (1 / doublings))


def main(
    members: Annotated[
        list[int] | None, typer.Option(help="A size, in members; may be repeated.", min=100)
    ] = None,
) -> None:
    """Measure full loads of several sizes, in order."""
    results = []
    for size in sorted(members or SIZES):
        results.append(measure(size))
        show(results)
    write_result(results, "growth-")


if __name__ == "__main__":
    sys.exit(guarded(lambda: typer.run(main)))
