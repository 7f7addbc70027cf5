"""From a CSV file's bytes to the bytes that COPY takes: records, line numbers, rejects.

PostgreSQL parses and types the values. What it cannot survive is found here first, on whole
blocks of bytes: a wrong number of fields, bytes that are not UTF-8, a stray carriage return, a
quote that never closes. Each such record is set aside and the stream goes on.
"""

from __future__ import annotations

import csv
import operator
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

from etl.contract import Reason
from etl.db import encodings, whole_blocks
from etl.db.keys import Keys

BOM = b"\xef\xbb\xbf"
# A record still open after so many bytes has a quote that was never closed: far above any real
# row, far below what would hurt.
LONGEST_RECORD = 16 << 20
# A table of PostgreSQL has room for 1,600 columns, three of them ours.
MOST_FIELDS = 1500

_QUOTED = re.compile(rb'"[^"]*"')
# Blanks beside a comma or at the ends of a record without quotes.
_BLANKS = re.compile(rb"[ \t]+(?=,|$)|(?:(?<=,)|^)[ \t]+", re.MULTILINE)
_FIELD = re.compile(rb'(?:^|,)((?:[^",]+|"[^"]*")*)')


# PostgreSQL reads these as dates, also beside a time (10:00 today), and which date depends on when
# it reads them.
_WORDS = (b"today", b"now", b"yesterday", b"tomorrow", b"epoch")
_CLOCK_WORD = re.compile(rb"(?<![a-z])(?:" + b"|".join(_WORDS) + rb")(?![a-z])", re.IGNORECASE)


@dataclass(slots=True)
class Stream:
    """The records of one file on their way to COPY.

    ``read``: records seen, header apart. ``rejects``: (line, reason) of those set aside.
    ``trimmed``: records from which blanks were taken. ``dates``: positions of the fields that
    hold dates. ``keys``: sees every record sent. ``line_of(n)`` tells on which line of the file the
    record begins that ends on line ``n`` of what was sent. ``is_cut()`` and ``last_line`` tell of
    the last record of all.
    """

    fields: int
    prefix: bytes
    dates: frozenset[int] = frozenset()
    keys: Keys | None = None
    read: int = 0
    trimmed: int = 0
    rejects: list[tuple[int, Reason]] = field(default_factory=list)
    _sent_lines: int = 0
    _next_line: int = 1
    _shifts: list[tuple[int, int]] = field(default_factory=list)
    _long: dict[int, int] = field(default_factory=dict)
    _last: tuple[int, list[bytes]] = (2, [])

    @property
    def last_line(self) -> int:
        """Line on which the last record begins."""
        first, block = self._last
        return first + sum(record.count(b"\n") + 1 for record in block[:-1])

    def is_cut(self) -> bool:
        """Whether the last record, if no line end follows it, breaks off before its last field."""
        last = b"".join(self._last[1][-1:])
        # The mark by which old systems end a file is no record.
        if not last.strip(b" \t\r\x1a"):
            return False
        bare = _QUOTED.sub(b"", last)
        return b'"' in bare or bare.count(b",") < self.fields - 1

    def line_of(self, sent_line: int) -> int:
        """Line of the file for a line number that PostgreSQL reports of the stream."""
        if sent_line in self._long:
            return self._long[sent_line]
        low, high = 0, len(self._shifts)
        while low < high:
            middle = (low + high) // 2
            if self._shifts[middle][0] <= sent_line:
                low = middle + 1
            else:
                high = middle
        return sent_line + (self._shifts[low - 1][1] if low else 0)

    def send(self, records: Iterable[tuple[int, list[bytes]]]) -> Iterator[bytes]:
        """Yield what COPY takes, one piece a block: prefix, line number, the record's fields."""
        separators = self.fields - 1
        for first, block in records:
            self.read += len(block)
            self._last = first, block
            plain = _plain_records(block, separators)
            if plain is None:
                yield self._careful(first, block, separators)
            else:
                sent, changed = plain
                self.trimmed += changed
                yield self._plain(first, sent)

    def _plain(self, first: int, block: list[bytes]) -> bytes:
        if first != self._next_line:
            self._shifts.append((self._sent_lines + 1, first - self._sent_lines - 1))
        self._sent_lines += len(block)
        self._next_line = first + len(block)
        return self._sent(range(first, self._next_line), block)

    def _sent(self, lines: Iterable[int], clean: list[bytes]) -> bytes:
        if self.keys is not None:
            self.keys.see(clean)
        prefix = self.prefix
        sent = zip(lines, clean, strict=True)
        return b"".join([b"%b%d,%b\n" % (prefix, line, record) for line, record in sent])

    def _careful(self, first: int, block: list[bytes], separators: int) -> bytes:
        lines, sent = [], []
        line = first
        joined = b"\n".join(block)
        # What a whole block cannot have need not be looked for in each of its records.
        is_utf8 = _is_utf8(joined)
        named = whole_blocks.may_name(whole_blocks.padded(joined), _WORDS)
        dates = self.dates if named else frozenset[int]()
        for record in block:
            if b'"' in record:
                height = record.count(b"\n") + 1
                bare = _QUOTED.sub(b"", record)
            else:
                height, bare = 1, record
            if bare[-1:] == b"\r":
                record, bare = record[:-1], bare[:-1]
            if not record.strip():
                self.read -= 1
            elif reason := _fault(record, bare, separators, dates, is_utf8):
                self.rejects.append((line, reason))
            else:
                if line != self._next_line:
                    self._shifts.append((self._sent_lines + 1, line - self._sent_lines - 1))
                self._sent_lines += height
                self._next_line = line + height
                if height > 1:
                    self._long[self._sent_lines] = line
                clean = trimmed(record, bare)
                self.trimmed += clean != record
                lines.append(line)
                sent.append(clean)
            line += height
        return self._sent(lines, sent)


