"""Words of closed lists: what senders write for those of ours."""

from __future__ import annotations

from etl.contracts.column import Column, Identifier, OneOf, Pii

# A list of words is closed if it is short, and its words are. A longer number or an address may
# say who a person is, wherever it was written by mistake.
_MOST_WORDS = 20
_LONGEST_WORD = 24
_MOST_DIGITS = 3

TRUE_WORDS = ("yes", "y", "true", "t", "1")
FALSE_WORDS = ("no", "n", "false", "f", "0")

_ALSO = {
    "m": ("male", "man", "1"),
    "f": ("female", "woman", "2"),
    "x": ("other", "nonbinary", "3"),
    "u": ("unknown", "9", "0"),
    "approved": ("paid", "accepted", "finalized", "closed", "p"),
    "denied": ("rejected", "d"),
    "pending": ("pend", "open", "billed", "in process"),
    "reversed": ("void", "voided", "reversal"),
    "adjusted": ("adj", "corrected", "replacement"),
}


def may_be_shown(column: Column, words: list[str], rows: int) -> bool:
    """Whether a draft may repeat words of a file: of a closed list, none that says who it is of."""
    is_closed = isinstance(column.check, OneOf)
    is_impersonal = column.identifier is Identifier.NONE and column.pii is Pii.NONE
    is_short = len(words) <= min(_MOST_WORDS, max(2, rows // 2))
    return is_closed and is_impersonal and is_short and all(map(_is_word, words))


def ours(word: str, known: tuple[str, ...]) -> str | None:
    """Our word for a sender's: the same, another name of it, or the only one that begins so."""
    lowered = word.lower()
    by_word = {one.lower(): one for one in known}
    if lowered in by_word:
        return by_word[lowered]
    also = [one for low, one in by_word.items() if lowered in _ALSO.get(low, ())]
    begins = [one for low, one in by_word.items() if lowered.isalpha() and low.startswith(lowered)]
    return next((found[0] for found in (also, begins) if len(found) == 1), None)


def _is_word(word: str) -> bool:
    return (
        len(word) <= _LONGEST_WORD
        and sum(map(str.isdigit, word)) <= _MOST_DIGITS
        and "@" not in word
    )
