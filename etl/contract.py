"""The vocabulary in which feeds and their senders are declared: Source, Column, Sender, Parsing.

One ``Column`` line is the only place where a column is described. The staging DDL and its
comments, type coercion, the attribute hash, the data dictionary and the quality expectations
are all derived from it (see ``etl/render``). This module imports nothing of ours.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from typing import Literal


class Type(Enum):
    """What a value is. Each member names the staging domain and the type the warehouse stores.

    The staging domains (see ``DOMAINS``) refuse what PostgreSQL's own input would take but no
    report can use: NaN and infinity, money finer than a cent, a date outside 1900 to 2199.
    ``KEY`` names the thing that the row is about, ``REFERENCE`` a thing of another feed. A third
    entry is the longest value in characters, which a column of ``TEXT`` may declare otherwise.
    """

    TEXT = ("varchar", "text", 255)
    KEY = ("key_text", "text", 64)
    REFERENCE = ("varchar", "text", 64)
    INTEGER = ("integer", "integer")
    YEAR = ("plan_year", "integer")
    KEY_YEAR = ("key_year", "integer")
    BOOLEAN = ("boolean", "boolean")
    MONEY = ("money_usd", "numeric(14,2)")
    RATIO = ("finite_number", "numeric(14,6)")
    DATE = ("calendar_date", "date")
    KEY_DATE = ("key_date", "date")
    TIMESTAMP = ("utc_instant", "timestamptz")

    @property
    def staging(self) -> str:
        """The type of the column in ``staging``: a base type or one of ``DOMAINS``.

        That of a column, with its longest value, is ``Column.staging``.
        """
        return self.value[0]

    @property
    def stored(self) -> str:
        """The type of the column in ``warehouse``."""
        return self.value[1]

    @property
    def longest(self) -> int | None:
        """The most characters of a value, where it is text."""
        return self.value[2] if len(self.value) > 2 else None

    @property
    def names_a_thing(self) -> bool:
        """Whether values are looked up as keys, so that two that look the same must be the same."""
        return self in (Type.KEY, Type.REFERENCE)

    @property
    def refusal(self) -> Reason:
        """Why a value that is none of this type sets its row aside."""
        return _REFUSALS[self.staging]

    @property
    def form(self) -> str | None:
        """How a value is written in a feed's own files, as a regular expression over all of it.

        PostgreSQL reads far more (15-JAN-25, 0x64, IST) and guesses at what it means; so a value
        is typed only if it is written so. ``None`` for text, which may be anything.
        """
        return _FORMS.get(self.staging)

    @property
    def mandatory(self) -> bool:
        """Whether a row without the value is set aside: no row can be placed without it.

        Only a delete marker can be without a ``KEY_DATE``.
        """
        return self in (Type.KEY, Type.KEY_YEAR, Type.KEY_DATE)


class Reason(Enum):
    """Why a row is set aside: the fixed list, each with what a person does about it."""

    FIELD_COUNT = (
        "wrong number of fields",
        "Put quotes around values that hold commas, and give every column of the header a field.",
    )
    NOT_UTF8 = (
        "bytes that are not UTF-8",
        "Write the text in UTF-8, or declare the sender's encoding in its contract.",
    )
    STRAY_RETURN = (
        "carriage return outside quotes",
        "Take the carriage return out, or put quotes around the value that holds it.",
    )
    OPEN_QUOTE = ("unterminated quoted field", "Close the quote, or double one that is meant.")
    STRAY_QUOTE = (
        "quote in the middle of a value",
        "Put the value in quotes and double the quotes in it, as RFC 4180 asks.",
    )
    TOO_LONG = (
        "line longer than any row may be",
        "Ask the sender what the line is: a row has at most 1,048,576 bytes.",
    )
    REPEATED_HEADER = (
        "header repeated among the rows",
        "Nothing is lost: the sender put files together with their headers.",
    )
    TRAILER = (
        "trailer or total line among the rows",
        "Nothing is lost if it only counts the rows; ask the sender to leave it out.",
    )
    CLOCK_WORD = (
        "a word of the clock where a date is due",
        "Write the day itself: today and the like change their meaning.",
    )
    NO_KEY = (
        "a key that is empty",
        "Give the row its key; without one it has no place. NULL, N/A and the like are no keys.",
    )
    ODD_KEY = (
        "a key with invisible or unusual characters",
        "Write the key in visible letters, digits and signs: without blanks around it, no-break "
        "spaces, zero-width signs, full-width or taken-apart letters.",
    )
    VALUE_TOO_LONG = (
        "value longer than the column allows",
        "Shorten the value; the data dictionary says how long it may be.",
    )
    AMOUNT_TOO_LARGE = (
        "amount larger than the column allows",
        "Correct the amount; the data dictionary says how large one may be.",
    )
    TOO_FAR_AHEAD = (
        "date too far ahead of its batch",
        "Correct the date or the batch's as_of; the data dictionary says how far ahead of as_of "
        "the column may lie. If the date is meant, raise ahead_days of the column.",
    )
    NOT_AN_INTEGER = ("not a valid integer", "Write digits, with a minus sign at most.")
    NOT_A_YEAR = ("not a valid year", "Write a year from 1900 to 2199.")
    NOT_A_BOOLEAN = ("not a valid boolean", "Write true or false, t or f, yes or no, 1 or 0.")
    NOT_AN_AMOUNT = (
        "not a valid amount",
        "Write US dollars with at most two decimals, without a currency sign or thousands marks, "
        "or declare in the contract how this sender writes them.",
    )
    NOT_A_NUMBER = ("not a valid number", "Write a finite number with a point before decimals.")
    NOT_A_DATE = (
        "not a valid date",
        "Write the day as 2025-01-31, from 1900 to 2199, or declare the sender's order of dates.",
    )
    NOT_AN_INSTANT = ("not a valid instant", "Write the instant as 2025-01-31T12:00:00Z.")
    OUT_OF_ORDER = (
        "dates in the wrong order",
        "Correct the date that ends before the other begins.",
    )
    CONFLICT = (
        "conflicting row of the same key and time; the last in the file stands",
        "Leave the row that holds, or give the rows keys or times of their own.",
    )
    LINE = (
        "another line of the same claim; claim lines are not supported yet, the last one stands",
        "Ask the sender for one row a claim with the sums of its lines.",
    )
    BREACH = (
        "outside what the contract allows",
        "Correct the value; the data dictionary says what the column may hold.",
    )

    def __init__(self, text: str, advice: str) -> None:
        self.text = text
        self.advice = advice


# The largest amount of money in one field, US dollars. A million of them fit into the sums of the
# cubes, numeric(16,2); the largest claims that insurers report are of some ten million.
LARGEST_AMOUNT = "99999999.99"

# How many days after a batch's ``as_of`` a date may lie that the calendar has to hold.
DAYS_AHEAD = 3660

# Words that people and programs write for a key where there is none; compared in small letters.
NULL_WORDS = (
    "null", "(null)", "<null>", "nan", "nil", "none", "na", "n/a", "#n/a", "<na>", "\\n", "~", "-",
    "--", "?", ".",
)  # fmt: skip
# What cubes show where a fact names no key. A thing that is called so would be taken for it, so
# this is no key either, in just this spelling.
SHOWN_FOR_NO_KEY = "(unknown)"


@dataclass(frozen=True, slots=True)
class Domain:
    """A base type narrowed by a rule; a value that breaks the rule rejects its row."""

    name: str
    base: str
    rule: str
    description: str
    not_null: bool = False


# COPY ... ON_ERROR ignore treats a broken domain rule as it treats an unparseable value: the
# row is reported with its line and column and the load goes on. So the rules cost no second
# pass: about a fifth on top of the typed COPY (docs/decisions/0004-staging-domains.md).
DOMAINS = (
    Domain(
        "key_text",
        f"varchar({Type.KEY.longest})",
        "value <> ''",
        "a key: present and not empty",
        not_null=True,
    ),
    Domain(
        "key_year",
        "integer",
        "value between 1900 and 2199",
        "a year that is part of a key",
        not_null=True,
    ),
    Domain("plan_year", "integer", "value between 1900 and 2199", "a calendar or plan year"),
    Domain(
        "calendar_date",
        "date",
        "value between '1900-01-01' and '2199-12-31'",
        "a date that a calendar of this business can hold",
    ),
    Domain(
        "open_date",
        "date",
        "value between '1900-01-01' and '9999-12-31'",
        "a date, or a day far off that says that a thing runs on",
    ),
    Domain(
        "key_date",
        "date",
        "value between '1900-01-01' and '2199-12-31'",
        "a date without which the row has no place",
    ),
    Domain(
        "utc_instant",
        "timestamptz",
        "value >= '1900-01-01Z' and value < '2200-01-01Z'",
        "an instant; without an offset it is UTC",
    ),
    Domain(
        "money_usd",
        "numeric",
        f"min_scale(value) <= 2 and abs(value) <= {LARGEST_AMOUNT}",
        "US dollars to the cent; finer amounts are refused, never rounded",
    ),
    Domain(
        "finite_number",
        "numeric",
        "abs(value) < 99999999.9999995 and value <> 'NaN'",
        "a number that can be counted with",
    ),
)


# Read alike by Python and PostgreSQL. A time may lack its seconds and its offset (then it is UTC).
_FORMS = {
    "integer": "[-+]?[0-9]+",
    "plan_year": "[0-9]{4}",
    "key_year": "[0-9]{4}",
    "boolean": "[Tt]([Rr][Uu][Ee])?|[Ff]([Aa][Ll][Ss][Ee])?|[Yy]([Ee][Ss])?|[Nn][Oo]?|[01]",
    "money_usd": "[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)",
    "finite_number": "[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]{1,3})?",
    "calendar_date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "key_date": "[0-9]{4}-[0-9]{2}-[0-9]{2}",
    "utc_instant": "[0-9]{4}-[0-9]{2}-[0-9]{2}"
    "([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?( ?[Zz]| ?[-+][0-9]{2}(:?[0-9]{2})?)?)?",
}


_REFUSALS = {
    "varchar": Reason.VALUE_TOO_LONG,
    "key_text": Reason.NO_KEY,
    "integer": Reason.NOT_AN_INTEGER,
    "plan_year": Reason.NOT_A_YEAR,
    "key_year": Reason.NOT_A_YEAR,
    "boolean": Reason.NOT_A_BOOLEAN,
    "money_usd": Reason.NOT_AN_AMOUNT,
    "finite_number": Reason.NOT_A_NUMBER,
    "calendar_date": Reason.NOT_A_DATE,
    "key_date": Reason.NOT_A_DATE,
    "utc_instant": Reason.NOT_AN_INSTANT,
}


class Pii(Enum):
    """How near a value comes to a person (45 CFR 164.514(b)(2) names the identifiers)."""

    NONE = "none"
    DIRECT = "direct"  # names a person by itself: name, e-mail, phone, street
    QUASI = "quasi"  # narrows to a person together with others: date of birth, ZIP
    HEALTH = "health"  # protected health information once joined to a person


@dataclass(frozen=True, slots=True)
class OneOf:
    """The value is one of these words, compared without regard to case.

    ``closed``: money or history depends on the word, and code says what each one means. A word that
    is not listed is then a major failure, and no cube counts it as if it were known.
    """

    values: tuple[str, ...]
    closed: bool = False

    def __str__(self) -> str:
        return "one of " + ", ".join(self.values)


@dataclass(frozen=True, slots=True)
class Between:
    """The value lies in this closed range; ``None`` leaves a side open."""

    low: float | None = None
    high: float | None = None

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

    def __str__(self) -> str:
        return f"matches {self.pattern}"


Constraint = OneOf | Between | Matches


class Breach(Enum):
    """What follows when a file does not keep to its contract."""

    REJECT_ROW = "reject row"  # the row is set aside
    REJECT_FILE = "reject file"  # the file is refused, and the batch with it
    WARN = "warn"  # the file is loaded, and the breach is reported


@dataclass(frozen=True, slots=True)
class Volume:
    """How many rows a file of the feed holds, by all experience: ``low`` to ``high``."""

    low: int
    high: int
    on_breach: Breach = Breach.WARN

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"{self.low} to {self.high} is no range of row counts")
        if self.on_breach is Breach.REJECT_ROW:
            raise ValueError("no single row is at fault for the number of rows")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a feed.

    ``required``: the header must name it (a value may still be empty unless the type is a key).
    ``driver``: a change of its value makes a new version of the dimension row; any other
    attribute is Type 1 and is corrected in place. ``check``: what a good value looks like.
    ``on_breach``: what follows where a value is none; a warning is left to the quality checks.
    ``longest``: the most characters, where a text may be shorter or longer than its type says.
    ``open_end``: a date from this day on is no date but says that the thing runs on; it is kept
    in staging as it came and means the same as an empty one. ``ahead_days``: how many days after
    its batch's ``as_of`` a value may lie; a row with a later one is set aside.
    """

    name: str
    type: Type
    description: str
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
)


