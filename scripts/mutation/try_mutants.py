"""Try the tests by breaking the code: change one thing, run the tests that are known to run it.

The changes are made in a copy of the tree. What each test runs is recorded once (``--record``).
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import pytest
import python_mutants
import sql_mutants
import typer
from mutant import Mutant

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from etl.config import ROOT, Settings
from etl.server import server

QUIET = ("-q", "-p", "no:cacheprovider")
PYTEST = (str(ROOT / ".venv" / "bin" / "python"), "-m", "pytest", *QUIET)
# Each trial is a copy of this process, which has loaded what the tests need of other packages.
fork = multiprocessing.get_context("fork")
LOADED_ONCE = ("great_expectations", "hypothesis", "numpy", "alembic", "etl.__main__")
# Seconds after which tests that do not end have noticed a change.
TIMEOUT = 900
RUNS = ROOT / "data" / "mutation" / "runs.jsonl"
RESULTS = ROOT / "data" / "mutation" / "results.jsonl"
# Made once for all tests, or run by none.
LEFT_OUT = ("schema", "server", "bench", "quality", "db")
# A change that PostgreSQL or Python does not even take says nothing about the tests.
NO_CODE = re.compile(
    r"errors\.(SyntaxError|Undefined|Ambiguous|Invalid|Indeterminate|DatatypeMismatch|Grouping"
    r"|CannotCoerce|FeatureNotSupported)"
)


def main(
    count: Annotated[int, typer.Option(help="How many changes.")] = 100,
    seed: Annotated[int, typer.Option(help="Which ones.")] = 1,
    only: Annotated[str, typer.Option(help="Statements or functions with this in the name.")] = "",
    seconds: Annotated[float, typer.Option(help="Of tests for each change, at first.")] = 20,
    more: Annotated[float, typer.Option(help="Of tests for what lives at first.")] = 600,
    record: Annotated[bool, typer.Option("--record", help="Record what tests run.")] = False,
    tests: Annotated[str, typer.Option(help="What to record.")] = "tests",
    show: Annotated[bool, typer.Option("--show", help="List the changes and try none.")] = False,
) -> None:
    """Break statements and stages one by one, and list what no test notices."""
    if record:
        RUNS.parent.mkdir(parents=True, exist_ok=True)
        plugin = ("-p", "tests.support.recording", "--record", str(RUNS))
        chosen = ("-n", "auto", "--dist", "worksteal", "-m", "not slow", *tests.split())
        raise SystemExit(subprocess.call([*PYTEST, *plugin, *chosen], cwd=ROOT))
    by_subject = _tests_by_subject()
    mutants = sorted(
        (m for m in _mutants() if only in m.subject and m.subject in by_subject),
        key=lambda m: (m.subject, m.line, m.after),
    )
    random.Random(seed).shuffle(mutants)
    typer.echo(f"{len(mutants):,} changes can be tried.")
    if show:
        typer.echo("\n".join(map(str, mutants[:count])))
        return
    with tempfile.TemporaryDirectory() as folder, _server() as kept:
        tree = _copy_of_tree(Path(folder))
        for name in LOADED_ONCE:
            importlib.import_module(name)
        judged: list[str] = []
        for mutant in mutants:
            if len(judged) == count:
                break
            verdict = _try(mutant, tree, kept, by_subject[mutant.subject], (seconds, more))
            if verdict != "no code":
                judged.append(verdict)
            _note(mutant, verdict)
    typer.echo(f"{len(judged)} tried, {judged.count('lives')} live: {RESULTS.relative_to(ROOT)}")


@contextmanager
def _server() -> Iterator[Path]:
    """The folder of a server that all trials share."""
    memory = Path("/dev/shm")
    folder = (memory if memory.is_dir() else ROOT / "data") / f"aca-mutants-{os.getpid()}"
    folder.mkdir(parents=True)
    yield folder
    server.remove(Settings("", folder / "inbox", folder, reject_share=0.05))
    shutil.rmtree(folder)


def _tests_by_subject() -> dict[str, list[tuple[str, float]]]:
    """For each statement and function the tests that run it, with their seconds, cheapest first."""
    found: dict[str, list[tuple[str, float]]] = {}
    lines = map(json.loads, RUNS.read_text(encoding="utf-8").splitlines())
    latest = {line["test"]: line for line in lines}
    collect = [*PYTEST, "--collect-only", "-m", "not slow", "tests"]
    there = set(subprocess.check_output(collect, cwd=ROOT, text=True).splitlines())
    for line in sorted(latest.values(), key=lambda line: line["seconds"]):
        if line["test"] not in there:
            continue  # renamed or gone since it was recorded
        for subject in line["runs"]:
            found.setdefault(subject, []).append((line["test"], line["seconds"]))
    return found


def _mutants() -> Iterator[Mutant]:
    for path in (ROOT / "sql").rglob("*.sql"):
        if path.parent.name not in LEFT_OUT:
            yield from sql_mutants.of_file(path)
    for path in (ROOT / "etl" / "stages").rglob("*.py"):
        yield from python_mutants.of_file(path, ROOT)


def _copy_of_tree(folder: Path) -> Path:
    files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT).decode().split("\0")
    for name in filter(None, files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


def _try(
    mutant: Mutant,
    tree: Path,
    kept: Path,
    tests: list[tuple[str, float]],
    seconds: tuple[float, float],
) -> str:
    """``dies``, ``lives``, or ``no code``."""
    path = tree / mutant.path.relative_to(ROOT)
    before = path.read_text(encoding="utf-8")
    path.write_text(mutant.text, encoding="utf-8")
    try:
        # What lives at first is shown to more of the tests that run it.
        for limit in seconds:
            chosen = _within(tests, limit, mutant.names)
            verdict = _verdict(chosen, tree, kept) if chosen else "lives"
            if verdict != "lives":
                return verdict
            tests = [test for test in tests if test[0] not in chosen]
        return "lives"
    finally:
        path.write_text(before, encoding="utf-8")


def _within(tests: list[tuple[str, float]], seconds: float, names: tuple[str, ...]) -> list[str]:
    """Tests that together take so long: those with one of the names, then in turn of each module.

    Every test of a check runs all checks, and its defect bears its name.
    """
    turns: dict[str, int] = {}
    order = []
    for name, cost in tests:
        module = name.partition("::")[0]
        turns[module] = turns.get(module, 0) + 1
        order.append((not any(n in name for n in names), turns[module], cost, name))
    chosen: list[str] = []
    for _, _, cost, name in sorted(order):
        if seconds >= cost:
            chosen.append(name)
            seconds -= cost
    return chosen


def _verdict(tests: list[str], tree: Path, kept: Path) -> str:
    output = kept / "output"
    trial = fork.Process(target=_run_tests, args=(tests, tree, kept, output))
    trial.start()
    trial.join(TIMEOUT)
    if trial.is_alive():
        trial.kill()
        trial.join()
        return "dies"
    if trial.exitcode == pytest.ExitCode.OK:
        return "lives"
    return "no code" if NO_CODE.search(output.read_text(encoding="utf-8")) else "dies"


def _run_tests(tests: list[str], tree: Path, kept: Path, output: Path) -> None:
    """Run tests of a tree in this process, with its modules; those of other packages stay."""
    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    for name in [name for name in sys.modules if name.partition(".")[0] in ("etl", "tests")]:
        del sys.modules[name]
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.exit(pytest.main([*QUIET, "-x", "-n", "0", "--server", str(kept), *tests]))


def _note(mutant: Mutant, verdict: str) -> None:
    what = {"subject": mutant.subject, "line": mutant.line, "verdict": verdict}
    with RESULTS.open("a", encoding="utf-8") as file:
        at = {"at": time.strftime("%H:%M:%S"), "before": mutant.before, "after": mutant.after}
        file.write(json.dumps({**what, **at}, ensure_ascii=False) + "\n")
    if verdict == "lives":
        typer.echo(f"lives: {mutant}")


if __name__ == "__main__":
    typer.run(main)
