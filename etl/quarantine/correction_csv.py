"""The CSV file in which a person corrects rows of the quarantine: written, and read again.

One row per line of the feed's file: first the columns of the quarantine, which begin with an
underscore, then the columns of the file as it was sent. Values are written as they are, never
altered. What comes back may have its columns in another order, a byte-order mark, other line ends
or semicolons, as spreadsheets write them, and rows may be missing.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from etl.contracts.reasons import Reason
from etl.errors import UsageError

ID, FILE, LINE, REASON, COLUMN, ADVICE, AS_IS = OWN = (
    "_rejected_row_id",
    "_file",
    "_line",
    "_reason",
    "_column",
    "_advice",
    "_as_is",
)
_SPARE = "_field_"
_TOKEN = re.compile(r'(?:^|,)((?:[^",]+|"[^"]*")*)')
_ESCAPED = re.compile(r"\\x[0-9a-f]{2}")
_YES = ("yes", "y", "true", "1", "x")
_ADVICE = {reason.text: reason.advice for reason in Reason}


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a file that was rejected: its lowest number, reasons, columns at fault, text."""

    rejected_row_id: int
    line: int
    reasons: tuple[str, ...]
    columns: tuple[str, ...]
    raw: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a corrected file. ``values``: by column, those beyond the header in ``spare``."""

    rejected_row_id: int
    as_is: bool
    values: dict[str, str]
    spare: tuple[str, ...]


def write(path: Path, header: Sequence[str], entries: Sequence[Entry]) -> None:
    """Write the rows to correct, for their reader's eyes alone; ``UsageError`` if it cannot be.

    A file that is there already is left alone: somebody may be at work on it.
    """
    clash = [name for name in header if name in OWN or name.startswith(_SPARE)]
    if clash:
        raise UsageError(
            f"The file has a column {clash[0]}, which the export needs for itself.",
            "Correct the rows in the inbox, as a batch of their own.",
        )
    laid_out = [lay_out(entry.raw, entry.reasons) for entry in entries]
    spare = max([0, *(len(fields) - len(header) for fields in laid_out)])
    names = [*OWN, *header, *(f"{_SPARE}{len(header) + n}" for n in range(1, spare + 1))]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path} is there already.",
            "Replay it with make quarantine-replay, or take it away to have it written again.",
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}.", "Name another folder with --to."
        ) from error
    try:
        _write_rows(descriptor, names, entries, laid_out)
    except OSError:
        # Half an export would be taken for all of it, and no other would be written over it.
        path.unlink(missing_ok=True)
        raise


def _write_rows(
    descriptor: int,
    names: Sequence[str],
    entries: Sequence[Entry],
    laid_out: Sequence[Sequence[str]],
) -> None:
    # With a byte-order mark, or spreadsheets take the text for another encoding.
    with os.fdopen(descriptor, "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for entry, fields in zip(entries, laid_out, strict=True):
            advice = " ".join(dict.fromkeys(_ADVICE[reason] for reason in entry.reasons))
            said = (
                str(entry.rejected_row_id),
                entry.file,
                str(entry.line),
                "; ".join(entry.reasons),
                "; ".join(entry.columns),
                advice,
                "",
            )
            writer.writerow([*said, *fields, *[""] * (len(names) - len(OWN) - len(fields))])


def lay_out(raw: str, reasons: Iterable[str]) -> list[str]:
    """The fields of a raw line, left to right."""
    broken = {Reason.OPEN_QUOTE.text, Reason.STRAY_QUOTE.text, Reason.STRAY_RETURN.text}
    if not broken & set(reasons):
        try:
            return next(csv.reader(io.StringIO(raw, newline="")), [""])
        except csv.Error:
            pass
    return raw.split(",")


def read(path: Path) -> tuple[list[str], list[Row]]:
    """The names of the file's columns, ours apart, and its rows; ``UsageError`` if it is none."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", "Name the file that you corrected."
        ) from error
    except UnicodeDecodeError:
        raise UsageError(
            f"{path} is not UTF-8.", "Save it as CSV in UTF-8, then replay it again."
        ) from None
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    csv.field_size_limit(1 << 24)
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error:
        raise UsageError(
            f"{path} is no CSV file that can be read.", "Save it as CSV, then replay it again."
        ) from None
    names = [name.strip() for name in rows[0]] if rows else []
    if ID not in names or AS_IS not in names or len(set(names)) != len(names):
        raise UsageError(
            f"{path} is no export of the quarantine: its columns are not those of one.",
            "Write one with make quarantine-export BATCH=..., correct it and keep its columns.",
        )
    found = []
    for number, fields in enumerate(rows[1:], start=2):
        if not any(field.strip() for field in fields):
            continue
        given = dict(zip(names, [*fields, *[""] * (len(names) - len(fields))], strict=False))
        said = given[ID].strip()
        if not said.isascii() or not said.isdigit():
            raise UsageError(
                f"Row {number} of {path.name} bears no number of the quarantine.",
                "Rows cannot be added here: send new rows as a batch. Nothing was changed.",
            )
        found.append(
            Row(
                int(said),
                given[AS_IS].strip().lower() in _YES,
                {n: v for n, v in given.items() if n not in OWN and not n.startswith(_SPARE)},
                tuple(v for n, v in given.items() if n.startswith(_SPARE) and n not in OWN)
                + tuple(fields[len(names) :]),
            )
        )
    if len({row.rejected_row_id for row in found}) != len(found):
        raise UsageError(
            f"{path.name} names a row of the quarantine more than once.",
            "Leave one row for each number. Nothing was changed.",
        )
    return [n for n in names if n not in OWN and not n.startswith(_SPARE)], found


