"""Limits: what no feed is, however it is packed, and the sentence about a file that cannot be."""

from __future__ import annotations

import io
import zipfile
from typing import BinaryIO

from etl.contracts.refusals import Refusal

# Packed text shrinks to a tenth, and to a hundredth where it repeats itself; what unpacks to more
# than this, or is larger than any feed, is no feed.
MOST_UNPACKED_TIMES = 250
LARGEST_UNPACKED = 256 << 30
# The record that ends a zip archive, without its comment (APPNOTE 4.3.16).
_END, _END_BYTES = b"PK\x05\x06", 22
# Small files may be as odd as they like.
_SMALL = 64 << 20


class Unfit(Exception):
    """A file that cannot be read as it is.

    ``what`` follows its name in a sentence; ``hint``: what to do. Neither has a value of the file.
    """

    def __init__(self, refusal: Refusal, what: str, hint: str) -> None:
        super().__init__(what)
        self.refusal = refusal
        self.what = what
        self.hint = hint


def most_unpacked(size_bytes: int) -> int:
    """The most bytes that a file of so many may unpack to."""
    return min(LARGEST_UNPACKED, max(_SMALL, MOST_UNPACKED_TIMES * size_bytes))


def unpacks_to_more(unpacked: int, size_bytes: int) -> Unfit:
    """What is said of a file that unpacks to more than any feed has."""
    return Unfit(
        Refusal.TOO_LARGE,
        f"unpacks to more than {unpacked >> 20:,} MiB from {size_bytes >> 10:,} KiB",
        "No feed is packed so: ask the sender what it is; nothing was loaded.",
    )


def check_whole(raw: BinaryIO, archive: zipfile.ZipFile) -> None:
    """Raise ``Unfit`` if a file is more than one archive: the library reads the last one alone."""
    begin = min((one.header_offset for one in archive.infolist()), default=0)
    raw.seek(-_END_BYTES - len(archive.comment), io.SEEK_END)
    if begin > 0 or raw.read(len(_END)) != _END:
        raise Unfit(
            Refusal.UNREADABLE_FILE,
            "has something in front of its archive or behind it, perhaps another one",
            "Ask the sender for one archive and nothing else; nothing was loaded.",
        )
