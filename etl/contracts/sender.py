"""A contract with a sender whose files differ from what a feed asks for."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from etl.contracts.column import Breach, Constraint
from etl.contracts.feed import Feed, Volume


@dataclass(frozen=True, slots=True)
class Parsing:
    """How a sender writes values. The default is what the feeds themselves ask for.

    ``encoding``: of the file's text, by Python's name. ``date_order``: of day, month and year
    in dates of digits; a date that begins with a year of four digits is read as one whatever
    the order. ``decimal``, ``thousands``: the marks in numbers; thousands marks have to be
    before every three digits or nowhere. ``currency``: signs or words that may come before or
    after an amount. ``percent``: a ratio that ends in ``%`` is so many hundredths.
    ``null_words``: values that say that there is none, without regard to case.
    ``empty_quotes``: what an empty value in quotes says, nothing (as one without quotes does) or
    a text of no length.
    """

    encoding: str = "utf-8"
    date_order: Literal["ymd", "mdy", "dmy"] = "ymd"
    decimal: str = "."
    thousands: str = ""
    currency: tuple[str, ...] = ()
    percent: bool = False
    null_words: tuple[str, ...] = ()
    empty_quotes: Literal["nothing", "text"] = "nothing"

    def __post_init__(self) -> None:
        codecs.lookup(self.encoding)
        if len(self.decimal) != 1 or len(self.thousands) > 1 or self.decimal == self.thousands:
            raise ValueError("decimal and thousands marks are one character each, and differ")
        if self.date_order not in ("ymd", "mdy", "dmy"):
            raise ValueError(f"{self.date_order!r} is no order of day, month and year")


@dataclass(frozen=True, slots=True)
class SenderContract:
    """A contract with one sender of a feed: how its files differ from what the feed asks for.

    ``header``: the sender's names to our columns, without regard to case; where several are one
    column, the first of them that has a value gives it. A column that is not named there bears
    its own name. ``not_sent``: required columns that this sender never sends. ``checks`` and
    ``on_breach``: by column, what a good value looks like and what follows where it is none,
    instead of what the column says. ``reject_share``: how many of a file's rows may be rejected,
    instead of the configured share. ``sends_more``: the files have columns that the warehouse
    does not take, as agreed. ``volume`` and ``freshness_days``: instead of the feed's.
    """

    name: str
    feed: Feed
    description: str
    header: Mapping[str, str] = field(default_factory=dict)
    parsing: Parsing = Parsing()
    not_sent: tuple[str, ...] = ()
    checks: Mapping[str, Constraint] = field(default_factory=dict)
    on_breach: Mapping[str, Breach] = field(default_factory=dict)
    reject_share: float | None = None
    sends_more: bool = False
    volume: Volume | None = None
    freshness_days: int | None = None

    def __post_init__(self) -> None:
        declared = {c.name: c for c in self.feed.staged}
        for name in (*self.header.values(), *self.not_sent, *self.checks, *self.on_breach):
            if name not in declared:
                raise ValueError(f"{self.name}: {self.feed.name} has no column {name}")
        lowered = [name.lower() for name in self.header]
        if len(set(lowered)) != len(lowered):
            raise ValueError(f"{self.name}: a name of the header is declared twice")
        for name in self.not_sent:
            if name in self.feed.key or declared[name].type.mandatory:
                raise ValueError(f"{self.name}: without {name} a row has no place")
            if name in self.header.values():
                raise ValueError(f"{self.name}: {name} is both sent and not sent")
        for name, breach in self.on_breach.items():
            if breach is not Breach.WARN and self.check(name) is None:
                raise ValueError(f"{self.name}: without a check of {name} there is no breach")

    @property
    def targets(self) -> dict[str, str]:
        """Our column for each name, in lower case, that the sender's header may contain."""
        own = {
            c.name: c.name
            for c in self.feed.staged
            if c.name not in self.header.values() and c.name not in self.not_sent
        }
        return own | {name.lower(): column for name, column in self.header.items()}

    @property
    def required(self) -> tuple[str, ...]:
        """Our columns for which the sender's header must contain a name."""
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