@dataclass(frozen=True, slots=True)
class SnapshotLimit:
    """How many keys a snapshot may end by its silence before somebody has to confirm it.

    It may end ``share`` (0 to 1) of the keys that were there before it, and always fewer than
    ``keys``: a file that was cut short must not end what it lacks. ``new_year_share``: likewise of
    the first snapshot of a calendar year, where years make a difference.
    """

    share: float = 0.10
    keys: int = 20
    new_year_share: float | None = None

    def share_of(self, *, is_new_year: bool) -> float:
        """The share that a snapshot may end."""
        if is_new_year and self.new_year_share is not None:
            return self.new_year_share
        return self.share

    def refuses(self, ending: int, held: int, *, is_new_year: bool = False) -> bool:
        """Whether a snapshot that ends so many of the keys held has to be confirmed."""
        return ending >= self.keys and ending > self.share_of(is_new_year=is_new_year) * held


@dataclass(frozen=True, slots=True)
class Source:
    """One feed: a CSV file of a batch and the staging table that mirrors it.

    ``key``: the columns that name one thing. ``effective``: the column that says since when a
    row is true, where the feed has one (else the batch's ``as_of``). ``money``: the columns
    whose sums are the file's control totals. ``ordered``: pairs of columns of which the first
    is never after the second; a row that breaks the order is set aside. ``canceled_days``: a
    second date up to so many days before the first is no fault but says that the thing never was,
    as enrollment systems write coverage that is canceled from its start. ``line``: the column that
    tells lines of one thing apart where a sender writes these in place of the thing itself.
    ``deletable``: whether
    the file may carry a delete marker (``IS_DELETED``), which is no attribute of the thing.
    ``unique``: sets of columns beside the key whose values no two current rows share.
    ``volume``: rows that a file holds. ``freshness_days``: days that may pass from one batch of
    the feed to the next. ``snapshot_limit``: keys that a snapshot may end unconfirmed.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    effective: str | None = None
    money: tuple[str, ...] = ()
    ordered: tuple[tuple[str, str], ...] = ()
    canceled_days: int = 0
    line: str | None = None
    deletable: bool = False
    unique: tuple[tuple[str, ...], ...] = ()
    volume: Volume | None = None
    freshness_days: int | None = None
    snapshot_limit: SnapshotLimit = SnapshotLimit()

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.name}: a column is declared twice")
        for name in (
            *self.key,
            *self.money,
            *(name for columns in (*self.ordered, *self.unique) for name in columns),
            *filter(None, [self.effective]),
        ):
            if name not in names:
                raise ValueError(f"{self.name}: {name} is not one of its columns")

    @property
    def file_name(self) -> str:
        """The file's name inside a batch folder; ``.gz`` may follow."""
        return f"{self.name}.csv"

    @property
    def table(self) -> str:
        """The staging table that mirrors the file."""
        return f"{self.name}_raw"

    @property
    def staged(self) -> tuple[Column, ...]:
        """Every column that the file may carry: those of the thing, and the delete marker."""
        return (*self.columns, IS_DELETED) if self.deletable else self.columns

    @property
    def required(self) -> tuple[str, ...]:
        """Names that the header must carry."""
        return tuple(c.name for c in self.columns if c.required)

    @property
    def drivers(self) -> tuple[Column, ...]:
        """The change drivers in declared order, which is also the order of the hash input."""
        return tuple(c for c in self.columns if c.driver)

    def column(self, name: str) -> Column:
        """The column of that name; ``KeyError`` if the feed has none."""
        for column in self.staged:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name}")


