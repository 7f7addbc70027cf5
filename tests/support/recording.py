"""A pytest plugin that writes down what each test runs, for ``scripts/mutation/try_mutants.py``.

``python -m pytest -p tests.support.recording --record FILE`` adds to FILE a line of JSON for each
test: its seconds, the named statements that it sent and the functions of ``etl/stages`` that it
called. What a fixture of a module or session ran counts for every test that uses it, and what was
loaded once for every test that has a copy. Runs of the command line in processes of their own are
not seen.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import psycopg
import pytest
from psycopg import sql

from etl.config import ROOT
from etl.db.statements import FOLDER, read_file
from tests.support.warehouse import Load, LoadedOnce, Warehouse

STAGES = str(ROOT / "etl" / "stages")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", type=Path, required=True, help="where to write what tests run")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder(config.getoption("--record")))


class Recorder:
    """Notes what runs between the beginning of a test and its end."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.running: list[set[str]] = []
        self.of_fixture: dict[int, set[str]] = {}
        self.of_load: dict[Load, set[str]] = {}
        self.statements = _by_comment()
        self.functions: dict[CodeType, str | None] = {}
        for name in ("execute", "executemany", "copy", "stream"):
            setattr(psycopg.Cursor, name, self._noting(getattr(psycopg.Cursor, name)))
        self._note_loads(LoadedOnce.make, LoadedOnce.copy)
        threading.setprofile(self._called)
        sys.setprofile(self._called)

    def _noting(self, send: Callable[..., Any]) -> Callable[..., Any]:
        def sent(cursor: Any, query: Any, *args: Any, **how: Any) -> Any:
            text = query.as_string(cursor) if isinstance(query, sql.Composable) else str(query)
            for comment in re.findall(r"-- [^\n]*", text):
                self._note(self.statements.get(comment, ()))
            return send(cursor, query, *args, **how)

        return sent

    def _note_loads(self, make: Callable[..., Any], copy: Callable[..., Any]) -> None:
        """What a load runs is run by each test that has a copy of what it leaves."""

        def made(once: LoadedOnce, load: Load, name: str) -> tuple[str, Path]:
            with self._apart() as self.of_load[load]:
                return make(once, load, name)

        @contextmanager
        def copied(once: LoadedOnce, load: Load, folder: Path) -> Iterator[Warehouse]:
            with copy(once, load, folder) as warehouse:
                self._note(self.of_load[load])
                yield warehouse

        LoadedOnce.make, LoadedOnce.copy = made, copied

    @contextmanager
    def _apart(self) -> Iterator[set[str]]:
        """What runs in here, by itself too."""
        runs: set[str] = set()
        self.running.append(runs)
        try:
            yield runs
        finally:
            self.running = [r for r in self.running if r is not runs]

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code not in self.functions:
            path = code.co_filename
            module = path.removeprefix(f"{ROOT}/") if path.startswith(STAGES) else None
            name = code.co_qualname.partition(".<locals>")[0]
            self.functions[code] = module and f"{module}:{name}"
        if found := self.functions[code]:
            self._note((found,))

    def pytest_unconfigure(self) -> None:
        threading.setprofile(None)
        sys.setprofile(None)

    def _note(self, names: Any) -> None:
        for runs in self.running:
            runs.update(names)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        with self._apart() as runs:
            try:
                return (yield)
            finally:
                if fixturedef.scope != "function":
                    self.of_fixture.setdefault(id(fixturedef), set()).update(runs)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        self.running, started = [set()], time.monotonic()
        result = yield
        (runs,) = self.running
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            runs = runs.union(*(self.of_fixture.get(id(d), ()) for d in definitions))
        seconds = round(time.monotonic() - started, 2)
        what = {"test": item.nodeid, "seconds": seconds, "runs": sorted(runs)}
        # One write, since other processes that run tests add to the file too.
        with self.file.open("ab", buffering=0) as file:
            file.write(f"{json.dumps(what)}\n".encode())
        return result


def _by_comment() -> dict[str, list[str]]:
    """Names of statements by the first line that says what they do, which is sent along."""
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.rglob("*.sql")):
        file = str(path.relative_to(FOLDER).with_suffix(""))
        for key, text in read_file(file).items():
            found.setdefault(text.partition("\n")[0], []).append(f"{file}.{key}")
    return found
