"""The last row of each chain, written down outside of the database in a file of mode 0600.

That rows are missing at the end of a chain shows only to who knows which the last one was.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.db.statements import run, scalar
from etl.errors import CheckFailedError
from etl.schema.audit_tables import CHAINS
from etl.server.home import write_private

ADVICE = "docs/runbooks/who-looked.md says what to do when the record of looks does not verify."


class Head(NamedTuple):
    """The last row of a chain: its position, and its hash in hexadecimal digits."""

    position: int
    hash: str


class Heads:
    """The last rows of the chains of a database, as a file outside of it says."""

    def __init__(self, data: Path, database: str) -> None:
        self.file = data / "audit" / "heads.json"
        self.database = database

    def read(self) -> dict[str, Head]:
        """The last rows that were written down, by chain; none where nobody did."""
        return {chain: Head(*head) for chain, head in self._all().get(self.database, {}).items()}

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Write down the last rows; ``CheckFailedError`` where the file knows of later ones."""
        heads = {chain: head for chain in CHAINS if (head := head_of(connection, chain))}
        for chain, known in self.read().items():
            if problem := end_differs(connection, chain, known):
                raise CheckFailedError(problem, ADVICE)
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self.file, json.dumps({**self._all(), self.database: heads}, indent=1))

    def _all(self) -> dict[str, dict[str, list[Any]]]:
        try:
            return json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}


def end_differs(connection: psycopg.Connection[Any], chain: str, known: Head) -> str | None:
    """What is wrong with the row that was the last of a chain, a sentence; none if it is there."""
    head = head_of(connection, chain)
    if head is None or head.position < known.position:
        return f"The end of audit.{chain} is missing: row {known.position:,} was its last."
    asked = {"chain": chain, "position": known.position}
    now = scalar(connection, "audit/looks.hash_at", asked, chain=table_of(chain))
    # It can be older than six years, and so deleted.
    if now is not None and now.hex() != known.hash:
        return f"Row {known.position:,} of audit.{chain} is another than the one it was."
    return None


def head_of(connection: psycopg.Connection[Any], chain: str) -> Head | None:
    """The last row of a chain, if it ever had one."""
    row = run(connection, "audit/looks.head", {"chain": chain}, chain=table_of(chain)).fetchone()
    return Head(row[0], row[1].hex()) if row else None


def table_of(chain: str) -> sql.Identifier:
    """The table of a chain."""
    return sql.Identifier("audit", chain)
