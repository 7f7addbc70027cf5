"""From the world to batch folders: each day's five feeds, with dirt if asked for, and the truth."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from etl.synthetic.core.encode import Block
from etl.synthetic.core.known_feeds import FEEDS, as_written
from etl.synthetic.defects import dirt
from etl.synthetic.defects.injector import DefectInjector
from etl.synthetic.feeds import fact_rows, member_rows
from etl.synthetic.feeds.output import BatchWriter
from etl.synthetic.marker import Marker
from etl.synthetic.truth import truth, truth_file
from etl.synthetic.truth.truth import FileTruth, PlanYear, Truth
from etl.synthetic.world import catalogue, providers
from etl.synthetic.world.world import World

FACTS = ("enrollments", "claims")


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


class Series:
    """The batches of an inbox, one after the other, from the first on.

    Earlier ones are drawn again, without being written, for what the later ones follow from.
    """

    def __init__(self, inbox: Path, truth_folder: Path, marker: Marker) -> None:
        self._inbox, self._folder, self._marker = inbox, truth_folder, marker

    def write(self, first: int, last: int) -> Iterator[Path]:
        """Write batches ``first`` to ``last`` (0 is the inbox's first) and yield each folder."""
        world = World(self._marker.span, self._marker.span.batch_day(last))
        known = Truth()
        # The unknown keys that facts named are in the truth of the batch before; without it
        # all facts are drawn again.
        before = self._read(first - 1) if first else None
        for sequence in range(last + 1):
            if sequence:
                world.advance()
            if sequence >= first:
                yield self._write(world, known)
            elif before is None or self._is_fatal(world):
                self._replay(world, known, FEEDS)
            else:
                self._replay(world, known, (n for n in FEEDS if n not in FACTS))
            if before is not None and sequence == first - 1:
                known.unknown = {name: set(keys) for name, keys in before["unknown"].items()}

    def _read(self, sequence: int) -> dict[str, Any] | None:
        """The truth of a batch, if it is there and of this inbox."""
        found = truth_file.read(self._folder, self._marker.span.batch_day(sequence).isoformat())
        if found is None or found.get("made_from") != self._marker.made_from:
            return None
        return found

    def _dirt(self, world: World) -> dirt.Dirt | None:
        return dirt.parse(self._marker.dirty.get(world.day.isoformat(), ""))

    def _is_fatal(self, world: World) -> bool:
        """Whether a file of this batch may be refused, and the batch with it."""
        request = self._dirt(world)
        asked = request.kinds if request else ()
        return any(dirt.KINDS[kind].outcome == dirt.REFUSED for kind in asked)

    def _replay(self, world: World, known: Truth, feeds: Iterable[str]) -> None:
        """Take a batch into the truth as ``_write`` does, without writing it."""
        files: list[FileTruth] = []
        for name in feeds:
            opened = self._open(world, known, files, name)
            if opened is not None:
                file, _, data = opened
                for _ in data:
                    pass
                files.append(file)
        known.take(files, world.today * 86_400)

    def _open(
        self, world: World, known: Truth, files: list[FileTruth], name: str
    ) -> tuple[FileTruth, DefectInjector, Iterator[bytes]] | None:
        """A feed of a batch after these files of it; ``None`` if it has no rows."""
        blocks = _blocks(world, name)
        first = next(blocks, None)
        if first is None:
            return None
        feed = as_written(first)
        injector = DefectInjector(self._dirt(world), self._marker.seed, world.today, feed)
        file = FileTruth(feed, _kinds(world)[name], refused=injector.refused)
        lost = known.lost_with(files)
        return file, injector, _dirty(file, injector, chain([first], blocks), world.today, lost)

    def _write(self, world: World, known: Truth) -> Path:
        files: list[FileTruth] = []
        with (
            _progress() as progress,
            BatchWriter(self._inbox, world.day, compressed=self._marker.gzip) as writer,
        ):
            for name, feed in FEEDS.items():
                opened = self._open(world, known, files, name)
                if opened is None:
                    continue
                file, injector, data = opened
                task = progress.add_task(f"{world.day} {name}", total=_expected(world).get(name))
                writer.write(feed.file_name, _shown(progress, task, file, injector.header(), data))
                writer.describe(feed.file_name, file.kind, file.rows, file.totals)
                file.defects = injector.finish(writer.path(feed.file_name)) + file.defects
                files.append(file)
            keys = known.take(files, world.today * 86_400)
            self._record(world, known, files, keys, writer.checksums)
            return writer.finish()

    def _record(
        self,
        world: World,
        known: Truth,
        files: list[FileTruth],
        keys: dict[str, dict[str, int]],
        checksums: dict[str, str],
    ) -> None:
        batch_id = world.day.isoformat()
        truth_file.write(
            self._folder,
            batch_id,
            {
                "batch_id": batch_id,
                "as_of": f"{batch_id}T00:00:00Z",
                "made_from": self._marker.made_from,
                "dirty": self._marker.dirty.get(batch_id),
                "refused": any(file.refused for file in files),
                "files": truth.described(files, checksums),
                "keys": keys,
                "dimensions": known.dimensions(),
                "unknown": {name: sorted(unknown) for name, unknown in known.unknown.items()},
            },
        )


def _kinds(world: World) -> dict[str, str]:
    """Whether each feed's file is a snapshot or a delta."""
    complete = "snapshot" if world.is_snapshot else "delta"
    first = "snapshot" if world.sequence == 0 else "delta"
    return dict(zip(FEEDS, (complete, first, complete, "delta", "delta"), strict=True))


def _blocks(world: World, name: str) -> Iterator[Block]:
    if name == "members":
        return member_rows.blocks(world)
    if name == "plans":
        return catalogue.blocks(world.published)
    if name == "providers":
        return providers.blocks(world.providers, world.touched_providers)
    if name == "enrollments":
        return fact_rows.enrollment_blocks(world)
    return fact_rows.claim_blocks(world)


def _dirty(
    file: FileTruth,
    injector: DefectInjector,
    blocks: Iterable[Block],
    day: int,
    lost_plans: set[PlanYear],
) -> Iterator[bytes]:
    """The bytes of a file's blocks, while its truth is taken down."""
    for block in blocks:
        dirty = injector.inject(block)
        file.add(block, dirty, day * 86_400, lost_plans)
        yield dirty.data


def _expected(world: World) -> dict[str, int]:
    """Rows of the feeds that take a while; of the others the bar shows the count alone."""
    return {"members": len(world.touched), "claims": world.expected_claims()}


def _shown(
    progress: Progress, task: Any, file: FileTruth, header: bytes, data: Iterator[bytes]
) -> Iterator[bytes]:
    yield header
    for piece in data:
        yield piece
        progress.update(task, completed=file.rows)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
