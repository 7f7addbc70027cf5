"""What a declaration is given is what its class asks for, or it is refused where it is written.

Contracts are written by hand, and Python takes a text for a tuple of texts without a word:
``files="*.csv"`` would be five patterns, and ``*`` one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

_SHOWN = 40
_WORDS = {
    str: 'a text such as "A"',
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    NoneType: "None",
}


def ensure_kinds(declaration: object) -> None:
    """Raise ``ValueError`` where a field of a dataclass is not what its annotation says."""
    kind: Any = type(declaration)
    for name, hint in _hints(kind).items():
        for path, wrong, wanted in _wrong(getattr(declaration, name), hint, name):
            raise ValueError(f"{path} is {_shown(wrong)}, where {_words(wanted)} is meant")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _wrong(value: Any, hint: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """What in a value is of another kind: where, it, and what is meant; the innermost."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        if not any(_fits(value, one, path) for one in inner):
            yield path, value, hint
    elif origin is tuple and isinstance(value, tuple):
        if inner[1:] == (...,):
            inner = (inner[0],) * len(value)
        if len(inner) != len(value):
            yield path, value, hint
        for one, kind in zip(value, inner, strict=False):
            yield from _wrong(one, kind, path)
    elif origin is Mapping and isinstance(value, Mapping):
        for key, one in value.items():
            yield from _wrong(key, inner[0], path)
            yield from _wrong(one, inner[1], f"{key!s} in {path}")
    elif not _is_of(value, hint, origin or hint):
        yield path, value, hint


def _fits(value: Any, hint: Any, path: str) -> bool:
    return next(_wrong(value, hint, path), None) is None


def _is_of(value: Any, hint: Any, kind: Any) -> bool:
    if kind is Literal:
        return value in get_args(hint)
    if kind is int:  # True is 1 to Python
        return type(value) is int
    if kind is float:
        return type(value) in (int, float)
    return kind is Any or isinstance(value, kind)


def _words(hint: Any) -> str:
    """What a hint asks for, as a person says it."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_words, inner))
    if origin is Literal:
        return f"one of {', '.join(inner)}"
    if origin is tuple:
        return f"a tuple (..., ), each of it {_words(inner[0])},"
    if origin is Mapping:
        return "a map {...}"
    return _WORDS.get(hint) or getattr(hint, "written", None) or f"{hint.__name__}(...)"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def day_of(text: str) -> date:
    """The day that a text says; ``ValueError`` where it is none."""
    try:
        return date.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError(f"{text!r} is no day; write it as 2070-01-01, in quotes") from None


def factor_of(said: str | int) -> Decimal:
    """A number to multiply with. Of a float Python has more digits than anybody wrote."""
    try:
        factor = Decimal("nan" if isinstance(said, float) else said)
    except (InvalidOperation, TypeError, ValueError):
        factor = Decimal("nan")
    if not factor.is_finite() or not factor:
        raise ValueError(f"{said!r} is no factor; write it in quotes, as 0.01, and not as 0")
    return factor


def ensure_one_group(pattern: str) -> None:
    """Refuse a pattern that Python and PostgreSQL could read otherwise, or without one group."""
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"{pattern!r} is no pattern: {error}") from None
    if groups != 1:
        raise ValueError(f"{pattern!r} has {groups} groups in parentheses where one says the part")
    if "(?" in pattern:
        raise ValueError(f"{pattern!r}: patterns have plain parentheses only")
