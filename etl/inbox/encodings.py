"""What bytes are: the kind of a file, the text encoding of its bytes, the first that is no UTF-8.

Nothing here reveals a byte's value: what it says may be in a message.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

UTF8 = "utf-8"

# How files begin that are no CSV; with what each is.
_KINDS = (
    (b"PK\x03\x04", "a ZIP archive or a spreadsheet"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"%PDF-", "a PDF document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\0", "an SQLite database"),
)
_MARKUP = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "XML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
# The mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_LONGEST_KIND = 64
# Where a tar archive says what it is.
_TAR, _TAR_AT = b"ustar", 257
_SAMPLE = 1 << 16
_UTF8_SIGNS = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}")
_CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class BadByte:
    """The first byte that cannot be a part of UTF-8 text.

    ``offset`` in bytes from the file's beginning; ``likely``: what the bytes about it look like.
    """

    offset: int
    likely: str

    def __str__(self) -> str:
        return f"byte {self.offset:,} is not UTF-8, it looks like {self.likely}"


def kind_of(head: bytes) -> str | None:
    """What a file is that begins so, where that is certain and no CSV."""
    for magic, kind in _KINDS:
        if head.startswith(magic):
            return kind
    if head.startswith(_TAR, _TAR_AT):
        return "a tar archive"
    start = head[:_LONGEST_KIND].lstrip().lower()
    return next((kind for magic, kind in _MARKUP if start.startswith(magic)), None)


def marked(head: bytes) -> str | None:
    """The encoding that a byte-order mark other than that of UTF-8 says."""
    return next((name for mark, name in _MARKS if head.startswith(mark)), None)


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8 text."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def first_bad_byte(blocks: Iterable[bytes]) -> BadByte | None:
    """The first byte that is not UTF-8 text; NUL is none, since no column can contain it."""
    offset, rest = 0, b""
    for block in blocks:
        data = rest + block
        nul = data.find(b"\0")
        found = [nul] if nul >= 0 else []
        try:
            _, used = codecs.utf_8_decode(data, "strict", False)
        except UnicodeDecodeError as error:
            found.append(error.start)
        if found:
            at = min(found)
            return BadByte(offset + at, likely(data[: _SAMPLE + at], at))
        offset, rest = offset + used, data[used:]
    return BadByte(offset, "a sign that is cut short") if rest else None


def likely(data: bytes, at: int) -> str:
    """What encoding data is in, of which the byte ``at`` is not UTF-8."""
    mark = marked(data)
    if mark:
        return mark
    sample = data[max(0, at - _SAMPLE) :]
    nuls = sample.count(b"\0")
    if nuls * 3 > len(sample):
        return "UTF-16"
    if nuls or len(_CONTROLS.findall(sample)) * 50 > len(sample):
        return "binary data"
    try:
        sample.decode("windows-1252")
    except UnicodeDecodeError:
        return "no encoding that its bytes reveal"
    if _UTF8_SIGNS.search(sample):
        return "a mix of UTF-8 and Windows-1252"
    return "Windows-1252"


def _mark(error: UnicodeError) -> tuple[str, int]:
    """A lone surrogate for a byte that the encoding has no sign for."""
    assert isinstance(error, UnicodeDecodeError)
    return chr(0xDC00 + error.object[error.start]), error.end


codecs.register_error("aca.mark", _mark)


def transcoded(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """The blocks as UTF-8.

    Where there is no sign for a byte, bytes come out that are not UTF-8 either: whoever looks at
    the rows finds them there and rejects that row.
    """
    if codecs.lookup(encoding).name == UTF8:
        yield from blocks
        return
    decoder = codecs.getincrementaldecoder(encoding)("aca.mark")
    for block in blocks:
        yield decoder.decode(block).encode(UTF8, "surrogatepass")
    if last := decoder.decode(b"", final=True):
        yield last.encode(UTF8, "surrogatepass")


def encoded(blocks: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    """Blocks of whole characters in the encoding that ``transcoded`` read them from.

    The marks that it made of bytes without a sign are these bytes again.
    """
    if codecs.lookup(encoding).name == UTF8:
        yield from blocks
        return
    encoder = codecs.getincrementalencoder(encoding)("surrogateescape")
    for block in blocks:
        yield encoder.encode(block.decode("utf-8", "surrogatepass"))
