"""How the cost of the warehouse grows with its claims: sizes that double, one after the other.

    python scripts/bench/growth.py                        up to 5 million claims
    python scripts/bench/growth.py --claims 50000000      up to 50 million
    python scripts/bench/growth.py --claims 400000 --first 100000

Each size in an empty database, seeded again: a plain COPY of its files, a full load with its
checks, the checks of everything and of a share, a day, and a late batch of a thousand claims of
the oldest months. Of each step: wall, processor time of the server and of Python, memory, log
written; after the load the bytes of every table. Each step is printed and written to data/bench as
it ends, so that a run that dies keeps what it had.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import sys
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from growth_server import Meter
from measuring import floor_seconds, measured_seed, next_day, scratch, show_table, timed

from etl.cli.guard import guarded
from etl.config import settings
from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import UsageError

# Claims of a member in two plan years of synthetic feeds.
_CLAIMS_A_MEMBER = 12.37
# Bytes a claim with its lines, diagnoses and members: files, tables with indexes, and what a load
# sorts and copies meanwhile; and bytes that do not depend on claims, mostly the server's log.
_BYTES_A_CLAIM, _BYTES_APART = 4_500, 8_000_000_000
_LATE_CLAIMS = 1_000

Step = dict[str, Any]


def sizes(claims: int, first: int) -> list[int]:
    """Numbers of claims, each twice the one before, up to ``claims``; none below ``first``."""
    doublings = max(int(math.log2(claims / first)), 0)
    return [claims >> n for n in range(doublings, -1, -1)]


def require_room(claims: int, folder: Path) -> None:
    """Raise ``UsageError`` if the disk would not hold that many claims."""
    needed = claims * _BYTES_A_CLAIM + _BYTES_APART
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        most = max(free - _BYTES_APART, 0) // _BYTES_A_CLAIM
        raise UsageError(
            f"{claims:,} claims need about {needed / 1e9:,.0f} GB where {folder} is, and "
            f"{free / 1e9:,.0f} GB are free.",
            f"Ask for at most {most:,} claims, or set DATA_DIR to a folder on a larger disk.",
        )


class Record:
    """The file of what was measured, a line per step, which also is printed."""

    def __init__(self) -> None:
        when = datetime.now(UTC).isoformat(timespec="seconds").replace(":", "")
        self.path = settings().data / "bench" / f"growth-{when}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.steps: list[Step] = []

    def add(self, claims: int, step: str, **found: Any) -> None:
        """Write and print what a step found."""
        entry = {"claims": claims, "step": step, **found}
        self.steps.append(entry)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        shown = ", ".join(f"{k} {v:,}" for k, v in found.items() if not isinstance(v, dict))
        print(f"{claims:>12,}  {step:<16} {shown}", flush=True)


def measure(claims: int, record: Record) -> None:
    """One size, step by step."""
    with scratch() as (url, folder):
        seeded = measured_seed(folder, round(claims / _CLAIMS_A_MEMBER), years=2)
        batch = Path(seeded["batch"])
        files = sum(file.stat().st_size for file in batch.glob("*.csv"))
        record.add(claims, "seed", wall=seeded["wall"], bytes=files)
        floor = sum(floor_seconds(url, batch).values())
        record.add(claims, "plain COPY", wall=round(floor, 2))
        steps = (
            ("full load", "full-load"),
            ("checks of all", "dq-check --all"),
            ("checks of share", "dq-check"),
            ("day", "incremental"),
            ("checks after it", "dq-check"),
            ("late batch", "incremental"),
        )
        for name, command in steps:
            if name == "day":
                next_day(folder)
            elif name == "late batch":
                write_late_batch(batch)
            record.add(claims, name, **measured(url, folder, command))
            if name == "full load":
                record.add(claims, "tables", **tables(url))


def measured(url: str, folder: Path, command: str) -> Step:
    """Wall, processor time, memory and log of a command of the warehouse."""
    given = {"DATABASE_URL": url, "DATABASE_URL_FILE": "", "INBOX": str(folder / "inbox")}
    with connect(url, "aca-warehouse bench") as connection:
        (pid,) = run(connection, "bench/floor.session").fetchone() or (0,)
        before = scalar(connection, "bench/floor.wal_bytes")
        with Meter(pid) as meter:
            spent = timed(["-m", "etl", *command.split()], **given)
        after = scalar(connection, "bench/floor.wal_bytes")
    return {
        **spent,
        "server_cpu": meter.cpu,
        "server_mb": meter.peak_mb,
        "wal_mb": round((after - before) / 1e6),
    }


def tables(url: str) -> Step:
    """Bytes of the database and of every table that has more than a few."""
    with connect(url, "aca-warehouse bench") as connection:
        found = dict(run(connection, "bench/floor.table_bytes").fetchall())
    return {"bytes": int(sum(found.values())), "by_table": {k: int(v) for k, v in found.items()}}


def write_late_batch(first: Path) -> None:
    """A batch dated right after the first one: claims of its oldest months again, half as dear."""
    with (first / "claims.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        columns = list(rows.fieldnames or ())
        year = min(row["service_date"][:4] for row in islice(rows, 10_000))
        oldest = tuple(f"{year}-{month:02}" for month in (1, 2, 3))
        file.seek(0)
        matching = (r for r in csv.DictReader(file) if r["service_date"].startswith(oldest))
        late = list(islice(matching, _LATE_CLAIMS))
    for row in late:
        row["paid_amount"] = str((Decimal(row["paid_amount"] or 0) / 2).quantize(Decimal("0.01")))
    folder = first.with_name(f"{first.name}-late")
    folder.mkdir()
    with (folder / "claims.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(late)


def show(record: Record) -> None:
    """Print a row per step and size, with how many times the size before it took."""
    rows = []
    before: dict[str, Step] = {}
    for step in record.steps:
        if "wall" not in step:
            continue
        last = before.get(step["step"])
        cells = [f"{step[name]:,}" if name in step else "" for name in ("cpu", "server_cpu")]
        more = [f"{step[name]:,}" if name in step else "" for name in ("peak_mb", "server_mb")]
        rows.append(
            (
                step["step"],
                f"{step['claims']:,}",
                f"{step['wall']:,.2f}",
                f"{step['wall'] / last['wall']:.2f}" if last and last["wall"] else "",
                *cells,
                *more,
                f"{step['wal_mb']:,}" if "wal_mb" in step else "",
            )
        )
        before[step["step"]] = step
    columns = ("step", "claims", "wall s", "twice costs", "Python s", "server s")
    memory = ("Python MB", "server MB", "log MB")
    order = {name: number for number, name in enumerate(dict.fromkeys(r[0] for r in rows))}
    rows.sort(key=lambda row: order[row[0]])
    show_table("Growth with the claims", (*columns, *memory), rows)


def main(
    claims: Annotated[
        int, typer.Option(help="The largest size, in claims.", min=1_000)
    ] = 5_000_000,
    first: Annotated[int, typer.Option(help="No size is below this.", min=1_000)] = 100_000,
) -> None:
    """Measure sizes that double, up to the number of claims asked for."""
    require_room(claims, settings().data)
    record = Record()
    for size in sizes(claims, first):
        measure(size, record)
        show(record)
    print(f"Written to {record.path}")


if __name__ == "__main__":
    sys.exit(guarded(lambda: typer.run(main)))
