"""What measurements share: a scratch database and folder, the floor, commands that are timed."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

from etl.config import ROOT, settings
from etl.db.connection import connect
from etl.db.statements import run, scalar, statement
from etl.server import server
from etl.synthetic.feeds.output import MANIFEST

DATABASE = "aca_bench"
LOADING = ("stage", "dims", "facts", "cubes", "swap")


@contextmanager
def scratch() -> Iterator[tuple[str, Path]]:
    """URL of an empty database and an empty folder, both removed afterwards."""
    chosen = settings()
    base = server.ensure_running(chosen)
    folder = chosen.data / "bench" / "work"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "inbox").mkdir(parents=True)
    database = sql.Identifier(DATABASE)
    with connect(base, "aca-warehouse bench") as admin:
        run(admin, "bench/floor.drop_database", database=database)
        run(admin, "bench/floor.create_database", database=database)
        try:
            yield f"{base.rsplit('/', 1)[0]}/{DATABASE}", folder
        finally:
            run(admin, "bench/floor.drop_database", database=database)
            shutil.rmtree(folder, ignore_errors=True)


def show_table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    also_left: Collection[str] = (),
    width: int | None = None,
) -> None:
    """Print rows of figures; the first column is a text, as are those named."""
    table = Table(title=title, title_justify="left", box=None)
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number and name not in also_left else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=width).print(table)


def ratio_cells(seconds: float, floor: float) -> tuple[str, str]:
    """Seconds, and how many times the floor they are."""
    return f"{seconds:.2f}", f"{seconds / floor:.2f}"


def write_result(result: Any, name: str = "") -> None:
    """Keep what was measured in data/bench, under a name and the moment."""
    when = datetime.now(UTC).isoformat(timespec="seconds").replace(":", "")
    file = settings().data / "bench" / f"{name}{when}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=2), encoding="utf-8")
    print(f"Written to {file}")


def floor_seconds(url: str, batch: Path) -> dict[str, float]:
    """Seconds of a plain COPY of each file of a batch into an untyped logged table.

    Each is copied twice and the second time counts: the first also pays for new files of the
    server.
    """
    _copy_plain(url, batch)
    return _copy_plain(url, batch)


def _copy_plain(url: str, batch: Path) -> dict[str, float]:
    found = {}
    with connect(url, "aca-warehouse bench") as connection:
        for path in sorted(batch.glob("*.csv")):
            table = sql.Identifier(f"floor_{path.stem}")
            found[path.stem] = copy_plain(connection, path, table)
            run(connection, "bench/floor.drop_untyped", table=table)
    return found


def copy_plain(
    connection: psycopg.Connection[Any],
    path: Path,
    table: sql.Identifier,
    types: Mapping[str, str] = MappingProxyType({}),
    delimiter: str = ",",
) -> float:
    """Seconds of a plain COPY of a CSV into a new table, of text columns but for ``types``."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.Identifier(types.get(name, "text")))
        for name in header_of(path, delimiter)
    )
    run(connection, "bench/floor.create_untyped", untyped=table, column_types=columns)
    started = time.perf_counter()
    with (
        connection.cursor().copy(
            statement("bench/floor.copy_plain", table=table, delimiter=sql.Literal(delimiter))
        ) as copy,
        path.open("rb") as file_bytes,
    ):
        while block := file_bytes.read(1 << 20):
            copy.write(block)
    return time.perf_counter() - started


def header_of(path: Path, delimiter: str = ",") -> list[str]:
    """The columns that a CSV names."""
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter))


def contents(
    url: str, table: sql.Identifier, is_current: sql.Composable, is_member: sql.Composable
) -> dict[str, Any]:
    """What is in a history of members, and the kinds of guards that the database has on it."""
    with connect(url, "aca-warehouse bench") as connection:
        cursor = run(
            connection,
            "bench/peers.versions",
            table=table,
            is_current=is_current,
            is_member=is_member,
        )
        names = [column.name for column in cursor.description or ()]
        (row,) = cursor.fetchall()
        values = {"table": table.as_string(connection)}
        guards = [kind for (kind,) in run(connection, "bench/peers.guards", values)]
    return {**dict(zip(names, row, strict=True)), "guards": guards}


