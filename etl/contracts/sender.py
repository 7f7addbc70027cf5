"""A contract with a sender whose files differ from what a feed asks for."""

from __future__ import annotations

import codecs
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Literal

from etl.contracts.column import Between, Breach, Constraint, OneOf
from etl.contracts.declared import ensure_kinds
from etl.contracts.feed import Feed, Volume
from etl.contracts.file_form import FileForm
from etl.contracts.types import DATES, NUMBERS, Type
from etl.contracts.value import Constant, Field, Given, Mapped, Repeat, Value, Where

_COUNTED = (*NUMBERS, Type.YEAR, Type.KEY_YEAR, Type.KEY_NUMBER)
_OF_NUMBERS = re.compile(r"[0-9A-Za-z()%+-]")
_ENDINGS = re.compile(r"[.](csv|xlsx|gz|zip|txt)", re.IGNORECASE)


def _is_day(kind: Type, word: str) -> bool:
    """Whether a word in the form of its type is a day of the calendar, if it is to be one."""
    try:
        return kind not in DATES or bool(date.fromisoformat(word[:10]))
    except ValueError:
        return False


def _words_of(value: Value) -> tuple[str, ...]:
    """All that a value may be, where the declaration says it."""
    if isinstance(value, Constant):
        return (value.text,)
    if isinstance(value, Mapped) and value.others != "keep":
        return tuple(filter(None, (ours for _, ours in value.words)))
    return ("true", "false") if isinstance(value, Given) else ()


@dataclass(frozen=True, slots=True)
class Parsing:
    """How a sender writes values. The default is what the feeds themselves ask for.

    ``encoding``: of the file's text, by Python's name. ``date_order``: of day, month and year
    in dates of digits; a date that begins with a year of four digits is read as one whatever
    the order. ``decimal``, ``thousands``: the marks in numbers; thousands marks have to be
    before every three digits or nowhere. ``currency``: signs or words that may come before or
    after an amount. ``minus``: forms of a number below zero next to ``-5.00``, in ``parentheses``
    as (5.00), or with the sign ``after`` it as 5.00-. ``percent``: a ratio that ends in ``%`` is so
    many hundredths. ``null_words``: values that say that there is none, without regard to case.
    ``empty_quotes``: what an empty value in quotes says, nothing (as one without quotes does) or
    a text of no length.
    """

    encoding: str = "utf-8"
    date_order: Literal["ymd", "mdy", "dmy"] = "ymd"
    decimal: str = "."
    thousands: str = ""
    currency: tuple[str, ...] = ()
    minus: tuple[Literal["parentheses", "after"], ...] = ()
    percent: bool = False
    null_words: tuple[str, ...] = ()
    empty_quotes: Literal["nothing", "text"] = "nothing"

    def __post_init__(self) -> None:
        ensure_kinds(self)
        try:
            b" ".decode(codecs.lookup(self.encoding).name, errors="replace")
        except (LookupError, UnicodeError):
            raise ValueError(f"{self.encoding!r} is no encoding of text that is known") from None
        if len(self.decimal) != 1 or len(self.thousands) > 1 or self.decimal == self.thousands:
            raise ValueError("decimal and thousands marks are one character each, and differ")
        for mark in (self.decimal, self.thousands):
            if _OF_NUMBERS.search(mark):
                raise ValueError(f"{mark!r} is part of numbers, and no mark in them")
        for sign in self.currency:
            if not sign.strip() or re.search("[0-9]", sign):
                raise ValueError(f"{sign!r} is no sign of a currency")


