"""Questions about a whole block of bytes at once, so that no record of it need be looked at alone.

A comparison of all bytes of a block takes a few hundredths of the time that it takes to walk over
its records. Each answer errs on the side of caution: a yes is looked into record by record.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Marks = npt.NDArray[np.bool_]

_FEED, _QUOTE, _COMMA, _BLANK, _TAB = b'\n", \t'
# Sets this bit of an ASCII letter to make it a small one.
_SMALL = 0x20
# Longer than any word that is looked for, so that none is looked for beyond the block.
_PADDING = b"\n" * 10


def padded(block: bytes) -> Bytes:
    """The bytes of a block with a line's end before and after them, as an array."""
    return np.frombuffer(b"\n%b%b" % (block, _PADDING), np.uint8)


def feeds(block: Bytes) -> int:
    """How many line feeds stand in a padded block."""
    return int(np.count_nonzero(block == _FEED)) - 1 - len(_PADDING)


def quotes_close(lines: bytes) -> bool:
    """Whether each line has an even number of quotes, so that no record goes on after its line."""
    block = np.frombuffer(lines, np.uint8)
    quotes = (block == _QUOTE).view(np.uint8)
    return not np.bitwise_xor.reduceat(quotes, _begins(block)).any()


def have_fields(records: bytes, separators: int) -> bool:
    """Whether each line, quoted text taken out, has so many commas."""
    block = np.frombuffer(records, np.uint8)
    commas = (block == _COMMA).view(np.uint8)
    return bool((np.add.reduceat(commas, _begins(block)) == separators).all())


def _begins(block: Bytes) -> npt.NDArray[np.intp]:
    """Where each line begins; all but the first with the line feed before it."""
    return np.concatenate(([0], np.flatnonzero(block[1:] == _FEED) + 1))


def blank_beside_separator(block: Bytes) -> bool:
    """Whether a blank begins or ends a field of a padded block without quotes."""
    return _blank_beside(block, (block == _COMMA) | (block == _FEED))


def blank_beside_quote(block: Bytes) -> bool:
    """Whether a blank stands before or after a quote."""
    return _blank_beside(block, block == _QUOTE)


def _blank_beside(block: Bytes, marks: Marks) -> bool:
    blanks = _blanks(block)
    return bool((marks[:-1] & blanks[1:]).any() or (blanks[:-1] & marks[1:]).any())


def _blanks(block: Bytes) -> Marks:
    return (block == _BLANK) | (block == _TAB)


def may_name(block: Bytes, words: Sequence[bytes]) -> bool:
    """Whether one of the words, in any case, stands by itself in a padded block."""
    small = block | _SMALL
    others = (small < ord("a")) | (small > ord("z"))
    begins = np.zeros_like(others)
    for letter in {word[0] for word in words}:
        begins |= small == letter
    at = np.flatnonzero(others[:-1] & begins[1:]) + 1
    for word in words:
        found = at
        for place, letter in enumerate(word):
            found = found[small[found + place] == letter]
        if others[found + len(word)].any():
            return True
    return False
