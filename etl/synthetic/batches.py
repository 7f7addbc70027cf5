"""From the world to batch folders: each day's feeds, with dirt if asked for, and the truth."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from etl.synthetic.core.encode import Block, Column
from etl.synthetic.core.known_feeds import as_written
from etl.synthetic.core.rng import BITS
from etl.synthetic.defects import dirt
from etl.synthetic.defects.injector import DefectInjector, DirtyBlock
from etl.synthetic.feeds import fact_rows, member_rows
from etl.synthetic.feeds.output import BatchWriter
from etl.synthetic.marker import Marker
from etl.synthetic.truth import loaded_rows, truth, truth_file
from etl.synthetic.truth.truth import FileTruth, PlanYear, Truth
from etl.synthetic.world import catalogue, providers
from etl.synthetic.world.world import World

# Of ten claims, for a progress bar.
_LINES_PER_TEN, _DIAGNOSES_PER_TEN = 25, 19


class _Rate(ProgressColumn):
    """Rows a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "")


@dataclass(slots=True)
class _File:
    """A file of a batch while it is made. ``lost_plans``: published ones that were not loaded."""

    truth: FileTruth
    injector: DefectInjector
    lost_plans: set[PlanYear]
    task: TaskID | None = None


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
            else:
                self._replay(world, known, facts=before is None or self._is_fatal(world))
            if before is not None and sequence == first - 1:
                known.unknown = {name: set(keys) for name, keys in before["unknown"].items()}

    def _read(self, sequence: int) -> dict[str, Any] | None:
        """The truth of a batch, if it is there and of this inbox."""
        found = truth_file.read(self._folder, self._marker.span.batch_day(sequence).isoformat())
        if found is None or found.get("made_from") != self._marker.made_from:
            return None
        return found

    def _dirt(self, day: date) -> dirt.Dirt | None:
        return dirt.parse(self._marker.dirty.get(day.isoformat(), ""))

    def _is_fatal(self, world: World) -> bool:
        """Whether a file of this batch may be refused, and the batch with it."""
        request = self._dirt(world.day)
        return request is not None and request.is_fatal

    def _waiting(self, world: World) -> tuple[int, int]:
        """How many claims of a batch and of the one before it wait for their details: of 2**32."""
        requests = (self._dirt(day) for day in (world.day, world.day - timedelta(days=1)))
        of_batch, of_before = (round(r.waiting * 2**BITS) if r else 0 for r in requests)
        return of_batch, of_before

    def _replay(self, world: World, known: Truth, *, facts: bool) -> None:
        """Take a batch into the truth as ``_write`` does, without writing it."""
        files: dict[str, _File] = {}
        for _ in self._pieces(world, known, files, facts=facts):
            pass
        known.take([file.truth for file in files.values()], world.today * 86_400)

    def _pieces(
        self, world: World, known: Truth, files: dict[str, _File], *, facts: bool = True
    ) -> Iterator[tuple[_File, Block, DirtyBlock]]:
        """A batch block by block, with its dirt; ``files`` fills with the truth of each file."""
        touched: Column | None = None
        for block in _blocks(world, self._waiting(world), facts=facts):
            name = block.feed.name
            if name not in files:
                files[name] = self._open(world, known, files, block)
            file = files[name]
            clean = None
            if block.sets is not None and touched is not None:
                # A defect of a set could not be seen where its claim is lost.
                clean = np.isin(block.columns["claim_id"], touched)
            dirty = file.injector.inject(block, clean=clean)
            if name == "claims":
                touched = block.columns["claim_id"][list(dirty.touched)] if dirty.touched else None
            file.truth.add(block, dirty, world.today * 86_400, file.lost_plans)
            yield file, block, dirty

    def _open(self, world: World, known: Truth, files: dict[str, _File], block: Block) -> _File:
        """The file that begins with a block, after these files of the batch."""
        feed = as_written(block)
        injector = DefectInjector(self._dirt(world.day), self._marker.seed, world.today, feed)
        truth = FileTruth(feed, _kind(world, feed.name), refused=injector.refused)
        return _File(truth, injector, known.lost_with([f.truth for f in files.values()]))

    def _write(self, world: World, known: Truth) -> Path:
        files: dict[str, _File] = {}
        with (
            _progress() as progress,
            BatchWriter(self._inbox, world.day, compressed=self._marker.gzip) as writer,
        ):
            self._write_files(world, known, files, writer, progress)
            writer.close()
            for file in files.values():
                truth, name = file.truth, file.truth.feed.file_name
                writer.describe(name, truth.kind, truth.rows, truth.totals)
                truth.defects = file.injector.finish(writer.path(name)) + truth.defects
            truths = [file.truth for file in files.values()]
            keys = known.take(truths, world.today * 86_400)
            self._record(world, known, truths, keys, writer.checksums)
            return writer.finish()

    def _write_files(
        self,
        world: World,
        known: Truth,
        files: dict[str, _File],
        writer: BatchWriter,
        progress: Progress,
    ) -> None:
        with loaded_rows.writing(self._folder, world.day.isoformat()) as rows:
            for file, block, dirty in self._pieces(world, known, files):
                truth, name = file.truth, file.truth.feed.file_name
                if file.task is None:
                    file.task = _task(progress, world, truth.feed.name)
                    writer.write(name, file.injector.header())
                writer.write(name, dirty.data)
                rows.add(block, dirty)
                progress.update(file.task, completed=truth.rows)

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


def _kind(world: World, name: str) -> str:
    """Whether a feed's file is a snapshot or a delta."""
    complete = {
        "members": world.is_snapshot,
        "providers": world.is_snapshot,
        "plans": world.sequence == 0,
    }
    return "snapshot" if complete.get(name) else "delta"


def _blocks(world: World, waiting: tuple[int, int], *, facts: bool) -> Iterator[Block]:
    """The blocks of a batch, those of facts only if they are wanted."""
    yield from member_rows.blocks(world)
    yield from catalogue.blocks(world.published)
    yield from providers.blocks(world.providers, world.touched_providers)
    if facts:
        yield from fact_rows.enrollment_blocks(world)
        yield from fact_rows.claim_blocks(world, waiting)


def _task(progress: Progress, world: World, name: str) -> TaskID:
    """The bar of a file; about how many rows it has is known of those that take a while."""
    claims = world.expected_claims()
    expected = {
        "members": len(world.touched),
        "claims": claims,
        "claim_lines": claims * _LINES_PER_TEN // 10,
        "claim_diagnoses": claims * _DIAGNOSES_PER_TEN // 10,
    }
    return progress.add_task(f"{world.day} {name}", total=expected.get(name))


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
