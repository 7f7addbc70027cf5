"""Snapshots that mostly say again what the one before said: only their other rows are compared."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given

from etl.contracts import senders, value
from etl.contracts.sender import SenderContract
from etl.errors import CheckFailedError
from etl.pipeline import commands
from etl.pipeline.commands import STAGES
from etl.stages.dims import history, simple_path
from tests.support.history_draws import FIRST, KEYS, Sequence, repeated_snapshots
from tests.support.history_model import Batch, Row
from tests.support.history_observer import MEMBER, load_and_observe, share_of_examples, write
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.usefixtures("fingerprints_of_few_rows")
HAS = Batch.has - {"is_deleted", "effective"}
LACKING = ("is_deleted", "source_updated_at")


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which rows of each load were compared with the dimension."""
    found = []
    compare = simple_path._compare

    def noted(work: Any, join: Any, rows: str) -> None:
        if work.dimension is MEMBER.dimension:
            found.append(rows)
        compare(work, join, rows)

    monkeypatch.setattr(simple_path, "_compare", noted)
    return found


def snapshots(*files: list[Row]) -> Sequence:
    batches = (
        Batch(FIRST + timedelta(days=day), f"{day}", "snapshot", tuple(rows), HAS)
        for day, rows in enumerate(files)
    )
    return Sequence(tuple(batches), {key: [] for key in KEYS})


@pytest.mark.slow
@share_of_examples(6)
@given(sequence=repeated_snapshots())
def test_rows_that_come_again_match_the_model(warehouse: Warehouse, sequence: Sequence) -> None:
    load_and_observe(warehouse, MEMBER, sequence)


def test_only_other_rows_of_a_snapshot_are_compared(
    warehouse: Warehouse, compared: list[str]
) -> None:
    first = [Row(key, None, "x", None, "0") for key in KEYS]
    renamed = Row(KEYS[0], None, "y", None, "0")
    # The second lacks a key, the third has it again.
    files = first, [renamed, *first[2:]], [renamed, *first[2:], first[1]]
    load_and_observe(warehouse, MEMBER, snapshots(*files))
    assert compared == ["any_row", "other_row", "other_row"]
    assert warehouse.rows(
        "select load_id, same_as_load_id, other_lines from access.row_fingerprint"
    ) == [(3, 2, [len(KEYS) + 1])]


def test_all_rows_are_compared_where_a_current_version_is_missing(
    warehouse: Warehouse, compared: list[str]
) -> None:
    first = [Row(key, None, "x", None, "0") for key in KEYS]
    changed = [*first[:-1], Row(KEYS[-1], None, "y", None, "0")]
    load_and_observe(warehouse, MEMBER, snapshots(first))
    sequence = snapshots(first, changed)
    warehouse.connection.execute(
        "update warehouse.dim_member set validity_end_ts = '2025-01-11', current_flag = false "
        "where member_id = %s",
        [KEYS[0]],
    )
    load_next(warehouse, sequence)
    assert compared == ["any_row", "other_row", "any_row"]
    assert (
        warehouse.value("select count(*) from warehouse.dim_member where current_flag")
        == len(KEYS) + 1
    )  # with the unknown member


def test_gate_counts_all_rows_of_a_snapshot_and_finds_a_key_that_was_not_merged(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [Row(key, None, "x", None, "0") for key in KEYS[:-1]]
    another = [*first, Row(KEYS[-1], None, "x", None, "0")]
    load_and_observe(warehouse, MEMBER, snapshots(first, first[:1] + first[:0:-1]))
    checked = (
        "select distinct on (check_name) rows_checked, rows_failed from quality.check_judged"
        " where check_name = 'dim_member.keys_match_staging' and gate = 'dims'"
        " order by check_name, check_run_id desc"
    )
    assert warehouse.rows(checked) == [(len(first), 0)]
    monkeypatch.setattr(history, "run_dimension", lambda *_: {})
    with pytest.raises(CheckFailedError, match=r"dim_member\.keys_match_staging"):
        load_next(warehouse, snapshots(first, first[:1] + first[:0:-1], another))
    assert warehouse.rows(checked) == [(len(another), 1)]


def load_next(warehouse: Warehouse, sequence: Sequence) -> None:
    """Load the last batch of a sequence, the others being loaded."""
    write(warehouse.inbox, MEMBER, sequence, len(sequence.batches) - 1)
    with warehouse.pipeline(reject_share=1.0) as pipeline:
        commands.run_stages(pipeline, STAGES)


def test_the_same_bytes_read_in_another_way_are_other_rows(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, compared: list[str]
) -> None:
    """A contract that is corrected between two snapshots changes what their rows say."""
    of = MEMBER.dimension.feed
    as_it_is = SenderContract("m", of, "")
    swapped = {"first_name": value.of("last_name"), "last_name": value.of("first_name")}
    corrected = replace(as_it_is, columns=swapped)
    member = {"member_id": "M1", "first_name": "Ada", "last_name": "Byron"}
    seen = []
    for day, contract in enumerate((as_it_is, as_it_is, corrected), start=1):
        monkeypatch.setitem(senders.SENDERS, "m", contract)
        said = {"files": {of.file_name: {"kind": "snapshot", "contract": "m"}}}
        other = {**member, "member_id": f"other {day}"}
        warehouse.send(f"2025-01-0{day}", said, LACKING, members=[member, other])
        warehouse.incremental()
        seen += warehouse.column(
            "select first_name from warehouse.dim_member where member_id = 'M1' and current_flag"
        )
    assert compared == ["any_row", "other_row", "any_row"]
    assert seen == ["Ada", "Ada", "Byron"]
