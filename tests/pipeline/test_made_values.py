"""The vocabulary of values: what SQL makes of drawn fields equals a plain reading in Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from etl.contracts import value
from etl.contracts.column import Column
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import Parsing
from etl.contracts.value import Value, of
from etl.render import made_values, parsing

Row = dict[str, str | None]
# What no type checker would let pass.
UNKNOWN: Any = "drop"
NAMES = ("a", "b", "c")
# Of fields as senders fill them: codes, amounts, dates, words, nothing, and what is none of these.
WORDS = (
    *("", "1", "2", "Y", "n", "M1-02", "98765-4321", "20250131", "20251301", "000131", "991231"),
    *("2025-01-31", "9999-12-31", "12.50", "-3", "(5.00)", "1e3", "NR", "x'; drop", "é", "٣", "0"),
)
TEXTS = st.sampled_from(WORDS) | st.text(
    st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=9
)
ROWS = st.fixed_dictionaries({name: st.none() | TEXTS for name in NAMES})
STATE = FEEDS["members"].column("state")
PAID = FEEDS["claims"].column("paid_amount")
DAY = FEEDS["claims"].column("service_date")


def expression(made: Value, column: Column, written: Parsing) -> sql.Composable:
    source = made_values.Source(
        lambda field: [sql.Identifier(name) for name in field.lowered],
        {value.batch_date(): "2025-06-01"},
        column,
        written,
    )
    return made_values.text(made, source)


def found(database: psycopg.Connection[Any], made: sql.Composable, row: Row) -> str | None:
    fields = sql.SQL(", ").join(
        sql.SQL("{}::text as {}").format(sql.Literal(text), sql.Identifier(name))
        for name, text in row.items()
    )
    (text,) = database.execute(
        sql.SQL("select {} from (select {} offset 0) as r").format(made, fields)
    )
    return None if text[0] is None else str(text[0])


def digits_as_day(text: str | None) -> str | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{4})([0-9]{2})([0-9]{2})", text)
    return "-".join(match.groups()) if match else made_values.NOT_A_DAY


def short_year(text: str | None) -> str | None:
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{2})([0-9]{2})([0-9]{2})", text)
    if not match:
        return made_values.NOT_A_DAY
    year = 1930 + (int(match[1]) - 30) % 100
    return f"{year}-{match[2]}-{match[3]}"


def mapped(text: str | None) -> str | None:
    if text is None:
        return "none"
    return {"1": "M", "y": "F", "n": None}.get(text.lower(), made_values.NOT_LISTED)


CASES: dict[str, tuple[Value, Callable[[Row], str | None]]] = {
    "several names": (of("A", "b"), lambda r: r["a"] if r["a"] is not None else r["b"]),
    "constant": (value.constant("it's"), lambda _: "it's"),
    "batch date": (value.batch_date(), lambda _: "2025-06-01"),
    "joined": (
        value.join("a", "b", separator="-"),
        lambda r: None if r["a"] is None or r["b"] is None else f"{r['a']}-{r['b']}",
    ),
    "first": (
        value.first(of("a").part(pattern="^([0-9])"), "b"),
        lambda r: r["a"][0] if r["a"] and re.match("[0-9]", r["a"]) else r["b"],
    ),
    "mapped": (of("a").map({"1": "M", "Y": "F", "N": None, "": "none"}), lambda r: mapped(r["a"])),
    "kept": (
        of("a").map({"NR": None}, others="keep"),
        lambda r: None if r["a"] is not None and r["a"].lower() == "nr" else r["a"],
    ),
    "given": (of("a").is_given(), lambda r: str(r["a"] is not None).lower()),
    "part": (
        of("a").part(2, 2),
        lambda r: r["a"][1:3] if r["a"] and len(r["a"]) > 2 else None,
    ),
    "rest": (of("a").part(3), lambda r: (r["a"] or "")[2:] or None),
    "digits": (of("a").date("YYYYMMDD"), lambda r: digits_as_day(r["a"])),
    "century": (of("a").date("YYMMDD", century_from=1930), lambda r: short_year(r["a"])),
}


@pytest.mark.parametrize("name", CASES)
def test_text_is_made_as_in_python(database: psycopg.Connection[Any], name: str) -> None:
    made, wanted = CASES[name]
    composed = expression(made, STATE, Parsing())

    @given(ROWS)
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        derandomize=True,
    )
    def same(row: Row) -> None:
        # PostgreSQL's capital letters have other pairs than Python's; words of maps are ASCII.
        assert found(database, composed, row) == wanted(row)

    same()


@pytest.mark.parametrize(
    ("made", "row", "wanted"),
    [
        (value.total("a", "b"), {"a": "€ 1.000,50", "b": None}, "1000.5"),
        (value.total("a", "b"), {"a": "1,25", "b": "NR"}, "1.25"),
        (value.total("a", "b"), {"a": None, "b": "NR"}, None),
        (value.total("a", "b"), {"a": "1,25", "b": "many"}, "?"),
        (
            value.total(of("a").map({"x": "1"}), "b"),
            {"a": "y", "b": "many"},
            made_values.NOT_LISTED,
        ),
        (of("a").map({"x": "1"}).scale(2).negate(), {"a": "y"}, made_values.NOT_LISTED),
        (value.total(of("a").negate(), "b"), {"a": "5", "b": "7"}, "2"),
        (of("a").scale("0.01"), {"a": "12345"}, "123.45"),
        (of("a").scale("0.01"), {"a": "12x"}, "?"),
        (of("a").negate().scale(100), {"a": "-1,5"}, "150"),
    ],
)
def test_numbers_are_read_as_the_sender_writes_them(
    database: psycopg.Connection[Any], made: Value, row: Row, wanted: str | None
) -> None:
    written = Parsing(decimal=",", thousands=".", currency=("€",), null_words=("NR",))
    assert found(database, expression(made, PAID, written), row) == wanted


@pytest.mark.parametrize(
    ("made", "row", "wanted"),
    [
        (of("a").day_before(), {"a": "3/1/2024"}, "2024-02-29"),
        (of("a").day_before(), {"a": "2024-03-01 10:00"}, "2024-02-29"),
        (of("a").day_before(), {"a": None}, None),
        (of("a").day_before(), {"a": "13/1/2024"}, "?"),
        (of("a").date("YYYYMMDD").day_before(), {"a": "20240101"}, "2023-12-31"),
        (of("a").date("YYYYMMDD").day_before(), {"a": "20240230"}, "?"),
        (of("a").date("YYYYMMDD").day_before(), {"a": "soon"}, made_values.NOT_A_DAY),
        (of("a").runs_on_from("2070-01-01"), {"a": "12/31/2099"}, None),
        (of("a").runs_on_from("2070-01-01").day_before(), {"a": "1/1/2025"}, "2024-12-31"),
        (of("a").runs_on_from("2070-01-01").day_before(), {"a": "9999-12-31"}, None),
    ],
)
def test_days_are_reckoned(
    database: psycopg.Connection[Any], made: Value, row: Row, wanted: str | None
) -> None:
    got = found(database, expression(made, DAY, Parsing(date_order="mdy")), row)
    assert got == wanted or (wanted == "?" and got == parsing.NOT_SO.as_string().strip("'"))


@pytest.mark.parametrize("field", ["1", None, "3"])
@pytest.mark.parametrize(
    "build",
    [
        lambda made: made.part(2),
        lambda made: made.is_given(),
        lambda made: made.map({"A": None}, others="nothing"),
        lambda made: value.join(made, "b"),
        lambda made: value.first(made, "b"),
    ],
)
def test_an_unlisted_word_is_one_whatever_is_made_of_it(
    database: psycopg.Connection[Any], build: Callable[[Value], Value], field: str | None
) -> None:
    made = build(of("a").map({"1": "A"}))
    got = found(database, expression(made, STATE, Parsing()), {"a": field, "b": None})
    assert (got == made_values.NOT_LISTED) == (field == "3")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: of(), "one name or several"),
        (lambda: of("a", "A"), "one name or several"),
        (lambda: of("a").map({}), "one word or more"),
        (lambda: of("a").map({"y": "1", "Y": "2"}), "mapped twice"),
        (lambda: of("a").map({"y": "1"}, others=UNKNOWN), "others is 'drop', where one of reject"),
        (lambda: of("a").part(0), "from 1 up"),
        (lambda: of("a").part(2, pattern="(a)"), "not by both"),
        (lambda: of("a").part(pattern="abc"), "0 groups"),
        (lambda: of("a").part(pattern="(a"), "no pattern"),
        (lambda: of("a").part(pattern="(?i)(a)"), "plain parentheses"),
        (lambda: of("a").date("YMD"), "is none of"),
        (lambda: of("a").date("YYMMDD"), "century_from"),
        (lambda: of("a").date("YYYYMMDD", 1930), "century_from"),
        (lambda: of("a").negate().part(1, 2), "works on text"),
        (lambda: of("a").negate().day_before(), "cannot be made of what gives a number"),
        (lambda: value.total(of("a").day_before(), "b"), "cannot be made of what gives a date"),
        (lambda: value.where(of("a").negate(), "1"), "on text"),
        (lambda: value.join("a"), "two values"),
        (lambda: value.total("a"), "two values"),
        (lambda: value.where("a"), "one word or more"),
        (lambda: value.repeat(x=["a"], y=["b", "c"]), "as many fields each"),
    ],
)
def test_words_that_make_no_sense_are_refused(made: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made()


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        *(("(5.00)", -500), ("5.00-", -500), ("5.00 +", 500), ("-5.00", -500), ("5", 500)),
        *(("($1,234.50)", -123450), ("$ (1,234.50)", -123450), ("( 5.00 )", -500)),
        *(("1,234.50-$", -123450), ("$1,234.50 -", -123450), ("1,234.50$ -", -123450)),
        *(("(5.00", None), ("5.00)", None), ("((5.00))", None), ("(-5.00)", None), ("()", None)),
        *(("-5.00-", None), ("-(5.00)", None), ("(5.00)-", None), ("5-00", None), ("-", None)),
    ],
)
def test_a_minus_may_be_where_the_contract_says(
    database: psycopg.Connection[Any], text: str, cents: int | None
) -> None:
    """The server and the sums of the file read an amount alike."""
    written = Parsing(thousands=",", currency=("$",), minus=("parentheses", "after"))
    assert parsing.cents_reader(PAID, written)(text.encode()) == cents
    read = found(database, parsing.read(PAID, written, [sql.Identifier("a")]), {"a": text})
    assert (None if read in (None, "?") else round(float(str(read)) * 100)) == cents
    # Undeclared, it is none.
    plain = parsing.cents_reader(PAID, Parsing(thousands=","))(text.encode())
    assert plain == (cents if text in ("-5.00", "5") else None)
