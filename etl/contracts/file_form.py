"""The form of a sender's files: what is around the values, before any of them is read."""

from __future__ import annotations

from dataclasses import dataclass

# What may be between the fields of a row, with its name for messages.
DELIMITERS = {
    ",": "commas",
    ";": "semicolons",
    "\t": "tabs",
    "|": "vertical bars",
    ":": "colons",
    "^": "carets",
    "~": "tildes",
}


@dataclass(frozen=True, slots=True)
class FileForm:
    """How a sender's files are laid out. The default is what the feeds themselves ask for.

    ``delimiter``: the sign between fields, one of ``DELIMITERS``. Quotes mean the same with each.
    """

    delimiter: str = ","

    def __post_init__(self) -> None:
        if self.delimiter not in DELIMITERS:
            signs = ", ".join(map(repr, DELIMITERS))
            raise ValueError(f"{self.delimiter!r} is no delimiter; it is one of {signs}")
