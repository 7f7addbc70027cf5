"""Reading a sample: the beginning of a file, whatever it is packed in, and how it is laid out."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from pathlib import Path
from statistics import median

from etl.contracts.file_form import DELIMITERS, FileForm
from etl.drafting import layout
from etl.drafting.layout import Layout
from etl.drafting.sample import Sample
from etl.errors import UsageError, one_line
from etl.inbox import encodings, unpacking
from etl.inbox.limits import Unfit

MOST_BYTES = 4 << 20
_MOST_ROWS = 20_000
# How many rows say which delimiter it is, and the share of them that has to agree.
_JUDGED = 50
_AGREE, _AGREE_AROUND = 0.9, 0.5
# The share of the values of most rows that the first row has at least.
_MOST_FILLED = 0.7
_HINT = "Name the file as the sender sent it: make sender-draft FILE=/path/patients.csv"
_NO_NAMES = (
    "the names: no line of the file shows that it names the fields, which are called by numbers "
    "here. If one does, name it in before and take names out of form, then write its names into "
    "columns; else write into names what the sender's description calls the fields."
)


def read(path: Path) -> Sample:
    """Read the beginning of a file; ``UsageError`` if no draft can be made of it."""
    where = one_line(path.name)
    sheet, asks = _sheet(path)
    data, is_whole = _head(path, sheet)
    if kind := encodings.kind_of(data):
        raise UsageError(f"{where} is {kind}, of which no draft is made.", _HINT)
    encoding = _encoding(where, data)
    text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
    if "\r" in text and "\n" not in text:
        raise UsageError(
            f"{where} ends its lines with carriage returns alone, of which no file is read.",
            "Ask the sender for lines that end with a line feed, or convert it (tr '\\r' '\\n'), "
            "then draft again.",
        )
    if not is_whole:
        text = text[: text.rfind("\n") + 1]
    is_workbook = unpacking.ending(path) == unpacking.WORKBOOK
    delimiter = "," if is_workbook else _delimiter(text)
    records = [tuple(value.strip() for value in r) for r in _records(text, delimiter)]
    if is_workbook:
        records = _as_one_table(records)
    found = layout.find(list(records), is_whole=is_whole)
    names = found.names or _numbered(where, records[found.first : found.end])
    if any("\n" in name or "\r" in name for name in names):
        raise UsageError(
            f"{where} has a line break in the name of a column, of which no file is read.",
            "Ask the sender for names on one line, or put the rows under such a line, then draft "
            "again.",
        )
    if not found.names:
        asks.append(_NO_NAMES)
    rows = [record for record in records[found.first : found.end] if any(record)]
    fit = [row for row in rows if len(row) == len(names)]
    form = _form(found, delimiter, names, sheet)
    odd = len(rows) - len(fit)
    return Sample(path, encoding, form, names, tuple(fit), odd, is_whole, tuple(asks))


def _form(found: Layout, delimiter: str, names: tuple[str, ...], sheet: str) -> FileForm:
    return FileForm(
        delimiter, () if found.names else names, found.before, found.after or 0, sheet=sheet
    )


def _numbered(where: str, rows: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Names for fields that have none."""
    width = len(rows[0]) if rows else 0
    if width < 2:
        raise UsageError(
            f"{where} has neither a line that names its columns nor rows of several values.",
            "Put a line of names before the rows, as the sender's description of the file has "
            "them, then draft again.",
        )
    return tuple(f"field_{number}" for number in range(1, width + 1))


def _as_one_table(records: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rows of a sheet, whose empty cells at both ends are missing, as wide as the first.

    That is the first with nearly as many values as most rows: what is above is a title.
    """
    filled = [sum(map(bool, record)) for record in records]
    enough = max(2, _MOST_FILLED * median(filter(None, filled))) if any(filled) else 0
    first = next((r for r, n in zip(records, filled, strict=True) if n >= enough), ())
    start = next((at for at, value in enumerate(first) if value), 0)
    width = len(first) - start
    found = []
    for record in records:
        fields = record if any(record[:start]) else record[start:]
        found.append((*fields, *[""] * (width - len(fields))) if any(record) else ())
    return found


def _sheet(path: Path) -> tuple[str, list[str]]:
    """The sheet of a workbook with the most rows, where several may be meant."""
    if unpacking.ending(path) != unpacking.WORKBOOK:
        return "", []
    from etl.inbox import workbook

    try:
        with path.open("rb") as raw:
            found = workbook.filled_sheets(raw)
    except Unfit as error:
        raise _unreadable(path, error) from error
    if len(found) < 2:
        return "", []
    name = max(found, key=lambda one: found[one])
    return re.sub("[0-9]+", "*", name), [
        f"the sheet: of {len(found):,} sheets with values the one with the most rows was taken."
    ]


def _head(path: Path, sheet: str) -> tuple[bytes, bool]:
    """The first bytes of a file, unpacked, and whether they are all of it."""
    data = b""
    try:
        with path.open("rb") as raw:
            # Of a workbook each row is taken as it is: where its header is, is not known yet.
            form = FileForm(names=("any",), sheet=sheet)
            for block in unpacking.blocks(raw, path, form):
                data += block
                if len(data) > MOST_BYTES:
                    break
    except Unfit as error:
        raise _unreadable(path, error) from error
    except OSError as error:
        why = error.strerror or "it is damaged"
        raise UsageError(f"{one_line(str(path))} cannot be read: {why}.", _HINT) from None
    return data[:MOST_BYTES], len(data) <= MOST_BYTES


def _unreadable(path: Path, error: Unfit) -> UsageError:
    return UsageError(f"{one_line(path.name)} {error.what}.", error.hint)


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
    """The mark that gives most rows as many values, and the most values.

    Where lines are around the rows, fewer have to agree.
    """
    sizes: dict[float, dict[str, int]] = {_AGREE: {}, _AGREE_AROUND: {}}
    for mark in DELIMITERS:
        counts = Counter(len(row) for row in _records(text, mark, _JUDGED) if row)
        size, rows = max(counts.items(), key=lambda c: c[1], default=(1, 0))
        for agree, found in sizes.items():
            if size > 1 and rows >= agree * sum(counts.values()):
                found[mark] = size
    found = sizes[_AGREE] or sizes[_AGREE_AROUND]
    return max(found, key=lambda mark: found[mark], default=",")
