"""What is deprecated: cubes and views that are still there and nobody should read any more."""

from __future__ import annotations

from datetime import date
from typing import Final, LiteralString, NamedTuple

# With this the comment of a deprecated cube or view says so.
DEPRECATED: Final[LiteralString] = "Deprecated since"


class Deprecated(NamedTuple):
    """Since when nobody should read a cube or view any more, and what to read in its place."""

    since: date
    successor: str

    def __str__(self) -> str:
        return f"{DEPRECATED} {self.since}: read {self.successor}."
