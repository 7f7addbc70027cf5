"""From a CSV file's bytes to its records, each on its line, as RFC 4180 reads them.

A quote opens a value only where the value begins and closes it only where it ends; two of them in
a quoted value mean one. A record ends at a line feed outside quotes. Whatever keeps to none of
this is a record of its own, of one line, for ``etl.inbox.copy_stream`` to reject: one stray
quote costs one row, never those after it. A quoted value that goes over line ends is believed only
where none of its lines could be a row by itself.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from etl.inbox import block_scan, encodings

BOM = b"\xef\xbb\xbf"
# The longest record, in bytes: far above any real row, far below what would hurt. Of a longer line
# only so much is kept; a quoted value that goes on for longer is not believed.
LONGEST_RECORD = 1 << 20
# Of an empty line, and the mark by which old systems end a file.
NOTHING = b" \t\r\n\x1a"
# A table of PostgreSQL has room for 1,600 columns, three of them ours.
MOST_FIELDS = 1500
_LONGEST_NAME = 1 << 17

# A value in quotes, with blanks around it, or one without; nothing in it is looked at twice, so
# that no text takes longer than its length.
_IN_QUOTES = rb'(?:[^"]++|"")*+'
_VALUE = rb'(?:[ \t]*+"' + _IN_QUOTES + rb'"[ \t]*+|[^",\n]*+)'
_VALUES = re.compile(_VALUE + rb"(?:," + _VALUE + rb")*+")
_VALUES_AND_OPEN = re.compile(
    rb"(?P<values>(?:" + _VALUE + rb',)*+)[ \t]*+"(?P<opened>' + _IN_QUOTES + rb")"
)
# Lines that begin within quotes: all of it, up to the record's end, or in and out of quotes.
_WITHIN = re.compile(_IN_QUOTES)
_CLOSING = re.compile(
    rb"(?P<closed>" + _IN_QUOTES + rb')"[ \t]*+(?P<values>(?:,' + _VALUE + rb")*+)"
)
_REOPENING = re.compile(
    rb"(?P<closed>" + _IN_QUOTES + rb')"[ \t]*+(?P<values>(?:,' + _VALUE + rb")*,)[ \t]*+"
    rb'"(?P<opened>' + _IN_QUOTES + rb")"
)
_ONE_VALUE = re.compile(rb'(?:^|,)((?:[^",]+|"[^"]*")*)')
_QUOTED = re.compile(rb'"[^"]*"')
# A value of a record whose quotes are not sound: whole in quotes, or up to the next comma.
_VALUE_APART = re.compile(rb'(?:^|,)([ \t]*+"' + _IN_QUOTES + rb'"[ \t]*+(?=,|$)|[^,]*)')
# Blanks next to a comma or at the ends of a record without quotes.
_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=,|$)|(?:(?<=,)|^)[ \t]++", re.MULTILINE)

# Line ends with nothing between them, so many that they are no slip: they are not taken one by one.
_MANY = 64
_BLANK_RUN = re.compile(rb"(?:\r\n){%d,}|\n{%d,}" % (_MANY, _MANY))

# (line of the first, records): the records of a part of a file. Very many empty lines are one
# record together, of as many lines.
Block = tuple[int, list[bytes]]


def is_sound(record: bytes) -> bool:
    """Whether every quote of a record opens or closes a value, or is one of two that mean one."""
    return b'"' not in record or _VALUES.fullmatch(record) is not None


def is_open(record: bytes) -> bool:
    """Whether a record ends within quotes, all others being sound."""
    return _VALUES_AND_OPEN.fullmatch(record) is not None


def without_quoted(record: bytes) -> bytes:
    """A record without what is in quotes."""
    return _QUOTED.sub(b"", record) if b'"' in record else record


def values_of(record: bytes) -> list[bytes]:
    """The values of a sound record, trimmed, without their quotes."""
    return [_unquoted(field) for field in fields_of(record)]


def fields_of(record: bytes) -> list[bytes]:
    """The fields of a sound record as they are written, with their blanks and quotes."""
    return _ONE_VALUE.findall(record) if b'"' in record else record.split(b",")


def values_apart(record: bytes, fields: int) -> list[bytes] | None:
    """The values of a record whose quotes are not sound, if one reading gives so many.

    That is every comma ending a value, else every comma but those in sound quotes.
    """
    values = record.split(b",")
    if len(values) != fields:
        values = _VALUE_APART.findall(record)
    if len(values) != fields:
        return None
    stripped = (value.strip(b" \t") for value in values)
    return [_unquoted(value) if value[1:].endswith(b'"') else value for value in stripped]


def _unquoted(value: bytes) -> bytes:
    return value[1:-1].replace(b'""', b'"') if value[:1] == b'"' else value


def trimmed(record: bytes) -> bytes:
    """A sound record without blanks around its values, inside quotes too."""
    if b'"' not in record:
        return _BLANKS.sub(b"", record) if _may_have_blanks(record) else record
    if not any(pair in record for pair in (b" ", b"\t")):
        return record
    values = []
    for value in fields_of(record):
        value = value.strip(b" \t")
        if len(value) > 1 and value[:1] == b'"' and value[-1:] == b'"':
            value = b'"' + value[1:-1].strip(b" \t") + b'"'
        values.append(value)
    return b",".join(values)


def trimmed_block(block: bytes) -> bytes:
    """Records without quotes, a line each, without blanks around their values."""
    return _BLANKS.sub(b"", block)


def _may_have_blanks(record: bytes) -> bool:
    """Whether a blank may be at an end of a value; a search for bytes beats an expression."""
    ends = record[:1] == b" " or record[-1:] == b" "
    return ends or b", " in record or b" ," in record or b"\t" in record


def put_in_place(blocks: Iterable[Block], corrected: Mapping[int, bytes]) -> Iterator[Block]:
    """The records with some replaced, by the line on which they begin.

    A replaced record is a block of its own: it may have another height than the one it comes
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


