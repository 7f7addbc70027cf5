"""The generator's own history against the slow, obvious model of the pipeline's tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.synthetic.truth.history import History, Rows
from tests.support.history_model import OPEN, Batch, Row, model_versions

KEYS = ("A", "B", "C")
NAMES = ("x", "y", None)
CALLS = ("0", "1", "2")
FIRST = datetime(2025, 1, 10)

# The generator says everything of a member in every row and deletes nobody.
drawn_rows = st.builds(
    Row,
    key=st.sampled_from(KEYS),
    effective=st.one_of(
        st.none(), st.integers(-4, 8).map(lambda days: FIRST + timedelta(days=days))
    ),
    name=st.sampled_from(NAMES),
    type_1=st.sampled_from(CALLS),
)


@st.composite
def in_order(draw: st.DrawFn) -> list[Batch]:
    """A batch a day, each a delta or a snapshot."""
    return [
        Batch(
            FIRST + timedelta(days=number),
            f"{number}",
            draw(st.sampled_from(["delta", "delta", "snapshot"])),
            tuple(draw(st.lists(drawn_rows, min_size=1, max_size=5))),
        )
        for number in range(draw(st.integers(1, 5)))
    ]


def seconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


def delivered(rows: tuple[Row, ...], as_of: datetime) -> Rows:
    return Rows(
        np.array([KEYS.index(r.key) for r in rows]),
        np.array([seconds(r.effective or as_of) for r in rows]),
        np.array([NAMES.index(r.name) for r in rows], dtype=np.uint64),
        np.array([CALLS.index(r.type_1) for r in rows], dtype=np.uint64),
    )


@pytest.mark.slow
@settings(max_examples=400, deadline=None, derandomize=True)
@given(in_order())
def test_generated_history_is_that_of_the_model(batches: list[Batch]) -> None:
    history = History()
    for number, batch in enumerate(batches, start=1):
        before, known = model_versions(batches[: number - 1]), history.keys
        rows = delivered(batch.rows, batch.as_of)
        counts = history.deliver(rows, seconds(batch.as_of), snapshot=batch.kind == "snapshot")
        after = model_versions(batches[:number])
        assert history.versions == len(after)
        assert history.keys == len({v.key for v in after})
        assert history.current == len({v.key for v in after if v.end == OPEN})

        keys = {r.key for r in batch.rows}
        was = {v.key for v in before if v.end == OPEN}
        assert counts.new == history.keys - known
        assert counts.vanished == len(was - {v.key for v in after if v.end == OPEN})
        assert counts.returned == len(keys & ({v.key for v in before} - was))
        assert counts.new + counts.changed + counts.type_1 + counts.unchanged == len(keys)

        def of(versions: list, key: str) -> list:
            return [(v.start, v.end, v.name) for v in versions if v.key == key]

        changed = [k for k in keys if of(before, k) and of(before, k) != of(after, k)]
        assert counts.changed == len(changed)
