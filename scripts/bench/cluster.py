"""What the same feeds cost on one server and on the nodes of a cluster of this machine.

    python scripts/bench/cluster.py                     about 100,000 claims
    python scripts/bench/cluster.py --members 20000     more of them

An embedded server and a cluster of its own for each, in DATA_DIR/bench, which go afterwards. A full
load, a day, and every documented report, asked of one and of the other by turns. Of each: wall, and
processor seconds of every node by stage. Nodes that share the cores of one machine wait for each
other, so walls say little here, and processor seconds what each node would have to do. The library
of Citus has to be there, as for `make cluster-up`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import psycopg
import typer
from growth_server import Meter
from measuring import measured_seed, next_day, show_table, timed, write_result
from psycopg.conninfo import make_conninfo

from etl.cli.guard import guarded
from etl.config import ROOT, settings
from etl.db.connection import connect, set_config
from etl.db.statements import run
from etl.docs import report_queries
from etl.server import nodes, topology
from etl.warehouse.tables import LIVE

ONE, CLUSTER = "one server", "cluster"
TIMES = 5  # that a report is asked
PATIENCE = "120s"  # of a report
SESSION = "aca-warehouse bench"

Environment = dict[str, str]


def said(environment: Environment, *arguments: str) -> str:
    """What a command says on standard output."""
    command = [sys.executable, "-m", "etl", *arguments]
    given = {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with code {done.returncode}: {done.stderr}")
    return done.stdout.strip()


@contextmanager
def warehouses(folder: Path) -> Iterator[dict[str, Environment]]:
    """The environments of commands on one server and on a cluster, both empty."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "inbox").mkdir(parents=True)
    shared = {"DATABASE_URL": "", "DATABASE_URL_FILE": "", "INBOX": str(folder / "inbox")}
    found = {name: {**shared, "DATA_DIR": str(folder / name)} for name in (ONE, CLUSTER)}
    try:
        said(found[ONE], "up")
        said(found[CLUSTER], "cluster-up")
        yield found
    finally:
        with suppress(SystemExit):
            said(found[CLUSTER], "cluster-down", "--confirm")
        with suppress(SystemExit):
            said(found[ONE], "down")
        shutil.rmtree(folder, ignore_errors=True)


def addresses(url: str) -> dict[str, str]:
    """The nodes of a database by name, that of one server alone; the owner's password is one."""
    with connect(url, SESSION) as connection:
        entries = topology.known(connection)
    if not entries:
        return {ONE: url}
    found = zip(nodes.NODES, sorted(entries), strict=True)
    return {name: make_conninfo(url, port=entry.port) for name, entry in found}


class Measured:
    """The processor seconds of every node while something is done."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open = ExitStack()
        self.meters: dict[str, Meter] = {}

    def __enter__(self) -> Measured:
        for name, url in addresses(self.url).items():
            session = self._open.enter_context(connect(url, SESSION))
            (pid,) = run(session, "bench/floor.session").fetchone() or (0,)
            self.meters[name] = self._open.enter_context(Meter(pid))
        return self

    def __exit__(self, *why: Any) -> None:
        self._open.close()

    def cpu(self) -> dict[str, float]:
        """Of each node, all of the time."""
        return {name: meter.cpu for name, meter in self.meters.items()}

    def by_stage(self) -> dict[str, dict[str, float]]:
        """Of each stage that ended meanwhile, those of each node."""
        found: dict[str, dict[str, float]] = {}
        with connect(self.url, SESSION) as connection:
            spans = run(connection, "bench/floor.stage_spans").fetchall()
        for stage, began, ended in spans:
            for name, meter in self.meters.items():
                if began >= meter.began:
                    of_stage = found.setdefault(stage, {})
                    spent = of_stage.get(name, 0.0) + meter.between(began, ended)
                    of_stage[name] = round(spent, 2)
        return found


def measured(environment: Environment, url: str, command: str) -> dict[str, Any]:
    """A command of the warehouse: wall, Python's seconds, and those of the nodes by stage."""
    with Measured(url) as meter:
        spent = timed(["-m", "etl", command], **environment)
    stages = {"all": meter.cpu(), **meter.by_stage()}
    found = {"wall": spent["wall"], "python": spent["cpu"], "stages": stages}
    print(command, found, flush=True)
    return found


