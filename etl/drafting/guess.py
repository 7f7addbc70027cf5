"""Guesses: what a column of ours is made of, as the words of a contract, and why."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from etl.contracts.column import Between, Column, Matches, OneOf
from etl.contracts.states import STATE_NAMES
from etl.contracts.types import DATES, NUMBERS, Type
from etl.drafting.profile import Profile
from etl.drafting.words import FALSE_WORDS, TRUE_WORDS, may_be_shown, ours

_STATE, _ZIP = "state", "zip"
_HIOS_WITH_VARIANT = re.compile(r"[0-9]{5}[A-Z]{2}[0-9]{7}-?[0-9]{2}")
# Of the ends of coverage, the share that is also a start and so says that ends are exclusive.
_NEXT_STARTS = 0.3


_Guesser = Callable[["Guess", Column, Profile, Mapping[str, Any]], None]


@dataclass(slots=True)
class Guess:
    """A column of ours. ``source``: the first word, such as ``of("SEX")``; ``then``: what follows.

    ``mapping``: words of the file with ours. ``why``: what was seen. ``asks``: what was not.
    """

    column: str
    source: str
    then: str = ""
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)

    @property
    def says_nothing(self) -> bool:
        """Whether it is a field as it is, without a word about it."""
        return not (self.then or self.mapping or self.why)


def quoted(text: str) -> str:
    """A text as Python writes it, in double quotes."""
    escaped = repr(text)[1:-1].replace("\\'", "'")
    return f'"{escaped}"' if '"' not in text else repr(text)


def parsing_of(columns: Mapping[Column, Profile]) -> tuple[dict[str, Any], list[str]]:
    """Arguments of ``Parsing`` that differ from the feed's own, and what could not be guessed."""
    asks: list[str] = []
    found: dict[str, Any] = {}
    if order := _order(columns, asks):
        found["date_order"] = order
    numbers = {
        c: p.numbers for c, p in columns.items() if c.type in NUMBERS and p.numbers is not None
    }
    if "," in {form.decimal for form in numbers.values()}:
        found["decimal"] = ","
    marks = sorted({f.thousands for f in numbers.values()} - {"", found.get("decimal", ".")})
    if marks:
        found["thousands"] = marks[0]
    if currency := sorted({sign for form in numbers.values() for sign in form.currency}):
        found["currency"] = tuple(currency)
    if minus := sorted({sign for form in numbers.values() for sign in form.minus}):
        found["minus"] = tuple(minus)
    if any(form.percent for c, form in numbers.items() if c.type is Type.RATIO):
        found["percent"] = True
    # A person may be called Null: where words are free they say nothing.
    if missing := sorted({w for c, p in columns.items() if _is_judged(c) for w in p.null_words}):
        found["null_words"] = tuple(missing)
    return found, asks


def _order(columns: Mapping[Column, Profile], asks: list[str]) -> str:
    seen = {
        column.name: profile.dates.name
        for column, profile in columns.items()
        if column.type in DATES and profile.dates is not None
    }
    orders = {order for order in seen.values() if order in ("mdy", "dmy")}
    for name, form in seen.items():
        if form == "mixed" or len(orders) > 1:
            asks.append(f"{name}: days come first in some dates, and months in others.")
        elif form == "either" and not orders:
            asks.append(f"{name}: no day above 12 says whether days or months come first.")
    if orders:
        return sorted(orders)[-1]
    return "mdy" if {"either", "mixed", "year_first"} & {*seen.values()} else ""


def _is_judged(column: Column) -> bool:
    return column.type.form is not None or column.check is not None


def guess(column: Column, profile: Profile, parsing: Mapping[str, Any], starts: set[str]) -> Guess:
    """What a column is made of. ``starts``: values of the column that ends are compared with."""
    made = Guess(column.name, f"of({quoted(profile.name)})")
    if not profile.values:
        made.asks.append("the field is empty in the sample.")
        return made
    by_type: dict[Type, _Guesser] = {
        **dict.fromkeys(DATES, _date),
        **dict.fromkeys((Type.YEAR, Type.KEY_YEAR), _year),
        **dict.fromkeys(NUMBERS, _number),
        Type.BOOLEAN: _boolean,
    }
    by_type.get(column.type, _text)(made, column, profile, parsing)
    if column.name == "end_date":
        _end(made, profile, starts)
    return made


def _date(made: Guess, column: Column, profile: Profile, parsing: Mapping[str, Any]) -> None:
    form = profile.dates
    if form is None:
        made.then = '.date("YYYY")'
        made.asks.append("the field has years only: the first of January is taken.")
    elif form.is_in_digits:
        made.then = f'.date("{form.name}")'
        made.why.append(f"Dates in digits, {form.name}.")
    elif (
        form.name == "iso_time"
        and column.type is not Type.TIMESTAMP
        and not parsing.get("date_order")
    ):
        made.then = ".part(1, 10)"
        made.why.append("The day of an instant.")


