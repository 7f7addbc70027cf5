"""Whether the chains of audit are as they came: nothing changed, nothing missing, no end cut off.

Every row has the hash of what it says and of the row before, so a change shows at the row or at the
next one; where rows are missing at the end, the file of ``heads`` knows the last one.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.audit.heads import ADVICE, Heads, end_differs, head_of, table_of
from etl.audit.session import writing
from etl.db.statements import run
from etl.errors import CheckFailedError
from etl.schema.audit_tables import CHAINS

# 45 CFR 164.316(b)(2)(i) and 164.528(a)(1).
YEARS_KEPT = 6
# The chains that are shortened after that time, each with the column that says how old a row is.
_AGE = {"look": "looked_at", "disclosure": "entered_at"}


def problems(connection: psycopg.Connection[Any], heads: Heads) -> Iterator[str]:
    """What is wrong with the chains, a sentence each."""
    known_heads = heads.read()
    for chain in CHAINS:
        found = run(connection, "audit/looks.broken", {"chain": chain}, chain=table_of(chain))
        for position, before, is_changed in found:
            if position != before + 1:
                yield f"Rows {before + 1:,} to {position - 1:,} of audit.{chain} are missing."
            elif is_changed:
                yield f"Row {position:,} of audit.{chain} is not as it came, or not in its place."
        known = known_heads.get(chain)
        if known and (problem := end_differs(connection, chain, known)):
            yield problem


class Verified(NamedTuple):
    """The last row of each chain, and whether it was known from outside of the database."""

    last: dict[str, int]
    is_end_known: bool


def verify(url: str, data: Path) -> Verified:
    """See that all rows are as they came; ``CheckFailedError`` where one is not."""
    with writing(url, data) as (connection, heads):
        is_end_known = bool(heads.read())
        found = list(problems(connection, heads))
        if found:
            more = f" And {len(found) - 5:,} more." if len(found) > 5 else ""
            raise CheckFailedError(" ".join(found[:5]) + more, ADVICE)
        last = {c: head.position if (head := head_of(connection, c)) else 0 for c in CHAINS}
        return Verified(last, is_end_known)


def prune(url: str, data: Path) -> dict[str, int]:
    """Delete what is older than six years from the beginning of the chains; rows by chain.

    A row of ``audit.deletion`` says so, with the hash that the rest continues from.
    """
    today = datetime.now(UTC)
    before = today.replace(year=today.year - YEARS_KEPT, day=min(today.day, 28))
    deleted = {}
    with writing(url, data) as (connection, heads):
        found = list(problems(connection, heads))
        if found:
            raise CheckFailedError(found[0], ADVICE)
        for chain, written_at in _AGE.items():
            deleted[chain] = _delete(connection, chain, written_at, before)
    return deleted


def _delete(
    connection: psycopg.Connection[Any], chain: str, written_at: str, before: datetime
) -> int:
    table, trigger = table_of(chain), sql.Identifier(f"{chain}_refuse_change")
    asked = {"chain": chain, "before": before}
    parts = {"chain": table, "written_at": sql.Identifier(written_at)}
    row = run(connection, "audit/looks.old", asked, **parts).fetchone()
    count, through, last_hash = row or (0, None, None)
    if count:
        noted = {"rows_deleted": count, "through_position": through, "last_hash": last_hash}
        noted["os_user"] = getpass.getuser()
        run(connection, "audit/looks.note_deletion", {**asked, **noted})
        run(connection, "audit/looks.allow_deletion", chain=table, trigger=trigger)
        run(connection, "audit/looks.delete", {"through_position": through}, chain=table)
        run(connection, "audit/looks.refuse_deletion", chain=table, trigger=trigger)
    return int(count)
