"""Why rows are rejected: the fixed list of reasons, each with what a person does about it."""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Why a row is rejected: the fixed list, each with what a person does about it."""

    FIELD_COUNT = (
        "wrong number of fields",
        "Put quotes around values with commas, and give every column of the header a field.",
    )
    NOT_UTF8 = (
        "bytes that are not UTF-8",
        "Write the text in UTF-8, or declare the sender's encoding in its contract.",
    )
    STRAY_RETURN = (
        "carriage return outside quotes",
        "Take the carriage return out, or put quotes around the value that contains it.",
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
        "Write the key in visible letters, digits 0 to 9 and signs: without blanks around it, "
        "no-break spaces, zero-width signs, full-width or taken-apart letters.",
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
    NOT_A_COUNT = ("not a number from 1 up", "Write a whole number from 1 up, in digits.")
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
        "conflicting row of the same key and time; the last in the file is valid",
        "Leave the row that is right, or give the rows keys or times of their own.",
    )
    LINE = (
        "another line of the same claim; lines belong in claim_lines.csv, the last one is valid",
        "Ask the sender for one row per claim with the sums of its lines, and for claim_lines.csv.",
    )
    BREACH = (
        "outside what the contract allows",
        "Correct the value; the data dictionary says what the column may contain.",
    )

    CELL_ERROR = (
        "an error of the workbook in place of a value",
        "Correct the formula of the cell and save the workbook, or write the value itself.",
    )
    NOT_LISTED = (
        "a word that the contract does not map",
        "Correct the word, or add it to the map in the sender's contract and replay the row.",
    )

    def __init__(self, text: str, advice: str) -> None:
        self.text = text
        self.advice = advice
