"""Volume, distribution and freshness: checked against a slow model, with and without defects.

Loads and their profiles are written straight into the ledger tables; one test makes a profile from
rows.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl.contracts.checks import Check, Finding, passes
from etl.quality.checks.registry import gate_checks
from etl.quality.runner import _profile, run_sql_checks
from etl.warehouse.tables import LIVE
from tests.support.databases import fresh_database, unguarded

FEED = "claims"
MONDAY = date(2024, 1, 8)
UNUSUAL = next(e for e in gate_checks("arrivals") if e.feed == FEED and "usual_volume" in e.checks)
LEAST_LOADS, MOST_LOADS = UNUSUAL.values["least_loads"], UNUSUAL.values["most_loads"]
Figures = dict[tuple[str, str, str], float]


@dataclass(frozen=True)
class Came:
    """One load of the feed, as in its profile."""

    day: date
    rows: float
    kind: str = "delta"
    figures: Figures = field(default_factory=dict)


@pytest.fixture(scope="module")
def books(admin_url: str, template: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database of which only the ledger tables are used."""
    with fresh_database(admin_url, template) as url, unguarded(url) as connection:
        yield connection


def write(connection: psycopg.Connection[Any], series: Iterable[Came], feed: str = FEED) -> None:
    """Fill the ledger tables with these loads and no others."""
    series = list(series)
    connection.execute("delete from feed_profile; delete from load_file; delete from load")
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into load (load_id, batch_id, as_of, status, is_rebuild) "
            "overriding system value values (%s, %s, %s, 'loaded', false)",
            [
                (n, str(n), datetime(*c.day.timetuple()[:3], tzinfo=UTC))
                for n, c in enumerate(series)
            ],
        )
        cursor.executemany(
            "insert into load_file (load_id, feed, file_name, kind, status, size_bytes, "
            "modified_ns, xxh3_128) "
            "values (%s, %s, 'f.csv', %s, 'loaded', 1, 1, gen_random_uuid())",
            [(n, feed, came.kind) for n, came in enumerate(series)],
        )
        cursor.executemany(
            "insert into feed_profile values (%s, %s, %s, %s, %s, %s)",
            [
                (n, feed, *figure, measured)
                for n, came in enumerate(series)
                for figure, measured in {("rows", "", ""): came.rows, **came.figures}.items()
            ],
        )


def judge(connection: psycopg.Connection[Any], series: list[Came]) -> dict[str, Finding]:
    """What the check finds by rule, at the latest of the loads."""
    write(connection, series)
    values = {**UNUSUAL.values, "feed": FEED, "loads": list(range(len(series)))}
    return {
        rule: Finding(checked, failed, measured, tuple(keys))
        for rule, checked, failed, measured, keys in connection.execute(UNUSUAL.statement, values)
    }


def fails(connection: psycopg.Connection[Any], series: list[Came]) -> set[str]:
    found = judge(connection, series)
    return {rule for rule, check in UNUSUAL.checks.items() if not passes(check, found[rule])}


# The slow model


def place(day: date) -> str:
    return "year" if (day.month, day.day) == (1, 1) else "month" if day.day == 1 else "other"


def baseline(series: list[Came]) -> tuple[int, list[Came]]:
    *before, latest = series
    alike = [c for c in before if c.kind == latest.kind and place(c.day) == place(latest.day)]
    levels = (
        lambda c: (c.day.month, c.day.weekday()),
        lambda c: c.day.weekday(),
        lambda c: c.day.weekday() > 4,
    )
    for level, key in enumerate(levels, 1):
        found = [c for c in alike if key(c) == key(latest)]
        if len(found) >= LEAST_LOADS:
            return level, found[-MOST_LOADS:]
    return 0, []


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def scaled(metric: str, value: float) -> float:
    if metric in ("rows", "mean"):
        return math.copysign(math.log1p(abs(value)), value)
    return value


