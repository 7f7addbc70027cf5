"""From a text in the form of its sender to records as the feeds themselves have them.

Whatever reads records (the stream to COPY, the quarantine, corrections) knows commas alone. Here
the sender's delimiter and the comma change places before the text is split, so that quotes are
judged by the same rules, and a value that contains a comma is put into quotes after that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from etl.contracts.file_form import FileForm
from etl.inbox import csv_records
from etl.inbox.csv_records import Block

# What a comma inside a value is while records are split: of all signs the least used.
_MARK = "\x1f"


def header_and_records(
    blocks: Iterable[bytes], form: FileForm
) -> tuple[list[str], Iterator[Block]]:
    """The header's names and the records of a text (UTF-8), as ``csv_records`` gives them.

    Each record is on the lines that it has in the text. Raises ``csv_records.HeaderError``.
    """
    if form.delimiter == ",":
        return csv_records.header_and_records(blocks)
    commas = _Commas(form.delimiter)
    names, records = csv_records.header_and_records(map(commas.split_by, blocks))
    return list(map(commas.name, names)), commas.in_values(records)


class _Commas:
    """Commas instead of another delimiter, and as themselves inside values."""

    def __init__(self, delimiter: str) -> None:
        around, inside = f"{delimiter},{_MARK}", f",{_MARK}{delimiter}"
        self._there = bytes.maketrans(around.encode(), inside.encode())
        # What is between fields stays a comma; what is within one is what it was.
        self._back = bytes.maketrans(inside[1:].encode(), around[1:].encode())
        self._back_within = bytes.maketrans(inside.encode(), around.encode())
        self._back_in_names = str.maketrans(inside, around)
        self._displaced = (_MARK.encode(), delimiter.encode())
        # A field without quotes, from its beginning, that has the mark: nothing is looked at twice.
        # One with a return has a fault, which quotes would hide.
        self._with_comma = re.compile(
            rb"(?:^|(?<=,))[^,\r\n\x1f]*+\x1f[^,\r\n]*+(?=[,\n]|\Z)", re.MULTILINE
        )

    def split_by(self, text: bytes) -> bytes:
        """A text with commas between its fields."""
        return text.translate(self._there)

    def name(self, name: str) -> str:
        """A name of the header as the file has it."""
        return name.translate(self._back_in_names)

    def in_values(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The records with the commas that are inside their values, which are then in quotes."""
        for first, block in blocks:
            joined = b"\n".join(block)
            if any(sign in joined for sign in b'"\r'):
                yield first, [self._restored(record) for record in block]
            elif not any(sign in joined for sign in self._displaced):
                yield first, block
            elif joined.count(b"\n") >= len(block):
                yield first, [self._restored(record) for record in block]
            else:
                yield first, self._quoted(joined).split(b"\n")

    def _quoted(self, text: bytes) -> bytes:
        """A text without quotes, its commas in quotes."""
        return self._with_comma.sub(rb'"\g<0>"', text).translate(self._back)

    def _restored(self, record: bytes) -> bytes:
        body = record.removesuffix(b"\r")
        is_sound, is_open = csv_records.is_sound(body), csv_records.is_open(body)
        fields = csv_records.fields_of(body) if is_sound else body.split(b",")
        restored = b",".join(
            field.translate(self._back_within) if b'"' in field else self._quoted(field)
            for field in fields
        )
        # A record with a fault keeps it, whatever its commas would make of its quotes.
        if is_sound or (csv_records.is_sound(restored), csv_records.is_open(restored)) == (
            False,
            is_open,
        ):
            body = restored
        return body + record[len(record.removesuffix(b"\r")) :]
