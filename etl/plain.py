"""Text from outside as it can be shown and kept: names of folders, of columns, of batches."""

from __future__ import annotations

import unicodedata

# Controls (among them the escape character of terminals), characters that turn the direction of
# text or cannot be seen, halves of characters that no encoding has, and separators of lines.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def plain(text: str) -> str:
    """The text with every character that is not seen or steers a terminal written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _HIDDEN
        else character
        for character in text
    )
