"""From a contract's declarations to SQL that reads a sender's values and judges them.

Pure functions. What reads values is composed of literals of the declaration, without bound
values: such statements run without parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any

from psycopg import sql

from etl.contracts.column import IS_DELETED, Between, Column
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.types import DATES, NUMBERS, Type
from etl.db.statements import statement
from etl.inbox.amounts import to_cents
from etl.render.expectations import outside, pattern

# Whole numbers, without signs for people, whose minus is not in front; and where it goes then.
_MINUS = {
    "parentheses": (r"^\((.*)\)$", r"-\1"),
    "after": (r"^(.*[^-+])([-+])$", r"\2\1"),
}
# What a pattern's \s takes.
_BLANKS = " \t\n\v\f\r"
# A value that is not written as declared becomes this, which no date or number is.
NOT_SO = sql.Literal("?")
_TIME = (
    r"((?:[ T]+\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?"
    r"(?: ?[AaPp][Mm])?(?: ?[Zz]|[+-]\d{2}(?::?\d{2})?)?)?)"
)
_YEAR_FIRST = r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + _TIME + "$"
_YEAR_LAST = r"^(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})" + _TIME + "$"
# The groups of _YEAR_LAST as year, month and day.
_TURNED = {"mdy": r"\3-\1-\2\4", "dmy": r"\3-\2-\1\4"}


def is_plain(column: Column, parsing: Parsing) -> bool:
    """Whether COPY reads the column as this sender writes it."""
    return not parsing.null_words and not _is_written_otherwise(column, parsing)


def form(column: Column, parsing: Parsing) -> re.Pattern[str] | None:
    """How this sender writes a column's values, over all of one; ``None`` for text."""
    if column.type.form is None:
        return None
    if not _is_written_otherwise(column, parsing):
        written = column.type.form
    elif column.type in DATES:
        written = f"{_YEAR_FIRST}|{_YEAR_LAST}"
    else:
        written, _ = _grammar(column, parsing)
    return re.compile(written, re.ASCII)


def _is_written_otherwise(column: Column, parsing: Parsing) -> bool:
    if column.type in DATES:
        return parsing.date_order != "ymd"
    if column.type not in NUMBERS:
        return False
    marks = parsing.decimal != "." and column.type is not Type.INTEGER
    return bool(
        marks
        or parsing.thousands
        or parsing.minus
        or (column.type is Type.MONEY and parsing.currency)
        or (column.type is Type.RATIO and parsing.percent)
    )


def cents_reader(column: Column, parsing: Parsing) -> Callable[[bytes], int | None]:
    """A function that reads an amount as this sender writes it, in cents, as ``read`` does."""
    grammar, signs = (re.compile(e, re.ASCII) for e in _grammar(column, parsing))
    words = {word.lower() for word in parsing.null_words}

    def cents(value: bytes) -> int | None:
        text = value.decode(errors="replace")
        if text.lower() in words:
            return 0
        if not grammar.fullmatch(text):
            return None
        number = signs.sub("", text)
        for minus in parsing.minus:
            number = re.sub(*_MINUS[minus], number)
        return to_cents(number.replace(parsing.decimal, "."))

    return cents


def read(column: Column, parsing: Parsing, fields: Sequence[sql.Composable]) -> sql.Composable:
    """The value of the first of these text fields that has one, as text that the type takes."""
    values = [_read(column, parsing, field) for field in fields]
    return sql.SQL("coalesce({})").format(_listed(values)) if len(values) > 1 else values[0]


def _read(column: Column, parsing: Parsing, field: sql.Composable) -> sql.Composable:
    if _is_written_otherwise(column, parsing):
        value = (_date if column.type in DATES else _number)(column, parsing, field)
    else:
        value = _in_form(column, field)
    if not parsing.null_words:
        return value
    words = _listed(sql.Literal(word.lower()) for word in parsing.null_words)
    return statement("render/parsing.unless_null_word", field=field, words=words, value=value)


