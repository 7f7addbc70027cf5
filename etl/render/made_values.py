"""From a contract's vocabulary of values to SQL: one expression for each value of ours.

Pure functions. Each expression is text or null, and fails for no input: what cannot be made is a
text that no date or number is, or the mark of a word that no map lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from etl.contracts.column import Column
from etl.contracts.sender import Parsing
from etl.contracts.value import (
    DATE_FORMS,
    Constant,
    Dated,
    Field,
    First,
    Given,
    Joined,
    Mapped,
    OfFile,
    OpenEnd,
    Part,
    Repeat,
    Scaled,
    Shifted,
    Total,
    Value,
    Where,
)
from etl.db.statements import names, statement
from etl.render import parsing as plain

# What a word becomes that its map does not list: no text of a file has this character in it where
# a word is expected, and the row is rejected for it.
NOT_LISTED = "\x01"
# The groups of a form of dates as year, month and day.
_TURNED = {
    "YYYYMMDD": r"\1-\2-\3",
    "MMDDYYYY": r"\3-\1-\2",
    "DDMMYYYY": r"\3-\2-\1",
    "YYYYMM": r"\1-\2-01",
    "YYYY": r"\1-01-01",
}
# Of forms whose year has two digits: the year, and what follows it.
_OF_CENTURY = {
    "YYMMDD": (r"\1", r"-\2-\3"),
    "MMDDYY": (r"\3", r"-\1-\2"),
    "DDMMYY": (r"\3", r"-\2-\1"),
}
_NOTHING = sql.SQL("null::text")
# What the rows are called that one row of a file gives.
REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Source:
    """What values are made from.

    ``fields``: where the fields of a declared field land, those that the file has, the one to
    prefer first. ``of_file``: the text of what the batch says of the file. ``column``, ``parsing``:
    as what and how values are read; a condition is of no column, and reads none.
    """

    fields: Callable[[Field], list[sql.Composable]]
    of_file: Mapping[OfFile, str]
    column: Column | None
    parsing: Parsing


def text(value: Value, source: Source) -> sql.Composable:
    """A value as text that its column's type takes, if it is one at all."""
    found = _text(value, source)
    return found if value.counts else _read(found, source)


def is_meant(condition: Where, source: Source) -> sql.Composable:
    """Whether a row is one of those that a condition means."""
    words = _listed(sql.Literal(word.lower()) for word in condition.words)
    value = _text(condition.of, source)
    found = statement("render/made_values.is_meant", value=value, words=words)
    return found if condition.is_any else sql.SQL("not ({})").format(found)


def repeated(rows: Sequence[sql.Composable], repeat: Repeat) -> sql.Composable:
    """The rows that one row of a file gives, each a list of its values."""
    found = statement(
        "stage/landing.repeated",
        value_rows=_listed(rows),
        names=names(repeat.names),
        first=sql.Identifier(repeat.columns[0][0]),
    )
    return sql.SQL("cross join lateral ({}) as {}").format(found, sql.Identifier(REPEATED))


def gives_any(repeat: Repeat, source: Source) -> sql.Composable:
    """Whether a row of the file gives any row: has a value in the first column that repeats."""
    _, values = repeat.columns[0]
    return sql.SQL("coalesce({}) is not null").format(
        _listed(_text(value, source) for value in values)
    )


def _text(value: Value, source: Source) -> sql.Composable:
    match value:
        case Field():
            return _field(value, source)
        case Constant(text):
            return sql.Literal(text)
        case OfFile():
            return sql.Literal(source.of_file[value])
        case Joined(of, separator):
            first, *others = (_text(each, source) for each in of)
            parts = [first, *(p for each in others for p in (sql.Literal(separator), each))]
            return sql.SQL("({})").format(sql.SQL(" || ").join(parts))
        case First(of):
            return sql.SQL("coalesce({})").format(_listed(_text(each, source) for each in of))
        case Given(of):
            return sql.SQL("({} is not null)::text").format(_text(of, source))
        case Mapped():
            return _mapped(value, source)
        case Part():
            return _part(value, source)
        case Dated():
            return _dated(value, source)
    return _counted(value, source)


