"""Somebody with a login of the warehouse's roles, and what the record says of him afterwards."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from etl.access import logins
from etl.audit import chain, looks
from etl.config import Settings
from etl.db.connection import connect
from etl.server.server import session_log

CONTEXT = "PL/pgSQL function audit.noted(text) line 3 at RAISE"
_numbers = itertools.count(1)


@dataclass
class Record:
    """The record of one database, and its owner's connection."""

    url: str
    data: Path
    folder: Path
    owner: psycopg.Connection[Any]
    addresses: dict[str, str] = field(default_factory=dict)

    def login(self, name: str, role: str) -> str:
        """Make a login with a role, as ``make role-add`` does; its address."""
        added = logins.add(self.owner, name, logins.role_of(role))
        self.addresses[name] = make_conninfo(self.url, user=name, password=added.password)
        return self.addresses[name]

    def bring(self, file: Path | None = None) -> Counter[str]:
        """Bring in what the log says by now."""
        self.await_log()
        return looks.bring(self.url, self.data, self.folder, file).entries

    def await_log(self) -> None:
        """Wait until the server has written what was said until now."""
        said = f"said until now {next(_numbers)} {time.monotonic_ns()}"
        self.owner.execute(f"do $$ begin raise log '{said}'; end $$")
        deadline = time.monotonic() + 30
        while not any(said in text for text in self._latest()):
            assert time.monotonic() < deadline, "the server writes no log"
            time.sleep(0.01)

    def _latest(self) -> list[str]:
        newest = sorted(self.folder.glob("*.json"))[-1:]
        return [file.read_text(errors="replace") for file in newest]

    def last(self) -> int:
        """The last row of audit.look."""
        row = self.owner.execute("select coalesce(max(position), 0) from audit.look").fetchone()
        return row[0] if row else 0

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.owner.execute(query, values or None).fetchall()

    def read_by(self, person: str, after: int = 0) -> set[str]:
        """The relations that somebody looked at, of what came after a row."""
        self.bring()
        found = self.rows(
            "select distinct relation_name from audit.look "
            "where kind = 'look' and person = %s and position > %s",
            person,
            after,
        )
        return {relation for (relation,) in found}


@contextmanager
def record(settings: Settings, url: str, data: Path) -> Iterator[Record]:
    """The record of a database on the tests' server; its logins go in the end."""
    folder = session_log(settings)
    assert folder is not None
    with connect(url, "test") as owner:
        made = Record(url, data, folder, owner)
        try:
            yield made
        finally:
            for name in made.addresses:
                who = sql.Identifier(name)
                owner.execute(sql.SQL("drop owned by {} cascade").format(who))
                owner.execute(sql.SQL("drop role {}").format(who))


def line(record_: Record, number: int, **changes: Any) -> dict[str, Any]:
    """A look as the server writes it."""
    at = changes.pop("at", datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number))
    noted = {
        "relation": changes.pop("relation", "warehouse.dim_member"),
        "statement_at": at.isoformat(),
        "statement": changes.pop("statement", f"select {number}"),
    }
    return {
        "timestamp": f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC",
        "user": "ann",
        "dbname": record_.owner.info.dbname,
        "session_id": "6b0b11d1.136e",
        "line_num": number,
        "vxid": f"2/{number}",
        "error_severity": "LOG",
        "message": f"aca.noted {json.dumps(noted)}",
        "context": CONTEXT,
        **changes,
    }


def bring(record_: Record, file: Path, lines: list[dict[str, Any]]) -> looks.Brought:
    file.write_text("".join(json.dumps(said) + "\n" for said in lines), encoding="utf-8")
    return looks.bring(record_.url, record_.data, None, file)


def filled(record_: Record, tmp_path: Path, count: int = 6, **changes: Any) -> None:
    bring(
        record_, tmp_path / "log.json", [line(record_, n, **changes) for n in range(1, count + 1)]
    )


def verify(record_: Record) -> dict[str, int]:
    return chain.verify(record_.url, record_.data).last


def tamper(record_: Record, *statements: str) -> None:
    """Change rows as a superuser can: without triggers."""
    with record_.owner.transaction():
        record_.owner.execute("set local session_replication_role = replica")
        for statement in statements:
            record_.owner.execute(statement)