def ask(connection: psycopg.Connection[Any], name: str) -> tuple[float, str]:
    """Milliseconds of a documented report, the median of some; why where it is refused."""
    spent = []
    path = ", ".join(LIVE.schemas.readers_path)
    set_config(connection, "search_path", path, is_local=False)
    set_config(connection, "statement_timeout", PATIENCE, is_local=False)
    report = report_queries.reports()[name]
    for _ in range(TIMES):
        began = time.perf_counter()
        try:
            report.ask(connection)
        except psycopg.Error as error:
            return 0.0, str(error).splitlines()[0]
        spent.append(time.perf_counter() - began)
    return round(median(spent) * 1000, 1), ""


def reports(urls: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Of every documented report on both: p50, or why it is refused, and seconds of the nodes."""
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as opened:
        meters = {name: opened.enter_context(Measured(url)).meters for name, url in urls.items()}
        for name in report_queries.reports():
            found[name] = {}
            for layout, url in urls.items():
                before = {node: meter.read() for node, meter in meters[layout].items()}
                # A session that ends while its server is looked at would be missed.
                with connect(url, SESSION) as connection:
                    p50, refused = ask(connection, name)
                    after = {node: meter.read() for node, meter in meters[layout].items()}
                spent = {node: round((after[node] - before[node]) / TIMES, 3) for node in before}
                found[name][layout] = {"p50_ms": p50, "refused": refused, "cpu": spent}
    return found


def show(result: dict[str, Any]) -> None:
    """Print what was found."""
    names = (ONE, *nodes.NODES)
    for command in ("full load", "day"):
        both = result[command]
        stages = {stage for layout in both.values() for stage in layout["stages"]}
        rows = []
        for stage in sorted(stages):
            spent = {k: v for layout in both.values() for k, v in layout["stages"][stage].items()}
            rows.append((stage, *(f"{spent.get(name, 0):,.2f}" for name in names)))
        walls = ", ".join(f"{layout} {found['wall']:,.1f} s" for layout, found in both.items())
        show_table(
            f"A {command}: processor seconds by stage; wall {walls}", ("stage", *names), rows
        )
    rows = []
    for name, found in result["reports"].items():
        spent = {k: v for layout in found.values() for k, v in layout["cpu"].items()}
        shown = ["refused" if k["refused"] else f"{k['p50_ms']:,.1f}" for k in found.values()]
        rows.append((name, *shown, *(f"{spent[node]:.3f}" for node in names)))
    columns = ("report", f"{ONE}, ms", f"{CLUSTER}, ms", *(f"{name}, s" for name in names))
    show_table("Documented reports: p50, and processor seconds", columns, rows, width=140)


def main(
    members: Annotated[int, typer.Option(help="Members in two plan years.", min=20)] = 8_000,
) -> None:
    """Measure both layouts with the same feeds."""
    folder = settings().data / "bench" / "cluster"
    result: dict[str, Any] = {"full load": {}, "day": {}}
    with warehouses(folder) as environments:
        result["rows"] = measured_seed(folder, members, years=2)["rows"]
        for layout, environment in environments.items():
            url = said(environment, "db-url")
            result["full load"][layout] = measured(environment, url, "full-load")
        next_day(folder)
        urls = {}
        for layout, environment in environments.items():
            urls[layout] = said(environment, "db-url")
            result["day"][layout] = measured(environment, urls[layout], "incremental")
        result["reports"] = reports(urls)
    show(result)
    write_result(result, "cluster-")


if __name__ == "__main__":
    sys.exit(guarded(lambda: typer.run(main)))
