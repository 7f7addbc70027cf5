"""One small change to a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Mutant:
    """A file with one change.

    ``subject``: the statement or function that is changed, as the record of the tests calls it.
    ``names``: what tests of it may have in their own name.
    """

    path: Path
    subject: str
    line: int
    before: str
    after: str
    text: str
    names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        path: Path,
        text: str,
        place: tuple[int, int, str],
        subject: str,
        names: tuple[str, ...],
    ) -> Self:
        """Put something in the place of a part of the text."""
        start, stop, put = place
        changed = text[:start] + put + text[stop:]
        begin = text.rfind("\n", 0, start) + 1
        before, after = (t[begin : t.find("\n", begin + 1)].strip() for t in (text, changed))
        return cls(path, subject, text.count("\n", 0, start) + 1, before, after, changed, names)

    def __str__(self) -> str:
        return f"{self.path.name}:{self.line} {self.subject}\n  - {self.before}\n  + {self.after}"
