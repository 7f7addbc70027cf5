"""The vocabulary of a contract: how a value of ours is made from what a sender's file has.

One line a column: ``"gender": of("SEX").map({"1": "M", "2": "F"})``. Each word gives a ``Value``
that the next may build on, so that they can be combined. ``etl/render/made_values.py`` makes one
SQL expression of it, and all of a file's rows are read in one pass.

A value is text until the last word; what is then read as the column's type is judged as any other
value is. Words that count or reckon (``total``, ``scale``, ``negate``, ``day_before``) read their
fields as the contract's ``Parsing`` says. Nothing made of nothing is nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import ClassVar, Literal

from etl.contracts.declared import day_of, ensure_kinds, ensure_one_group, factor_of

# What becomes of a word that a map does not list.
Others = Literal["reject", "keep", "nothing"]

# Forms of dates in digits without marks between them, by the name that people know.
DATE_FORMS = {
    "YYYYMMDD": r"^([0-9]{4})([0-9]{2})([0-9]{2})$",
    "MMDDYYYY": r"^([0-9]{2})([0-9]{2})([0-9]{4})$",
    "DDMMYYYY": r"^([0-9]{2})([0-9]{2})([0-9]{4})$",
    "YYMMDD": r"^([0-9]{2})([0-9]{2})([0-9]{2})$",
    "MMDDYY": r"^([0-9]{2})([0-9]{2})([0-9]{2})$",
    "DDMMYY": r"^([0-9]{2})([0-9]{2})([0-9]{2})$",
    "YYYYMM": r"^([0-9]{4})([0-9]{2})$",
    "YYYY": r"^([0-9]{4})$",
}


@dataclass(frozen=True, slots=True)
class Value:
    """A value made from a row of a sender's file, from the file or from its batch."""

    written: ClassVar[str] = 'a value such as of("A")'

    def __post_init__(self) -> None:
        ensure_kinds(self)
        self._judge()

    def _judge(self) -> None:
        """Raise ``ValueError`` where what it is made of makes no value."""

    @property
    def operands(self) -> tuple[Value, ...]:
        """The values that it is made from: each has them under the name ``of``, if it has any."""
        made_from: Value | tuple[Value, ...] = getattr(self, "of", ())
        return made_from if isinstance(made_from, tuple) else (made_from,)

    @property
    def counts(self) -> bool:
        """Whether it was read and reckoned with, and is not text that is still to read."""
        return self.gives_number or self.gives_date

    @property
    def gives_number(self) -> bool:
        """Whether it is a number that was reckoned."""
        return False

    @property
    def gives_date(self) -> bool:
        """Whether it is a date that was reckoned."""
        return False

    def each(self) -> Iterator[Value]:
        """This value and all that it is made from."""
        yield self
        for operand in self.operands:
            yield from operand.each()

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the file that it is made from, in the order of the declaration."""
        return tuple(value for value in self.each() if isinstance(value, Field))

    def is_in(self, names: Collection[str]) -> bool:
        """Whether a header, in small letters, has a name of each field that it is made from."""
        return all(any(name in names for name in field.lowered) for field in self.fields)

    def map(self, words: Mapping[str, str | None], others: Others = "reject") -> Mapped:
        """Our word for each word of the sender, without regard to case; ``None`` is nothing.

        ``others``: a word that is not listed costs its row, is kept as it is, or is nothing.
        """
        return Mapped(self, tuple((k, v) for k, v in words.items()), others)

    def yes_no(self, yes: str, no: str) -> Mapped:
        """True for one word of the sender and false for the other.

        ``yes_no(no, yes)`` where the sender says the contrary of ours.
        """
        return Mapped(self, ((yes, "true"), (no, "false")), "reject")

    def is_given(self) -> Given:
        """True where there is a value, else false."""
        return Given(self)

    def part(
        self, first: int = 1, length: int | None = None, *, pattern: str | None = None
    ) -> Part:
        """Characters of a text: ``length`` from the ``first`` (1 up) on, or a pattern's group."""
        return Part(self, first, length, pattern)

    def date(self, form: str, century_from: int | None = None) -> Dated:
        """A date written in digits by a form of ``DATE_FORMS``.

        ``century_from``: the first year that a year of two digits may be, as 1930 for 1930 to 2029.
        A form without a day is the first of its month or year.
        """
        return Dated(self, form, century_from)

    def day_before(self) -> Shifted:
        """The day before a date: the last day of what a sender says ends before that date."""
        return Shifted(self, -1)

    def runs_on_from(self, day: str) -> OpenEnd:
        """Nothing where a date (ISO) or a later one says that the thing runs on."""
        return OpenEnd(self, day_of(day))

    def scale(self, factor: str | int) -> Scaled:
        """A number times a factor: ``scale("0.01")`` for an amount in cents."""
        return Scaled(self, factor_of(factor))

    def negate(self) -> Scaled:
        """A number with the other sign."""
        return Scaled(self, Decimal(-1))


