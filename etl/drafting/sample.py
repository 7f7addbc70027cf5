"""A sample of a sender's file: its encoding, its form, its names and its first rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from etl.contracts.file_form import FileForm


@dataclass(frozen=True, slots=True)
class Sample:
    """The beginning of a file. ``rows``: those with as many values as ``names``, trimmed.

    ``form``: how it is laid out; with ``names`` where no line names the fields. ``odd_rows``: how
    many rows have another number of values. ``is_whole``: it is all of the file. ``asks``: what
    could not be seen, a sentence each.
    """

    path: Path
    encoding: str
    form: FileForm
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    odd_rows: int
    is_whole: bool
    asks: tuple[str, ...] = ()

    def values(self, position: int) -> list[str]:
        """The values of a field that are not empty."""
        return [row[position] for row in self.rows if row[position]]
