"""Contracts and files of senders, drawn: values made of the whole vocabulary, and odd fields."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from hypothesis import strategies as st

from etl.contracts import value as words
from etl.contracts.column import Breach, Column, Matches, OneOf
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.file_form import FileForm
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.types import DATES, NUMBERS, Type
from etl.contracts.value import Value, of

# Fields by what they contain: a key that comes again, words, codes of two systems, flags, digits of
# a date. Amounts (a, b) and dates (d) are written as the contract says.
POOLS = {
    "k": ("K1", "K2", "K-3", "k/4"),
    "t": ("Medical", "dental", "VISION", "n/a", "Zoé", "x'; drop", "a,b", 'say "so"', "A1"),
    "u": ("1", "2", "9", "Y"),
    "c": ("12345WI0010001-04", "98765-4321", "987654321", "A1", "E119", "I10"),
    "e": ("20250131", "20240229", "20241130", "20700101"),
    "f": ("Y", "N", "y", "n"),
}
AMOUNTS = ("12.50", "-3", "0", "7", "1.25", "100", "2.5")
DAYS = (date(2025, 1, 31), date(2024, 2, 29), date(2024, 12, 1), date(2070, 1, 1))
# What no field should contain.
ODD = (
    *("", "?", "--", "1e999", "9" * 40, "x\x01", "q" * 70, "NR", "#N/A", "K\u200b5", "1.2.3", "$"),
    *("(5.00)", "5.00-", "$ 7", "$1,000", "30%", "1e3", "12,50", "1.000,5", "1,234.50", "1.005"),
    *("100000000", "(", "%", "-", "+5", ".5", "5.", "1/31/2025", "31.1.2025", "1/2-2024"),
    *("2025-02-01 10:00", "9999-12-31", "2025-02-30", "0001-01-01", "2300-01-01", "20251301"),
    *("000131", "991231", "2025", "true"),
)
# Digits of another script are no numbers and no dates.
ODD_DIGITS = (*ODD, "\u0663", "\u0663%", "\u0663/1/2025")
PATTERNS = ("^([0-9]{5})", "-([0-9]{2})$", "([A-Z]+)", "^(.)")
FIELDS = ("n", "k", "t", "u", "c", "a", "b", "d", "e", "f")


@dataclass(frozen=True)
class Drawn:
    """A contract and a file of it. ``rows``: by the names of their fields, in their order."""

    contract: SenderContract
    rows: list[dict[str, str]]

    def text(self) -> str:
        """The file."""
        written = io.StringIO()
        mark = self.contract.form.delimiter
        writer = csv.DictWriter(written, FIELDS, delimiter=mark, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return written.getvalue()


PARSINGS = (
    st.builds(
        Parsing,
        date_order=st.sampled_from(["ymd", "ymd", "mdy", "dmy"]),
        decimal=st.sampled_from([".", ".", ","]),
        thousands=st.just(""),
        currency=st.sampled_from([(), (), ("$",), ("$", "USD")]),
        minus=st.sampled_from([(), (), ("parentheses",), ("parentheses", "after")]),
        percent=st.booleans(),
        null_words=st.sampled_from([(), ("NR", "n/a"), ("?",)]),
    )
    | st.builds(
        Parsing,
        date_order=st.sampled_from(["ymd", "dmy"]),
        decimal=st.sampled_from([","]),
        thousands=st.sampled_from(["", "."]),
    )
    | st.builds(
        Parsing, thousands=st.just(","), currency=st.just(("$",)), minus=st.just(("after",))
    )
)


def _field(*names: str) -> st.SearchStrategy[Value]:
    several = of(*dict.fromkeys((*names, "n")))
    return st.sampled_from([several, *(of(name.upper()) for name in names)])


def _maps(
    inner: st.SearchStrategy[Value], known: tuple[str, ...], *results: str | None
) -> st.SearchStrategy[Value]:
    """Values mapped to some results: all words that are known, or some of them."""
    all_words = st.fixed_dictionaries({word: st.sampled_from(results) for word in known})
    some = st.dictionaries(st.sampled_from(["", *known]), st.sampled_from(results), min_size=1)
    others = st.sampled_from(["keep", "keep", "nothing", "nothing", "reject"])
    return st.builds(lambda v, w: v.map(w), inner, all_words) | st.builds(
        lambda v, w, o: v.map(w, others=o), inner, some, others
    )


def texts() -> st.SearchStrategy[Value]:
    """Values of text."""
    simple = _field("t", "u") | _field("c", "k") | _field("d", "e")
    simple |= st.sampled_from([words.constant("it's"), words.batch_date(), of("missing", "t")])

    def more(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
        return (
            _maps(_field("u"), POOLS["u"], "M", "F", None, "Medical")
            | _maps(inner, ("medical", "DENTAL", "A1", "2025-01-31"), "M", None)
            | st.builds(
                lambda a, b, s: words.join(a, b, separator=s),
                inner,
                inner,
                st.sampled_from(["", "-"]),
            )
            | st.builds(words.first, inner, inner)
            | st.builds(lambda v: v.is_given(), inner)
            | st.builds(
                lambda v, f, n: v.part(f, n),
                inner,
                st.integers(1, 3),
                st.none() | st.integers(1, 3),
            )
            | st.builds(lambda v, p: v.part(pattern=p), inner, st.sampled_from(PATTERNS))
            | in_digits()
        )

    return st.recursive(simple, more, max_leaves=3)


def in_digits() -> st.SearchStrategy[Value]:
    """Dates in digits."""
    short = of("e").part(3).date("YYMMDD", century_from=1930)
    whole = [of("e").date("YYYYMMDD"), of("e").part(1, 6).date("YYYYMM"), short]
    return st.sampled_from([*whole, of("e").part(1, 4).date("YYYY"), of("c").date("YYYYMMDD")])


def numbers() -> st.SearchStrategy[Value]:
    """Values of numbers, or of text that is one."""
    simple = (
        _field("a", "b")
        | _maps(_field("u"), POOLS["u"], "100", "-2", None)
        | st.just(words.constant("7"))
    )

    def more(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
        return (
            st.lists(inner, min_size=2, max_size=2, unique=True).map(lambda of: words.total(*of))
            | st.builds(lambda v: v.negate(), inner)
            | st.builds(lambda v, f: v.scale(f), inner, st.sampled_from(["0.01", "100", "1.5"]))
        )

    return st.recursive(simple, more, max_leaves=3)


def days() -> st.SearchStrategy[Value]:
    """Values of dates, or of text that is one."""
    simple = _field("d") | in_digits() | st.just(words.batch_date())

    def more(inner: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
        return st.builds(lambda v: v.day_before(), inner) | st.builds(
            lambda v: v.runs_on_from("2070-01-01"), inner
        )

    return st.recursive(simple, more, max_leaves=2)


def years() -> st.SearchStrategy[Value]:
    """Values of years."""
    return st.sampled_from(
        [words.batch_date().part(1, 4), of("e").part(1, 4), words.constant("2025")]
    )


def flags() -> st.SearchStrategy[Value]:
    """Values that are true or false."""
    return st.sampled_from(
        [of("f"), of("f").yes_no("Y", "N"), of("t").is_given(), of("f", "u").yes_no("N", "Y")]
    )


def values_for(column: Column) -> st.SearchStrategy[Value]:
    """Values that a column of a type may be given."""
    kinds: list[tuple[tuple[Type, ...], Callable[[], st.SearchStrategy[Value]]]] = [
        (NUMBERS, numbers),
        (DATES, days),
        ((Type.YEAR, Type.KEY_YEAR), years),
        ((Type.BOOLEAN,), flags),
        (
            (Type.KEY_NUMBER,),
            lambda: st.sampled_from(
                [of("n"), of("u").map({"1": "1"}, others="nothing"), words.constant("3")]
            ),
        ),
    ]
    for types, made in kinds:
        if column.type in types:
            return made()
    return texts()


@st.composite
def contracts(draw: st.DrawFn, feed: Feed) -> SenderContract:
    """Contracts of a feed, sound by themselves."""
    repeat = draw(repeats(feed)) if feed.name in ("claim_diagnoses", "claim_lines") else None
    repeated = repeat.names if repeat else ()
    columns: dict[str, Value] = {}
    not_sent = []
    for column in feed.staged:
        is_key = column.name in feed.key
        is_needed = column.required or draw(st.integers(0, 3)) == 0
        if column.name in repeated or (not is_needed and not column.required):
            continue
        if column.name == feed.key[0]:
            # Which claim takes back another one is tested elsewhere: each has a key of its own.
            columns[column.name] = draw(_keys(is_own=feed.reversible))
        elif (repeat and column.name in feed.money) or (
            column.required
            and not is_key
            and not column.type.mandatory
            and draw(st.integers(0, 4)) == 0
        ):
            not_sent.append(column.name)
        else:
            columns[column.name] = draw(values_for(column))
    conditions = st.builds(
        lambda v, w, is_any: (words.where if is_any else words.where_not)(v, *w),
        st.sampled_from([of("t"), of("u"), of("t").part(1, 1), of("u").map({"1": "M", "2": "x"})]),
        st.lists(
            st.sampled_from(["1", "", "medical", "M", "D"]), min_size=1, max_size=3, unique=True
        ),
        st.sampled_from([False, False, True]),
    )
    checked = [n for n in columns if feed.column(n).type is Type.TEXT]
    checks = {n: Matches("[A-Z].*") for n in checked[:1] if draw(st.booleans())}
    # Of a list of words a contract may not make others, unless it says that they are good.
    listed = {n: Matches(".*") for n in columns if isinstance(feed.column(n).check, OneOf)}
    return SenderContract(
        "drawn",
        feed,
        "Drawn.",
        columns=columns,
        not_sent=tuple(not_sent),
        parsing=draw(PARSINGS),
        where=tuple(draw(st.lists(conditions, max_size=1))),
        repeat=repeat,
        checks=listed | checks,
        on_breach=dict.fromkeys(checks, Breach.REJECT_ROW),
        form=FileForm(delimiter=draw(st.sampled_from([",", ",", ";", "\t"]))),
        sends_more=True,
    )


def _keys(*, is_own: bool) -> st.SearchStrategy[Value]:
    own = [
        of("n"),
        words.join("n", "t", separator="/"),
        words.join("n", of("u").map({"1": "A", "2": "B"}), separator="-"),
    ]
    again = [of("k"), words.first("k", "n"), of("n").part(1, 1)]
    return st.sampled_from(own if is_own else [*own, *again])


@st.composite
def repeats(draw: st.DrawFn, feed: Feed) -> Any:
    """Columns that repeat: codes, and amounts where the feed has some."""
    number, code = (
        feed.key[1],
        "diagnosis_code" if feed.name == "claim_diagnoses" else "procedure_code",
    )
    codes = draw(st.lists(texts(), min_size=2, max_size=3))
    more = {
        name: draw(st.lists(numbers(), min_size=len(codes), max_size=len(codes)))
        for name in feed.money
    }
    return words.repeat(number, **{code: codes}, **more)


@st.composite
def files(draw: st.DrawFn, written: Parsing) -> list[dict[str, str]]:
    """Rows of a file, some with a field that is odd."""
    pools = {**POOLS, "d": tuple(_day(day, written) for day in DAYS)}
    amounts = tuple(amount.replace(".", written.decimal) for amount in AMOUNTS)
    pools |= {"a": amounts, "b": amounts}
    rows = []
    for number in range(1, draw(st.integers(2, 12)) + 1):
        row = {"n": str(number)} | {n: draw(st.sampled_from(pools[n])) for n in FIELDS[1:]}
        for name in draw(st.lists(st.sampled_from(FIELDS[1:]), max_size=2)):
            row[name] = draw(st.sampled_from(ODD_DIGITS if name in "abde" else ODD))
        rows.append(row)
    return rows


def _day(day: date, written: Parsing) -> str:
    forms = {"ymd": "{0:%Y-%m-%d}", "mdy": "{0.month}/{0.day}/{0:%Y}", "dmy": "{0:%d.%m.%Y}"}
    return forms[written.date_order].format(day)


@st.composite
def drawn(draw: st.DrawFn) -> Drawn:
    """A contract of some feed and a file of it."""
    names = ("claims", "claim_diagnoses", "claim_lines", "enrollments", "plans", "members")
    feed = FEEDS[draw(st.sampled_from(names))]
    contract = draw(contracts(feed))
    return Drawn(contract, draw(files(contract.parsing)))
