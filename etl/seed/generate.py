"""The generator's two doors: the first batch of an inbox, and the next day's batch after it."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from etl.errors import UsageError
from etl.seed import catalogue, fact_rows
from etl.seed.output import BatchWriter
from etl.seed.span import Span
from etl.seed.world import World, replay
from etl.sources import FEEDS

MARKER = ".synthetic.json"
VERSION = 1  # raised whenever the same arguments give other bytes
DEFAULT_MEMBERS, DEFAULT_YEARS, DEFAULT_SEED = 20_000, 2, 20_250_101
# Plan year in which the first batch falls unless a first year is given: the newest published.
_NEWEST_YEAR = 2025
_FIRST_YEARS = range(2018, 2100)  # from 2018 the age curve is today's (45 CFR 147.102(e))
_MOST_MEMBERS = 80_000_000  # what the identifiers have digits for


@dataclass(frozen=True, slots=True)
class Marker:
    """What ``.synthetic.json`` records of an inbox: everything its batches follow from."""

    seed: int
    members: int
    years: int
    first_year: int
    gzip: bool
    version: int

    @property
    def span(self) -> Span:
        """The run's arguments."""
        return Span(self.seed, self.members, self.years, self.first_year)


def generate(
    inbox: Path,
    *,
    members: int = DEFAULT_MEMBERS,
    years: int = DEFAULT_YEARS,
    seed: int = DEFAULT_SEED,
    first_year: int | None = None,
    gzip: bool = False,
) -> Path:
    """Write the first batch of an inbox and return its folder.

    Without ``first_year`` the last of the plan years is 2025. The batch is as of December 1 of
    the last year. The same arguments give the same bytes (with ``gzip`` also the same zlib).
    ``UsageError`` if the inbox holds a batch already or an argument is out of range.
    """
    first_year = _NEWEST_YEAR - years + 1 if first_year is None else first_year
    for name, value, allowed in (
        ("members", members, range(1, _MOST_MEMBERS + 1)),
        ("years", years, range(1, 31)),
        ("seed", seed, range(2**63)),
        ("first_year", first_year, _FIRST_YEARS),
    ):
        if value not in allowed:
            raise UsageError(
                f"{name} is {value}, which the generator cannot do.",
                f"Give a number from {allowed[0]} to {allowed[-1]}.",
            )
    held = _batches(inbox) if inbox.exists() else []
    if held:
        raise UsageError(
            f"The inbox {inbox} already holds {len(held)} batch(es), the first of them "
            f"{held[0].name}; nothing was written.",
            "Use --increment for the next day's batch, or empty the inbox first.",
        )
    marker = Marker(seed, members, years, first_year, gzip, VERSION)
    inbox.mkdir(parents=True, exist_ok=True)
    # The marker comes first: a batch that appears is one that increments can follow.
    partial = inbox / f"{MARKER}.partial"
    partial.write_text(json.dumps(asdict(marker), indent=2) + "\n", encoding="utf-8")
    partial.replace(inbox / MARKER)
    return _write(inbox, marker, replay(marker.span, 0))


def increment(inbox: Path) -> Path:
    """Write the batch of the day after the newest batch and return its folder.

    It follows from the marker and the day alone; no feed of the inbox is read. ``UsageError``
    if the inbox is not one that ``generate`` made, or its newest batch is none of ours.
    """
    marker = read_marker(inbox)
    if marker is None:
        raise UsageError(
            f"The inbox {inbox} is not a synthetic one; nothing was written.",
            "Generate its first batch with scripts/generate_seed_data.py, or point --inbox at "
            "an inbox that was.",
        )
    if marker.version != VERSION:
        raise UsageError(
            f"The inbox {inbox} was made by version {marker.version} of the generator and this "
            f"is version {VERSION}; its days would not fit together.",
            "Empty the inbox and generate it again.",
        )
    held = _batches(inbox)
    if not held:
        return _write(inbox, marker, replay(marker.span, 0))
    newest = re.fullmatch(r"\d{4}-\d{2}-\d{2}", held[-1].name)
    sequence = (
        (date.fromisoformat(held[-1].name) - marker.span.first_batch).days + 1 if newest else 0
    )
    if sequence < 1:
        raise UsageError(
            f"The newest batch of {inbox}, {held[-1].name}, was not made by the generator.",
            "Keep synthetic and other batches in inboxes of their own.",
        )
    return _write(inbox, marker, replay(marker.span, sequence))


def is_synthetic(inbox: Path) -> bool:
    """Whether the generator made this inbox."""
    return read_marker(inbox) is not None


def read_marker(inbox: Path) -> Marker | None:
    """What the inbox was made from, or ``None`` if it was not made by the generator."""
    try:
        said: dict[str, Any] = json.loads((inbox / MARKER).read_text(encoding="utf-8"))
        return Marker(**said)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise UsageError(
            f"{inbox / MARKER} is damaged: {error}.",
            "Empty the inbox and generate it again.",
        ) from error


def _batches(inbox: Path) -> list[Path]:
    """Batch folders in order of their names, which begin with a date."""
    return sorted(p for p in inbox.iterdir() if p.is_dir() and p.name[0] not in "._")


def _write(inbox: Path, marker: Marker, world: World) -> Path:
    kind = "snapshot" if world.is_snapshot else "delta"
    feeds = {
        "members": (kind, world.member_blocks()),
        "plans": (
            "snapshot" if world.sequence == 0 else "delta",
            catalogue.blocks(world.published),
        ),
        "providers": (kind, world.provider_blocks()),
        "enrollments": ("delta", fact_rows.enrollment_blocks(world)),
        "claims": ("delta", fact_rows.claim_blocks(world)),
    }
    # Of the other feeds the bar shows the count alone.
    expected = {"members": len(world.touched), "claims": world.expected_claims()}
    with (
        Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
        ) as progress,
        BatchWriter(inbox, world.day, compressed=marker.gzip) as writer,
    ):
        for name, (feed_kind, blocks) in feeds.items():
            task = progress.add_task(name, total=expected.get(name))
            writer.write(
                FEEDS[name],
                blocks,
                kind=feed_kind,
                advance=lambda rows, task=task: progress.advance(task, rows),
            )
        return writer.finish()
