"""Pending: which files of the inbox are not loaded as they are, and which batches may not be yet.

A file counts as loaded if the ledger has its name, size, modification time and bytes. The bytes
are compared by checksum where the file system saw the file change since they were read (its change
time, which no copying tool sets back), or where that is asked for; elsewhere it is assumed that
they are the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from etl.contracts.refusals import Refusal
from etl.db.statements import run, scalar
from etl.errors import BatchError, one_line
from etl.inbox.batch import Batch, FeedFile, look_through, strays

# A batch that became true so much later than today and than every other batch has a mistyped day:
# it would beat all that comes until then. Files for a coming plan year come months ahead.
HORIZON = timedelta(days=180)

_FileKey = tuple[Path, int, int, int]


@dataclass(frozen=True, slots=True)
class _Known:
    """A file as it was when the ledger came to know it."""

    load_id: int
    part: int
    name: str
    size_bytes: int
    modified_ns: int
    changed_ns: int | None
    checksum: str

    @property
    def signature(self) -> tuple[str, int, int]:
        return self.name, self.size_bytes, self.modified_ns


@dataclass(slots=True)
class Inbox:
    """What a look at the inbox found.

    ``batches``: all that may be loaded, in order, and ``pending`` the files of them that are not
    loaded as they are, but for those that are ``held``: of ``held_feeds``, senders and feeds whose
    files wait since then. ``refused``: why other batches may not be loaded. ``stray``: what lies in
    the inbox and is in no batch, or why it cannot be looked through; then it is not ``is_there``.
    """

    batches: list[Batch] = field(default_factory=list)
    pending: list[tuple[Batch, list[FeedFile]]] = field(default_factory=list)
    held: list[tuple[Batch, list[FeedFile]]] = field(default_factory=list)
    held_feeds: dict[tuple[str, str], datetime] = field(default_factory=dict)
    refused: list[BatchError] = field(default_factory=list)
    stray: BatchError | None = None
    is_there: bool = True


class Lookout:
    """Looks at the inbox for one run.

    ``recheck``: read every file, however old. ``allowed``: ids of batches that may lie in the
    future; those that are there only for that are put into ``let_in``, with how far they lie.
    ``only_looks``: nothing is noted in the ledger. ``has_to_be_there``: also an inbox of which
    nothing is loaded.
    ``now``: after which a day lies in the future; none where the days are of no real world.
    """

    def __init__(
        self,
        inbox: Path,
        now: datetime | None,
        *,
        recheck: bool = False,
        allowed: Collection[str] = (),
        only_looks: bool = False,
        has_to_be_there: bool = False,
    ) -> None:
        self.inbox = inbox
        self.now = now
        self.recheck = recheck
        self.allowed = allowed
        self.only_looks = only_looks
        self.has_to_be_there = has_to_be_there
        self.let_in: dict[str, str] = {}
        self._checksums: dict[_FileKey, str] = {}

    def look(self, ledger: psycopg.Connection[Any]) -> Inbox:
        """Compare the inbox with the ledger.

        Raises ``BatchError`` where the inbox cannot be read, or is gone from under what it brought.
        """
        known = _known(ledger)
        if (known or self.has_to_be_there) and not self.inbox.is_dir():
            raise BatchError(
                Refusal.UNREADABLE_INBOX,
                f"The inbox {self.inbox} is not there"
                f"{', and files of it are loaded' if known else ''}.",
                "See that INBOX names the right folder and that it can be reached; a new one has "
                "to be made first.",
            )
        found = Inbox(stray=strays(self.inbox))
        batches, found.refused = look_through(self.inbox)
        newest = scalar(ledger, "ledger/ledger.newest_batch")
        loaded = {batch_id for batch_id, _ in known}
        found.batches, ahead = self._not_ahead(batches, loaded, newest)
        found.refused += ahead
        found.held_feeds = held_feeds(ledger)
        for batch in found.batches:
            files: list[FeedFile] = []
            held: list[FeedFile] = []
            for file in batch.files:
                before = known.get((batch.batch_id, file.feed.name))
                try:
                    if self._is_pending(ledger, file, before):
                        is_held = (file.sender, file.feed.name) in found.held_feeds
                        (held if is_held else files).append(file)
                except BatchError as error:
                    error.folder = batch.folder
                    found.refused.append(error)
            if files:
                found.pending.append((batch, files))
            if held:
                found.held.append((batch, held))
        return found

    def _not_ahead(
        self, batches: list[Batch], loaded: Collection[str], newest: datetime | None
    ) -> tuple[list[Batch], list[BatchError]]:
        """The batches without those that lie too far in the future; these, refused.

        What lies beyond the horizon and was let in does not move the horizon of others.
        """
        kept: list[Batch] = []
        refused: list[BatchError] = []
        for batch in batches:
            known = [moment for moment in (self.now, newest) if moment is not None]
            if not known or batch.as_of - max(known) <= HORIZON:
                newest = batch.as_of if newest is None else max(newest, batch.as_of)
            elif batch.batch_id in self.allowed:
                self.let_in[batch.batch_id] = self._far(batch, newest)
            elif batch.batch_id not in loaded:
                refused.append(_ahead(batch, self._far(batch, newest)))
                continue
            kept.append(batch)
        return kept, refused

    def _far(self, batch: Batch, newest: datetime | None) -> str:
        """How far a batch lies ahead of what it is compared with."""
        against = ["today"] if self.now else []
        against += [f"{newest:%Y-%m-%d}, the newest other batch"] if newest else []
        return (
            f"became true on {batch.as_of:%Y-%m-%d}, more than {HORIZON.days} days after "
            f"{' and after '.join(against)}"
        )

    def _is_pending(
        self, ledger: psycopg.Connection[Any], file: FeedFile, known: list[_Known] | None
    ) -> bool:
        """Whether the ledger does not have this file, or has it with other bytes."""
        if known is None or {one.signature for one in known} != file.signature:
            return True
        by_name = {one.name: one for one in known}
        for part in file.files:
            before = by_name[part.names]
            if not self.recheck and part.changed_ns == before.changed_ns:
                continue
            if _key(part) not in self._checksums:
                self._checksums[_key(part)] = part.checksum()
            if self._checksums[_key(part)] != before.checksum:
                return True
            if part.changed_ns != before.changed_ns and not self.only_looks:
                values: dict[str, Any] = {"changed_ns": part.changed_ns, "part": before.part}
                values |= {"load_id": before.load_id, "feed": file.feed.name}
                run(ledger, "stage/parts.note_change", values)
        return False


def held_feeds(ledger: psycopg.Connection[Any]) -> dict[tuple[str, str], datetime]:
    """Senders and feeds whose files wait, since when."""
    return {(sender, feed): since for sender, feed, since in run(ledger, "ledger/held.open")}


def assumed(ledger: psycopg.Connection[Any], inbox: Path) -> list[FeedFile]:
    """Files of the inbox that are taken to be as they were loaded, without a look at their bytes.

    Nothing is read or written for this.
    """
    known = _known(ledger)
    found = []
    for batch in look_through(inbox)[0]:
        for file in batch.files:
            of_feed = known.get((batch.batch_id, file.feed.name), ())
            if {one.signature for one in of_feed} == file.signature:
                changed = {one.name: one.changed_ns for one in of_feed}
                found += [f for f in file.files if changed[f.names] == f.changed_ns]
    return found


def _key(file: FeedFile) -> _FileKey:
    return file.path, file.size_bytes, file.modified_ns, file.changed_ns


def _known(ledger: psycopg.Connection[Any]) -> dict[tuple[str, str], list[_Known]]:
    """The files of each batch and feed as they were when they were loaded last."""
    found: dict[tuple[str, str], list[_Known]] = {}
    for load_id, batch_id, feed, *rest in run(ledger, "stage/parts.seen"):
        known = _Known(load_id, *rest)
        of_feed = found.setdefault((batch_id, feed), [])
        # The latest load comes first: what others brought was replaced by it.
        if not of_feed or of_feed[0].load_id == load_id:
            of_feed.append(known)
    return found


def _ahead(batch: Batch, far: str) -> BatchError:
    name = one_line(batch.batch_id)
    quoted = "'{}'".format(name.replace("'", r"'\''"))
    error = BatchError(
        Refusal.FUTURE_BATCH,
        f"Batch {name} says that it {far}.",
        "If its day is mistyped, rename the folder or fix as_of: it would beat every correction "
        f"until then. If it is meant: make incremental ALLOW_FUTURE={quoted}",
    )
    error.folder = batch.folder
    return error