@dataclass(frozen=True, slots=True)
class Field(Value):
    """A field of the file: the first of these names, without regard to case, that has a value."""

    names: tuple[str, ...]

    def _judge(self) -> None:
        lowered = [name.lower() for name in self.names]
        if not all(lowered) or not lowered or len(set(lowered)) < len(lowered):
            raise ValueError("a field has one name or several that differ, none empty")

    @property
    def lowered(self) -> tuple[str, ...]:
        """The names in small letters, as headers are compared."""
        return tuple(name.lower() for name in self.names)


@dataclass(frozen=True, slots=True)
class Constant(Value):
    """The same text in each row."""

    text: str

    def _judge(self) -> None:
        if not self.text.strip():
            raise ValueError("a constant is some text; not_sent names a column that stays empty")


@dataclass(frozen=True, slots=True)
class OfFile(Value):
    """What the batch says of the whole file.

    ``source``: the day of ``as_of`` (UTC, ISO), the group of ``pattern`` in the file's name, or
    what the manifest's entry of the file has under ``values`` for ``pattern``.
    """

    source: Literal["batch_date", "file_name", "manifest"]
    pattern: str = ""

    def _judge(self) -> None:
        if self.source == "file_name":
            ensure_one_group(self.pattern)
        if self.source == "manifest" and not self.pattern:
            raise ValueError("what the manifest says has a name")

    @property
    def key(self) -> str:
        """What it is called where it is kept."""
        return f"{self.source}:{self.pattern}"


@dataclass(frozen=True, slots=True)
class Joined(Value):
    """Texts with a separator between them; nothing if one of them is nothing."""

    of: tuple[Value, ...]
    separator: str

    def _judge(self) -> None:
        if len(self.of) < 2:
            raise ValueError("what is joined are two values or more")
        _no_numbers(self)


@dataclass(frozen=True, slots=True)
class Mapped(Value):
    """Our words for those of a sender."""

    of: Value
    words: tuple[tuple[str, str | None], ...]
    others: Others

    def _judge(self) -> None:
        lowered = [word.lower() for word, _ in self.words]
        if len(set(lowered)) < len(lowered):
            raise ValueError("a word is mapped twice")
        if not lowered:
            raise ValueError("a map lists one word or more")
        if self.others not in ("reject", "keep", "nothing"):
            raise ValueError(f"{self.others!r} is none of reject, keep, nothing")
        _no_numbers(self)


@dataclass(frozen=True, slots=True)
class Given(Value):
    """Whether there is a value: a boolean."""

    of: Value

    def _judge(self) -> None:
        _no_numbers(self)


@dataclass(frozen=True, slots=True)
class First(Value):
    """The first of several values that there is."""

    of: tuple[Value, ...]

    def _judge(self) -> None:
        if len(self.of) < 2:
            raise ValueError("the first is one of two values or more")
        _no_numbers(self)


@dataclass(frozen=True, slots=True)
class Part(Value):
    """Part of a text; nothing where the text is too short or the pattern does not match."""

    of: Value
    first: int
    length: int | None
    pattern: str | None

    def _judge(self) -> None:
        if self.first < 1 or (self.length is not None and self.length < 1):
            raise ValueError("characters are counted from 1 up")
        if self.pattern is not None:
            if self.first != 1 or self.length is not None:
                raise ValueError("a part is given by its place or by a pattern, not by both")
            ensure_one_group(self.pattern)
        _no_numbers(self)


@dataclass(frozen=True, slots=True)
class Dated(Value):
    """A date in digits, by its form."""

    of: Value
    form: str
    century_from: int | None

    def _judge(self) -> None:
        if self.form not in DATE_FORMS:
            raise ValueError(f"{self.form!r} is none of {', '.join(DATE_FORMS)}")
        if ("YYYY" in self.form) is not (self.century_from is None):
            raise ValueError(f"{self.form}: a year of two digits, and no other, needs century_from")
        if self.century_from is not None and not 1800 <= self.century_from <= 2100:
            raise ValueError(f"century_from is {self.century_from}; it is a year, such as 1930")
        _no_numbers(self)


