"""What values are: the types of columns, the domains of staging, how values are written."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from etl.contracts.reasons import Reason


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
    KEY_NUMBER = ("key_number", "integer")
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
        """Whether a row without the value is rejected: no row can be placed without it.

        Only a delete marker can be without a ``KEY_DATE``.
        """
        return self in (Type.KEY, Type.KEY_YEAR, Type.KEY_NUMBER, Type.KEY_DATE)


# Types whose values are read as dates, and as numbers, in the form of a sender.
DATES = (Type.DATE, Type.KEY_DATE, Type.TIMESTAMP)
NUMBERS = (Type.MONEY, Type.RATIO, Type.INTEGER)

# The largest amount of money in one field, US dollars. A million of them fit into the sums of the
# cubes, numeric(16,2); the largest claims that insurers report are of some ten million.
LARGEST_AMOUNT = "99999999.99"


# How many days after a batch's ``as_of`` a date may lie that the calendar has to contain.
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
    Domain(
        "key_number",
        "integer",
        "value between 1 and 999999",
        "a number that is part of a key, from 1 up",
        not_null=True,
    ),
    Domain("plan_year", "integer", "value between 1900 and 2199", "a calendar or plan year"),
    Domain(
        "calendar_date",
        "date",
        "value between '1900-01-01' and '2199-12-31'",
        "a date that a calendar of this business can contain",
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
    "key_number": "[0-9]{1,6}",
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
    "key_number": Reason.NOT_A_COUNT,
    "boolean": Reason.NOT_A_BOOLEAN,
    "money_usd": Reason.NOT_AN_AMOUNT,
    "finite_number": Reason.NOT_A_NUMBER,
    "calendar_date": Reason.NOT_A_DATE,
    "key_date": Reason.NOT_A_DATE,
    "utc_instant": Reason.NOT_AN_INSTANT,
}
