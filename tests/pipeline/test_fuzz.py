"""Whatever its bytes, a file is loaded whole or refused with a message; its counts add up."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import xxhash
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from etl.contracts import senders
from etl.contracts.feeds import FEEDS
from etl.errors import AcaError
from etl.inbox.batch import read_batch
from etl.pipeline import commands
from etl.pipeline.session import RunContext
from tests.support.blocks import drawn_rows
from tests.support.files import REAL_FILES
from tests.support.mediterranean import FRENCH, encoded, mediterranean
from tests.support.warehouse import Warehouse

Stage = Callable[..., str]
numbers = itertools.count()

# Bytes with a meaning in CSV, in SQL or in a format, and some without any.
SPLINTERS = [b'"', b'""', b",", b"\n", b"\r", b"\r\n", b"\0", b"\t", b" ", b"\\.", b"\\", b"\x1a"]
SPLINTERS += [b"\xff", b"\x81", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"today"]
SPLINTERS += [b"NaN", b"Infinity", b"1e400", b"-0", b"0" * 400, b"'", b"%s", b"%(x)s", b"{}", b"$1"]
SPLINTERS += [b"9999-99-99", b"0001-01-01 BC", b"24:00", b"\xe2\x80\xa8", b"\xf0\x9f\x98\x80"]


def plain(feed: str) -> bytes:
    """A sound file of a feed."""
    out = io.StringIO(newline="")
    rows = drawn_rows(feed, 12)
    writer = csv.DictWriter(out, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


CMS = (REAL_FILES / "cms_plan_attributes_2025_excerpt.csv").read_bytes().splitlines(keepends=True)
FILES = [(feed, plain(feed)) for feed in FEEDS]
FILES += [("plans", b"".join([CMS[0], *CMS[2:9]])), ("claims", encoded(FRENCH, "windows-1252"))]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, bytes]:
    """A sound file with a few changes, below the header more often than in it."""
    feed, data = draw(st.sampled_from(FILES))
    header = data.index(b"\n") + 1
    for _ in range(draw(st.integers(1, 4))):
        low = 0 if draw(st.integers(0, 9)) == 0 else min(header, len(data))
        at, end = sorted(draw(st.tuples(*[st.integers(low, len(data))] * 2)))
        lines = data.splitlines(keepends=True) or [b""]
        line = draw(st.integers(0, len(lines) - 1))
        data = draw(
            st.sampled_from(
                [
                    data[:at],
                    data[:at] + data[end:],
                    data[:at] + draw(st.sampled_from(SPLINTERS)) + data[at:],
                    data[:at] + draw(st.binary(max_size=9)) + data[at:],
                    data[:at] + data[at : at + 1].swapcase() + data[at + 1 :],
                    data[:at] + data[low:end] + data[at:],
                    b"".join([*lines, lines[line]]),
                    b"".join([*lines[:line], *lines[line + 1 :]]),
                    data.replace(b"\n", draw(st.sampled_from([b"\r\n", b"\r", b"\n\n", b"\n "]))),
                    data.replace(b",", draw(st.sampled_from([b", ", b'","', b";"])), 20),
                ]
            )
        )
    return feed, data


@pytest.fixture(scope="module")
def stage(module_warehouse: Warehouse) -> Iterator[Stage]:
    """Stage a file of a feed as the pipeline does, and compare the result with the ledger."""
    senders.SENDERS[mediterranean.name] = mediterranean
    with module_warehouse.pipeline(reject_share=0.5) as pipeline:
        yield partial(send, module_warehouse, pipeline)
    del senders.SENDERS[mediterranean.name]


def send(
    warehouse: Warehouse,
    pipeline: RunContext,
    feed: str,
    data: bytes,
    packed: bool = False,
    described: bool = False,
) -> str:
    """Stage a batch of one file; what the ledger says of it."""
    folder = warehouse.inbox / f"2025-01-01-{next(numbers)}"
    folder.mkdir(parents=True)
    path = folder / f"{feed}.csv{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(data, 1) if packed else data)
    if described:
        describe(path, data)
    batch, message = read_batch(folder), ""
    try:
        commands.stage_files(pipeline, batch, list(batch.files))
    except AcaError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 1500
    return status_of_last_file(warehouse, feed, message)


def describe(path: Path, data: bytes) -> None:
    """A manifest whose sender counts line feeds."""
    said = {"rows": data.count(b"\n") - 1, "xxh3_128": xxhash.xxh3_128_hexdigest(path.read_bytes())}
    if said["rows"] >= 0:
        manifest = json.dumps({"files": {path.name: said}})
        (path.parent / "manifest.json").write_text(manifest, encoding="utf-8")


def status_of_last_file(warehouse: Warehouse, feed: str, message: str) -> str:
    """The status of the last file, of which ledger, quarantine and staging agree."""
    load, status, *counts = warehouse.rows(
        "select load_id, status, rows_read, rows_loaded, rows_rejected, rows_duplicate, "
        "rows_filtered from ledger.load_file order by load_id desc limit 1"
    )[0]
    read, loaded, rejected, duplicate, filtered = counts
    ((latest, outcome),) = warehouse.rows(
        "select load_id, status from ledger.load order by load_id desc limit 1"
    )
    assert latest == load
    # A file with the bytes of an earlier one is skipped.
    wanted = [("refused", "failed")] if message else [("loaded", "running"), ("skipped", "running")]
    assert (status, outcome) in wanted
    ((staged, lines),) = warehouse.rows(
        f"select count(*), count(distinct source_line) from staging.{feed}_raw "
        f"where load_id = {load}"
    )
    assert staged == lines == loaded
    ((quarantined, with_raw),) = warehouse.rows(
        f"select count(*), count(raw_line) from quality.rejected_row where load_id = {load}"
    )
    assert quarantined == with_raw == rejected
    if status == "refused":
        assert loaded == 0
    else:
        assert read == loaded + rejected + duplicate + filtered
    return str(status)


@pytest.mark.parametrize(("feed", "data"), FILES, ids=lambda given: str(given)[:9])
def test_sound_file_is_loaded(stage: Stage, feed: str, data: bytes) -> None:
    assert stage(feed, data) == "loaded"


fuzz = settings(suppress_health_check=list(HealthCheck))


@fuzz
@given(mutated(), st.booleans(), st.booleans())
def test_damaged_files_give_counts_that_add_up(
    stage: Stage, file: tuple[str, bytes], packed: bool, described: bool
) -> None:
    stage(*file, packed, described)


@pytest.mark.slow
@fuzz
@given(st.sampled_from(FILES), st.binary(max_size=300), st.booleans(), st.booleans())
@example(FILES[0], b"", True, False)
def test_random_bytes_give_counts_that_add_up(
    stage: Stage, file: tuple[str, bytes], data: bytes, headed: bool, packed: bool
) -> None:
    feed, sound = file
    stage(feed, sound[: sound.index(b"\n") + 1] + data if headed else data, packed)


@pytest.mark.slow
@fuzz
@given(st.data())
def test_random_fields_give_counts_that_add_up(stage: Stage, data: st.DataObject) -> None:
    """Rows of the right shape with values that no one wrote for them."""
    feed, sound = data.draw(st.sampled_from(FILES))
    head, _, body = sound.partition(b"\n")
    values = st.one_of(
        st.sampled_from(body.split(b",")), st.sampled_from(SPLINTERS), st.binary(max_size=6)
    )
    width = head.count(b",") + 1
    rows = [b",".join(data.draw(st.lists(values, min_size=width, max_size=width))) for _ in "ab"]
    stage(feed, b"\n".join([head, *rows, *body.splitlines()[:4], b""]))