@dataclass(frozen=True, slots=True)
class _Number(Value):
    @property
    def gives_number(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class _Day(Value):
    @property
    def gives_date(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Shifted(_Day):
    """A date some days later."""

    of: Value
    days: int

    def _judge(self) -> None:
        _no_other_kind(self, "number")


@dataclass(frozen=True, slots=True)
class OpenEnd(_Day):
    """A date, or nothing where it is on a day or after it."""

    of: Value
    day: date

    def _judge(self) -> None:
        _no_other_kind(self, "number")


@dataclass(frozen=True, slots=True)
class Scaled(_Number):
    """A number times a factor."""

    of: Value
    factor: Decimal

    def _judge(self) -> None:
        _no_other_kind(self, "date")


@dataclass(frozen=True, slots=True)
class Total(_Number):
    """The sum of numbers; those that are nothing are left out, and nothing is the sum of none."""

    of: tuple[Value, ...]

    def _judge(self) -> None:
        if len(self.of) < 2:
            raise ValueError("what is added up are two values or more")
        if len(set(self.of)) < len(self.of):
            raise ValueError("a value is added up twice")
        _no_other_kind(self, "date")


@dataclass(frozen=True, slots=True)
class Where:
    """Which rows of a file are meant: those whose value is one of these words, or is none of them.

    Words are compared without regard to case; an empty word is a value that is not there. A row
    that is not meant is filtered: counted, and neither loaded nor rejected.
    """

    of: Value
    words: tuple[str, ...]
    is_any: bool

    def __post_init__(self) -> None:
        ensure_kinds(self)
        if not self.words:
            raise ValueError("a condition names one word or more")
        if self.of.counts:
            raise ValueError("a condition is on text, and not on what counts or reckons")


@dataclass(frozen=True, slots=True)
class Repeat:
    """Columns that stand next to each other in a row of the file, each a row of ours.

    ``number``: our column that numbers them, 1 up in the order of the file. ``columns``: ours, each
    with its fields in that order, as many of each. What has no value in the first of these columns
    is no row.
    """

    number: str | None
    columns: tuple[tuple[str, tuple[Value, ...]], ...]

    def __post_init__(self) -> None:
        ensure_kinds(self)
        sizes = {len(values) for _, values in self.columns}
        if len(sizes) != 1 or sizes == {0}:
            raise ValueError("columns that repeat have as many fields each, and one at least")

    @property
    def times(self) -> int:
        """How many rows one row of the file may give."""
        return len(self.columns[0][1])

    @property
    def names(self) -> tuple[str, ...]:
        """Our columns that repeat, the number first if there is one."""
        return (*filter(None, [self.number]), *(name for name, _ in self.columns))

    @property
    def values(self) -> tuple[Value, ...]:
        """All values of all columns."""
        return tuple(value for _, values in self.columns for value in values)


def of(*names: str) -> Field:
    """A field of the file by its name; of several names the first that has a value."""
    return Field(names)


def constant(text: str) -> Constant:
    """The same text in each row."""
    return Constant(text)


def batch_date() -> OfFile:
    """The day of the batch's ``as_of``, ISO, UTC."""
    return OfFile("batch_date")


def file_name(pattern: str) -> OfFile:
    """The group of a pattern in the file's name: ``file_name(r"_(20[0-9]{2})_")``."""
    return OfFile("file_name", pattern)


def manifest(name: str) -> OfFile:
    """What the manifest's entry of the file says under ``values`` for a name."""
    return OfFile("manifest", name)


def join(*values: Value | str, separator: str = "") -> Joined:
    """Values, or fields by their names, with a separator between them."""
    return Joined(_values(values), separator)


def first(*values: Value | str) -> First:
    """The first of several values, or of fields by their names, that there is."""
    return First(_values(values))


def total(*values: Value | str) -> Total:
    """The sum of values, or of fields by their names."""
    return Total(_values(values))


def where(name: Value | str, *words: str) -> Where:
    """Rows in which a field is one of these words."""
    return Where(_value(name), words, is_any=True)


def where_not(name: Value | str, *words: str) -> Where:
    """Rows in which a field is none of these words."""
    return Where(_value(name), words, is_any=False)


def repeat(number: str | None = None, **columns: Iterable[Value | str]) -> Repeat:
    """Our columns, each with the fields in which it repeats: ``repeat("position", code=[...])``.

    Values may be there instead of fields.
    """
    return Repeat(number, tuple((name, _values(values)) for name, values in columns.items()))


def numbered(name: str, count: int) -> list[str]:
    """Names that end in a number: ``numbered("DX_{}", 3)`` is DX_1, DX_2, DX_3."""
    if name.count("{") != 1 or "{}" not in name:
        raise ValueError(f"{name!r} has no {{}} where the number is, or several")
    return [name.format(n) for n in range(1, count + 1)]


def _values(values: Iterable[Value | str]) -> tuple[Value, ...]:
    return tuple(map(_value, values))


def _value(value: Value | str) -> Value:
    return of(value) if isinstance(value, str) else value


def _no_other_kind(value: Value, kind: Literal["number", "date"]) -> None:
    """Refuse to reckon with days as with numbers, and with numbers as with days."""
    if any(o.gives_number if kind == "number" else o.gives_date for o in value.operands):
        raise ValueError(f"{type(value).__name__.lower()} cannot be made of what gives a {kind}")


def _no_numbers(value: Value) -> None:
    if any(operand.counts for operand in value.operands):
        raise ValueError(
            f"{type(value).__name__.lower()} works on text: it comes before what counts or reckons"
        )
