"""The generator's entry points: the first batch of an inbox, and the days after it."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from etl.errors import AlreadyRunningError, UsageError
from etl.synthetic.batches import Series
from etl.synthetic.defects import dirt
from etl.synthetic.marker import VERSION, Marker, read_marker, write_marker

DEFAULT_MEMBERS, DEFAULT_YEARS, DEFAULT_SEED = 20_000, 2, 20_250_101
# Plan year in which the first batch falls unless a first year is given: the newest published.
_NEWEST_YEAR = 2025
_FIRST_YEARS = range(2018, 2100)  # from 2018 the age curve is today's (45 CFR 147.102(e))
_MOST_MEMBERS = 80_000_000  # what the identifiers have digits for
_MOST_DAYS = 3_660


def generate(
    inbox: Path,
    *,
    members: int = DEFAULT_MEMBERS,
    years: int = DEFAULT_YEARS,
    seed: int = DEFAULT_SEED,
    first_year: int | None = None,
    gzip: bool = False,
    dirty: str = "",
    truth: Path | None = None,
) -> Path:
    """Write the first batch of an inbox and return its folder.

    Without ``first_year`` the last of the plan years is 2025. The batch is as of December 15 of
    the last year. The same arguments give the same bytes (with ``gzip`` also the same zlib).
    ``dirty``: defects to put in, see ``etl.synthetic.defects.dirt``. ``truth``: folder for what the
    batch really contains, by default ``truth`` next to the inbox. ``UsageError`` if the inbox has a
    batch already or an argument is out of range.
    """
    first_year = _NEWEST_YEAR - years + 1 if first_year is None else first_year
    for name, value, allowed in (
        ("members", members, range(1, _MOST_MEMBERS + 1)),
        ("years", years, range(1, 31)),
        ("seed", seed, range(2**63)),
        ("first_year", first_year, _FIRST_YEARS),
    ):
        _within(name, value, allowed)
    marker = Marker(seed, members, years, first_year, gzip, VERSION)
    request = dirt.parse(dirty)
    with _alone(inbox):
        held = _batches(inbox)
        if held:
            raise UsageError(
                f"The inbox {inbox} already contains {len(held)} batch(es), the first of them "
                f"{held[0].name}; nothing was written.",
                "Use --increment for the next day's batch, or empty the inbox first.",
            )
        return _write(inbox, truth, marker, 0, 1, request)[0]


def increment(inbox: Path, *, dirty: str = "", truth: Path | None = None) -> Path:
    """Write the batch of the day after the newest batch and return its folder."""
    return simulate(inbox, 1, dirty=dirty, truth=truth)[0]


def simulate(inbox: Path, days: int, *, dirty: str = "", truth: Path | None = None) -> list[Path]:
    """Write the batches of the days after the newest batch and return their folders.

    They follow from the marker and the day alone; no feed of the inbox is read. ``UsageError``
    if the inbox is not one that ``generate`` made, or its newest batch is none of ours.
    """
    _within("days", days, range(1, _MOST_DAYS + 1))
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
    request = dirt.parse(dirty)
    with _alone(inbox):
        sequence = _next(inbox, marker)
        return _write(inbox, truth, marker, sequence, days, request)


def _next(inbox: Path, marker: Marker) -> int:
    """Which batch comes next in an inbox."""
    held = _batches(inbox)
    if not held:
        return 0
    newest = re.fullmatch(r"\d{4}-\d{2}-\d{2}", held[-1].name)
    sequence = marker.span.sequence(date.fromisoformat(held[-1].name)) + 1 if newest else 0
    if sequence < 1:
        raise UsageError(
            f"The newest batch of {inbox}, {held[-1].name}, was not made by the generator.",
            "Keep synthetic and other batches in inboxes of their own.",
        )
    return sequence


def _within(name: str, value: int, allowed: range) -> None:
    if value not in allowed:
        raise UsageError(
            f"{name} is {value}, which the generator cannot do.",
            f"Give a number from {allowed[0]} to {allowed[-1]}.",
        )


def _batches(inbox: Path) -> list[Path]:
    """Batch folders in order of their names, which begin with a date."""
    return sorted(p for p in inbox.iterdir() if p.is_dir() and p.name[0] not in "._")


def _write(
    inbox: Path,
    truth: Path | None,
    marker: Marker,
    first: int,
    count: int,
    request: dirt.Dirt | None,
) -> list[Path]:
    names = [marker.span.batch_day(n).isoformat() for n in range(first, first + count)]
    marker = marker.with_dirt(names, str(request) if request else "")
    # The marker comes first: a batch that appears is one that increments can follow.
    write_marker(inbox, marker)
    series = Series(inbox, truth or inbox.parent / "truth", marker)
    return list(series.write(first, first + count - 1))


@contextmanager
def _alone(inbox: Path) -> Iterator[None]:
    """Let one generator at a time work on an inbox; the lock goes with the process."""
    try:
        inbox.mkdir(parents=True, exist_ok=True)
        folder = os.open(inbox, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(folder)
    except BlockingIOError as error:
        raise AlreadyRunningError(
            f"Another run is writing feeds into {inbox}.",
            "Wait for it to end. Nothing was changed.",
        ) from error
    except OSError as error:
        raise UsageError(
            f"The feeds for {inbox} could not be written: {error.strerror or error}.",
            "See that the folders may be written to and the disk has room, then run it again; "
            "batches that were finished stay.",
        ) from error