def _year(made: Guess, _: Column, profile: Profile, __: Mapping[str, Any]) -> None:
    if not profile.are_years:
        made.then = '.part(pattern="([12][0-9]{3})")'
        made.why.append("The year of a date.")


def _number(made: Guess, column: Column, profile: Profile, parsing: Mapping[str, Any]) -> None:
    form, rule = profile.numbers, column.check
    if form is None:
        return
    if column.type is Type.MONEY and not form.decimal:
        made.asks.append('whole numbers only. If they are cents: .scale("0.01")')
    if column.type is not Type.RATIO or not isinstance(rule, Between) or form.percent:
        return
    numbers = [float(n) for n in profile.values if re.fullmatch(r"-?[0-9]+([.][0-9]+)?", n)]
    if rule.high and numbers and rule.high < median(numbers) <= 100 * rule.high:
        made.then = '.scale("0.01")'
        made.why.append(f"Hundredths: most are above {rule.high:g}.")


def _boolean(made: Guess, _: Column, profile: Profile, __: Mapping[str, Any]) -> None:
    words = {word.lower() for word in profile.words}
    if words <= {*TRUE_WORDS, *FALSE_WORDS}:
        return
    if words == {"1", "2"}:
        made.then = '.yes_no("1", "2")'
        made.why.append("1 is yes and 2 is no in files of CMS.")
    elif len(words) == 1:
        made.then = ".is_given()"
        made.why.append("One word or nothing.")
    else:
        made.asks.append(
            f"{len(words)} words that are neither yes nor no. Say which: .yes_no(..., ...)"
        )


def _text(made: Guess, column: Column, profile: Profile, __: Mapping[str, Any]) -> None:
    if isinstance(column.check, OneOf):
        _closed_list(made, column, column.check, profile)
    elif column.name == _STATE:
        _state(made, profile)
    elif column.name == _ZIP:
        _zip(made, profile)
    elif column.name == "plan_id" and all(map(_HIOS_WITH_VARIANT.fullmatch, profile.values)):
        made.asks.append("identifiers of HIOS with a variant. For the plan alone: .part(1, 14)")
    elif isinstance(column.check, Matches):
        _pattern(made, column.check, profile)


def _closed_list(made: Guess, column: Column, rule: OneOf, profile: Profile) -> None:
    words = sorted(profile.words)
    if {word.lower() for word in words} <= {word.lower() for word in rule.values}:
        return
    if not may_be_shown(column, words, len(profile.values)):
        made.asks.append(f"{len(words):,} words, too many or too long to map; ours are {rule}.")
        return
    made.mapping = {word: our for word in words if (our := ours(word, rule.values)) is not None}
    if made.mapping:
        made.why.append("What each word means was guessed. One that is not listed rejects its row.")
    left = [word for word in words if word not in made.mapping]
    if left:
        made.asks.append(
            f"what {', '.join(map(quoted, left))} means; ours are {rule}. Add it to the map."
        )


def _state(made: Guess, profile: Profile) -> None:
    words = {word.lower() for word in profile.words}
    if words <= {name.lower() for name in STATE_NAMES}:
        made.then = ".map(STATE_NAMES)"
        made.why.append("Names of states.")
    elif not words <= {str(code).lower() for code in STATE_NAMES.values()}:
        made.asks.append("values that are not all states. Codes need a map: .map({...})")


def _zip(made: Guess, profile: Profile) -> None:
    lengths = {len(value) for value in profile.values if value.isdigit()}
    if lengths == {9}:
        made.then = ".part(1, 5)"
        made.why.append("The first five of nine digits.")
    elif lengths & {3, 4}:
        made.asks.append("ZIP codes have lost leading zeros, which a contract does not put back.")


def _pattern(made: Guess, rule: Matches, profile: Profile) -> None:
    fitting = sum(bool(re.search(rule.pattern, value)) for value in profile.values)
    if fitting * 2 < len(profile.values):
        made.asks.append(
            f"{len(profile.values) - fitting:,} of {len(profile.values):,} values are not what the "
            f"feed expects ({rule}). Use checks= if they are right."
        )


def _end(made: Guess, profile: Profile, starts: set[str]) -> None:
    """Where many ends are the start of something else, they are the day after the last one."""
    if sum(value in starts for value in profile.values) > _NEXT_STARTS * len(profile.values):
        made.then += ".day_before()"
        made.why.append("Exclusive: many ends are the start of the next.")
