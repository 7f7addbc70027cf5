"""Small changes to named SQL statements: operators, joins, constants, sort order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mutant import Mutant

_HEADER = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
# A check that the statement makes.
_RULE = re.compile(r"^--: rule (\w+):", re.MULTILINE)
# Comments, gaps that psycopg fills and quoted names are passed over.
_TOKEN = re.compile(
    r"(?P<passed>--[^\n]*|\{\w+\}|%\(\w+\)s|\"[^\"]*\"|\$\w*\$)"
    r"|(?P<text>'(?:[^']|'')*')|(?P<number>\b\d+\b)|(?P<word>[a-z_]\w*)"
    r"|(?P<operator><>|<=|>=|=>|::|\|\||->>|->|@>|[-+*/<>=,();])",
    re.IGNORECASE,
)
_SWAPS = {
    "=": "<>",
    "<>": "=",
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "+": "-",
    "or": "and",
    "min": "max",
    "max": "min",
    "greatest": "least",
    "least": "greatest",
    "lag": "lead",
    "lead": "lag",
    "bool_or": "bool_and",
    "bool_and": "bool_or",
    "true": "false",
    "false": "true",
}
# What a word becomes by the words before and after it; None where it stays.
_BY_NEIGHBORS: dict[str, Callable[[str, str], str | None]] = {
    "join": lambda b, a: None if b in ("left", "full", "cross", "inner") else "left join",
    "inner": lambda b, a: "left" if a == "join" else None,
    "left": lambda b, a: "inner" if a == "join" else None,
    "full": lambda b, a: "left" if a == "join" else None,
    "all": lambda b, a: "" if b == "union" else None,
    "union": lambda b, a: "union all" if a != "all" else None,
    "distinct": lambda b, a: "" if b in ("select", "(") and a != "on" else None,
    "desc": lambda b, a: "",
    "exists": lambda b, a: "not exists" if b not in ("not", "if") else None,
    "is": lambda b, a: "is not" if a in ("null", "distinct", "true", "false") else None,
    # Not that of "not null" of a column, "not materialized" or "if not exists".
    "not": lambda b, a: (
        "" if b == "is" or (b != "if" and a not in ("null", "materialized")) else None
    ),
}
# Words after which an item of a sort order is over.
_AFTER_ORDER = {"limit", "rows", "range", "asc", "desc", "nulls", "for", "using", "union"}
_TYPES = ("numeric", "varchar", "char")


def of_file(path: Path) -> Iterator[Mutant]:
    """Every change that can be made to the statements of a file, one at a time."""
    text = path.read_text(encoding="utf-8")
    headers = list(_HEADER.finditer(text))
    ends = [h.start() for h in headers[1:]] + [len(text)]
    file = str(path.relative_to(path.parents[1]).with_suffix(""))
    for header, end in zip(headers, ends, strict=True):
        tokens = [t for t in _TOKEN.finditer(text, header.end(), end) if t.lastgroup != "passed"]
        names = (header[1], *_RULE.findall(text, header.end(), end))
        for place in _changes(tokens):
            yield Mutant.of(path, text, place, f"{file}.{header[1]}", names)


def _changes(tokens: list[re.Match[str]]) -> Iterator[tuple[int, int, str]]:
    """Where a change begins and ends, and what is put there."""
    words = ["", "", "", *(t[0].lower() for t in tokens), ""]
    is_between, is_assigned = False, False
    for n, token in enumerate(tokens, 3):
        word, put = words[n], None
        # "=" in the list of an update sets a column and compares nothing.
        is_assigned = word == "set" or (is_assigned and word not in ("where", "from", "when", ";"))
        if word == "and":
            put, is_between = (None if is_between else "or"), False
        elif word in _BY_NEIGHBORS:
            put = _BY_NEIGHBORS[word](words[n - 1], words[n + 1])
        elif token.lastgroup == "text":
            put = _other_text(token[0])
        elif token.lastgroup == "number":
            put = None if _is_idle(words[n - 3 : n]) else str(int(word) + 1)
        elif word == "by" and words[n - 1] == "order":
            if (at := _end_of_item(tokens[n - 2 :])) is not None:
                yield at, at, " desc"
        elif not (word == "=" and is_assigned):
            put = _SWAPS.get(word)
        is_between = is_between or word == "between"
        if put is not None:
            yield token.start(), token.end(), put


def _is_idle(before: list[str]) -> bool:
    """Whether a number is the size of a type, or what a subquery selects that only is or is not."""
    return before[-1] == "select" or before[-2] in _TYPES or (before[0] in _TYPES)


def _other_text(text: str) -> str | None:
    """Another constant: a number inside it grows by one, else it is longer; a sentence stays."""
    if digits := re.search(r"\d+", text):
        return text[: digits.start()] + str(int(digits[0]) + 1) + text[digits.end() :]
    return None if " " in text else f"{text[:-1]}_'"


def _end_of_item(tokens: list[re.Match[str]]) -> int | None:
    """Where the first item of a sort order ends; none where it says itself which way it goes."""
    depth, end = 0, None
    for token in tokens:
        word = token[0].lower()
        if depth == 0 and (word in {*_AFTER_ORDER, ",", ")", ";"}):
            return end if word not in ("asc", "desc") else None
        depth += {"(": 1, ")": -1}.get(word, 0)
        end = token.end()
    return end