def model(series: list[Came]) -> dict[str, tuple[int, float]]:
    """By rule the figures tested and the farthest of them."""
    level, before = baseline(series)
    latest = series[-1]
    found: dict[str, list[float]] = {"usual_volume": [], "usual_values": []}
    for figure, value in {("rows", "", ""): latest.rows, **latest.figures}.items():
        metric = figure[0]
        known = [
            scaled(metric, {("rows", "", ""): c.rows, **c.figures}[figure])
            for c in before
            if metric == "rows" or figure in c.figures
        ]
        if len(known) < LEAST_LOADS:
            continue
        middle = median(known)
        away = [abs(x - middle) for x in known]
        spread = quantile(away, 0.9) / 1.6449 if level == 3 else 1.4826 * median(away)
        n = max(latest.rows, 1)
        chance = (middle * n + 1) / (n + 2)
        floor = {
            "rows": lambda middle=middle: max(0.05, math.exp(-middle / 2)),
            "mean": lambda n=n: max(0.1, 2 / math.sqrt(n)),
        }.get(metric, lambda c=chance, n=n: max(0.01, math.sqrt(c * (1 - c) / n)))()
        z = abs(scaled(metric, value) - middle) / max(spread, floor)
        found["usual_volume" if metric == "rows" else "usual_values"].append(z)
    return {rule: (len(z), max(z, default=0.0)) for rule, z in found.items()}