@dataclass(frozen=True)
class SenderContract:
    """A contract with one sender of a feed: how its files differ from what the feed asks for.

    ``columns``: our columns, each with the value that this sender's files give it (see
    ``etl.contracts.value``). ``form`` and ``parsing``: how its files are laid out, and its values
    written. A column that is not named there bears its own name. ``not_sent``:
    required columns that this sender never sends. ``where``: conditions, all of which a row has to
    meet; others are filtered. ``repeat``: columns of ours that are next to each other several times
    in a row of the file, which is then so many rows of ours. ``files``: patterns (``*_claims_*``,
    without regard to case) of the names that its files bear where these are not the feed's; a file
    may be meant by contracts of several feeds. ``checks`` and ``on_breach``: by column, what a good
    value looks like and what follows where it is none, instead of what the column says.
    ``reject_share``: how many of a file's rows may be rejected, instead of the configured share.
    ``sends_more``: the files have columns that the warehouse does not take, as agreed. ``volume``
    and ``freshness_days``: instead of the feed's.

    Raises ``ValueError`` for what contradicts itself or the feed.
    """

    name: str
    feed: Feed
    description: str
    columns: Mapping[str, Value] = field(default_factory=dict)
    form: FileForm = field(default_factory=FileForm)
    parsing: Parsing = Parsing()
    not_sent: tuple[str, ...] = ()
    where: tuple[Where, ...] = ()
    repeat: Repeat | None = None
    files: tuple[str, ...] = ()
    checks: Mapping[str, Constraint] = field(default_factory=dict)
    on_breach: Mapping[str, Breach] = field(default_factory=dict)
    reject_share: float | None = None
    sends_more: bool = False
    volume: Volume | None = None
    freshness_days: int | None = None

    def __post_init__(self) -> None:
        ensure_kinds(self)
        self._check_names()
        declared = {c.name: c for c in self.feed.staged}
        repeated = self.repeat.names if self.repeat else ()
        for name in (*self.columns, *repeated, *self.not_sent, *self.checks, *self.on_breach):
            if name not in declared:
                raise ValueError(f"{self.name}: {self.feed.name} has no column {name}")
        for name in repeated:
            if name in self.columns:
                raise ValueError(f"{self.name}: {name} both repeats and is one value")
        for name in self.not_sent:
            if name in self.feed.key or declared[name].type.mandatory:
                raise ValueError(f"{self.name}: without {name} a row has no place")
            if name in self.columns or name in repeated:
                raise ValueError(f"{self.name}: {name} is both sent and not sent")
        if repeated and (once := sorted(set(self.feed.money) & set(self.values))):
            raise ValueError(
                f"{self.name}: {once[0]} is an amount of the whole row, and would count once for "
                "each row that it gives; let it repeat, or name it in not_sent"
            )
        for name, breach in self.on_breach.items():
            if breach is not Breach.WARN and self.check(name) is None:
                raise ValueError(f"{self.name}: without a check of {name} there is no breach")
        for name, value in self.columns.items():
            self._check_type(name, value)
        key = [value for name in self.feed.key for value in self.values_of(name)]
        if not any(value.fields for value in key):
            keys = " and ".join(self.feed.key)
            raise ValueError(f"{self.name}: {keys} would be the same in each row of a file")

    def _check_type(self, name: str, value: Value) -> None:
        """Refuse a value that can never be one of its column's type."""
        type_ = self.feed.column(name).type
        if value.gives_number and type_ not in NUMBERS:
            raise ValueError(f"{self.name}: {name} is {type_.name.lower()}, and is given a number")
        if value.gives_date and type_ not in DATES:
            raise ValueError(f"{self.name}: {name} is {type_.name.lower()}, and is given a date")
        for word in _words_of(value):
            self._check_word(name, word)

    def _check_word(self, name: str, word: str) -> None:
        """Refuse a word that every row with it would be judged wrong by."""
        column, rule = self.feed.column(name), self.check(name)
        if isinstance(rule, OneOf) and word.lower() not in {one.lower() for one in rule.values}:
            raise ValueError(f"{self.name}: {name} is given {word!r}, and is {rule}")
        form = column.type.form
        # Dates and numbers are read in the sender's form, which may be another one.
        is_judged = column.type not in (*DATES, *NUMBERS) or self.parsing == Parsing()
        if form and is_judged and not (re.fullmatch(form, word) and _is_day(column.type, word)):
            raise ValueError(
                f"{self.name}: {name} is given {word!r}, which is no {column.type.name.lower()}"
            )

    def _check_names(self) -> None:
        """Refuse names of the contract and of its files that say nothing, and shares beyond all."""
        if not re.fullmatch("[a-z][a-z0-9_]{0,62}", self.name):
            raise ValueError(f"{self.name!r} is no name: small letters, digits and underscores are")
        for pattern in self.files:
            if "/" in pattern or not re.search("[^*?.]", _ENDINGS.sub("", pattern)):
                raise ValueError(f"{self.name}: {pattern!r} is no pattern of this sender's files")
        if self.reject_share is not None and not 0 <= self.reject_share <= 1:
            raise ValueError(f"{self.name}: reject_share is 0 to 1, and not {self.reject_share}")
        if self.freshness_days is not None and self.freshness_days < 1:
            raise ValueError(f"{self.name}: freshness_days is 1 or more")
        for name, rule in self.checks.items():
            column = next((c for c in self.feed.staged if c.name == name), None)
            if column and isinstance(rule, Between) and column.type not in _COUNTED:
                raise ValueError(f"{self.name}: {name} is no number, and has no range")

    @cached_property
    def values(self) -> dict[str, Value]:
        """Our columns that one value of a row gives: as declared, else the field of their name."""
        repeated = self.repeat.names if self.repeat else ()
        others = {*repeated, *self.not_sent}
        return {
            c.name: self.columns.get(c.name) or Field((c.name,))
            for c in self.feed.staged
            if c.name not in others
        }

    @cached_property
    def all_values(self) -> tuple[Value, ...]:
        """All that is made of a file: for columns, those that repeat, and for conditions."""
        repeated = self.repeat.values if self.repeat else ()
        return (*self.values.values(), *repeated, *(condition.of for condition in self.where))

    def values_of(self, column: str) -> tuple[Value, ...]:
        """The values of a column: one, several where it repeats, none where it is not sent."""
        repeated = dict(self.repeat.columns) if self.repeat else {}
        return repeated.get(column) or tuple(filter(None, [self.values.get(column)]))

    @property
    def filters(self) -> bool:
        """Whether some rows of a file may not be meant."""
        return bool(self.where or self.repeat)

    @cached_property
    def uses(self) -> Counter[str]:
        """How often each field of the sender's files, in small letters, is used."""
        fields = (field for value in self.all_values for field in value.fields)
        return Counter(name for field in fields for name in field.lowered)

    @cached_property
    def targets(self) -> dict[str, str]:
        """Our column for each name, in small letters, whose field is that column as it stands."""
        uses = self.uses
        return {
            name: column
            for column, value in self.values.items()
            if isinstance(value, Field) and all(uses[name] == 1 for name in value.lowered)
            for name in value.lowered
        }

    @cached_property
    def made(self) -> dict[str, Value]:
        """Our columns whose values are made: of several fields, of a part of one, of the batch."""
        as_they_stand = set(self.targets.values())
        return {c: value for c, value in self.values.items() if c not in as_they_stand}

    @property
    def required(self) -> tuple[str, ...]:
        """Our columns for which the sender's header must contain what they are made of."""
        return tuple(name for name in self.feed.required if name not in self.not_sent)

    def check(self, column: str) -> Constraint | None:
        """What a good value of the column looks like in this sender's files."""
        return self.checks.get(column, self.feed.column(column).check)

    def breach(self, column: str) -> Breach:
        """What follows where a value of the column is no good one."""
        return self.on_breach.get(column, self.feed.column(column).on_breach)

    @property
    def expected_volume(self) -> Volume | None:
        """How many rows a file of this sender contains."""
        return self.volume or self.feed.volume

    @property
    def expected_freshness_days(self) -> int | None:
        """How many days may pass from one batch of this sender to the next."""
        return self.freshness_days or self.feed.freshness_days
