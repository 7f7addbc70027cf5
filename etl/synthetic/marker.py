"""What an inbox was made from, kept in it under a hidden name, so that more days can follow."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from etl.errors import UsageError
from etl.synthetic.core.span import Span

MARKER = ".synthetic.json"
VERSION = 7  # raised whenever the same arguments give other bytes


@dataclass(frozen=True, slots=True)
class Marker:
    """What ``.synthetic.json`` records of an inbox: everything its batches follow from.

    ``dirty``: what was asked for of the batches with dirt, by batch_id.
    """

    seed: int
    members: int
    years: int
    first_year: int
    gzip: bool
    version: int
    dirty: dict[str, str] = field(default_factory=dict)

    @property
    def span(self) -> Span:
        """The run's arguments."""
        return Span(self.seed, self.members, self.years, self.first_year)

    @property
    def made_from(self) -> dict[str, int]:
        """What every batch follows from, for the truth."""
        found = asdict(self)
        return {name: found[name] for name in ("seed", "members", "years", "first_year", "version")}

    def with_dirt(self, batches: list[str], dirty: str) -> Marker:
        """The marker when these batches are made (again) with this dirt."""
        others = {name: text for name, text in self.dirty.items() if name not in batches}
        return replace(self, dirty={**others, **(dict.fromkeys(batches, dirty) if dirty else {})})


def write_marker(inbox: Path, marker: Marker) -> None:
    """Write an inbox's marker, whole or not at all."""
    partial = inbox / f"{MARKER}.partial"
    partial.write_text(json.dumps(asdict(marker), indent=2) + "\n", encoding="utf-8")
    partial.replace(inbox / MARKER)


def read_marker(inbox: Path) -> Marker | None:
    """What the inbox was made from, or ``None`` if it was not made by the generator."""
    try:
        said: dict[str, Any] = json.loads((inbox / MARKER).read_text(encoding="utf-8"))
        return Marker(**said)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"The inbox {inbox} cannot be read: {error.strerror}.",
            "See that INBOX names a folder that whoever runs this may read.",
        ) from error
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{inbox / MARKER} is damaged: {error}.",
            "Empty the inbox and generate it again.",
        ) from error


def is_synthetic(inbox: Path) -> bool:
    """Whether the generator made this inbox."""
    return read_marker(inbox) is not None


def now(inbox: Path) -> datetime | None:
    """Against which its batches may be late or in the future; synthetic ones have no real day."""
    return None if is_synthetic(inbox) else datetime.now(UTC)
