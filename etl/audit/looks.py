"""Entries of the server's log into ``audit.look``, each once, however often and in whatever order.

The log's own folder is read from where the last time ended; a file that is named is read whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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
    """What came: entries by kind that were not there before, and lines that are no JSON.

    ``unrecorded``: which settings keep looks out of the log, a sentence each.
    """

    entries: Counter[str] = field(default_factory=Counter)
    unreadable: int = 0
    unrecorded: list[str] = field(default_factory=list)


def bring(
    url: str,
    data: Path,
    folder: Path | None,
    file: Path | None,
    replicas: Sequence[Path] = (),
) -> Brought:
    """Bring looks from the server's log into ``audit.look``.

    ``folder``: that of the embedded server; ``file``: a log of a server whose folder is not ours.
    ``replicas``: folders of replicas, no file of which has the name of another one.
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
            read = dict(run(connection, "audit/looks.files_read").fetchall())
            ends: dict[str, int] = {}
            for place in (folder, *replicas):
                _copy(connection, reader.entries(_from_folder(place, read, ends)))
            for name, end in ends.items():
                run(connection, "audit/looks.note_file", {"file_name": name, "bytes_read": end})
        added = run(
            connection, "audit/looks.add", columns=names(_COLUMNS), values=names(_COLUMNS, "b")
        )
        entries = Counter(kind for (kind,) in added)
        unrecorded = [
            f"No look is recorded{where}: {setting} is {value}."
            for setting, value, where in run(connection, "audit/looks.unrecorded")
        ]
        return Brought(entries, reader.unreadable, unrecorded)


def _copy(connection: psycopg.Connection[Any], entries: Iterable[Entry]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(statement("audit/looks.copy_brought", columns=names(_COLUMNS))) as copy,
    ):
        for entry in entries:
            copy.write_row(astuple(entry))


def _from_folder(folder: Path, read: dict[str, int], ends: dict[str, int]) -> Iterator[bytes]:
    """The lines of a folder's files that came since they were read.

    ``read``: the bytes of each file that were read; ``ends`` gets those that are read afterwards.
    """
    for file in sorted(folder.glob("*.json")):
        with file.open("rb") as log:
            end = log.seek(read.get(file.name, 0))
            for line in log:
                if not line.endswith(b"\n"):
                    break  # the server is still writing it
                end += len(line)
                yield line
        ends[file.name] = end


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
