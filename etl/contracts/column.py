"""A column of a feed: its type, what a good value looks like, how near it comes to a person.

One ``Column`` line is the only place where a column is described. The staging DDL and its
comments, type coercion, the attribute hash, the data dictionary and the quality expectations
are all derived from it (see ``etl/render``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum

from etl.contracts.declared import ensure_kinds
from etl.contracts.types import Type


class Pii(Enum):
    """How near a value comes to a person (45 CFR 164.514(b)(2) names the identifiers)."""

    NONE = "none"
    DIRECT = "direct"  # names a person by itself: name, e-mail, phone, street
    QUASI = "quasi"  # narrows to a person together with others: date of birth, ZIP
    HEALTH = "health"  # protected health information once joined to a person


class Identifier(Enum):
    """Which identifier of a person a value is, as the standards of masking name them.

    45 CFR 164.514(b)(2)(i) lists those that safe harbor takes out, 164.514(e)(2) those that a
    limited data set is without. ``etl/access/treatments.py`` says what becomes of each.
    """

    NONE = "none"
    NAME = "name"
    STREET = "street"
    PHONE = "phone"
    EMAIL = "e-mail"
    CITY = "city"
    ZIP = "ZIP"
    AREA = "area below state"  # smaller than a state, or an index of one
    MEMBER_NUMBER = "member number"  # the health plan's number of the person
    RECORD_NUMBER = "claim or enrollment number"
    BIRTH_DATE = "birth date"
    AGE = "age"  # in years or as a band
    DATE = "date of the person"  # of care, coverage or a change
    DURATION = "days between dates of the person"  # with one of the dates it gives the other
    WITHIN_YEAR = "when within a year"  # of a date of the person: how long its month is
    ARRIVAL = "load that a row of the person came with"  # of a daily load, a date of the person
    SURROGATE_KEY = "surrogate key of the person"  # numbered in the order of files
    HASH = "hash of the person's values"  # names and birth dates can be guessed and hashed
    WHOLE_ROW = "whole row of a feed"


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these words, compared without regard to case.

    ``closed``: money or history depends on the word, and code says what each one means. A word that
    is not listed is then a major failure, and no cube counts it as if it were known.
    """

    values: tuple[str, ...]
    closed: bool = False

    def __post_init__(self) -> None:
        ensure_kinds(self)
        if not self.values:
            raise ValueError("a list of words has one word or more")

    def __str__(self) -> str:
        return "one of " + ", ".join(self.values)


@dataclass(frozen=True, slots=True)
class Between:
    """The value lies in this closed range; ``None`` leaves a side open."""

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        ensure_kinds(self)
        if self.low is not None and self.high is not None and not self.low <= self.high:
            raise ValueError(f"{self} is no range")

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {self.low}"
        if self.low is None:
            return f"at most {self.high}"
        return f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Matches:
    """The value matches this POSIX regular expression as a whole."""

    pattern: str

    def __post_init__(self) -> None:
        ensure_kinds(self)
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is no pattern: {error}") from None

    def __str__(self) -> str:
        return f"matches {self.pattern}"


Constraint = OneOf | Between | Matches


class Breach(Enum):
    """What follows when a file does not keep to its contract."""

    REJECT_ROW = "reject row"
    REJECT_FILE = "reject file"  # the file is refused, and the batch with it
    WARN = "warn"  # the file is loaded, and the breach is reported


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a feed.

    ``identifier``: which identifier of a person it is, so that no column can be without an answer.
    ``required``: the header must name it (a value may still be empty unless the type is a key).
    ``driver``: a change of its value makes a new version of the dimension row; any other
    attribute is Type 1 and is corrected in place. ``check``: what a good value looks like.
    ``on_breach``: what follows where a value is none; a warning is left to the quality checks.
    ``longest``: the most characters, where a text may be shorter or longer than its type says.
    ``open_end``: a date from this day on is no date but says that the thing runs on; it is kept
    in staging as it came and means the same as an empty one. ``ahead_days``: how many days after
    its batch's ``as_of`` a value may lie; a row with a later one is rejected.
    """

    name: str
    type: Type
    description: str
    identifier: Identifier
    required: bool = False
    driver: bool = False
    pii: Pii = Pii.NONE
    check: Constraint | None = None
    on_breach: Breach = Breach.WARN
    longest: int | None = None
    open_end: date | None = None
    ahead_days: int | None = None

    def __post_init__(self) -> None:
        if self.longest is not None and self.type is not Type.TEXT:
            raise ValueError(f"{self.name}: the longest value of its type is that of all such")
        if self.open_end is not None and self.type is not Type.DATE:
            raise ValueError(f"{self.name}: only a date that may be empty can have an open end")
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", self.name):
            raise ValueError(f"{self.name!r} is not a column name")
        if self.on_breach is not Breach.WARN and self.check is None:
            raise ValueError(f"{self.name}: without a check there is no breach")
        if self.type.mandatory and not self.required:
            raise ValueError(f"{self.name}: a key column has to be required")

    @property
    def most_characters(self) -> int | None:
        """The longest value, where it is text."""
        return self.longest or self.type.longest

    @property
    def staging(self) -> str:
        """The type of the column in ``staging`` as SQL says it."""
        if self.open_end is not None:
            return "open_date"
        if self.type.staging == "varchar":
            return f"varchar({self.most_characters})"
        return self.type.staging


IS_DELETED = Column(
    "is_deleted",
    Type.BOOLEAN,
    "Delete marker: true says that the key is gone from the row's effective time on.",
    Identifier.NONE,
)
