"""Memory of a run stays under 400 MB, whatever a file holds."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from etl.config import ROOT
from tests.support.feeds import write_batch
from tests.support.warehouse import Warehouse

MOST_KB = 400 << 10
MIB = 1 << 20
HEAD = b"provider_id,name,specialty,street,city,state,zip,phone\n"
ROW = b"P%d,Dr %d,Family,Oak St,Madison,WI,53703,555\n"
SOUND = b"".join(ROW % (n, n) for n in range(10_000))


def a_field_of_100_mb() -> Iterator[bytes]:
    yield HEAD + b"P1,"
    for _ in range(100):
        yield b"x" * MIB
    yield b",Family,Oak St,Madison,WI,53703,555\n" + SOUND


def a_quoted_field_of_100_mb() -> Iterator[bytes]:
    yield HEAD + b'P1,"'
    for _ in range(100):
        yield b"x y z\n" * (MIB // 6)
    yield b'",Family,Oak St,Madison,WI,53703,555\n' + SOUND


def nothing_but_quotes() -> Iterator[bytes]:
    yield HEAD
    for _ in range(30):
        yield b'"' * MIB


def millions_of_bad_rows() -> Iterator[bytes]:
    yield HEAD
    for _ in range(20):
        yield b"a,b\n" * (MIB // 4)


def half_a_million_bad_rows_among_sound_ones() -> Iterator[bytes]:
    yield HEAD
    for n in range(50):
        yield b"".join(ROW % (n * 10_000 + i, i) for i in range(10_000))
        yield b"Dr No,Oak St\n" * 9_000


def three_million_rows_with_lines_between() -> Iterator[bytes]:
    yield HEAD
    for n in range(300):
        yield b"\n".join(ROW % (n * 10_000 + i, i) for i in range(10_000))


def three_hundred_lines_of_a_megabyte() -> Iterator[bytes]:
    yield HEAD + SOUND
    for n in range(300):
        yield b"L%d," % n + b"x" * 1_000_000 + b",Family,Oak St,Madison,WI,53703,555\n"


def a_million_rows_in_conflict() -> Iterator[bytes]:
    yield HEAD
    for n in range(105):
        yield b"".join(ROW % (i // 2 + n * 5_000, i) for i in range(10_000))


FILES = [
    three_million_rows_with_lines_between,
    three_hundred_lines_of_a_megabyte,
    a_million_rows_in_conflict,
    a_field_of_100_mb,
    a_quoted_field_of_100_mb,
    nothing_but_quotes,
    millions_of_bad_rows,
    half_a_million_bad_rows_among_sound_ones,
]


def write(path: Path, pieces: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def peak_kb(warehouse: Warehouse, *arguments: str, **environment: str) -> tuple[int, int]:
    """Exit code of a command, and the most memory that it held at once, in kB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "etl", *arguments],
        cwd=ROOT,
        env=warehouse.environment(**environment),
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss


@pytest.mark.slow
@pytest.mark.parametrize("pieces", FILES, ids=lambda made: made.__name__)
def test_memory_is_bounded_whatever_a_file_contains(warehouse: Warehouse, pieces) -> None:
    folder = write_batch(warehouse.inbox, "2025-01-10")
    write(folder / "providers.csv", pieces())
    code, peak = peak_kb(warehouse, "stage", REJECT_SHARE="1")
    assert code in (0, 4)
    assert peak < MOST_KB
    ((loaded,),) = warehouse.rows("select count(*) from staging.providers_raw")
    ((counted,),) = warehouse.rows("select sum(rows_loaded) from ledger.load_file")
    assert loaded == (counted or 0)


def test_a_gzip_bomb_is_refused_early(warehouse: Warehouse) -> None:
    folder = write_batch(warehouse.inbox, "2025-01-10")
    with gzip.open(folder / "providers.csv.gz", "wb", 6) as packed:
        packed.write(HEAD + ROW % (1, 1))
        for _ in range(100):
            packed.write(b"0" * MIB)
    done = warehouse.command("stage")
    assert done.returncode == 4
    assert "providers.csv.gz of batch 2025-01-10 unpacks to more than" in done.stderr
    assert warehouse.rows("select count(*) from staging.providers_raw") == [(0,)]
