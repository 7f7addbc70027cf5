"""The generator's replay of history against the slow, obvious model of the pipeline's tests."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings

from etl.seed.history import History, Rows
from tests.pipeline.test_history import KEYS, OPEN, Batch, Row, replay, sequences

NAMES = ("x", "y", None)


def seconds(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


def delivered(rows: tuple[Row, ...], as_of: datetime) -> Rows:
    return Rows(
        np.array([KEYS.index(r.key) for r in rows]),
        np.array([seconds(r.effective or as_of) for r in rows]),
        np.array([NAMES.index(r.name) for r in rows], dtype=np.uint64),
        np.array([r.calls for r in rows], dtype=np.uint64),
    )


@settings(max_examples=400, deadline=None, derandomize=True)
@given(sequences())
def test_versions_are_those_of_the_model(drawn: tuple[list[Batch], list[int]]) -> None:
    batches, _ = drawn
    history = History()
    for number, batch in enumerate(batches, start=1):
        before, known = replay(batches[: number - 1]), history.keys
        rows = delivered(batch.rows, batch.as_of)
        counts = history.deliver(rows, seconds(batch.as_of), snapshot=batch.kind == "snapshot")
        after = replay(batches[:number])
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