def _in_form(column: Column, field: sql.Composable) -> sql.Composable:
    """The field if it is written as the feed's own files are."""
    form = column.type.form
    if form is None:
        return field
    if column.type in (Type.DATE, Type.KEY_DATE):
        return statement("render/parsing.date_in_form", field=field, not_so=NOT_SO)
    whole = sql.Literal(f"^({form})$")
    if column.type in NUMBERS:
        # What is a point and nothing else is no number to the type either.
        marks = _listed(map(sql.Literal, [""] if column.type is Type.INTEGER else ["", "."]))
        return statement(
            "render/parsing.number_in_form", field=field, marks=marks, form=whole, not_so=NOT_SO
        )
    return statement("render/parsing.in_form", field=field, form=whole, not_so=NOT_SO)


def _date(_: Column, parsing: Parsing, field: sql.Composable) -> sql.Composable:
    """Year, month and day as the contract orders them; a year that comes first is no riddle."""
    return statement(
        "render/parsing.date",
        field=field,
        year_last=sql.Literal(_YEAR_LAST),
        turned=sql.Literal(_TURNED[parsing.date_order]),
        whens=sql.SQL(" ").join(_shapes(field, parsing.date_order)),
        year_first=sql.Literal(_YEAR_FIRST),
        not_so=NOT_SO,
    )


def _shapes(field: sql.Composable, order: str) -> Iterator[sql.Composable]:
    """Cases of dates without a time whose year is last, by their shape in zeros."""
    for mark, first, second in product("/.-", (2, 1), (2, 1)):
        places = {order[0]: (1, first), order[1]: (first + 2, second), "y": (first + second + 3, 4)}
        parts = [
            statement(
                "render/parsing.characters",
                field=field,
                first=sql.Literal(places[sign][0]),
                count=sql.Literal(places[sign][1]),
            )
            for sign in "ymd"
        ]
        shape = sql.Literal(f"{'0' * first}{mark}{'0' * second}{mark}0000")
        yield sql.SQL("when {} then {}").format(shape, sql.SQL(" || '-' || ").join(parts))


def _number(column: Column, parsing: Parsing, field: sql.Composable) -> sql.Composable:
    """A number without its marks, if they are where the contract allows them."""
    grammar, signs = _grammar(column, parsing)
    # Since the whole value keeps to the grammar, marks can be removed wherever they are.
    if parsing.minus or max(map(len, parsing.currency), default=0) > 1:
        number = _without_signs(parsing, field, signs)
    else:
        removed = f"{_BLANKS}%{parsing.thousands}{''.join(parsing.currency)}"
        characters = sql.Literal(parsing.decimal + removed)
        number = statement("render/parsing.without_characters", field=field, characters=characters)
    if column.type is Type.RATIO and parsing.percent:
        mark = sql.Literal("%")
        number = statement("render/parsing.of_percent", field=field, number=number, mark=mark)
    return statement(
        "render/parsing.number",
        field=field,
        grammar=sql.Literal(grammar),
        number=number,
        not_so=NOT_SO,
    )


def _without_signs(parsing: Parsing, field: sql.Composable, signs: str) -> sql.Composable:
    """A number whose signs for people are words, or whose minus is in another place."""
    number = statement("render/parsing.without_signs", field=field, signs=sql.Literal(signs))
    for minus in parsing.minus:
        written, put_first = map(sql.Literal, _MINUS[minus])
        number = statement(
            "render/parsing.minus_first", number=number, written=written, put_first=put_first
        )
    if parsing.decimal == ".":
        return number
    decimal = sql.Literal(parsing.decimal)
    return statement("render/parsing.with_point", number=number, decimal=decimal)


