"""History against a slow, obvious model: hostile sequences of batches, loaded in any order.

The model replays all batches over plain lists. Whatever the order in which the warehouse got
them, its dimension rows and the versions that its facts point at must be those of the model.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from etl.config import Settings
from etl.db.connection import connect
from etl.pipeline import STAGES, Pipeline
from etl.stages.checks import run_sql_checks
from etl.warehouse import DIMENSIONS, FACTS, LIVE
from tests.feeds import write_batch
from tests.watching import Silent

FIRST = datetime(2025, 1, 10)
EARLIEST = datetime(1900, 1, 1)
OPEN = datetime(9999, 12, 31)
KEYS = ("A", "B", "C")


@dataclass(frozen=True)
class Row:
    key: str
    effective: datetime | None  # None: the feed does not say, the batch's as_of counts
    name: str | None  # a change driver
    calls: int  # Type 1


@dataclass(frozen=True)
class Batch:
    as_of: datetime
    kind: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Version:
    key: str
    start: datetime
    end: datetime
    name: str | None
    calls: int


def replay(batches: list[Batch]) -> list[Version]:
    """Every version that the batches make, by the rules, one key at a time."""
    ordered = sorted(batches, key=lambda b: b.as_of)
    versions: list[Version] = []
    for key in KEYS:
        delivered = [  # (as_of, effective, line, row), the later word last
            (b.as_of, r.effective or b.as_of, line, r)
            for b in ordered
            for line, r in enumerate(b.rows)
            if r.key == key
        ]
        if not delivered:
            continue
        state = {effective: r.name for _, effective, _, r in delivered}
        # The first that is known of a key counts from 1900 on.
        state[EARLIEST] = state.pop(min(state))
        calls = max(delivered, key=lambda d: d[:3])[3].calls
        gaps = []
        for b in ordered:
            known = any(as_of < b.as_of for as_of, *_ in delivered)
            if b.kind == "snapshot" and known and all(r.key != key for r in b.rows):
                later = sorted((a, e) for a, e, *_ in delivered if a > b.as_of)
                back = OPEN
                if later:
                    as_of, effective = later[0]
                    back = effective if effective > b.as_of else as_of
                gaps.append((b.as_of, back))

        def gone(at: datetime, gaps: list[tuple[datetime, datetime]] = gaps) -> bool:
            return any(start <= at < end for start, end in gaps)

        moments = sorted({*state, *(g for gap in gaps for g in gap if g < OPEN)})
        spans: list[tuple[datetime, Any]] = []
        for at in moments:
            known = [e for e in state if e <= at]
            now: Any = ("gone",) if gone(at) else ("is", state[max(known)])
            if not spans or spans[-1][1] != now:
                spans.append((at, now))
        for number, (at, now) in enumerate(spans):
            end = spans[number + 1][0] if number + 1 < len(spans) else OPEN
            if now[0] == "is":
                versions.append(Version(key, at, end, now[1], calls))
    return versions


def in_force(versions: list[Version], key: str, day: date) -> tuple[str, datetime] | None:
    """The version of a key on a day: in force, or the last before; by its start."""
    at = datetime(day.year, day.month, day.day)
    starts = [v.start for v in versions if v.key == key and v.start <= at]
    return (key, max(starts)) if starts else None


days = st.integers(min_value=0, max_value=12)
rows = st.builds(
    Row,
    key=st.sampled_from(KEYS),
    effective=st.one_of(
        st.none(),
        days.map(lambda d: FIRST - timedelta(days=4) + timedelta(days=d)),
    ),
    name=st.sampled_from(["x", "y", None]),
    calls=st.integers(0, 2),
)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[list[Batch], list[int]]:
    """Batches at different times, and an order in which to load them."""
    n = draw(st.integers(1, 5))
    batches = []
    for number in range(n):
        as_of = FIRST + timedelta(days=number)
        drawn = draw(st.lists(rows, min_size=1, max_size=5))
        batches.append(
            Batch(as_of, draw(st.sampled_from(["delta", "delta", "snapshot"])), tuple(drawn))
        )
    order = draw(st.one_of(st.just(list(range(n))), st.permutations(range(n))))
    return batches, list(order)


CLAIM_DAYS = [(FIRST + timedelta(days=d)).date() for d in (-30, 0, 1, 3, 6)]


@pytest.fixture
def warehouse(database_url: str, tmp_path: Path) -> Any:
    with connect(database_url, "test") as connection:
        yield database_url, connection, tmp_path


def reset(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "truncate staging.members_raw, staging.claims_raw, warehouse.fact_claim, "
        "warehouse.fact_enrollment, warehouse.dim_member, warehouse.dim_plan, "
        "warehouse.dim_provider, quality.rejected_row, ledger.load_file, ledger.stage_run, "
        "ledger.load restart identity cascade"
    )
    # With the numbers of loads and surrogate keys what was kept under them goes as well.
    for table in (*DIMENSIONS.values(), *FACTS.values()):
        connection.execute(f"truncate warehouse.{table.past}")


def load(url: str, inbox: Path, batches: list[Batch], order: list[int]) -> None:
    for number in order:
        batch = batches[number]
        name = f"{batch.as_of:%Y-%m-%d}"
        claims = [
            {"claim_id": f"{key}{day}", "member_id": key, "service_date": day}
            for key in KEYS
            for day in CLAIM_DAYS
        ]
        write_batch(
            inbox,
            name,
            {"files": {"members.csv": {"kind": batch.kind}}},
            members=[
                {
                    "member_id": r.key,
                    "last_name": r.name,
                    "call_count": r.calls,
                    "source_updated_at": r.effective.isoformat() if r.effective else None,
                }
                for r in batch.rows
            ],
            **({"claims": claims} if number == order[0] else {}),
        )
        chosen = Settings("", inbox, inbox.parent, reject_share=1.0)
        with Pipeline(url, chosen, Silent(), "incremental") as pipeline:
            pipeline.run_stages(STAGES)


def held(connection: psycopg.Connection[Any]) -> list[Version]:
    return [
        Version(*row)
        for row in connection.execute(
            "select member_id, validity_start_ts, validity_end_ts, last_name, call_count "
            "from warehouse.dim_member where member_sk > 0 and not is_inferred order by 1, 2"
        )
    ]


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)
@given(sequences())
def test_any_order_gives_the_history_of_the_model(warehouse: Any, drawn: Any) -> None:
    url, connection, folder = warehouse
    batches, order = drawn
    inbox = folder / "inbox"
    shutil.rmtree(inbox, ignore_errors=True)
    inbox.mkdir()
    reset(connection)
    load(url, inbox, batches, order)
    wanted = replay(batches)
    assert held(connection) == wanted
    pointed = connection.execute(
        "select left(f.claim_id, 1), f.service_date, d.member_id, d.validity_start_ts "
        "from warehouse.fact_claim as f join warehouse.dim_member as d using (member_sk)"
    ).fetchall()
    assert len(pointed) == len(KEYS) * len(CLAIM_DAYS)
    for key, day, found_key, found_start in pointed:
        expected = in_force(wanted, key, day) or (key, EARLIEST)
        assert (found_key, found_start) == expected, (key, day)
    assert [
        check.name
        for check, counts in run_sql_checks(connection, LIVE, ("running", "loaded"))
        if check.table.startswith(("dim_", "fact_")) and (counts is None or counts[1])
    ] == []


def test_utc_is_what_an_offset_means(warehouse: Any) -> None:
    url, connection, folder = warehouse
    inbox = folder / "inbox"
    write_batch(
        inbox,
        "2025-01-10",
        members=[
            {"member_id": "A", "last_name": "x"},
            {"member_id": "A", "last_name": "y", "source_updated_at": "2025-01-12T20:00:00-05:00"},
        ],
    )
    with Pipeline(url, Settings("", inbox, folder, 0.05), Silent(), "incremental") as pipeline:
        pipeline.run_stages(STAGES)
    assert [v.start for v in held(connection)] == [EARLIEST, datetime(2025, 1, 13, 1)]