def timed(arguments: list[str], **environment: str) -> dict[str, float]:
    """Run Python in a process of its own: wall and processor seconds, peak memory in MB."""
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
    cpu = round(usage.ru_utime + usage.ru_stime, 2)
    return {"wall": wall, "cpu": cpu, "peak_mb": round(usage.ru_maxrss / 1024)}


def measured_seed(folder: Path, members: int, years: int) -> dict[str, Any]:
    """Generate the first batch: wall, peak memory, rows by feed."""
    command = ["scripts/generate_seed_data.py", "--members", str(members), "--years", str(years)]
    seeding = timed([*command, "--inbox", str(folder / "inbox"), "--truth", str(folder / "truth")])
    (batch,) = (p for p in (folder / "inbox").iterdir() if p.is_dir())
    files = json.loads((batch / MANIFEST).read_text(encoding="utf-8"))["files"]
    rows = {name.removesuffix(".csv"): said["rows"] for name, said in files.items()}
    return {**seeding, "batch": str(batch), "rows": rows}


def next_day(folder: Path) -> None:
    """Generate the next day's batch.

    In a process of its own: what this one has used at most, its children are counted to have used.
    """
    where = ["--inbox", str(folder / "inbox"), "--truth", str(folder / "truth")]
    timed(["scripts/generate_seed_data.py", "--increment", *where])


def measured_run(url: str, inbox: Path, command: str) -> dict[str, Any]:
    """Run a command of the warehouse in a process of its own: wall, peak memory, stages, gates.

    The seconds of a stage include those of its gate. Those of each file and of each table of facts
    are what the command logged; ``rows`` are those that the tables then have.
    """
    with connect(url, "aca-warehouse bench") as connection:
        known = scalar(connection, "rebuild/swap.schema_exists", {"schema": "ledger"})
        after = scalar(connection, "bench/floor.last_stage_run") if known else 0
        gate_after = scalar(connection, "bench/floor.last_check_run") if known else 0
    given = {"DATABASE_URL": url, "DATABASE_URL_FILE": "", "INBOX": str(inbox)}
    log = settings().log_file
    logged_before = log.stat().st_size if log.exists() else 0
    spent = timed(["-m", "etl", command], **given)
    with connect(url, "aca-warehouse bench") as connection:
        rows = run(connection, "bench/floor.stage_seconds", {"after": after}).fetchall()
        gates = run(connection, "bench/floor.gate_seconds", {"after": gate_after}).fetchall()
        claims = scalar(connection, "bench/floor.claims")
        fact_rows = dict(run(connection, "bench/floor.fact_rows").fetchall())
    stages = {stage: round(seconds, 2) for stage, seconds in rows}
    loading = sum(stages.get(stage, 0.0) for stage in LOADING)
    return {
        **spent,
        "loading": round(loading, 2),
        "stages": stages,
        "gates": {gate: round(seconds, 2) for gate, seconds in gates},
        "claims": claims,
        **_logged(log, logged_before),
        "rows": fact_rows,
    }


def _logged(log: Path, after: int) -> dict[str, dict[str, float]]:
    """Seconds of each file and of each table of facts that was logged after a place in the log."""
    found: dict[str, dict[str, float]] = {"files": {}, "tables": {}}
    with log.open("rb") as lines:
        lines.seek(after)
        for line in lines:
            said = json.loads(line)
            if said["event"] == "file_staged":
                found["files"][said["file"].split(".")[0]] = said["seconds"]
            elif said["event"] == "fact_loaded":
                found["tables"][said["table"]] = said["seconds"]
    return found
