"""History against a slow, obvious model: hostile sequences of batches, loaded in any order.

The model (``history_model``) works out histories over plain lists. Whatever the order in which
the warehouse got the batches, its dimension rows and the versions that its facts point at must be
those of the model, after every load and when asked afterwards what was known after it. One
sequence has the histories of many keys that have nothing to do with one another
(``history_draws``); a failure shows one of them.

A sequence costs as much as many examples of another test: these run a share of the examples of
the profile. ``make test ARGS='--hypothesis-profile=long tests/pipeline/test_history.py'`` runs
for hours; ``tests/conftest.py`` has the profiles.
"""

from __future__ import annotations

from datetime import date, datetime
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.pipeline import commands
from etl.pipeline.commands import STAGES
from tests.support.history_draws import Sequence, sequences
from tests.support.history_model import (
    EARLIEST,
    Batch,
    Row,
    model_versions,
)
from tests.support.history_observer import (
    MEMBER,
    PROVIDER,
    load_and_observe,
    share_of_examples,
    versions,
    write,
)
from tests.support.tables import draw
from tests.support.warehouse import Contents, Warehouse

# Small histories of one key that a warehouse got wrong once, or would after a small change of the
# code. Days are those of January 2025; a line without a name is a file without rows.
ONCE_WRONG = {
    "a snapshot without a key that a marker takes away only later": """
        file | batch | as_of | kind     | lacks     | effective | name | type_1 | is_deleted
        1    | a     | 10    | delta    |           |           | x    |        |
        1    | a     | 10    | delta    |           | 16        | x    |        | true
        2    | b     | 11    | snapshot |           |           |      |        |
    """,
    "a snapshot repeats a row of the future whose key a marker took away": """
        file | batch | as_of | kind     | lacks     | effective | name | type_1 | is_deleted
        1    | a     | 10    | delta    |           | 18        | x    |        |
        1    | a     | 10    | delta    |           | 5         | x    |        | true
        2    | b     | 12    | snapshot |           | 18        | x    |        |
    """,
    "a copy of a file after a snapshot of the same time": """
        file | batch | as_of | kind     | lacks     | effective | name | type_1 | is_deleted
        1    | a     | 10    | delta    | effective |           | x    |        |
        2    | b     | 10    | snapshot |           |           |      |        |
        3    | c     | 13    | delta    | effective |           | x    |        |
    """,
    "a file that was corrected and then restored": """
        file | batch | as_of | kind     | lacks     | effective | name | type_1 | is_deleted
        1    | a     | 10    | delta    |           | 8         | x    | 0      |
        2    | a     | 10    | delta    |           | 18        | x    | 2      |
        3    | a     | 10    | delta    |           | 8         | x    | 0      |
    """,
    "a change from before a row that agreed with the version": """
        file | batch | as_of | kind     | lacks     | effective | name | type_1 | is_deleted
        1    | a     | 10    | delta    |           | 5         | x    |        |
        2    | b     | 15    | delta    |           | 13        | x    |        |
        3    | c     | 21    | delta    |           | 9         | y    |        |
    """,
}


def day(number: str | None) -> datetime | None:
    return datetime(2025, 1, int(number)) if number else None


def batches_of(table: str) -> tuple[Batch, ...]:
    """The files of a drawn history."""
    found = []
    for _, group in groupby(draw(table), key=lambda line: line["file"]):
        first, *_ = lines = list(group)
        rows = tuple(
            Row(
                *("K00", day(line.get("effective")), line["name"], None, line.get("type_1")),
                is_deleted="is_deleted" in line,
            )
            for line in lines
            if "name" in line
        )
        has = Batch.has - {first.get("lacks", "")}
        found.append(Batch(day(first["as_of"]), first["batch"], first["kind"], rows, has))
    return tuple(found)


@pytest.mark.parametrize("what", ONCE_WRONG)
def test_histories_that_once_failed_are_those_of_the_model(warehouse: Warehouse, what: str) -> None:
    days = {"K00": [date(2025, 1, number) for number in range(5, 32, 4)]}
    load_and_observe(warehouse, MEMBER, Sequence(batches_of(ONCE_WRONG[what]), days))


