"""A strict reader of CSV by RFC 4180, a character at a time, which the product is compared with.

It knows nothing of the product. Blanks around a value are no part of it. A quoted value that goes
over line ends was never closed if one of its lines, the quotes that go over its ends taken for
letters, has as many values as the header or more. Excepted are the line that opens the last value
and the line that closes the first one: they have all others as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Read:
    """Rows by the line on which they begin, lines that are none, and how many are empty."""

    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    blank: int = 0


def read(body: bytes, header: list[str]) -> Read:
    """The records after a header, which is line 1."""
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    texts = [line.decode("utf-8", "surrogateescape") + "\n" for line in lines]
    found, at = Read(), 0
    while at < len(texts):
        if not texts[at].strip():
            found.blank, at = found.blank + 1, at + 1
            continue
        height, row = record(texts[at:], len(header))
        if row is None or len(row) != len(header) or is_header(row, header):
            found.rejected.append(at + 2)
            height = height if row and len(row) == len(header) else 1
        else:
            found.rows.append((at + 2, row))
        at += height
    return found


def is_header(row: list[str], header: list[str]) -> bool:
    """Whether most values of a row, its first among them, are names of the header."""
    spelled = ["".join(filter(str.isalnum, value)).lower() for value in row]
    named = [value for value in spelled if value in header]
    return spelled[0] in header and len(named) > 1 and len(named) * 2 > len(list(filter(None, row)))


def record(lines: list[str], fields: int) -> tuple[int, list[str] | None]:
    """How many lines the first record has, and its values; none where it is no record."""
    text, at, row = "".join(lines), 0, []
    # Of each line: commas, those apart that are in quotes which open and close on it.
    commas, is_excepted = [0], [False]
    while True:
        while text[at : at + 1] in (" ", "\t"):
            at += 1
        value = ""
        if text[at : at + 1] == '"':
            at, within, opened_on = at + 1, 0, len(commas)
            while text[at : at + 2] == '""' or text[at : at + 1] not in ('"', ""):
                if text[at] == "\n":
                    commas[-1] += within
                    is_excepted[-1] = len(commas) == 1 and len(row) == fields - 1
                    commas, is_excepted, within = [*commas, 0], [*is_excepted, False], 0
                within += text[at] == ","
                value += text[at]
                at += 2 if text[at : at + 2] == '""' else 1
            if text[at : at + 1] != '"':
                return 1, None
            if opened_on < len(commas):
                commas[-1] += within
                is_excepted[-1] = not row
            at += 1
            while text[at : at + 1] in (" ", "\t"):
                at += 1
        else:
            while text[at : at + 1] not in (",", "\n", '"', ""):
                value += text[at]
                at += 1
            value = value.removesuffix("\r") if text[at : at + 1] == "\n" else value
        row.append(value.strip(" \t"))
        if text[at : at + 2] == "\r\n":
            at += 1
        if text[at : at + 1] == "\n":
            break
        if text[at : at + 1] != ",":
            return 1, None
        commas[-1], at = commas[-1] + 1, at + 1
    could_be_rows = (
        n >= fields - 1 and not excepted for n, excepted in zip(commas, is_excepted, strict=True)
    )
    if len(commas) > 1 and any(could_be_rows):
        return 1, None
    return len(commas), row


def apart(line: str, fields: int) -> list[str] | None:
    """The values of a line with odd quotes, every comma ending one, or all but those in quotes."""
    values = [value.strip(" \t") for value in line.split(",")]
    if len(values) != fields:
        values, at = [], 0
        while at <= len(line):
            value, at = _value_apart(line, at)
            values.append(value.strip(" \t"))
    if len(values) != fields:
        return None
    return [
        value[1:-1].replace('""', '"') if len(value) > 1 and value[0] == value[-1] == '"' else value
        for value in values
    ]


def _value_apart(line: str, begin: int) -> tuple[str, int]:
    """The value that begins here, and where the next one does."""
    at = begin + len(line[begin:]) - len(line[begin:].lstrip(" \t"))
    if line[at : at + 1] == '"':
        at += 1
        while line[at : at + 2] == '""' or line[at : at + 1] not in ('"', ""):
            at += 2 if line[at : at + 2] == '""' else 1
        rest = line[at + 1 :].lstrip(" \t")
        if line[at : at + 1] == '"' and rest[:1] in (",", ""):
            end = len(line) - len(rest)
            return line[begin:end], end + 1
    end = line.find(",", begin)
    end = len(line) if end < 0 else end
    return line[begin:end], end + 1