def _counted(value: Value, source: Source) -> sql.Composable:
    """A value that is read and reckoned with."""

    def made(name: str, of: Value, **parts: sql.Composable) -> sql.Composable:
        return statement(
            f"render/made_values.{name}", value=text(of, source), not_so=plain.NOT_SO, **parts
        )

    match value:
        case Shifted(of, days):
            return made("shifted", of, days=sql.Literal(days))
        case OpenEnd(of, day):
            return made("open_end", of, day=sql.Literal(day))
        case Scaled(of, factor):
            return made("scaled", of, factor=sql.Literal(factor))
        case Total(of):
            terms = _listed(sql.SQL("({})").format(text(each, source)) for each in of)
            return statement("render/made_values.total", terms=terms, not_so=plain.NOT_SO)
    raise TypeError(f"{type(value).__name__} is no word of the vocabulary")


def _field(field: Field, source: Source) -> sql.Composable:
    found = source.fields(field)
    if not found:
        return _NOTHING  # one of those that repeat, which this file does not have
    if source.parsing.null_words:
        words = _listed(sql.Literal(word.lower()) for word in source.parsing.null_words)
        found = [
            statement("render/made_values.no_null_word", field=each, words=words) for each in found
        ]
    return sql.SQL("coalesce({})").format(_listed(found)) if len(found) > 1 else found[0]


def may_be_unlisted(value: Value | None) -> bool:
    """Whether a word that a map does not list costs its row; no type would see that it is one."""
    return value is not None and any(
        isinstance(each, Mapped) and each.others == "reject" for each in value.each()
    )


def is_unlisted(made: sql.Composable) -> sql.Composable:
    """Whether a value was made of a word that its map does not list."""
    return sql.SQL("strpos({}, {}) > 0").format(made, sql.Literal(NOT_LISTED))


def _mapped(value: Mapped, source: Source) -> sql.Composable:
    of = _text(value.of, source)
    others = {"keep": of, "nothing": _NOTHING, "reject": sql.Literal(NOT_LISTED)}[value.others]
    whens: list[sql.Composable] = [
        sql.SQL("when {} then {}").format(sql.Literal(word.lower()), _literal(ours))
        for word, ours in value.words
        if word
    ]
    # A map that lists nothing but the empty word has no other branch.
    whens = whens or [sql.SQL("when null then null")]
    return statement(
        "render/made_values.mapped",
        value=of,
        of_nothing=_literal(dict(value.words).get("")),
        whens=sql.SQL(" ").join(whens),
        others=others,
    )


def _part(value: Part, source: Source) -> sql.Composable:
    of = _text(value.of, source)
    first = sql.Literal(value.first)
    if value.pattern is not None:
        pattern = sql.Literal(value.pattern)
        return statement("render/made_values.matched", value=of, pattern=pattern)
    if value.length is None:
        return statement("render/made_values.rest", value=of, first=first)
    return statement(
        "render/made_values.part",
        value=of,
        first=first,
        length=sql.Literal(value.length),
        last=sql.Literal(value.first + value.length - 1),
    )


def _dated(value: Dated, source: Source) -> sql.Composable:
    of, pattern = _text(value.of, source), sql.Literal(DATE_FORMS[value.form])
    if value.century_from is None:
        turned = sql.Literal(_TURNED[value.form])
        return statement(
            "render/made_values.dated",
            value=of,
            pattern=pattern,
            turned=turned,
            not_so=plain.NOT_SO,
        )
    year, rest = _OF_CENTURY[value.form]
    return statement(
        "render/made_values.century",
        value=of,
        pattern=pattern,
        first_year=sql.Literal(value.century_from),
        year=sql.Literal(year),
        rest=sql.Literal(rest),
        not_so=plain.NOT_SO,
    )


def _read(value: sql.Composable, source: Source) -> sql.Composable:
    """Text as its column's type takes it; words for a missing value were taken out."""
    if source.column is None:
        return value
    return plain.read(source.column, replace(source.parsing, null_words=()), [value])


def _literal(text: str | None) -> sql.Composable:
    return _NOTHING if text is None else sql.Literal(text)


def _listed(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(", ").join(parts)