@dataclass(frozen=True, slots=True)
class Parsing:
    """How a sender writes values. The default is what the feeds themselves ask for.

    ``encoding``: of the file's text, by Python's name. ``date_order``: of day, month and year
    in dates of digits; a date that begins with a year of four digits is read as one whatever
    the order. ``decimal``, ``thousands``: the marks in numbers; thousands marks have to stand
    before every three digits or nowhere. ``currency``: signs or words that may stand before or
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
class Sender:
    """A contract with one sender of a feed: how its files differ from what the feed asks for.

    ``header``: the sender's names to our columns, without regard to case; where several are one
    column, the first of them that has a value gives it. A column that is not named there bears
    its own name. ``not_sent``: required columns that this sender never sends. ``checks`` and
    ``on_breach``: by column, what a good value looks like and what follows where it is none,
    instead of what the column says. ``reject_share``: how many of a file's rows may be set aside,
    instead of the configured share. ``sends_more``: the files have columns that the warehouse
    does not take, as agreed. ``volume`` and ``freshness_days``: instead of the feed's.
    """

    name: str
    source: Source
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
        declared = {c.name: c for c in self.source.staged}
        for name in (*self.header.values(), *self.not_sent, *self.checks, *self.on_breach):
            if name not in declared:
                raise ValueError(f"{self.name}: {self.source.name} has no column {name}")
        lowered = [name.lower() for name in self.header]
        if len(set(lowered)) != len(lowered):
            raise ValueError(f"{self.name}: a name of the header is declared twice")
        for name in self.not_sent:
            if name in self.source.key or declared[name].type.mandatory:
                raise ValueError(f"{self.name}: without {name} a row has no place")
            if name in self.header.values():
                raise ValueError(f"{self.name}: {name} is both sent and not sent")
        for name, breach in self.on_breach.items():
            if breach is not Breach.WARN and self.check(name) is None:
                raise ValueError(f"{self.name}: without a check of {name} there is no breach")

    @property
    def targets(self) -> dict[str, str]:
        """Our column for each name, in lower case, that the sender's header may hold."""
        own = {
            c.name: c.name
            for c in self.source.staged
            if c.name not in self.header.values() and c.name not in self.not_sent
        }
        return own | {name.lower(): column for name, column in self.header.items()}

    @property
    def required(self) -> tuple[str, ...]:
        """Our columns for which the sender's header must hold a name."""
        return tuple(name for name in self.source.required if name not in self.not_sent)

    def check(self, column: str) -> Constraint | None:
        """What a good value of the column looks like in this sender's files."""
        return self.checks.get(column, self.source.column(column).check)

    def breach(self, column: str) -> Breach:
        """What follows where a value of the column is no good one."""
        return self.on_breach.get(column, self.source.column(column).on_breach)

    @property
    def expected_volume(self) -> Volume | None:
        """How many rows a file of this sender holds."""
        return self.volume or self.source.volume

    @property
    def expected_freshness_days(self) -> int | None:
        """How many days may pass from one batch of this sender to the next."""
        return self.freshness_days or self.source.freshness_days
