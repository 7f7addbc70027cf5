"""A sample of a sender's file: its encoding, its delimiter, its names and its first rows."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from etl.contracts.file_form import DELIMITERS
from etl.errors import UsageError, one_line
from etl.inbox import csv_records, encodings

MOST_BYTES = 4 << 20
_MOST_ROWS = 20_000
# How many rows say which delimiter it is, and the share of them that has to agree.
_JUDGED = 50
_AGREE = 0.9
# A name of a column has a letter and is neither a date nor an address.
_A_NAME = re.compile(r"(?=.*[^\W\d_])[^@]{1,100}")
_HINT = "Name the file as the sender sent it: make sender-draft FILE=/path/patients.csv"


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file. ``rows``: those with as many values as ``names``, trimmed.

    ``odd_rows``: how many rows have another number of values. ``is_whole``: it is all of the file.
    """

    path: Path
    encoding: str
    delimiter: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    odd_rows: int
    is_whole: bool

    def values(self, position: int) -> list[str]:
        """The values of a field that are not empty."""
        return [row[position] for row in self.rows if row[position]]


def read(path: Path) -> Sample:
    """Read the beginning of a CSV file; ``UsageError`` if it is none that has a header."""
    data, is_whole = _head(path)
    where = one_line(path.name)
    if kind := encodings.kind_of(data):
        raise UsageError(f"{where} is {kind}, of which no draft is made.", _HINT)
    encoding = _encoding(where, data)
    text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
    if not is_whole:
        text = text[: text.rfind("\n") + 1]
    delimiter = _delimiter(text)
    records = _records(text, delimiter)
    names = tuple(name.strip() for name in records[0]) if records else ()
    if not _is_header(names):
        raise UsageError(
            f"The first line of {where} does not name its columns, each by a name of its own.",
            "Put a line of names before the rows, as the sender's description of the file has "
            "them, then draft again.",
        )
    rows = [tuple(value.strip() for value in record) for record in records[1:] if record]
    fit = [row for row in rows if len(row) == len(names)]
    return Sample(path, encoding, delimiter, names, tuple(fit), len(rows) - len(fit), is_whole)


def _head(path: Path) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked, and whether they are all of it."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        why = getattr(error, "strerror", None) or "it is damaged"
        raise UsageError(f"{one_line(str(path))} cannot be read: {why}.", _HINT) from None
    return data[:MOST_BYTES], len(data) <= MOST_BYTES


def _encoding(where: str, data: bytes) -> str:
    # A character may be cut at the end of the sample.
    bad = encodings.first_bad_byte([data])
    if bad is None or (len(data) == MOST_BYTES and bad.offset > len(data) - 4):
        return encodings.UTF8
    if bad.likely == "Windows-1252":
        return "windows-1252"
    raise UsageError(
        f"{where} is not text of an encoding that can be guessed: {bad}.",
        "Ask the sender for UTF-8, or convert it (iconv -f UTF-16 -t UTF-8), then draft again.",
    )


def _records(text: str, delimiter: str, most: int = _MOST_ROWS) -> list[list[str]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found: list[list[str]] = []
    try:
        for row in rows:
            found.append(row)
            if len(found) > most:
                break
    except csv.Error:  # a value longer than any should be: what came before it is the sample
        pass
    return found[: most + 1]


def _delimiter(text: str) -> str:
    """The mark that gives most rows as many values as the first, and the most values."""
    sizes = {}
    for mark in DELIMITERS:
        counts = Counter(map(len, _records(text, mark, _JUDGED)))
        size, rows = max(counts.items(), key=lambda c: c[1], default=(1, 0))
        if rows >= _AGREE * sum(counts.values()):
            sizes[mark] = size
    return max(sizes, key=lambda mark: sizes[mark], default=",")


def _is_header(names: tuple[str, ...]) -> bool:
    lowered = {name.lower() for name in names}
    is_each_once = len(lowered) == len(names) <= csv_records.MOST_FIELDS
    return bool(names) and is_each_once and all(map(_A_NAME.fullmatch, names))
