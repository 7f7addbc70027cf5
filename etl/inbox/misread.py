"""Misread: a first line that is no header of ours, though one is near or is written otherwise.

Without this a file with semicolons between its fields would be said to lack every column.
"""

from __future__ import annotations

from collections.abc import Iterable

from etl.contracts.file_form import DELIMITERS
from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.errors import BatchError
from etl.inbox import encodings, file_form
from etl.inbox.csv_records import BOM

# A header is looked for in so many lines.
_LINES = 20
# Of the columns that a contract asks for, a line that names this share is its header.
_SHARE = 0.5


def check(where: str, head: bytes, contracts: Iterable[SenderContract]) -> None:
    """Raise ``BatchError`` if a file's header is not its first line, or has no commas.

    ``head``: the file's first bytes, some lines of them.
    """
    found: tuple[int, str, str] | None = None
    for contract in contracts:
        wanted = contract.form.delimiter
        lines = _lines(file_form.below(head, contract.form), contract.parsing.encoding)
        if not lines or contract.form.names or _is_header(lines[0], wanted, contract):
            return
        if found is None and (header := _header(lines, contract)):
            found = (*header, wanted)
    if found is None:
        return
    number, sign, wanted = found
    lines = _lines(head, encodings.UTF8)
    said = []
    if number:
        blank = all(not line.strip() for line in lines[:number])
        what = "with a blank line" if blank else "with a line that is no header"
        said.append(f"begins {what}: its header is on line {number + 1}")
    if sign != wanted:
        said.append(f"separates its fields by {DELIMITERS[sign]}, not by {DELIMITERS[wanted]}")
    raise BatchError(
        Refusal.WRONG_HEADER,
        f"{where} {', and '.join(said)}.",
        f"Ask the sender for a CSV file whose first line names its columns, with "
        f"{DELIMITERS[wanted]} between them, or declare its form in a contract; nothing was "
        "loaded.",
    )


def _lines(head: bytes, encoding: str) -> list[str]:
    text = b"".join(encodings.transcoded([head.removeprefix(BOM)], encoding))
    return text.decode("utf-8", "replace").splitlines()[:_LINES]


def _header(lines: list[str], contract: SenderContract) -> tuple[int, str] | None:
    """The first line that is a header, counted from 0, and what separates its names."""
    for number, line in enumerate(lines):
        for sign in DELIMITERS:
            if _is_header(line, sign, contract):
                return number, sign
    return None


def _is_header(line: str, sign: str, contract: SenderContract) -> bool:
    names = {name.strip(' \t\r"').lower() for name in line.split(sign)}
    values, required = contract.values, contract.required
    there = sum(column in values and values[column].is_in(names) for column in required)
    return there >= max(1, len(required) * _SHARE)
