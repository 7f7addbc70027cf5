"""What psql begins with on a terminal: the marts first, tables that are easy to read, shortcuts.

A shortcut is a variable of psql that contains a report of ``docs/analysts.md``: ``:covered_now``
at the prompt asks it. The file is written at each start, so that it is never behind the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from psycopg import sql

from etl.db.statements import described, statement
from etl.docs.report_queries import Report, reports

# How psql shows what it finds. What the user's own file says later is valid.
_SHOWN = (
    r"\pset null '(null)'",
    r"\pset border 2",
    r"\pset expanded auto",
    r"\set HISTCONTROL ignoredups",
    r"\set COMP_KEYWORD_CASE preserve-lower",
)


def start_text(own: Path | None, *, is_utf8: bool) -> str:
    """What psql reads before its first prompt; ``own``: the user's own file, read last."""
    lines = [
        r"\set QUIET on",
        *_SHOWN,
        rf"\pset linestyle {'unicode' if is_utf8 else 'ascii'}",
        f"{described('access/logins.marts_first')[1]}\n\\g /dev/null",
        *_shortcuts(reports().values()),
    ]
    lines.append(r"\timing on")
    if own is not None:
        lines.append(rf"\i {quoted(str(own))}")
    lines.append(r"\set QUIET off")
    return "\n".join(lines) + "\n"


def _shortcuts(found: Iterable[Report]) -> list[str]:
    """A variable a report, and ``:reports``, which lists them with the questions they answer."""
    made, listed = [], []
    for report in found:
        made.append(rf"\set {report.name} {quoted(report.text)}")
        row = (sql.Literal(f":{report.name}"), sql.Literal(report.title))
        listed.append(sql.SQL("({})").format(sql.SQL(", ").join(row)))
    query = statement("access/logins.shortcuts", rows=sql.SQL(", ").join(listed))
    return [*made, rf"\set reports {quoted(query.as_string() + ';')}"]


def quoted(text: str) -> str:
    """A text as one argument of a command of psql."""
    signs = {"\\": r"\\", "'": "''", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
    return "'" + "".join(signs.get(sign, sign) for sign in text) + "'"
