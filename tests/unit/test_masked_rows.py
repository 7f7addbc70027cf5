"""Masked files of drawn bytes: the reader says of each row what it says of the original's."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.errors import BatchError
from etl.inbox import header
from etl.inbox.batch import Batch, read_batch
from etl.inbox.copy_stream import Stream
from etl.masked_inbox import copy
from etl.masked_inbox.people import is_replaced
from etl.stages.stage import landing
from etl.stages.stage.load_file import _fields
from tests.support.feeds import fill

SECRET = b"zq"
ROWS = 30
# What is put into rows, in place of a piece of them or between its bytes.
PIECES = [
    *(b'"', b'""', b",", b'",', b',"', b'","', b"\r", b"\n", b"\r\n", b"\n\n", b"\xff", b"\0"),
    *(b" ", b"\t", b"zq", b"Zqsmith", b"total", b"member_id", b"claim_id", b"12.50", b"2025-02-31"),
    *(b"today", b"null", b"?", b"\x1a", b"\xc3\xa9", b"e\xcc\x81", b'"zq, zq\nzq"', b"zq" * 300),
]


def drawn_file(feed: Feed, draw: random.Random) -> bytes:
    """A file with good rows, most of them spoiled in some place."""
    names = [c.name for c in feed.staged]
    if draw.random() < 0.5:
        draw.shuffle(names)
    lines = [",".join(names).encode()]
    for number in range(ROWS):
        people = {c.name: f"zq{draw.randrange(9)}" for c in feed.columns if is_replaced(c)}
        row = {**people, feed.key[0]: f"zq{number}"}
        values = fill(feed, row)
        record = bytearray(",".join(values[name] for name in names).encode())
        for _ in range(draw.choice([0, 0, 1, 1, 2, 3])):
            at = draw.randrange(len(record))
            record[at : at + draw.choice([0, 0, 1, 2, 40])] = draw.choice(PIECES)
        lines.append(bytes(record))
    end = draw.choice([b"\n", b"\n", b"\r\n"])
    return end.join(lines) + draw.choice([end, b"", b"\n\x1a"])


def read(folder: Path) -> Any:
    """What the reader says of the rows of a file, and of the amounts in it."""
    batch: Batch = read_batch(folder)
    (file,) = batch.files
    head, records = header.read(batch, file, file.blocks)
    stream = Stream(_fields(head, landing.plan(head)), b"")
    try:
        for _ in stream.send(records):
            pass
    except BatchError as error:
        return error.refusal
    amounts = stream.amounts
    is_cut = not file.path.read_bytes().endswith((b"\n", b"\r")) and stream.is_cut()
    return stream.read, stream.rejects, dict(amounts.cents), dict(amounts.unread), is_cut


@pytest.mark.parametrize("name", ["members", "enrollments", "claims"])
@pytest.mark.parametrize("seed", range(40))
def test_rows_of_drawn_bytes_are_read_as_they_were(name: str, seed: int, tmp_path: Path) -> None:
    draw = random.Random(f"{name} {seed}")
    folder = tmp_path / "inbox" / "2025-01-10"
    folder.mkdir(parents=True)
    (folder / f"{name}.csv").write_bytes(drawn_file(FEEDS[name], draw))
    copied = copy.make(tmp_path / "inbox", tmp_path / "copy")
    assert copied.left_out == []
    before = read(folder)
    assert read(copied.folder / "2025-01-10") == before
    masked = (copied.folder / "2025-01-10" / f"{name}.csv").read_bytes().lower().split(b"\n")
    for line, reason, _ in before[1]:
        # Of other rows some text column may have been drawn.
        assert SECRET not in masked[line - 1], reason
