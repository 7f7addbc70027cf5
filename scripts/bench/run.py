"""Measure the load against a plain COPY of the same bytes, on one server, in one run.

Generates feeds of the size asked for, copies them as they are into untyped logged tables (the
floor), then runs the full load and a few incremental days in a database of its own and prints
each stage's seconds and its ratio to the floor. The table also goes to data/bench as JSON.
"""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg import sql
from rich.console import Console
from rich.table import Table

from etl.__main__ import guarded
from etl.config import ROOT, settings
from etl.db import server
from etl.db.connection import connect
from etl.db.statements import run, scalar, statement
from etl.seed import increment
from etl.seed.output import MANIFEST

DATABASE = "aca_bench"
LOADING = ("stage", "dims", "facts", "rebuilt_cubes", "cubes", "swap")


def floor_seconds(url: str, batch: Path) -> dict[str, float]:
    """Seconds of a plain COPY of each file of a batch into an untyped logged table."""
    found = {}
    with connect(url, "aca-warehouse bench") as connection:
        for path in sorted(batch.glob("*.csv")):
            with path.open(encoding="utf-8", newline="") as file:
                header = next(csv.reader(file))
            table = sql.Identifier(f"floor_{path.stem}")
            columns = sql.SQL(", ").join(
                sql.SQL("{} text").format(sql.Identifier(name)) for name in header
            )
            run(connection, "bench/floor.create_untyped", untyped=table, column_types=columns)
            started = time.perf_counter()
            with (
                connection.cursor().copy(statement("bench/floor.copy_plain", table=table)) as copy,
                path.open("rb") as file_bytes,
            ):
                while block := file_bytes.read(1 << 20):
                    copy.write(block)
            found[path.stem] = time.perf_counter() - started
            run(connection, "bench/floor.drop_untyped", table=table)
    return found


def timed(arguments: list[str], **environment: str) -> dict[str, float]:
    """Run Python in a process of its own to its end: wall seconds and peak memory in MB."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        said = " ".join(arguments)
        raise SystemExit(f"{said} ended with exit code {code}; run it by hand to see why.")
    wall = round(time.perf_counter() - started, 2)
    return {"wall": wall, "peak_mb": round(usage.ru_maxrss / 1024)}


def measured_seed(folder: Path, members: int, years: int) -> dict[str, Any]:
    """Generate the first batch: wall, peak memory, rows by feed."""
    command = ["scripts/generate_seed_data.py", "--members", str(members), "--years", str(years)]
    seeding = timed([*command, "--inbox", str(folder / "inbox"), "--truth", str(folder / "truth")])
    (batch,) = (p for p in (folder / "inbox").iterdir() if p.is_dir())
    files = json.loads((batch / MANIFEST).read_text(encoding="utf-8"))["files"]
    rows = {name.removesuffix(".csv"): said["rows"] for name, said in files.items()}
    return {**seeding, "batch": str(batch), "rows": rows}


def measured_run(url: str, inbox: Path, command: str) -> dict[str, Any]:
    """Run a command of the warehouse in a process of its own: wall, peak memory, stages."""
    with connect(url, "aca-warehouse bench") as connection:
        known = scalar(connection, "rebuild/swap.schema_exists", {"schema": "ledger"})
        after = scalar(connection, "bench/floor.last_stage_run") if known else 0
    spent = timed(["-m", "etl", command], DATABASE_URL=url, INBOX=str(inbox))
    with connect(url, "aca-warehouse bench") as connection:
        rows = run(connection, "bench/floor.stage_seconds", {"after": after}).fetchall()
        claims = scalar(connection, "bench/floor.claims")
    stages = {stage: round(seconds, 2) for stage, seconds in rows}
    loading = sum(stages.get(stage, 0.0) for stage in LOADING)
    return {
        **spent,
        "loading": round(loading, 2),
        "stages": stages,
        "claims": claims,
    }


def measure(members: int, years: int, days: int) -> dict[str, Any]:
    """All measurements, in a scratch folder and database that are removed afterwards."""
    chosen = settings()
    base = server.ensure_running(chosen)
    url = f"{base.rsplit('/', 1)[0]}/{DATABASE}"
    folder = chosen.data / "bench" / "work"
    shutil.rmtree(folder, ignore_errors=True)
    database = sql.Identifier(DATABASE)
    with connect(base, "aca-warehouse bench") as admin:
        run(admin, "bench/floor.drop_database", database=database)
        run(admin, "bench/floor.create_database", database=database)
        try:
            seeding = measured_seed(folder, members, years)
            batch = Path(seeding.pop("batch"))
            # Twice, the second counts: the first also pays for new files of the server.
            floor_seconds(url, batch)
            floors = floor_seconds(url, batch)
            full = measured_run(url, folder / "inbox", "full-load")
            daily = []
            for _ in range(days):
                increment(folder / "inbox", truth=folder / "truth")
                daily.append(measured_run(url, folder / "inbox", "incremental"))
            size = sum(p.stat().st_size for p in batch.iterdir())
        finally:
            run(admin, "bench/floor.drop_database", database=database)
            shutil.rmtree(folder, ignore_errors=True)
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "members": members,
        "megabytes": round(size / 1e6),
        "seeding": seeding,
        "floor_seconds": {name: round(s, 2) for name, s in floors.items()},
        "full_load": full,
        "incremental": daily,
    }


def show(result: dict[str, Any]) -> None:
    """Print the measurements as a table of seconds and ratios to the floor."""
    floor = sum(result["floor_seconds"].values())
    full = result["full_load"]
    table = Table(
        title=f"{result['members']:,} members, {full['claims']:,} claims, "
        f"{result['megabytes']:,} MB; plain COPY of all files = 1",
        title_justify="left",
        box=None,
    )
    for name in ("what", "seconds", "ratio"):
        table.add_column(name, justify="left" if name == "what" else "right")
    seeding = result["seeding"]
    rows = [("feeds generated", seeding["wall"]), ("plain COPY, untyped", floor)]
    rows += [(stage, full["stages"][stage]) for stage in LOADING if stage in full["stages"]]
    rows += [("full load without checks", full["loading"]), ("full load, wall", full["wall"])]
    rows += [
        (f"incremental day {number}, without checks", day["loading"])
        for number, day in enumerate(result["incremental"], start=1)
    ]
    for what, seconds in rows:
        table.add_row(what, f"{seconds:.2f}", f"{seconds / floor:.2f}")
    console = Console()
    console.print(table)
    claims = seeding["rows"]["claims"]
    console.print(
        f"The generator: {claims / seeding['wall']:,.0f} claims/s, "
        f"{sum(seeding['rows'].values()) / seeding['wall']:,.0f} rows/s of all feeds, "
        f"peak memory {seeding['peak_mb']} MB",
        highlight=False,
    )
    console.print(f"Peak memory of a full load's Python: {full['peak_mb']} MB", highlight=False)


def main(
    members: Annotated[int, typer.Option(help="How many members.", min=100)] = 90_000,
    years: Annotated[int, typer.Option(help="How many plan years.", min=1)] = 2,
    days: Annotated[int, typer.Option(help="How many incremental days.", min=0)] = 2,
) -> None:
    """Measure the load against a plain COPY of the same bytes."""
    result = measure(members, years, days)
    show(result)
    file = settings().data / "bench" / f"{result['when'].replace(':', '')}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=2), encoding="utf-8")
    typer.echo(f"Written to {file}")


if __name__ == "__main__":
    sys.exit(guarded(lambda: typer.run(main)))
