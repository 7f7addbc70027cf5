"""The tutorial, followed to its end: each command ends well and shows what the page shows."""

from __future__ import annotations

import csv
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from etl.config import ROOT

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Reader:
    """Who follows the page: what their shell remembers, and what the last command said.

    Everything that the page keeps in ``data`` is in ``folder``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "DATA_DIR": str(folder)}
        for setting in ("INBOX", "DATABASE_URL", "CI"):
            self.environment.pop(setting, None)
        self.said = ""

    def command(self, line: str) -> None:
        line = line.replace("data/tutorial", str(self.folder / "tutorial"))
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.environment[name] = value
        elif line.startswith("unset "):
            self.environment["DATA_DIR"] = str(self.folder)
        else:
            if "quarantine-replay" in line:
                correct(Path(line.partition("FILE=")[2]))
            self.said = self.run(line)

    def run(self, line: str) -> str:
        ended = subprocess.run(
            line.split(),
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ended.returncode == 0, (line, ended.stderr)
        return ended.stdout

    def query(self, text: str) -> None:
        with psycopg.connect(self.run("make db-url").strip()) as connection:
            cursor = connection.execute(text)
            assert cursor.description is not None
            names = [column.name for column in cursor.description]
            rows = [[shown(value) for value in row] for row in cursor.fetchall()]
        self.said = "\n".join(" | ".join(row) for row in [names, *rows])

    def sees(self, text: str) -> None:
        """Every line of the page is one of what was said, however wide its columns are."""
        said = {squeezed(line) for line in self.said.splitlines()}
        lines = [squeezed(line) for line in text.splitlines() if not line.startswith("--")]
        assert [line for line in lines if line not in said] == [], self.said


def shown(value: object) -> str:
    """A value as psql shows it."""
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value).removesuffix(":00") if "+00:00" in str(value) else str(value)


def squeezed(line: str) -> str:
    return re.sub(r"\s+", " ", line).strip()


def correct(file: Path) -> None:
    """Do with the exported rows what the page asks for."""
    with file.open(encoding="utf-8-sig", newline="") as exported:
        rows = list(csv.DictReader(exported))
    for row in rows:
        year = row["enrollment_id"][1:5]
        day = {"start_date": f"{year}-01-01", "end_date": f"{year}-12-31"}
        row[row["_column"]] = day[row["_column"]]
    with file.open("w", encoding="utf-8", newline="") as corrected:
        writer = csv.DictWriter(corrected, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path / "data")
    try:
        yield reader
    finally:
        for folder in (reader.folder, reader.folder / "tutorial"):
            if folder.exists():
                reader.environment["DATA_DIR"] = str(folder)
                reader.run("make clean-data CONFIRM=yes")


def test_a_newcomer_sees_what_the_page_shows(reader: Reader) -> None:
    shown_by_page = 0
    for language, text in _FENCE.findall(PAGE):
        if language == "text":
            reader.sees(text)
            shown_by_page += 1
        elif language == "sql":
            reader.query(text)
        else:
            for line in text.splitlines():
                reader.command(line)
    assert shown_by_page > 8