days = st.one_of(st.just(1), st.just(7), st.integers(1, 40))
shares = st.floats(0, 1, allow_nan=False)
loads = st.tuples(
    days,
    st.integers(0, 5000),
    st.sampled_from(["delta", "delta", "delta", "snapshot"]),
    st.one_of(st.none(), shares),
    st.one_of(st.none(), st.floats(-1e6, 1e6, allow_nan=False)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(loads, min_size=1, max_size=75))
def test_arrival_checks_find_what_the_slow_model_finds(books, drawn) -> None:
    series, day = [], MONDAY
    for gap, rows, kind, share, mean in drawn:
        figures = {("null_share", "a", ""): share, ("mean", "b", ""): mean}
        known = {figure: value for figure, value in figures.items() if value is not None}
        series.append(Came(day, rows, kind, known))
        day += timedelta(days=gap)
    found = judge(books, series)
    expected = model(series)
    assert {r: f.rows_checked for r, f in found.items()} == {r: n for r, (n, _) in expected.items()}
    for rule, (_, z) in expected.items():
        assert found[rule].measured == pytest.approx(z, rel=1e-9, abs=1e-9)


def daily(count: int, rows: float = 500, **figures: float) -> list[Came]:
    """A usual feed: each day a tenth more or less of everything."""
    chance = random.Random(count)

    def near(value: float) -> float:
        return value * chance.uniform(0.9, 1.1)

    return [
        Came(
            MONDAY + timedelta(days=n),
            round(near(rows)),
            figures={
                ("mean", "paid_amount", ""): near(200.0),
                ("null_share", "paid_date", ""): near(0.05),
                ("share_of", "status", "denied"): near(0.15),
            },
        )
        for n in range(count)
    ]


def changed(series: list[Came], rows: float = 1, **figures: float) -> list[Came]:
    """The series with another latest load: so many times the rows, and these figures."""
    latest = series[-1]
    names = {name: figure for figure in latest.figures for name in figure if name in figures}
    others = {names[name]: value for name, value in figures.items()}
    return [
        *series[:-1],
        Came(latest.day, latest.rows * rows, latest.kind, {**latest.figures, **others}),
    ]


@pytest.mark.parametrize("count", [30, 100, 400])
def test_usual_arrivals_pass_and_unusual_ones_fail(books, count: int) -> None:
    series = daily(count)
    assert fails(books, series) == set()
    assert fails(books, changed(series, rows=10)) == {"usual_volume"}
    assert fails(books, changed(series, rows=0.1)) == {"usual_volume"}
    assert fails(books, changed(series, rows=0)) == {"usual_volume"}
    assert fails(books, changed(series, paid_date=0.5)) == {"usual_values"}
    assert fails(books, changed(series, paid_amount=20_000.0)) == {"usual_values"}
    assert fails(books, changed(series, status=0.9)) == {"usual_values"}


def test_unusual_figures_are_named_by_column_without_value(books) -> None:
    found = judge(books, changed(daily(30), paid_amount=20_000.0))["usual_values"]
    (key,) = found.keys
    assert {**key, "robust_z": 0} == {
        "metric": "mean",
        "column": "paid_amount",
        "value": "",
        "robust_z": 0,
    }
    assert (found.rows_checked, found.rows_failed) == (3, 1)


def test_one_odd_load_does_not_hide_the_next(books) -> None:
    series = daily(40)
    series[20:23] = [Came(c.day, c.rows * 10, c.kind, c.figures) for c in series[20:23]]
    assert fails(books, series) == set()
    assert fails(books, changed(series, rows=10)) == {"usual_volume"}


@pytest.mark.slow
def test_seasonal_volume_passes(books) -> None:
    """Busy Tuesdays, quiet weekends, a snapshot on the first of a month, a peak on January 1."""
    chance = random.Random(1)
    series = []
    for n in range(500):
        day = MONDAY + timedelta(days=n)
        rows = 60 if day.weekday() > 4 else 1200 if day.weekday() == 1 else 400
        kind = "delta"
        if day.day == 1:
            rows, kind = 20_000, "snapshot"
        if (day.month, day.day) == (1, 1):
            rows = 90_000
        series.append(Came(day, round(rows * chance.uniform(0.9, 1.1)), kind))
    failing = [series[n - 1].day for n in range(1, len(series) + 1, 3) if fails(books, series[:n])]
    assert failing == []
    for day in range(-7, 0):
        assert fails(books, changed(series[: len(series) + day], rows=10)) == {"usual_volume"}


def test_too_few_loads_are_not_judged(books) -> None:
    series = [Came(MONDAY + timedelta(days=7 * n), 500) for n in range(LEAST_LOADS)]
    found = judge(books, changed(series, rows=1000))
    assert found["usual_volume"] == Finding(0, 0, 0.0, ())
    more = [*series, Came(MONDAY + timedelta(days=7 * LEAST_LOADS), 500_000)]
    assert fails(books, more) == {"usual_volume"}


def test_empty_loads_do_not_divide_by_zero(books) -> None:
    """Constant figures, no rows at all, shares of nought and one."""
    figures = {("null_share", "a", ""): 0.0, ("null_share", "b", ""): 1.0, ("mean", "c", ""): 0.0}
    for rows in (0, 1, 1000):
        series = [Came(MONDAY + timedelta(days=n), rows, figures=figures) for n in range(30)]
        found = judge(books, series)
        assert [f.measured for f in found.values()] == [0, 0]
        assert found["usual_values"].rows_checked == 3
    # Tiny changes pass: one row in a thousand, a cent of a mean.
    dust = {("null_share", "a", ""): 0.001, ("null_share", "b", ""): 0.999, ("mean", "c", ""): 0.01}
    assert fails(books, [*series[:-1], Came(series[-1].day, 1001, figures=dust)]) == set()


def test_profile_has_the_figures_of_the_rows(books) -> None:
    write(books, [])
    books.execute(
        "create table internal.claims_raw_000001 partition of claims_raw "
        "for values from (1) to (33);"
        "insert into load (load_id, batch_id, as_of, status, is_rebuild) "
        "overriding system value values (1, 'a', now(), 'loaded', false), "
        "(2, 'b', now(), 'loaded', false), (3, 'c', now(), 'failed', false);"
        "insert into load_file (load_id, feed, file_name, kind, status, size_bytes, modified_ns, "
        "xxh3_128, columns) select n, 'claims', 'f', 'delta', 'loaded', 1, 1, gen_random_uuid(), "
        "'{claim_id,status,paid_amount,channel}' from generate_series(1, 3) as n;"
        "insert into claims_raw (load_id, source_line, claim_id, service_date, status, paid_amount)"
        " values (1, 2, 'a', '2025-01-01', 'DENIED', 1), (1, 3, 'b', '2025-01-01', 'denied', 4),"
        " (1, 4, 'c', '2025-01-01', 'approved', null), (1, 5, 'd', '2025-01-01', null, 1),"
        " (3, 5, 'd', '2025-01-01', null, 1)"
    )
    with books.transaction():
        _profile(books, LIVE)
    measured_by = {
        (load, metric, column, word): measured
        for load, metric, column, word, measured in books.execute(
            "select load_id, metric, column_name, member, measured from feed_profile "
            "where measured <> 0"
        )
    }
    assert measured_by == {
        (1, "rows", "", ""): 4,
        (1, "null_share", "status", ""): 0.25,
        (1, "null_share", "paid_amount", ""): 0.25,
        (1, "null_share", "channel", ""): 1,
        (1, "mean", "paid_amount", ""): 2,
        (1, "mean_log", "paid_amount", ""): pytest.approx((2 * math.log(2) + math.log(5)) / 3),
        (1, "share_of", "status", "approved"): 0.25,
        (1, "share_of", "status", "denied"): 0.5,
    }
    # The empty load has a profile as well; no load is profiled twice.
    assert books.execute("select measured from feed_profile where load_id = 2").fetchall() == [(0,)]
    books.execute("delete from claims_raw")
    with books.transaction():
        _profile(books, LIVE)
    assert books.execute("select max(measured) from feed_profile").fetchone() == (4,)


def test_feed_that_stops_arriving_is_late(books) -> None:
    def is_freshness(check: Check) -> bool:
        return check.name.endswith(".fresh")

    def behind(now: datetime | None = None) -> dict[str, float]:
        return {
            check.table: found.figure
            for check, found in run_sql_checks(books, LIVE, now, is_freshness)
            if found
        }

    write(books, [])
    assert set(behind().values()) == {0}
    write(books, [Came(MONDAY, 1), Came(MONDAY + timedelta(days=10), 1)])
    assert behind() == dict.fromkeys(behind(), 10) | {"claims_raw": 0}
    books.execute("update load_file set feed = 'members' where load_id = 1")
    assert behind()["claims_raw"] == 10
    assert behind()["members_raw"] == 0
    now = datetime(2024, 2, 17, 12, tzinfo=UTC)
    assert behind(now)["claims_raw"] == 40.5
    assert behind(now)["members_raw"] == 30.5


# Many times anything before

EXTREME = next(
    e for e in gate_checks("arrivals") if e.feed == FEED and "volume_like_before" in e.checks
)


def extremes(connection: psycopg.Connection[Any], series: list[Came]) -> set[str]:
    """The rules that fail at the latest of the loads."""
    write(connection, series)
    values = {**EXTREME.values, "feed": FEED, "loads": list(range(len(series)))}
    found = {
        rule: Finding(checked, failed, measured, tuple(keys))
        for rule, checked, failed, measured, keys in connection.execute(EXTREME.statement, values)
    }
    return {rule for rule, check in EXTREME.checks.items() if not passes(check, found[rule])}


def sized(rows: float, amount: float, at: int, kind: str = "delta") -> Came:
    figures = {("mean_log", "claim_amount", ""): math.log(1 + amount)}
    return Came(date(2025, 12, 20) + timedelta(days=at), rows, kind, figures)


@pytest.mark.parametrize(
    ("rows", "amount", "expected"),
    [
        (300, 100, set()),
        (301, 100, {"volume_like_before"}),
        (1, 620, {"amounts_like_before"}),
        (1200, 10_000, {"volume_like_before", "amounts_like_before"}),
    ],
)
def test_a_load_of_many_times_anything_before_fails_whatever_its_day(
    books: psycopg.Connection[Any], rows: int, amount: int, expected: set[str]
) -> None:
    # The first one brings all that was known. Days differ by themselves.
    before = [sized(100_000, 90_000, 0), *(sized(10 * n, 12 * n, n) for n in (6, 1, 5, 2, 4, 3, 1))]
    latest = sized(rows, amount, 13)
    assert extremes(books, [*before, sized(8, 90, 11), latest]) == expected
    assert extremes(books, [*before, latest]) == set(), "of too few loads"
    new_year = replace(latest, day=date(2026, 1, 1))
    assert extremes(books, [*before, sized(8, 90, 11), new_year]) == set(), "everybody renews"
    others = [replace(came, kind="snapshot") for came in before]
    assert extremes(books, [*others, sized(8, 90, 11), latest]) == set(), "of another kind"
