"""Rejects: the rows set aside go to quarantine, each with its text as the file has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from etl.batch import FeedFile
from etl.db import encodings, records
from etl.db.statements import statement
from etl.stages.staged import Staged


def record_rejects(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    corrected: Mapping[int, bytes] | None = None,
) -> None:
    """Write the rows set aside to quarantine, each with its raw line read from the file again.

    A row that was corrected, and is bad again, is kept as it was corrected.
    """
    if not staged.rejected:
        return
    encoding = staged.contract.parsing.encoding if staged.contract else encodings.UTF8
    raw = raw_lines(staged.file, {r.line for r in staged.rejected}, encoding)
    raw |= {line: as_text(record) for line, record in (corrected or {}).items()}
    write_rejects(connection, load_id, staged, raw)


def write_rejects(
    connection: psycopg.Connection[Any], load_id: int, staged: Staged, raw: Mapping[int, str]
) -> None:
    """Write rows set aside to quarantine, with their text by line where there is any."""
    with connection.cursor() as cursor:
        cursor.executemany(
            statement("stage/stage.reject"),
            [
                {
                    "load_id": load_id,
                    "feed": staged.file.source.name,
                    "file": staged.file.path.name,
                    "line": r.line,
                    "column_name": r.column,
                    "reason": r.reason.text,
                    "raw_line": raw.get(r.line),
                }
                for r in sorted(staged.rejected, key=lambda r: (r.line, r.column or ""))
            ],
        )


def raw_lines(file: FeedFile, wanted: set[int], encoding: str) -> dict[int, str]:
    """The records of a file that begin on the lines wanted, undecodable bytes escaped."""
    found: dict[int, str] = {}
    text = encodings.transcoded(file.blocks(), encoding)
    _, blocks = records.header_and_records(text)
    for first, block in blocks:
        line = first
        for record in block:
            if line in wanted:
                found[line] = as_text(record.removesuffix(b"\r"))
            line += record.count(b"\n") + 1
        if len(found) == len(wanted):
            break
    return found


def as_text(record: bytes) -> str:
    """A record as text that can be stored: undecodable bytes escaped, and NUL, which cannot be."""
    return record.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