def header_and_records(blocks: Iterable[bytes]) -> tuple[list[str], Iterator[Block]]:
    """The header's names and the records after it, a part of the file at a time.

    A byte-order mark is dropped. An empty file has no names. Raises ``HeaderError`` where going
    on would take rows for a part of the header.
    """
    data, source = peek(blocks)
    head, _, rest = data.removeprefix(BOM).partition(b"\n")
    names = _header(head.removesuffix(b"\r"), data)
    return names, records(chain([rest], source), len(names), 2)


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
    if b"\0" in line or not encodings.is_utf8(line):
        raise HeaderError(
            f"does not begin with a line of UTF-8 text: {encodings.first_bad_byte([data])}"
        )
    if b"\r" in line:
        raise HeaderError("ends its lines with carriage returns alone")
    if not is_sound(line):
        raise HeaderError("has a quote in its header that does not open or close a name")
    try:
        names = next(csv.reader([trimmed(line).decode()]), [])
    except csv.Error:
        names = [line.decode()]  # longer than the limit of the csv module, which others may raise
    if max(map(len, names), default=0) > _LONGEST_NAME:
        raise HeaderError("has a first line too long to be a header")
    if len(names) > MOST_FIELDS:
        raise HeaderError(f"names {len(names):,} columns")
    return names


def records(blocks: Iterable[bytes], fields: int, line: int) -> Iterator[Block]:
    """The records of a text without its header, of so many fields; it begins on ``line``."""
    rest, is_too_long = b"", False
    for block in blocks:
        data = rest + block
        if is_too_long:
            # The rest of a line of which the beginning is kept.
            _, end, after = block.partition(b"\n")
            if not end:
                continue
            data = rest + end + after
            is_too_long = False
        done, rest, many_lines = _split(data, fields, final=False)
        if done:
            yield line, done
            line += sum(r.count(b"\n") + 1 for r in done) if many_lines else len(done)
        if len(rest) > LONGEST_RECORD and b"\n" not in rest:
            rest, is_too_long = rest[: LONGEST_RECORD + 1], True
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
    has_runs = any(end * _MANY in data for end in (b"\n", b"\r\n"))
    lines = _lines(data) if has_runs else data.split(b"\n")
    last = lines.pop()
    if final and last:
        lines.append(last)
        last = b""
    # A quote that opens on the last line, which is not whole, is no matter of these lines.
    if not quoted or not lines or block_scan.quotes_close(data[: len(data) - len(last)]):
        return lines, last, has_runs
    done: list[bytes] = []
    at = 0
    while at < len(lines):
        height = 1
        if lines[at].count(b'"') % 2:
            found = _height(lines, at, fields, len(last))
            if found is None and not final:
                return done, b"\n".join([*lines[at:], last]), True
            height = found or 1
        done.append(b"\n".join(lines[at : at + height]))
        at += height
    return done, last, True


def _lines(data: bytes) -> list[bytes]:
    """The lines of ``data``; very many empty ones together as one, without their last end."""
    lines, begun = [], 0
    for run in _BLANK_RUN.finditer(data):
        # The first end is that of the line before.
        first = data.index(b"\n", run.start())
        lines += data[begun:first].split(b"\n")
        lines.append(data[first + 1 : run.end() - 1])
        begun = run.end()
    return lines + data[begun:].split(b"\n")


def _height(lines: list[bytes], at: int, fields: int, ahead: int) -> int | None:
    """How many of the lines are the record that begins here; ``None`` if its end is not among them.

    ``ahead``: how many bytes follow them in any case.

    1 where its quotes are not sound, its end is too far or leaves it with another number of
    fields, or where one of its lines could be a row by itself: then a quote was never closed.
    """
    opening = _VALUES_AND_OPEN.fullmatch(lines[at])
    if not opening:
        return 1
    # Where the value is among the others that is open at the end of a line.
    open_at = _commas(opening["values"])
    # All values before the last are on a line that opens the last one, so it loses none.
    if open_at != fields - 1 and open_at + opening["opened"].count(b",") >= fields - 1:
        return 1
    size = len(lines[at]) + ahead
    for end in range(at + 1, len(lines)):
        line = lines[end].removesuffix(b"\r")
        size += len(line) + 1
        if size > LONGEST_RECORD:
            return 1
        if b'"' not in line:
            if line.count(b",") >= fields - 1:
                return 1
            continue
        closing = _CLOSING.fullmatch(line)
        if closing:
            values = _commas(closing["values"])
            # As do all after the first on a line that closes the first one.
            could_be_row = open_at != 0 and closing["closed"].count(b",") + values >= fields - 1
            return end + 1 - at if not could_be_row and open_at + values == fields - 1 else 1
        if _WITHIN.fullmatch(line):
            commas = line.count(b",")
        elif reopening := _REOPENING.fullmatch(line):
            between = _commas(reopening["values"])
            commas = (reopening["closed"] + reopening["opened"]).count(b",") + between
            open_at += between
        else:
            return 1
        if commas >= fields - 1:
            return 1
    return None if size <= LONGEST_RECORD else 1


def _commas(values: bytes) -> int:
    """How many commas separate values, without those in quotes."""
    return without_quoted(values).count(b",")
