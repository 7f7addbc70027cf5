"""psql on a terminal and in scripts: the banner, the marts first, the documented reports."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from etl.docs import psql_start
from etl.docs.report_queries import reports
from tests.support.make import make
from tests.support.terminal import own_file, shown
from tests.support.warehouse import Warehouse

PSQL = [sys.executable, "-m", "etl", "psql"]
DAY = "2025-01-01"


def send(warehouse: Warehouse) -> None:
    warehouse.send(DAY, providers=[{"provider_id": "A"}])
    warehouse.incremental()


def test_terminal_begins_with_the_warehouse_and_the_marts(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    send(warehouse)
    said = shown(
        PSQL,
        warehouse.environment(**own_file(tmp_path, "\\echo mine: :paid_pmpm_by_tier\n")),
        "show search_path;\n:covered_now\n:reports\nselect null as nothing;\n\\q\n",
    )
    assert f"As of    {DAY}, the day that the data speaks of" in said
    assert f"Loaded   batch {DAY}, " in said
    assert f"Reports  :reports lists the {len(reports())} documented ones" in said
    assert " mart, " in said
    # The user's own file is read last, so that it sees and may change what ours says.
    assert "mine: select" in said
    assert "(0 rows)" in said
    assert "Who is covered on the day that the data speaks of?" in said
    assert "(null)" in said
    assert "Time: " in said
    assert "ERROR" not in said


def test_every_shortcut_is_the_text_of_its_report(warehouse: Warehouse, tmp_path: Path) -> None:
    asked = "".join(f"\\echo :'{name}'\n" for name in reports())
    file = tmp_path / "start.psql"
    file.write_text(psql_start.start_text(None, is_utf8=False))
    said = warehouse.command("psql", "-f", str(file), "-c", asked.splitlines()[0])
    assert said.returncode == 0
    script = tmp_path / "ask.psql"
    script.write_text(asked)
    said = warehouse.command("psql", "-q", "-f", str(file), "-f", str(script))
    expected = "".join("'" + r.text.replace("'", "''") + "'\n" for r in reports().values())
    assert said.stdout.endswith(expected)
    assert all(report.title for report in reports().values())


def test_empty_database_says_what_to_do(warehouse: Warehouse, tmp_path: Path) -> None:
    said = shown(PSQL, warehouse.environment(HOME=str(tmp_path)), "select 40 + 2;\n\\q\n")
    assert "Nothing is loaded yet: make full-load" in said
    assert "42" in said
    assert "ERROR" not in said


def test_scripts_get_answers_alone(warehouse: Warehouse) -> None:
    said = warehouse.command("psql", "-Atc", "select 40 + 2")
    assert (said.returncode, said.stdout) == (0, "42\n")
    piped = subprocess.run(
        [*PSQL],
        input="\\pset tuples_only on\nselect 40 + 2;\n",
        env={**os.environ, **warehouse.environment()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "documented" not in piped.stdout
    assert piped.stdout.split()[-1] == "42"


def test_make_passes_arguments_on() -> None:
    said = make("psql", "ARGS=-c 'select 1'", "ROLE=analyst").stdout
    assert " ".join(said.split()).endswith("etl psql --role 'analyst' -- -c 'select 1'")
