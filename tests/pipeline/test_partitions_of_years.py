"""Ten years of claims in partitions of months and years: the same rows as if all were of months."""

from __future__ import annotations

import random
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from etl.db.connection import set_search_path
from etl.quality.runner import run_share
from etl.quality.share import Look, plan
from etl.schema import layout
from etl.stages.facts import partitions
from etl.warehouse.details import DETAILS
from etl.warehouse.tables import FACT_CLAIM, LIVE
from tests.support.retention import retain, seen
from tests.support.tables import draw
from tests.support.warehouse import Warehouse, failed_critical

Row = dict[str, Any]
# In the order of arrival; the fourth one is late.
_BATCHES = ("2018-03-01", "2022-06-01", "2025-12-01", "2024-02-01", "2025-12-15")
_TABLES = (FACT_CLAIM.table, *(detail.table for detail in DETAILS))
_MEMBERS = "member_id \n M1 \n M2 \n M3"
# With batches up to 2025 months begin here, so that three years have partitions of months.
_BY_MONTH_FROM = date(2023, 1, 1)


def _drawn(dice: random.Random) -> list[tuple[str, dict[str, Any]]]:
    """Batches of claims of ten years, which come again on other days, go, and bring sets."""
    return [(batch_id, _feeds(dice, date.fromisoformat(batch_id))) for batch_id in _BATCHES]


def _feeds(dice: random.Random, newest: date) -> dict[str, Any]:
    claims = [_claim(dice, n, newest) for n in dice.sample(range(30), 18)]
    lines = [
        {"claim_id": c["claim_id"], "line_number": n, "service_date": c["service_date"]}
        for c in dice.sample(claims, 6)
        for n in range(1, dice.randint(2, 4))
    ]
    waiting = _claim(dice, 99, newest)
    lines.append({key: waiting[key] for key in ("claim_id", "service_date")} | {"line_number": 1})
    diagnoses = [
        {"claim_id": c["claim_id"], "position": 1, "service_date": c["service_date"]}
        for c in dice.sample(claims, 6)
    ]
    return {
        "members": _MEMBERS,
        "claims": claims,
        "claim_lines": lines,
        "claim_diagnoses": diagnoses,
    }


def _claim(dice: random.Random, number: int, newest: date) -> Row:
    first = date(2016, 1, 1)
    day = first + timedelta(days=dice.randrange((newest - first).days))
    return {
        "claim_id": f"C{number}",
        "member_id": dice.choice(("M1", "M2", "M3", "")),
        "service_date": day.isoformat(),
        "status": dice.choice(("approved", "pending", "denied", "reversed")),
        "paid_amount": f"{dice.randrange(10_000)}.00",
        "is_deleted": "true" if dice.random() < 0.1 else "",
    }


def _parts(warehouse: Warehouse, table: str = FACT_CLAIM.table) -> set[str]:
    """What the names of a table's partitions end with."""
    return {
        name.removeprefix(f"{table}_")
        for name in warehouse.column(
            "select c.relname from pg_inherits as i join pg_class as c on c.oid = i.inhrelid"
            f" where i.inhparent = 'warehouse.{table}'::regclass"
        )
    }


def _days(warehouse: Warehouse, table: str = FACT_CLAIM.table) -> set[date]:
    return set(warehouse.column(f"select distinct service_date from warehouse.{table}"))


def _suffix(day: date) -> str:
    return f"{day:%Y}" if day < _BY_MONTH_FROM else f"{day:%Y_%m}"


def _assert_each_row_is_in_its_partition(warehouse: Warehouse) -> None:
    for table in _TABLES:
        for name, day in warehouse.rows(
            f"select distinct tableoid::regclass::text, service_date from warehouse.{table}"
        ):
            assert name == f"internal.{table}_{_suffix(day)}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_partitions_of_years_have_the_rows_that_those_of_months_have(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    *first, last = _drawn(random.Random(seed))
    for batch_id, feeds in first:
        warehouse.send(batch_id, **feeds)
    with monkeypatch.context() as patched:
        patched.setattr(partitions, "MONTHS", 12_000)
        warehouse.rebuild(1)
        assert all("_" in part for part in _parts(warehouse))
        by_month = seen(warehouse)
    warehouse.rebuild(1)
    _assert_each_row_is_in_its_partition(warehouse)
    assert seen(warehouse) == by_month
    # A day, which brings claims of all years, keeps to what the full load decided.
    batch_id, feeds = last
    warehouse.send(batch_id, **feeds)
    warehouse.incremental(1)
    _assert_each_row_is_in_its_partition(warehouse)
    after = seen(warehouse)
    assert failed_critical(warehouse.connection) == set()
    with monkeypatch.context() as patched:
        patched.setattr(partitions, "MONTHS", 12_000)
        warehouse.rebuild(1)
        assert seen(warehouse) == after


def _claims(*days: str) -> list[Row]:
    return [{"claim_id": f"C{d}", "member_id": "M1", "service_date": d} for d in days]


@pytest.fixture
def of_years(warehouse: Warehouse) -> Warehouse:
    """After a full load, with a partition of 2017 and none of 2016."""
    warehouse.send("2019-01-31", members=_MEMBERS, claims=_claims("2017-05-05", "2018-12-31"))
    newest = ("2022-12-31", "2023-01-01", "2025-10-01")
    warehouse.send("2025-12-31", claims=_claims(*newest))
    warehouse.rebuild()
    return warehouse


def test_a_full_load_decides_by_the_newest_batch(of_years: Warehouse) -> None:
    for table in _TABLES:
        assert _parts(of_years, table) == {"2017", "2018", "2022", "2023_01", "2025_10"}