def _grammar(column: Column, parsing: Parsing) -> tuple[str, str]:
    """Regular expressions: of a whole number as declared, and of the signs in it for people."""
    currency = "|".join(map(_quoted, parsing.currency)) if column.type is Type.MONEY else ""
    mark = f"(?:(?:{currency})\\s*)?" if currency else ""
    after = f"(?:\\s*(?:{currency}))?" if currency else ""
    whole = r"\d+"
    if parsing.thousands:
        whole = rf"(?:\d{{1,3}}(?:{_quoted(parsing.thousands)}\d{{3}})+|\d+)"
    part = "" if column.type is Type.INTEGER else rf"(?:{_quoted(parsing.decimal)}\d*)?"
    percent = r"(?:\s*%)?" if column.type is Type.RATIO and parsing.percent else ""
    number = f"{whole}{part}"
    # The sign of the number may be before the currency or after it.
    sign = r"(?:[-+]\s*)?"
    first = rf"(?:{sign}{mark}|{mark}{sign})" if currency else sign
    forms = [f"{first}{number}{after}{percent}"]
    if "parentheses" in parsing.minus:
        forms.append(rf"{mark}\(\s*{mark}{number}{after}{percent}\s*\){after}")
    if "after" in parsing.minus:
        forms.append(rf"{mark}{number}(?:\s*[-+]{after}|{after}\s*[-+]){percent}")
    taken = [r"\s", "%", *map(_quoted, filter(None, [parsing.thousands]))]
    taken += [currency] if currency else []
    return f"^(?:{'|'.join(forms)})$", f"(?:{'|'.join(taken)})"


def _quoted(text: str) -> str:
    """Text as a regular expression that matches it alone."""
    return "".join(c if c.isalnum() else f"\\{c}" for c in text)


def fault(column: Column, value: sql.Composable) -> sql.Composable:
    """Whether text that was read is none of the column's type."""
    if column.most_characters is not None:
        is_needed = "needed_text" if column.type.mandatory else "text"
        most = sql.Literal(column.most_characters)
        return statement(f"render/parsing.fault_of_{is_needed}", value=value, most=most)
    # No value at all is one to every type but those of keys.
    judged = sql.SQL("is not true" if column.type.mandatory else "is false")
    return sql.SQL("pg_input_is_valid({}, {}) {}").format(
        value, sql.Literal(column.staging), judged
    )


def if_valid(column: Column, value: sql.Composable) -> sql.Composable:
    """Text that was read as its column's type, nothing where it is none of it."""
    return statement(
        "render/parsing.if_valid",
        value=value,
        domain=sql.Literal(column.staging),
        kind=sql.SQL(column.staging),
    )


def text_if_valid(column: Column, value: sql.Composable) -> sql.Composable:
    """Text that was read as staging would show it, nothing where it is none of its type."""
    if column.most_characters is None:
        return sql.SQL("({})::text").format(if_valid(column, value))
    return statement(
        "render/parsing.text_if_valid", value=value, most=sql.Literal(column.most_characters)
    )


def unless_marker(fault: sql.Composable, value: sql.Composable) -> sql.Composable:
    """The fault of a date, which a row that marks its key as deleted may lack."""
    return statement(
        "render/parsing.fault_unless_marker",
        fault=fault,
        value=value,
        marker=sql.Identifier(IS_DELETED.name),
    )


def breach(contract: SenderContract, name: str) -> tuple[sql.Composable, dict[str, Any]]:
    """Whether a staged value is none that the contract allows, with the values to bind."""
    column, rule = sql.Identifier(name), contract.check(name)
    if rule is None:
        raise ValueError(f"{contract.name} has no check of {name}")
    if not isinstance(rule, Between):
        key = f"{name}_pattern"
        return sql.SQL("{}::text !~ {}").format(column, sql.Placeholder(key)), {key: pattern(rule)}
    limits = {f"{name}_low": rule.low, f"{name}_high": rule.high}
    bounds = [None if limit is None else sql.Placeholder(key) for key, limit in limits.items()]
    values = {key: limit for key, limit in limits.items() if limit is not None}
    return outside(column, *bounds), values


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
