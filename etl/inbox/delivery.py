"""Delivery: the file of a feed in a batch, whole or in parts, as it lies on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import xxhash

from etl.contracts.feed import Feed
from etl.contracts.file_form import FileForm
from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.errors import BatchError, one_line, printable
from etl.inbox import encodings, unpacking
from etl.inbox.limits import Unfit
from etl.inbox.manifest import Expected, open_regular

_BLOCK = 1 << 20
# How many parts a message names before it only counts them.
_PARTS_NAMED = 3


@dataclass(frozen=True, slots=True)
class FeedFile:
    """One feed of a batch: one file, or several that are its parts and are read as one.

    ``size_bytes``, ``modified_ns`` and ``changed_ns`` (when the file system last saw it change,
    which no sender can set) are those of the file on disk. ``parts``: in order, none where the
    feed is one file; then size and times are their sum and their latest, ``path`` is the first
    one's, and ``expected`` is what the manifest says of all of them together.
    """

    feed: Feed
    path: Path
    expected: Expected
    size_bytes: int
    modified_ns: int
    changed_ns: int = 0
    parts: tuple[FeedFile, ...] = ()
    _checksum: list[str] = field(default_factory=list, repr=False, compare=False)

    @property
    def files(self) -> tuple[FeedFile, ...]:
        """Its files, in order: its parts, or itself."""
        return self.parts or (self,)

    @property
    def name(self) -> str:
        """What a message calls it."""
        if len(self.parts) > _PARTS_NAMED:
            first, last = self.parts[0].name, self.parts[-1].name
            return f"{first} to {last} ({len(self.parts):,} parts)"
        return self.names

    @property
    def names(self) -> str:
        """The names of all its files."""
        return ", ".join(printable(file.path.name) for file in self.files)

    @property
    def is_packed(self) -> bool:
        """Whether its bytes are not those that are read, so that they measure no progress."""
        return any(unpacking.ending(file.path) for file in self.files)

    @property
    def is_workbook(self) -> bool:
        """Whether it is a workbook, of which a sheet is read as a text."""
        return any(unpacking.ending(file.path) == unpacking.WORKBOOK for file in self.files)

    @property
    def differs_by_contract(self) -> bool:
        """Whether a contract says what of the file is read: a sheet, or a file in an archive."""
        return unpacking.ending(self.path) in (unpacking.WORKBOOK, unpacking.ZIP)

    @property
    def signature(self) -> frozenset[tuple[str, int, int]]:
        """By what it is seen cheaply that it is another: names, sizes and times of its files."""
        return frozenset((printable(f.path.name), f.size_bytes, f.modified_ns) for f in self.files)

    @property
    def sender(self) -> str:
        """The contract that the manifest names, else the feed's own, which has its name."""
        return self.expected.contract or self.feed.name

    def is_of(self, sender: str, feed: str) -> bool:
        """Whether it is a file of this feed from this sender."""
        return (self.sender, self.feed.name) == (sender, feed)

    def checksum(self) -> str:
        """xxh3_128, 32 hexadecimal digits, of the bytes on disk, or of its parts' checksums."""
        if not self._checksum:
            self._checksum.append(self._digest())
        return self._checksum[0]

    def _digest(self) -> str:
        digest = xxhash.xxh3_128()
        for part in self.parts:
            digest.update(bytes.fromhex(part.checksum()))
        if self.parts:
            return digest.hexdigest()
        try:
            with open_regular(self.path) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        except OSError as error:
            raise self._unreadable(error.strerror or "it is damaged") from error
        return digest.hexdigest()

    def blocks(self, contract: SenderContract | None = None) -> Iterator[bytes]:
        """The bytes of one file, unpacked, a block at a time; ``BatchError`` if it is damaged.

        ``contract``: says which sheet of a workbook or file of an archive is meant, if the manifest
        does not, and how the numbers of a workbook are written.
        """
        decimal = contract.parsing.decimal if contract else "."
        try:
            with open_regular(self.path) as raw:
                yield from unpacking.blocks(raw, self.path, self.form_under(contract), decimal)
        except Unfit as error:
            raise self.unfit(error) from error
        except OSError as error:
            raise self._unreadable(error.strerror or "it is damaged") from error

    def form_under(self, contract: SenderContract | None) -> FileForm:
        """How the file is laid out: as a contract declares, and with what the manifest names."""
        form, said = contract.form if contract else FileForm(), self.expected
        return replace(form, member=said.member or form.member, sheet=said.sheet or form.sheet)

    def encoding_under(self, contract: SenderContract) -> str:
        """The encoding of the text that ``blocks`` gives, by Python's name."""
        return encodings.UTF8 if self.is_workbook else contract.parsing.encoding

    def unfit(self, error: Unfit) -> BatchError:
        """The sentence about a file that cannot be read as it is."""
        where = f"{printable(self.path.name)} of batch {one_line(self.path.parent.name)}"
        return BatchError(error.refusal, f"{where} {error.what}.", error.hint)

    def _unreadable(self, why: str) -> BatchError:
        return BatchError(
            Refusal.UNREADABLE_FILE,
            f"{self.name} of batch {one_line(self.path.parent.name)} cannot be read to its end: "
            f"{why}.",
            "See that the file may be read, or ask the sender for it again; nothing was loaded.",
        )

    def unchanged(self) -> bool:
        """Whether the file on disk is still the one that was looked at first."""
        if self.parts:
            return all(part.unchanged() for part in self.parts)
        try:
            found = self.path.stat()
        except OSError:
            return False
        if (found.st_size, found.st_mtime_ns) != (self.size_bytes, self.modified_ns):
            return False
        # A link or a right given to it meanwhile counts as a change of the file too.
        return found.st_ctime_ns == self.changed_ns or self._digest() == self.checksum()


def feed_file(feed: Feed, path: Path, expected: Expected, found: os.stat_result) -> FeedFile:
    """A feed that is one file, or a part of one."""
    return FeedFile(
        feed, path, expected, found.st_size, found.st_mtime_ns, changed_ns=found.st_ctime_ns
    )


def in_parts(feed: Feed, parts: list[FeedFile], expected: Expected) -> FeedFile:
    """A feed that is several files."""
    return FeedFile(
        feed,
        parts[0].path,
        expected,
        sum(part.size_bytes for part in parts),
        max(part.modified_ns for part in parts),
        max(part.changed_ns for part in parts),
        tuple(parts),
    )
