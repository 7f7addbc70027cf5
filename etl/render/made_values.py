"""From a contract's vocabulary of values to SQL: one expression for each value of ours.

Pure functions. Each expression is text or null, and fails for no input: what cannot be made is a
text that no date or number is, or the mark of a word that no map lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from psycopg import sql

from etl.contracts.column import Column
from etl.contracts.reasons import Reason
from etl.contracts.sender import Parsing
from etl.contracts.types import DATES
from etl.contracts.value import (
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

# What a value becomes that cannot be made, each with why its row is rejected: a word that its map
# does not list, and digits that are no date. Whatever is made of it is the same mark again.
NOT_LISTED, NOT_A_DAY = "\x01", "\x02"
MARKS = {NOT_LISTED: Reason.NOT_LISTED, NOT_A_DAY: Reason.NOT_A_DATE}
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
    if value.counts or not _is_to_read(value, source.column):
        return found
    return _from_operands([value], [found], lambda texts: _read(texts[0], source))


def _is_to_read(value: Value, column: Column | None) -> bool:
    """Whether text is still to be read; no date is that was put together of its parts."""
    if column is None or column.type.form is None:
        return False
    return not (isinstance(value, Dated) and column.type in DATES)


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


def may_be_marked(value: Value) -> bool:
    """Whether a value may become a mark, for which no type of text would refuse it."""
    return any(
        isinstance(each, Dated) or (isinstance(each, Mapped) and each.others == "reject")
        for each in value.each()
    )


def is_marked(made: sql.Composable) -> sql.Composable:
    """Whether a value is a mark."""
    return sql.SQL("{} in ({})").format(made, _listed(map(sql.Literal, MARKS)))


def _text(value: Value, source: Source) -> sql.Composable:
    match value:
        case Field():
            return _field(value, source)
        case Constant(said):
            return sql.Literal(said)
        case OfFile():
            # Of a row that is only looked at it may not be known.
            return _literal(source.of_file.get(value))
        case First(of):
            return sql.SQL("coalesce({})").format(_listed(_text(each, source) for each in of))
    read = text if value.counts else _text
    operands = [read(each, source) for each in value.operands]
    return _from_operands(value.operands, operands, lambda texts: _word(value, texts))


def _from_operands(
    values: Sequence[Value],
    texts: Sequence[sql.Composable],
    made: Callable[[Sequence[sql.Composable]], sql.Composable],
) -> sql.Composable:
    """What is made of operands: each is evaluated once, and a mark among them is the result."""
    marked = [at for at, value in enumerate(values) if may_be_marked(value)]
    at_once = {
        at: name
        for at, value in enumerate(values)
        if not isinstance(value, Field | Constant | OfFile)
        for name in [sql.Identifier(f"operand_{at}")]
    }
    named = [at_once.get(at, each) for at, each in enumerate(texts)]
    found = made(named)
    if marked:
        operands = _listed(named[at] for at in marked)
        marks = [
            sql.SQL("when {} in ({}) then {}").format(mark, operands, mark)
            for mark in map(sql.Literal, MARKS)
        ]
        found = sql.SQL("case {} else {} end").format(sql.SQL(" ").join(marks), found)
    if not at_once:
        return found
    of_operands = statement(
        "render/made_values.of_operands",
        made=found,
        operands=_listed(
            sql.SQL("{} as {}").format(texts[at], name) for at, name in at_once.items()
        ),
    )
    return sql.SQL("({})").format(of_operands)


def _word(value: Value, of: Sequence[sql.Composable]) -> sql.Composable:
    """What a word of the vocabulary makes of its operands."""
    match value:
        case Joined(_, separator):
            first, *others = of
            parts = [first, *(p for each in others for p in (sql.Literal(separator), each))]
            return sql.SQL("({})").format(sql.SQL(" || ").join(parts))
        case Given():
            return sql.SQL("({} is not null)::text").format(of[0])
        case Mapped():
            return _mapped(value, of[0])
        case Part():
            return _part(value, of[0])
        case Dated():
            return _dated(value, of[0])
    return _counted(value, of)


def _counted(value: Value, of: Sequence[sql.Composable]) -> sql.Composable:
    """A value that was read and is reckoned with."""

    def made(name: str, **parts: sql.Composable) -> sql.Composable:
        return statement(f"render/made_values.{name}", value=of[0], not_so=plain.NOT_SO, **parts)

    match value:
        case Shifted(_, days):
            return made("shifted", days=sql.Literal(days))
        case OpenEnd(_, day):
            return made("open_end", day=sql.Literal(day))
        case Scaled(_, factor):
            return made("scaled", factor=sql.Literal(factor))
        case Total():
            terms = _listed(sql.SQL("({})").format(each) for each in of)
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


def _mapped(value: Mapped, of: sql.Composable) -> sql.Composable:
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


def _part(value: Part, of: sql.Composable) -> sql.Composable:
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


def _dated(value: Dated, of: sql.Composable) -> sql.Composable:
    parts = {
        sign: statement(
            "render/parsing.characters",
            field=of,
            first=sql.Literal(value.form.index(sign) + 1),
            count=sql.Literal(value.form.count(sign)),
        )
        for sign in dict.fromkeys(value.form)
    }
    if value.century_from is not None:
        first_year = sql.Literal(value.century_from)
        parts["Y"] = statement("render/made_values.year", year=parts["Y"], first_year=first_year)
    in_order = [parts.get(sign, sql.Literal("01")) for sign in "YMD"]
    return statement(
        "render/made_values.dated",
        value=of,
        shape=sql.Literal("0" * len(value.form)),
        date=sql.SQL(" || '-' || ").join(in_order),
        not_a_day=sql.Literal(NOT_A_DAY),
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