def test_a_late_batch_fills_years_that_are_there_and_makes_others(of_years: Warehouse) -> None:
    of_years.send("2018-01-31", claims=_claims("2017-11-11", "2016-02-29", "2024-02-29"))
    of_years.incremental()
    there = {"2016", "2017", "2018", "2022", "2023_01", "2024_02", "2025_10"}
    for table in _TABLES:
        assert _parts(of_years, table) == there
    assert failed_critical(of_years.connection) == set()


def test_a_claim_moves_between_a_year_and_a_month(of_years: Warehouse) -> None:
    moved = {"claim_id": "C2017-05-05", "member_id": "M1", "service_date": "2024-05-05"}
    back = {"claim_id": "C2025-10-01", "member_id": "M1", "service_date": "2018-03-03"}
    of_years.send("2026-01-31", claims=[moved, back])
    of_years.incremental()
    _assert_each_row_is_in_its_partition(of_years)
    assert date(2017, 5, 5) not in _days(of_years)
    assert failed_critical(of_years.connection) == set()


def test_later_months_have_partitions_of_their_own_until_the_next_full_load(
    of_years: Warehouse,
) -> None:
    of_years.send("2027-03-31", claims=_claims("2027-03-01", "2023-06-30"))
    of_years.incremental()
    assert {"2027_03", "2023_06"} <= _parts(of_years)
    of_years.rebuild()
    # 36 months up to March 2027 begin in 2024.
    assert _parts(of_years) == {"2017", "2018", "2022", "2023", "2025_10", "2027_03"}


def test_a_first_load_without_a_full_one_goes_by_its_own_day(warehouse: Warehouse) -> None:
    warehouse.send("2021-01-31", members=_MEMBERS, claims=_claims("2017-12-31", "2018-02-02"))
    warehouse.incremental()
    assert _parts(warehouse) == {"2017", "2018_02"}


def test_on_a_cluster_all_partitions_are_of_years(on_cluster: Warehouse) -> None:
    on_cluster.send("2024-12-31", members=_MEMBERS, claims=_claims("2023-05-05", "2024-12-31"))
    on_cluster.send("2025-12-31", claims=_claims("2025-10-01"))
    on_cluster.rebuild()
    # Neither a day nor a batch of another year makes months.
    on_cluster.send("2026-01-31", claims=_claims("2025-11-11", "2026-01-01", "2021-01-01"))
    on_cluster.incremental()
    for table in _TABLES:
        assert _parts(on_cluster, table) == {"2021", "2023", "2024", "2025", "2026"}
        said = on_cluster.value(f"select obj_description('warehouse.{table}'::regclass)")
        assert said.endswith("Partitioned by service_date: by year.")
    assert failed_critical(on_cluster.connection) == set()


def test_a_cluster_that_has_months_keeps_to_them_until_its_next_full_load(
    on_cluster: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_cluster.send("2025-01-31", members=_MEMBERS, claims=_claims("2020-05-05", "2025-01-01"))
    with monkeypatch.context() as patched:
        # As if the layout of a cluster made no difference.
        same = SimpleNamespace(found=lambda _, schemas: schemas, spread=layout.spread)
        patched.setattr(partitions, "layout", same)
        on_cluster.rebuild()
    on_cluster.send("2025-12-31", claims=_claims("2020-06-06", "2025-01-02", "2025-10-01"))
    on_cluster.incremental()
    assert _parts(on_cluster) == {"2020", "2025_01", "2025_10"}
    on_cluster.rebuild()
    assert _parts(on_cluster) == {"2020", "2025"}


def test_a_month_of_a_year_has_its_turn_in_checks(of_years: Warehouse) -> None:
    connection = of_years.connection
    set_search_path(connection, LIVE.schemas.path, is_local=False)
    loads = of_years.column("select load_id from ledger.load where status = 'loaded'")
    look = plan(connection, LIVE, loads, None)
    # All of the years and months from the first partition to the last.
    assert (look.months[0], look.months[-1]) == (date(2017, 1, 1), date(2025, 10, 1))
    assert look.months_there == 106
    connection.execute("update warehouse.fact_claim set paid_amount = 1 where claim_id ~ '2017'")
    assert [_failing_of(connection, date(2017, month, 1)) for month in (4, 5, 6)] == [0, 1, 0]


def _failing_of(connection: psycopg.Connection[Any], month: date) -> int:
    """How many claims of a month differ from what staging has, as a share of the checks sees."""
    name = "fact_claim.latest_state"
    look = Look((month,), 106, 2, ())
    found = run_share(connection, LIVE, look, [], wanted=lambda check: check.name == name)
    ((_, finding),) = [(check, f) for check, f in found if check.name == name]
    assert finding is not None
    return finding.rows_failed


@pytest.mark.slow
def test_years_before_the_horizon_lose_their_partitions_once_empty(of_years: Warehouse) -> None:
    of_years.connection.execute(
        "insert into access.legal_hold (member_id, why) values ('M2', 'suit')"
    )
    of_years.send(
        "2026-01-31",
        claims=draw("""
            claim_id | member_id | service_date
            HELD     | M2        | 2018-06-30
            KEPT     | M1        | 2022-01-01
            GONE     | M1        | 2021-12-31
        """),
    )
    of_years.incremental()
    retain(of_years, 4)
    # Of 2018 the member on hold has a row; 2022 begins at the horizon.
    there = {"2018", "2022", "2023_01", "2025_10"}
    assert _parts(of_years) == there
    assert _days(of_years) == {
        *(date(2018, 6, 30), date(2022, 1, 1), date(2022, 12, 31)),
        *(date(2023, 1, 1), date(2025, 10, 1)),
    }
    kept = seen(of_years)
    of_years.rebuild(1)
    assert seen(of_years) == kept
    assert _parts(of_years) == there
    assert failed_critical(of_years.connection) == set()
