"""A reader of CSV by the letter of RFC 4180, a sign at a time: what the product is held against.

It knows nothing of the product. Blanks around a value are no part of it. A quoted value that holds
a line which by itself has as many values as the header was never closed.
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
        if row is None or len(row) != len(header) or row == header:
            found.rejected.append(at + 2)
            height = height if row == header else 1
        else:
            found.rows.append((at + 2, row))
        at += height
    return found


def record(lines: list[str], fields: int) -> tuple[int, list[str] | None]:
    """How many lines the first record has, and its values; none where it is no record."""
    text, at, row, height = "".join(lines), 0, [], 1
    while True:
        while text[at : at + 1] in (" ", "\t"):
            at += 1
        value = ""
        if text[at : at + 1] == '"':
            at += 1
            while text[at : at + 2] == '""' or text[at : at + 1] not in ('"', ""):
                if text[at] == "\n":
                    if height < len(lines) and len(one_line(lines[height], fields)) == fields:
                        return 1, None
                    height += 1
                value += text[at]
                at += 2 if text[at : at + 2] == '""' else 1
            if text[at : at + 1] != '"':
                return 1, None
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
            return height, row
        if text[at : at + 1] != ",":
            return 1, None
        at += 1


def one_line(line: str, fields: int) -> list[str]:
    """The values of a line that needs no other to be a record; none if it is no record."""
    return record([line], fields)[1] or []
