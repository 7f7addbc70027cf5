"""A contract with a sender whose files differ from what a feed asks for."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from etl.contracts.column import Breach, Constraint
from etl.contracts.feed import Feed, Volume
from etl.contracts.file_form import FileForm
from etl.contracts.types import DATES, NUMBERS
from etl.contracts.value import Field, Repeat, Value, Where


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
        codecs.lookup(self.encoding)
        if len(self.decimal) != 1 or len(self.thousands) > 1 or self.decimal == self.thousands:
            raise ValueError("decimal and thousands marks are one character each, and differ")
        if not {"parentheses", "after"}.issuperset(self.minus):
            raise ValueError(f"{self.minus!r}: a minus is in parentheses, or after its number")
        if self.date_order not in ("ymd", "mdy", "dmy"):
            raise ValueError(f"{self.date_order!r} is no order of day, month and year")


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

    def _check_type(self, name: str, value: Value) -> None:
        """Refuse a value that can never be one of its column's type."""
        type_ = self.feed.column(name).type
        if value.gives_number and type_ not in NUMBERS:
            raise ValueError(f"{self.name}: {name} is {type_.name.lower()}, and is given a number")
        if value.gives_date and type_ not in DATES:
            raise ValueError(f"{self.name}: {name} is {type_.name.lower()}, and is given a date")

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
