"""Shown: text that came from outside, made fit to be read by a person or kept in the ledger.

A name, a manifest or a file can hold what a terminal would obey, what no database can store, or
what looks like something else. Here is the one place that takes such characters out.
"""

from __future__ import annotations

import unicodedata

_LONGEST_NAME = 100
# Other, control; format (marks that turn the direction of text, or take no room); surrogate;
# separators of lines and paragraphs.
_UNFIT = ("Cc", "Cf", "Cs", "Zl", "Zp")


def plain(text: str) -> str:
    """The text with every character escaped that is not there to be read; line feeds stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or not _is_unfit(c) else _escaped(c) for c in text)


def name(text: str) -> str:
    """A name from outside for a message: on one line, and no longer than a name should be."""
    cut = text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"
    return plain(cut).replace("\n", "\\n")


def is_fit(text: str) -> bool:
    """Whether a text has nothing in it that would have to be escaped."""
    return not any(_is_unfit(c) for c in text)


def _is_unfit(character: str) -> bool:
    return unicodedata.category(character) in _UNFIT


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