@share_of_examples(6)
@given(sequence=sequences(MEMBER.optional))
@pytest.mark.slow
def test_batches_in_any_order_match_the_model(warehouse: Warehouse, sequence: Sequence) -> None:
    load_and_observe(warehouse, MEMBER, sequence)


@pytest.mark.slow
@share_of_examples(10)
@given(sequence=sequences(PROVIDER.optional))
def test_batches_without_effective_times_give_the_history_of_the_model(
    warehouse: Warehouse, sequence: Sequence
) -> None:
    load_and_observe(warehouse, PROVIDER, sequence)


@share_of_examples(25)
@given(sequence=sequences(MEMBER.optional, most=4, once_each=True), share=st.floats(0, 1))
@pytest.mark.slow
def test_one_rebuild_gives_the_rows_of_a_rebuild_and_later_loads(
    warehouse: Warehouse, sequence: Sequence, share: float
) -> None:
    """All batches in one rebuild, or some, in any order, and the others one by one after it."""
    at_once = rebuilt(warehouse, sequence, len(sequence.batches))
    assert versions(warehouse, MEMBER) == model_versions(
        in_order(sequence), [key for key, days in sequence.claim_days.items() if days]
    )
    stepwise = rebuilt(warehouse, sequence, 1 + int(share * (len(sequence.batches) - 1)))
    # Surrogate keys depend on the order of loading.
    keys = sequence.is_in_order
    for table, rows in at_once[keys].items():
        other = stepwise[keys][table]
        assert len(other) == len(rows), table
        wrong = [f"{one}\n{two}" for one, two in zip(rows, other, strict=True) if one != two]
        assert not wrong, f"{len(wrong)} rows of {table} differ, the first\n{wrong[0]}"


def rebuilt(warehouse: Warehouse, sequence: Sequence, first: int) -> dict[bool, Contents]:
    """The contents after a rebuild of the first batches and one load for each of the others.

    With and without surrogate keys.
    """
    warehouse.clear()
    for number in range(first):
        write(warehouse.inbox, MEMBER, sequence, number)
    with warehouse.pipeline(reject_share=1.0) as pipeline:
        commands.full_load(pipeline)
    with warehouse.pipeline(reject_share=1.0) as pipeline:
        for number in range(first, len(sequence.batches)):
            write(warehouse.inbox, MEMBER, sequence, number)
            commands.run_stages(pipeline, STAGES)
    return {keys: warehouse.contents(keys=keys) for keys in (False, True)}


def in_order(sequence: Sequence) -> list[Batch]:
    """The batches in the order in which a rebuild loads them; the folders' where they tie."""
    return sorted(sequence.batches, key=lambda b: (b.as_of, b.batch_id.encode()))


def test_an_effective_time_with_an_offset_starts_a_version_in_utc(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-01-10",
        members=[
            {"member_id": "A", "last_name": "x"},
            {"member_id": "A", "last_name": "y", "source_updated_at": "2025-01-12T20:00:00-05:00"},
        ],
    )
    warehouse.incremental()
    assert [v.start for v in versions(warehouse, MEMBER)] == [EARLIEST, datetime(2025, 1, 13, 1)]


@pytest.mark.parametrize("days", [("2025-01-10", "2025-01-20"), ("2025-01-20", "2025-01-10")])
def test_the_latest_file_lacks_effective_times_and_none_stays_in_any_order(
    warehouse: Warehouse, days: tuple[str, str]
) -> None:
    member = {"member_id": "A", "last_name": "x"}
    for day in days:
        if day == "2025-01-20":
            warehouse.send(day, None, ["source_updated_at"], members=[member])
        else:
            dated = member | {"source_updated_at": "2025-01-05T00:00:00Z"}
            warehouse.send(day, members=[dated])
        warehouse.incremental()
    assert warehouse.rows(
        "select source_updated_at, known_from_ts from warehouse.dim_member where member_sk > 0"
    ) == [(None, datetime(2025, 1, 5))]
