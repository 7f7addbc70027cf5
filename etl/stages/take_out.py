"""Take out: a load that its own data keep from passing leaves staging, and others go on.

What a value does to a type, a key or a sum further on cannot all be foreseen where the file is
read. Such a fault is distinguished from faults of the server or of the code by its SQLSTATE.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.feeds import FEEDS
from etl.contracts.refusals import Refusal
from etl.db.statements import run
from etl.errors import AcaError

# Classes of SQLSTATE that the data alone can be the cause of (PostgreSQL, appendix A): cardinality
# violation, data exception, integrity constraint violation, program limit exceeded.
_OF_DATA = ("21", "22", "23", "54")


def is_of_data(error: BaseException) -> bool:
    """Whether PostgreSQL could not do with the rows what it was asked to."""
    if not isinstance(error, psycopg.Error):
        return False
    return (error.sqlstate or "")[:2] in _OF_DATA or (
        error.sqlstate is None and isinstance(error, psycopg.DataError)
    )


def is_of_file(error: BaseException) -> bool:
    """Whether a file could not be read for what is in it: neither server, disk nor memory."""
    if isinstance(error, psycopg.Error):
        return is_of_data(error)
    return isinstance(error, Exception) and not isinstance(error, AcaError | OSError | MemoryError)


def reason(error: BaseException) -> str:
    """What went wrong, in words without any value: the server's own may quote one."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()
    if not isinstance(error, psycopg.Error):
        return f"something in it that the loader does not understand ({words})"
    said = error.diag
    parts = (("column", said.column_name), ("table", said.table_name))
    where = ", ".join(f"{kind} {name}" for kind, name in parts if name)
    if said.constraint_name:
        where = f"{where}, rule {said.constraint_name}" if where else f"rule {said.constraint_name}"
    return f"{words} ({where})" if where else words


def places(error: BaseException) -> list[str]:
    """Where in the code it went wrong, outermost first: no text of the error, which may quote."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]


def take_out(
    connection: psycopg.Connection[Any], load_id: int, feeds: Collection[str], why: str
) -> int:
    """Take files of a load out of staging and let them count as refused; rows taken out."""
    values = {"load_id": load_id, "feeds": list(feeds), "why": why}
    values["refusal_code"] = Refusal.CANNOT_PASS_STAGE
    rows = 0
    for feed in feeds:
        table = sql.Identifier(FEEDS[feed].table)
        rows += run(connection, "stage/take_out.delete_rows", values, table=table).rowcount
    run(connection, "stage/take_out.release_skipped", values)
    run(connection, "stage/take_out.refuse_files", values)
    run(connection, "stage/take_out.refuse_parts", values)
    return rows
