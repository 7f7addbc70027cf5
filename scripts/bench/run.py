"""Measure the load against a plain COPY of the same bytes, on one server, in one run.

Generates feeds of the size asked for, copies them as they are into untyped logged tables (the
floor), then runs the full load and a few incremental days in a database of its own and prints
each stage's seconds and its ratio to the floor. Then, in the same warehouse, how fast the
documented reports are (``reports``), also for analysts (``readers``), what the checks cost
(``checks``) and, if asked, what analysts notice while it works (``analysts``); the history of a
large dimension (``members_history``), and the same by others (``members_peers``).
The tables also go to data/bench as JSON.
"""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import analysts
import checks
import exports
import members_history
import members_peers
import parts
import readers
import reports
import senders
import targets
import typer
from measuring import (
    LOADING,
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


def measure(members: int, years: int, days: int, with_analysts: bool) -> dict[str, Any]:
    """The whole load, incremental days after it, the reports, the checks, and analysts if asked."""
    with scratch() as (url, folder):
        seeding = measured_seed(folder, members, years)
        batch = Path(seeding.pop("batch"))
        floors = floor_seconds(url, batch)
        full = measured_run(url, folder / "inbox", "full-load")
        daily = []
        for _ in range(days):
            next_day(folder)
            daily.append(measured_run(url, folder / "inbox", "incremental"))
        size = sum(p.stat().st_size for p in batch.iterdir())
        alone = parts.measure(url)
        asked = reports.measure(url)
        by_role = readers.measure(url)
        months = readers.months(url)
        checked = checks.measure(url, rounds=2)
        as_written = senders.measure(url, batch, folder)
        taken_away = exports.measure(url, folder)
        noticed = analysts.measure(url, folder) if with_analysts else None
    return {
        "members": members,
        "megabytes": round(size / 1e6),
        "seeding": seeding,
        "floor_seconds": {name: round(s, 2) for name, s in floors.items()},
        "full_load": full,
        "incremental": daily,
        "parts": alone,
        "reports": asked,
        "readers": by_role,
        "months": months,
        "checks": checked,
        "senders": as_written,
        "exports": taken_away,
        "analysts": noticed,
    }


def show(result: dict[str, Any]) -> None:
    """Print the measurements as a table of seconds and ratios to the floor."""
    floor = sum(result["floor_seconds"].values())
    full = result["full_load"]
    seeding = result["seeding"]
    rows = [("feeds generated", seeding["wall"]), ("plain COPY, untyped", floor)]
    rows += [(stage, full["stages"][stage]) for stage in LOADING if stage in full["stages"]]
    rows += [("full load without checks", full["loading"]), ("full load, wall", full["wall"])]
    for number, day in enumerate(result["incremental"], start=1):
        rows += [
            (f"incremental day {number}, its stages with their gates", day["loading"]),
            ("  of it cubes", day["stages"]["cubes"]),
            ("  of it gates", sum(day["gates"].values())),
            ("  wall", day["wall"]),
        ]
    show_table(
        f"{result['members']:,} members, {full['claims']:,} claims, "
        f"{result['megabytes']:,} MB; plain COPY of all files = 1",
        ("what", "seconds", "ratio"),
        ((what, *ratio_cells(seconds, floor)) for what, seconds in rows),
    )
    claims = seeding["rows"]["claims"]
    typer.echo(
        f"The generator: {claims / seeding['wall']:,.0f} claims/s, "
        f"{sum(seeding['rows'].values()) / seeding['wall']:,.0f} rows/s of all feeds, "
        f"peak memory {seeding['peak_mb']} MB"
    )
    typer.echo(f"Peak memory of a full load's Python: {full['peak_mb']} MB")


def main(
    members: Annotated[
        int, typer.Option(help="How many members in the whole load; 0 for none.", min=0)
    ] = 90_000,
    years: Annotated[int, typer.Option(help="How many plan years.", min=1)] = 2,
    days: Annotated[int, typer.Option(help="How many incremental days.", min=0)] = 2,
    history_members: Annotated[
        int, typer.Option(help="How many members in the measurement of history; 0 for none.", min=0)
    ] = 1_000_000,
    peers: Annotated[
        bool, typer.Option("--peers", help="Measure the same history as others make it, too.")
    ] = False,
    with_analysts: Annotated[
        bool,
        typer.Option("--analysts", help="Also what analysts notice while the warehouse works."),
    ] = False,
) -> None:
    """Measure the load against a plain COPY of the same bytes."""
    if peers and not history_members:
        raise typer.BadParameter("peers are measured with the history: --history-members")
    result: dict[str, Any] = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
    }
    if members:
        result |= measure(members, years, days, with_analysts)
        show(result)
        parts.show(result["parts"])
        reports.show(result["reports"])
        readers.show(result["readers"])
        readers.show_months(result["months"])
        senders.show(result["senders"])
        exports.show(result["exports"])
        checks.show(result["checks"], sum(result["floor_seconds"].values()))
        if with_analysts:
            analysts.show(result["analysts"])
    if history_members:
        result["history"] = members_history.measure(history_members)
        members_history.show(result["history"])
        if peers:
            result["peers"] = members_peers.measure(result["history"])
            members_peers.show(result["peers"], result["history"])
    targets.show(result)
    write_result(result)
    if members and with_analysts:
        analysts.judge(result["analysts"])


if __name__ == "__main__":
    sys.exit(guarded(lambda: typer.run(main)))
