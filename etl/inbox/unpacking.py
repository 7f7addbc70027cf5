"""Unpacking: from the bytes of a file on disk to those that are read, by how its name ends.

A ``.gz`` and a ``.zip`` are unpacked; of a workbook (``.xlsx``) one sheet becomes a CSV text. All
are undone here, so that whatever reads a file knows texts alone.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, cast

from etl.contracts.file_form import FileForm
from etl.contracts.refusals import Refusal
from etl.errors import one_line, some_of
from etl.inbox.folder import is_passed_over
from etl.inbox.limits import Unfit, check_whole

GZIP, ZIP, WORKBOOK = ".gz", ".zip", ".xlsx"
# By which files are packed: their size on disk is not that of what is read.
PACKED = (GZIP, ZIP, WORKBOOK)

_BLOCK = 1 << 20
_IS_ENCRYPTED = 0x1
# What unpacks a block at a time; the other ways of zip may unpack all at once.
_WAYS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MOST_MEMBERS = 1000
# More bytes than any file has.
_ENDLESS = 1 << 62
_NAMED = 3
_AGAIN = "See that the file may be read, or ask the sender for it again; nothing was loaded."


def ending(path: Path) -> str:
    """By what a file is packed, empty if by nothing."""
    found = path.suffix.lower()
    return found if found in PACKED else ""


def blocks(raw: BinaryIO, path: Path, form: FileForm, decimal: str = ".") -> Iterator[bytes]:
    """The bytes of a file to be read, a block at a time; ``Unfit`` where they cannot be.

    ``form``: which member of an archive or sheet of a workbook is meant, and where its header is.
    ``decimal``: the mark that the numbers of a workbook are written with.
    """
    try:
        match ending(path):
            case ".gz":
                yield from _read(cast(BinaryIO, gzip.GzipFile(fileobj=raw)))
            case ".zip":
                yield from _of_archive(raw, form.member)
            case ".xlsx":
                # What reads workbooks takes longer to import than most commands take.
                from etl.inbox import workbook

                yield from workbook.blocks(raw, form, decimal)
            case _:
                yield from _read(raw)
    except (EOFError, zlib.error, zipfile.BadZipFile, OSError) as error:  # BadGzipFile is one too
        # The text of the library's error can quote the file.
        why = "it is cut short" if isinstance(error, EOFError) else "it is damaged"
        raise Unfit(Refusal.UNREADABLE_FILE, f"cannot be read to its end: {why}", _AGAIN) from error


def member(raw: BinaryIO, wanted: str) -> zipfile.ZipInfo:
    """The file of a zip archive that is meant; ``Unfit`` if that is not clear or it is unfit.

    ``wanted``: a pattern of its name, empty if nobody says it.
    """
    with zipfile.ZipFile(raw) as archive:
        check_whole(raw, archive)
        found = _files_of(archive)
    meant = [one for one in found if not wanted or fnmatchcase(_plain(one), wanted.lower())]
    if len(meant) != 1:
        names = some_of([one_line(one.filename) for one in meant or found], _NAMED) or "none"
        which = f", of which {len(meant):,} are named {one_line(wanted)}" if wanted else ""
        raise Unfit(
            Refusal.NOT_CSV,
            f"is an archive of {len(found):,} files{which}: {names}",
            "Ask the sender for an archive of one file, or name the one that is meant as member in "
            "the manifest or in the form of a contract; nothing was loaded.",
        )
    [one] = meant
    if one.flag_bits & _IS_ENCRYPTED:
        raise Unfit(
            Refusal.UNREADABLE_FILE,
            "is an archive with a password, which the warehouse does not have",
            "Ask the sender for an archive without one, or unpack it; nothing was loaded.",
        )
    if one.compress_type not in _WAYS:
        raise Unfit(
            Refusal.UNREADABLE_FILE,
            f"is packed in a way that is not read (method {one.compress_type} of zip)",
            "Ask the sender for an archive that any program reads (deflate); nothing was loaded.",
        )
    return one


def _of_archive(raw: BinaryIO, wanted: str) -> Iterator[bytes]:
    """The file that is meant, whole: the library reads as far as the archive's directory says."""
    one = member(raw, wanted)
    stated, read = one.file_size, 0
    one.file_size = _ENDLESS
    with zipfile.ZipFile(raw) as archive, archive.open(one) as file:
        for block in _read(cast(BinaryIO, file)):
            read += len(block)
            yield block
    if read != stated:
        raise zipfile.BadZipFile("another size than stated")


def _files_of(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive that may be a feed; ``Unfit`` if its names are no honest ones."""
    found = archive.infolist()
    names = [one.filename for one in found]
    unsafe = next((name for name in names if not _is_safe(name)), None)
    if unsafe is not None or len(set(names)) < len(names) or len(names) > _MOST_MEMBERS:
        what = (
            f"an unsafe name ({one_line(unsafe)})"
            if unsafe is not None
            else "one name twice"
            if len(set(names)) < len(names)
            else f"{len(names):,} files"
        )
        raise Unfit(
            Refusal.NOT_CSV,
            f"is an archive with {what}",
            "Ask the sender what it is, and for an archive of the one file; nothing was loaded.",
        )
    return [
        one
        for one in found
        if not one.is_dir()
        and not one.filename.startswith("__MACOSX/")
        and not is_passed_over(one.filename.rpartition("/")[2])
    ]


def _is_safe(name: str) -> bool:
    """Whether a name leads nowhere but into the archive's own folder."""
    return not (name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/"))


def _plain(one: zipfile.ZipInfo) -> str:
    return one.filename.rpartition("/")[2].lower()


def _read(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block