def _plain_records(block: list[bytes], separators: int) -> tuple[list[bytes], int] | None:
    """The records as COPY takes them if nothing in the whole block needs a closer look.

    With them, how many were trimmed.

    A handful of searches over all its bytes at once, which nearly every block passes, instead of
    as many over each record.
    """
    if all(record[-1:] == b"\r" for record in block):
        block = [record[:-1] for record in block]
    joined = b"\n".join(block)
    quoted = b'"' in joined
    bare = _QUOTED.sub(b"", joined) if quoted else joined
    whole = whole_blocks.padded(joined)
    parts = whole_blocks.padded(bare) if quoted else whole
    if (
        b"\r" in joined
        or b"\0" in joined
        or b'"' in bare
        or not whole_blocks.feeds(whole) == whole_blocks.feeds(parts) == len(block) - 1
        or not _is_utf8(joined)
        or whole_blocks.may_name(whole, _WORDS)
        or (quoted and whole_blocks.blank_beside_quote(whole))
    ):
        return None
    changed = 0
    if whole_blocks.blank_beside_separator(parts):
        if quoted:
            return None
        bare = _BLANKS.sub(b"", joined)
        clean = bare.split(b"\n")
        changed = sum(map(operator.ne, block, clean))
        block = clean
    if all(block) and whole_blocks.have_fields(bare, separators):
        return block, changed
    return None


def _is_utf8(block: bytes) -> bool:
    try:
        block.decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_blanks(bare: bytes) -> bool:
    """Whether a blank may stand at an end of a field; a search for bytes beats an expression."""
    return b", " in bare or b" ," in bare or b"\t" in bare or bare[:1] == b" " or bare[-1:] == b" "


def _has_blank_at_quote(record: bytes) -> bool:
    return any(pair in record for pair in (b'" ', b' "', b'"\t', b'\t"'))


def _fault(
    record: bytes, bare: bytes, separators: int, dates: frozenset[int], is_utf8: bool
) -> Reason | None:
    """Why COPY could not take a record; ``bare`` is the record without what is quoted."""
    if b"\0" in record or (not is_utf8 and not _is_utf8(record)):
        return Reason.NOT_UTF8
    if b'"' in bare:
        return Reason.OPEN_QUOTE
    if b"\r" in bare:
        return Reason.STRAY_RETURN
    if bare.count(b",") != separators:
        return Reason.FIELD_COUNT
    if dates and _CLOCK_WORD.search(record):
        for at, found in enumerate(_FIELD.finditer(record)):
            if at in dates and _CLOCK_WORD.search(found.group(1)):
                return Reason.CLOCK_WORD
    return None


def trimmed(record: bytes, bare: bytes) -> bytes:
    """A sound record without blanks around its fields, inside quotes too."""
    if record is bare:
        return _BLANKS.sub(b"", record) if _has_blanks(record) else record
    if not _has_blanks(bare) and not _has_blank_at_quote(record):
        return record
    fields = []
    for found in _FIELD.finditer(record):
        value = found.group(1).strip(b" \t")
        if len(value) > 1 and value[:1] == b'"' and value[-1:] == b'"':
            value = b'"' + value[1:-1].strip(b" \t") + b'"'
        fields.append(value)
    return b",".join(fields)


