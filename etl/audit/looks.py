"""Entries of the server's log into ``audit.look``, each once, however often and in whatever order.

The log's own folder is read from where the last time ended; a file that is named is read whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

import psycopg

from etl.audit.server_log import Entry, Reader
from etl.audit.session import writing
from etl.db.statements import names, run, statement
from etl.errors import UsageError

_COLUMNS = tuple(entry_field.name for entry_field in fields(Entry))


@dataclass(slots=True)
class Brought:
    """What came: entries by kind that were not there before, and lines that are no JSON."""

    entries: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0


def bring(url: str, data: Path, folder: Path | None, file: Path | None) -> Brought:
    """Bring looks from the server's log into ``audit.look``.

    ``folder``: that of the embedded server; ``file``: a log of a server whose folder is not ours.
    """
    if folder is None and file is None:
        raise UsageError(
            "The log of a server of your own cannot be read from here.",
            "Name a file of it, written with log_destination = jsonlog: make audit LOG=...",
        )
    with writing(url, data) as (connection, _):
        reader = Reader(connection.info.dbname)
        run(connection, "audit/looks.make_brought", columns=names(_COLUMNS))
        if file is not None:
            _copy(connection, reader.entries(_lines_of(file)))
            _refuse_other_forms(file, reader)
        elif folder is not None:
            _copy(connection, _from_folder(connection, reader, folder))
        added = run(
            connection, "audit/looks.add", columns=names(_COLUMNS), values=names(_COLUMNS, "b")
        )
        return Brought(Counter(kind for (kind,) in added), reader.unreadable)


def _copy(connection: psycopg.Connection[Any], entries: Iterable[Entry]) -> None:
    # Read first: a connection that copies can answer nothing else.
    rows = [astuple(entry) for entry in entries]
    with (
        connection.cursor() as cursor,
        cursor.copy(statement("audit/looks.copy_brought", columns=names(_COLUMNS))) as copy,
    ):
        for row in rows:
            copy.write_row(row)


def _from_folder(
    connection: psycopg.Connection[Any], reader: Reader, folder: Path
) -> Iterator[Entry]:
    """What came to the files of a folder since they were read."""
    read = dict(run(connection, "audit/looks.files_read").fetchall())
    for file in sorted(folder.glob("*.json")):
        begin = read.get(file.name, 0)
        with file.open("rb") as log:
            log.seek(begin)
            end = begin
            for line in log:
                if not line.endswith(b"\n"):
                    break  # the server is still writing it
                end += len(line)
                yield from reader.entries([line])
        if end != begin:
            run(connection, "audit/looks.note_file", {"file_name": file.name, "bytes_read": end})


def _lines_of(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as log:
            yield from log
    except OSError as error:
        raise UsageError(
            f"The log {file} cannot be read: {error.strerror}.", "Name a file that you may read."
        ) from None


def _refuse_other_forms(file: Path, reader: Reader) -> None:
    if reader.unreadable and not reader.readable:
        raise UsageError(
            f"{file} is no server log in JSON.",
            "Set log_destination = jsonlog on the server; other forms can be imitated by a reader.",
        )