def is_untouched(row: Row, header: Sequence[str], entry: Entry) -> bool:
    """Whether a person left an entry as it was, and did not say that it is right as it is."""
    before = lay_out(entry.raw, entry.reasons)
    after = [*(row.values[name] for name in header), *_filled(row.spare)]
    longest = max(len(before), len(after))
    pairs = zip(_padded(before, longest), _padded(after, longest), strict=True)
    return not row.as_is and all(_same(*pair) for pair in pairs)


def is_escaped(row: Row, header: Sequence[str], entry: Entry) -> bool:
    """Whether a field still contains bytes as the quarantine escaped them, which are not text."""
    before = _padded(lay_out(entry.raw, entry.reasons), len(header))
    return (
        not row.as_is
        and Reason.NOT_UTF8.text in entry.reasons
        and any(
            _ESCAPED.search(held) and _ESCAPED.search(row.values[name])
            for held, name in zip(before, header, strict=False)
        )
    )


def record(row: Row, header: Sequence[str], entry: Entry) -> bytes:
    """The record that a person made of an entry.

    A field that was left alone keeps its quotes, since an empty field in quotes is empty text.
    """
    before = lay_out(entry.raw, entry.reasons)
    tokens = [found.group(1) for found in _TOKEN.finditer(entry.raw)]
    exact = len(tokens) == len(before) == len(header)
    fields = [
        tokens[at] if exact and _same(row.values[name], before[at]) else _quoted(row.values[name])
        for at, name in enumerate(header)
    ]
    return ",".join([*fields, *map(_quoted, _filled(row.spare))]).encode()


def _filled(spare: Sequence[str]) -> list[str]:
    """Spare fields up to the last that says something."""
    last = max((at for at, field in enumerate(spare, start=1) if field.strip()), default=0)
    return list(spare[:last])


def _padded(fields: Sequence[str], length: int) -> list[str]:
    return [*fields, *[""] * (length - len(fields))]


def _same(one: str, other: str) -> bool:
    return one.replace("\r\n", "\n").strip(" \t") == other.replace("\r\n", "\n").strip(" \t")


def _quoted(field: str) -> str:
    if any(c in field for c in ',"\r\n'):
        return '"' + field.replace('"', '""') + '"'
    return field
