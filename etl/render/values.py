"""What a value may be beyond its type, as SQL, and why one was refused.

Pure functions. Conditions are true of a value that cannot stay, and never unknown of one that can.
"""

from __future__ import annotations

import re
from decimal import Decimal

from psycopg import sql

from etl.contracts.column import Column
from etl.contracts.reasons import Reason
from etl.contracts.types import LARGEST_AMOUNT, NULL_WORDS, SHOWN_FOR_NO_KEY, Type
from etl.db.statements import statement
from etl.render.made_values import MARKS

_LONGEST_WORD = max(map(len, NULL_WORDS))
_AMOUNT = re.compile(r"[-+]?\d+(\.\d*)?")
# Characters that count as letters, look like nothing and are normal: fillers of Hangul and vowels
# of Khmer that are not written.
_UNSEEN_LETTERS = "[\u115f\u1160\u17b4\u17b5]"


def is_null_word(column: Column) -> sql.Composed:
    """Whether a key is a word for a missing value."""
    return statement(
        "render/values.is_null_word",
        name=sql.Identifier(column.name),
        longest=sql.Literal(_LONGEST_WORD),
        words=sql.SQL(", ").join(map(sql.Literal, NULL_WORDS)),
        shown=sql.Literal(SHOWN_FOR_NO_KEY),
    )


def is_odd_key(column: Column) -> sql.Composed:
    """Whether a key has characters by which two that look the same may differ.

    Allowed are visible ASCII, blanks inside, and letters in their one normal form (NFKC, Unicode
    Standard Annex 15). Left out are control and format characters, no-break and other blanks,
    letters taken apart and full-width ones, and digits of other scripts, which say the same number.
    """
    return statement(
        "render/values.is_odd_key",
        name=sql.Identifier(column.name),
        unseen=sql.Literal(_UNSEEN_LETTERS),
    )


def is_open_end(column: Column, of_row: str | None = None) -> sql.Composed:
    """Whether a date means that the thing runs on; ``of_row``: the alias of its row."""
    name = sql.Identifier(*filter(None, [of_row, column.name]))
    return statement("render/values.is_open_end", name=name, open_end=sql.Literal(column.open_end))


def end(column: Column, of_row: str, otherwise: sql.Composable) -> sql.Composed:
    """The date on which a thing ends, ``otherwise`` where none is given or it runs on."""
    return statement(
        "render/values.end",
        name=sql.Identifier(of_row, column.name),
        open_end=sql.Literal(column.open_end),
        otherwise=otherwise,
    )


def is_too_far_ahead(column: Column) -> sql.Composed:
    """Whether a date lies beyond what its column allows after the batch's ``as_of``."""
    date: sql.Composable = sql.Identifier(column.name)
    if column.type is Type.TIMESTAMP:
        date = sql.SQL("{} at time zone 'UTC'").format(date)
    return statement(
        "render/values.is_too_far_ahead",
        date=date,
        days=sql.Literal(column.ahead_days),
        is_open_end=sql.SQL("false") if column.open_end is None else is_open_end(column),
    )


def is_out_of_order(first: str, second: str, canceled_days: int) -> sql.Composed:
    """Whether the second of two dates comes before the first, by more than so many days."""
    return statement(
        "render/values.is_out_of_order",
        first=sql.Identifier(first),
        second=sql.Identifier(second),
        canceled_days=sql.Literal(canceled_days),
    )


def refusal(column: Column, shown: str | None) -> Reason:
    """Why a value did not fit its column; ``shown``: its beginning, ``None`` if there is none."""
    if shown in MARKS:
        return MARKS[shown]
    if column.type.longest is not None and shown:
        return Reason.VALUE_TOO_LONG
    if column.type is Type.MONEY and shown:
        amount = shown.removesuffix("...")
        if _AMOUNT.fullmatch(amount) and abs(Decimal(amount)) > Decimal(LARGEST_AMOUNT):
            return Reason.AMOUNT_TOO_LARGE
    return column.type.refusal