def put_in_place(
    blocks: Iterable[tuple[int, list[bytes]]], corrected: Mapping[int, bytes]
) -> Iterator[tuple[int, list[bytes]]]:
    """The records with some replaced, by the line on which they begin.

    A replaced record is a block of its own: it may have another height than the one it stands
    for, and the lines after it keep their numbers.
    """
    for first, block in blocks:
        line, begun, since = first, first, 0
        for at, record in enumerate(block):
            after = line + record.count(b"\n") + 1
            if line in corrected:
                if at > since:
                    yield begun, block[since:at]
                yield line, [corrected[line]]
                begun, since = after, at + 1
            line = after
        if since < len(block):
            yield begun, block[since:]


class HeaderError(ValueError):
    """The first line cannot be a header; the text says why, to follow the file's name."""


def header_and_records(
    blocks: Iterable[bytes],
) -> tuple[list[str], Iterator[tuple[int, list[bytes]]]]:
    """The header's names and the records after it: (line of the first, records) a block.

    A byte-order mark is dropped. A record ends at a line feed outside quotes. Quotes that do
    not close, or close only so far on that the number of fields is wrong, leave their first
    line as a record of its own, which ``Stream`` sets aside; reading goes on with the line
    after it, so that one stray quote costs one row. An empty file has no names. Raises
    ``HeaderError`` where going on would take rows for a part of the header.
    """
    data, source = peek(blocks)
    head, _, rest = data.removeprefix(BOM).partition(b"\n")
    names = _header(head.removesuffix(b"\r"), data)
    return names, _records(chain([rest], source), len(names), 2)


def peek(blocks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first blocks in one, up to a line's end, and those after them."""
    source = iter(blocks)
    data = b""
    for block in source:
        data += block
        if b"\n" in data or len(data) > LONGEST_RECORD:
            break
    return data, source


def _header(line: bytes, data: bytes) -> list[str]:
    """The names in the first line of ``data``."""
    mark = encodings.marked(line)
    if mark:
        raise HeaderError(f"is {mark} (byte 0 begins its mark), not UTF-8")
    if b"\0" in line or not _is_utf8(line):
        raise HeaderError(
            f"does not begin with a line of UTF-8 text: {encodings.first_bad_byte([data])}"
        )
    if b"\r" in line:
        raise HeaderError("ends its lines with carriage returns alone")
    if line.count(b'"') % 2:
        raise HeaderError("has a quote in its header that is never closed")
    try:
        bare = _QUOTED.sub(b"", line) if b'"' in line else line
        names = next(csv.reader([trimmed(line, bare).decode()]), [])
    except csv.Error:
        raise HeaderError("has a first line too long to be a header") from None
    if len(names) > MOST_FIELDS:
        raise HeaderError(f"names {len(names):,} columns")
    return names


def _records(blocks: Iterable[bytes], fields: int, line: int) -> Iterator[tuple[int, list[bytes]]]:
    rest = b""
    for block in blocks:
        data = rest + block
        done, rest, many_lines = _split(data, fields, final=False)
        if done:
            yield line, done
            line += sum(r.count(b"\n") + 1 for r in done) if many_lines else len(done)
    if rest:
        done, _, _ = _split(rest, fields, final=True)
        yield line, done


def _split(data: bytes, fields: int, *, final: bool) -> tuple[list[bytes], bytes, bool]:
    """Whole records of ``data``, what is left over, and whether any may have more than one line.

    With ``final``, nothing is left over.
    """
    quoted = b'"' in data
    if not quoted and b"\r" in data:
        # A return that ends the data may be half of a line end: it stays for the next block.
        data = data.replace(b"\r\n", b"\n")
    lines = data.split(b"\n")
    last = lines.pop()
    if final and last:
        lines.append(last)
        last = b""
    # A quote that opens on the last line, which is not whole, is no matter of these lines.
    if not quoted or not lines or whole_blocks.quotes_close(data[: len(data) - len(last)]):
        return lines, last, False
    done: list[bytes] = []
    at = 0
    while at < len(lines):
        record, end = lines[at], at + 1
        if record.count(b'"') % 2:
            size = len(record)
            while end < len(lines) and lines[end].count(b'"') % 2 == 0 and size < LONGEST_RECORD:
                size += len(lines[end]) + 1
                end += 1
            if end == len(lines) and not final and size < LONGEST_RECORD:
                return done, b"\n".join([*lines[at:], last]), True
            whole = b"\n".join(lines[at : end + 1])
            if end < len(lines) and _QUOTED.sub(b"", whole).count(b",") == fields - 1:
                record, end = whole, end + 1
            else:
                end = at + 1
        done.append(record)
        at = end
    return done, last, True
