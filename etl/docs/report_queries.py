"""The reports that the documentation shows: the blocks of SQL in the pages, read from there.

A block of ``docs/analysts.md`` that begins with ``-- name: its_name`` is a report. The page is
their only source: tests, measurements and whoever reads the page have the same text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from etl.config import ROOT

PAGE = ROOT / "docs" / "analysts.md"

# A heading, without its number, or a block of SQL.
_PART = re.compile(
    r"^#+ (?:\d+\. )?(?P<title>.+)$|^```sql\n(?P<block>(?:.*\n)*?)^```", re.MULTILINE
)
_NAME = re.compile(r"-- name: ([a-z][a-z0-9_]*)\n")
_ASKS = re.compile(r"(select|with)\b", re.IGNORECASE)
_READS = re.compile(r"\bfrom\b", re.IGNORECASE)
_END = re.compile(r";\s*(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class Report:
    """A documented report. ``text``: all of its statements, each ended by a semicolon.

    ``title``: the heading that it is under.
    """

    name: str
    text: str
    title: str

    @property
    def statements(self) -> list[str]:
        """Its statements in order, without semicolons."""
        return [piece.strip() for piece in _END.split(self.text) if piece.strip()]

    def ask(self, connection: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
        """Every row that its statements answer with."""
        cursor = connection.execute(self.text)
        return [row for one in cursor.results() if one.description for row in one.fetchall()]

    @property
    def question(self) -> str | None:
        """The one statement that reads a table; none where the session is only put somewhere.

        Those before it put the session at a point, those after it put it back. ``ValueError``
        where several read.
        """
        reading = [statement for statement in self.statements if _READS.search(statement)]
        if len(reading) > 1:
            raise ValueError(f"{self.name}: more than one statement reads a table")
        return reading[0] if reading else None


def reports() -> dict[str, Report]:
    """The documented reports by name, in the order of the page; ``ValueError`` for a name twice."""
    found: dict[str, Report] = {}
    for title, block in _blocks(PAGE):
        if named := _NAME.match(block):
            report = Report(named.group(1), block[named.end() :].strip(), title)
            if report.name in found:
                raise ValueError(f"{PAGE.name}: two reports are named {report.name}")
            found[report.name] = report
    return found


def queries(page: Path) -> list[str]:
    """The blocks of SQL of a page that ask something, their names left out."""
    texts = (_NAME.sub("", block, count=1).strip() for _, block in _blocks(page))
    return [text for text in texts if _ASKS.match(text)]


def _blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The blocks of SQL of a page, each with the heading above it."""
    title = ""
    for part in _PART.finditer(page.read_text(encoding="utf-8")):
        if part["block"] is None:
            title = part["title"]
        else:
            yield title, part["block"]
