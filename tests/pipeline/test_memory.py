"""Memory of a run stays under 400 MB, whatever a file contains."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable, Iterable
from itertools import chain, repeat

import pytest

from etl.config import ROOT
from tests.support.warehouse import Warehouse

MOST_KB = 400 << 10
# Python with its packages, and a block of the file.
MOST_KB_FILTERED = 140 << 10
MIB = 1 << 20
HEAD = b"provider_id,name,specialty,street,city,state,zip,phone\n"
ROW = b"P%d,Dr %d,Family,Oak St,Madison,WI,53703,555\n"


END = b",Family,Oak St,Madison,WI,53703,555\n"


def rows(count: int, begin: int = 0) -> bytes:
    return b"".join(ROW % (begin + n, n) for n in range(count))


SOUND = rows(10_000)
# What comes below the header, in pieces.
FILES: dict[str, Callable[[], Iterable[bytes]]] = {
    "three million rows with lines between": lambda: (
        rows(10_000, n * 10_000).replace(b"\n", b"\n\n") for n in range(300)
    ),
    "three hundred lines of a megabyte": lambda: chain(
        [SOUND], (b"L%d," % n + b"x" * 1_000_000 + END for n in range(300))
    ),
    "a million rows in conflict": lambda: (
        b"".join(ROW % (n // 2 + block * 5_000, n) for n in range(10_000)) for block in range(105)
    ),
    "a field of 100 MB": lambda: chain([b"P1,"], repeat(b"x" * MIB, 100), [END, SOUND]),
    "a quoted field of 100 MB": lambda: chain(
        [b'P1,"'], repeat(b"x y z\n" * (MIB // 6), 100), [b'"' + END, SOUND]
    ),
    "nothing but quotes": lambda: repeat(b'"' * MIB, 30),
    "millions of bad rows": lambda: repeat(b"a,b\n" * (MIB // 4), 20),
    "half a million bad rows among sound ones": lambda: (
        rows(10_000, n * 10_000) + b"Dr No,Oak St\n" * 9_000 for n in range(50)
    ),
}


# Linux counts the memory of who starts a process as the process's own, so a small one starts it.
STARTER = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "etl", *sys.argv[1:]], stdout=sys.stderr)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak_kb(warehouse: Warehouse, *arguments: str, **environment: str) -> tuple[int, int]:
    """Exit code of a command, and the most memory that it used at once, in kB."""
    done = subprocess.run(
        [sys.executable, "-c", STARTER, *arguments],
        cwd=ROOT,
        env=warehouse.environment(**environment),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    code, peak = map(int, done.stdout.split())
    return code, peak


@pytest.mark.slow
@pytest.mark.parametrize("content", FILES)
def test_memory_is_bounded_whatever_a_file_contains(warehouse: Warehouse, content: str) -> None:
    with (warehouse.send("2025-01-10") / "providers.csv").open("wb") as file:
        file.writelines(chain([HEAD], FILES[content]()))
    code, peak = peak_kb(warehouse, "stage", REJECT_SHARE="1")
    assert code in (0, 4)
    assert peak < MOST_KB
    counted = warehouse.value("select sum(rows_loaded) from ledger.load_file")
    assert warehouse.value("select count(*) from staging.providers_raw") == (counted or 0)


def test_a_gzip_bomb_is_refused_early(warehouse: Warehouse) -> None:
    folder = warehouse.send("2025-01-10")
    with gzip.open(folder / "providers.csv.gz", "wb", 6) as packed:
        packed.write(HEAD + ROW % (1, 1))
        for _ in range(100):
            packed.write(b"0" * MIB)
    done = warehouse.command("stage")
    assert done.returncode == 4
    assert "providers.csv.gz of batch 2025-01-10 unpacks to more than" in done.stderr
    assert warehouse.value("select count(*) from staging.providers_raw") == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_filtered_rows(warehouse: Warehouse) -> None:
    head = b"PATIENT,MEMBERID,START_YEAR,END_YEAR,PAYER,SECONDARY_PAYER,OWNERSHIP,OWNERNAME\n"
    row = b"P1,%b,2024-01-01T00:00:00Z,2025-01-01T00:00:00Z,P2,,,\n"
    with (warehouse.send("2025-01-10") / "payer_transitions.csv").open("wb") as file:
        # Without a number of a member a span is filtered (etl/contracts/senders/synthea.py).
        file.writelines(chain([head, row % b"M1"], repeat(row % b"" * 10_000, 300)))
    code, peak = peak_kb(warehouse, "stage")
    assert code == 0
    counted = "select rows_read, rows_filtered, rows_loaded from ledger.load_file"
    assert warehouse.rows(counted) == [(3_000_001, 3_000_000, 1)]
    assert peak < MOST_KB_FILTERED
