"""Cubes that follow what a batch changed: their other rows are not written again.

``Warehouse.incremental`` compares them with their definitions after every load of the tests, and
``test_fact_history`` does so after hostile sequences.
"""

from __future__ import annotations

import shutil
from datetime import date
from typing import Any

import psycopg
import pytest

from etl.db.connection import set_search_path
from etl.errors import CheckFailedError
from etl.pipeline import commands
from etl.stages import tables
from etl.stages.cubes import changes, refresh
from etl.warehouse.tables import CUBES, LIVE, VIEW
from tests.support.warehouse import CopyOf, Warehouse, differing_cubes

PROVIDERS = [{"provider_id": "D", "specialty": "Cardiology"}]
PLANS = [{"plan_id": "P", "effective_year": y, "metal_tier": "Silver"} for y in (2024, 2025)]


def claim(claim_id: str, member_id: str, day: str, paid: str = "10.00", **more: str) -> Any:
    keys = {"claim_id": claim_id, "member_id": member_id, "provider_id": "D", "plan_id": "P"}
    return {**keys, "service_date": day, "paid_amount": paid, "status": "approved", **more}


def cover(enrollment_id: str, member_id: str, start: str, end: str) -> Any:
    keys = {"enrollment_id": enrollment_id, "member_id": member_id, "plan_id": "P"}
    return {**keys, "start_date": start, "end_date": end}


def load_claims_of_members(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-05-01",
        members=[{"member_id": m} for m in "ABC"],
        plans=PLANS,
        providers=PROVIDERS,
        enrollments=[
            cover("e1", "A", "2025-01-01", "2025-04-30"),
            cover("e2", "B", "2025-03-01", "2025-04-30"),
        ],
        claims=[
            claim("c1", "A", "2025-01-10"),
            claim("c2", "A", "2025-03-10"),
            claim("c3", "B", "2025-03-10"),
            claim("c4", "B", "2025-04-10", "60000.00"),
            claim("c5", "", "2025-01-10", status="pending"),
            claim("c7", "B", "2025-04-11", status="VOID"),
        ],
    )
    warehouse.incremental()


@pytest.fixture
def loaded(copy_of: CopyOf) -> Warehouse:
    """Claims of four members in January, March and April, one of them over the threshold."""
    return copy_of(load_claims_of_members)


def second(warehouse: Warehouse, batch_id: str = "2025-05-02") -> None:
    """A new claim in March, one adjusted, one sent again unchanged; one coverage ends sooner."""
    warehouse.send(
        batch_id,
        enrollments=[cover("e2", "B", "2025-03-01", "2025-03-31")],
        claims=[
            claim("c2", "A", "2025-03-10", "12.00", status="adjusted"),
            claim("c3", "B", "2025-03-10"),
            claim("c6", "A", "2025-03-11"),
        ],
    )


@pytest.mark.slow
def test_claim_moves_between_measures_when_its_status_becomes_known(loaded: Warehouse) -> None:
    apart = (
        "select sum(claims), sum(unknown_status_claims), sum(unknown_status_billed_usd)"
        " from cubes.{} where {}"
    )
    places = {
        "claims_daily_member": "member_id = 'B' and service_date >= '2025-04-01'",
        "claims_by_plan_metal_month": "month = '2025-04-01'",
        "utilization_by_specialty": "month = '2025-04-01'",
    }
    statuses = {"2025-05-02": ("approved", "Rejected"), "2025-05-03": ("x", "denied")}
    expected = {"2025-05-02": (1, 1, 10), "2025-05-03": (1, 1, 10)}
    for batch, (first, second_) in statuses.items():
        loaded.send(
            batch,
            claims=[
                claim("c4", "B", "2025-04-10", "60000.00", status=second_),
                claim("c7", "B", "2025-04-11", status=first),
            ],
        )
        loaded.incremental()  # which compares each cube with its definition
        for cube, place in places.items():
            assert loaded.rows(apart.format(cube, place)) == [expected[batch]], (batch, cube)
    # A day is removed when its last claim, of an unknown status, moves away.
    loaded.send("2025-05-04", claims=[claim("c7", "B", "2025-03-11")])
    loaded.incremental()
    assert loaded.rows(apart.format("claims_daily_member", "service_date = '2025-04-11'")) == [
        (None, None, None)
    ]


def test_a_table_is_unchanged_until_a_file_or_a_row_says_otherwise(loaded: Warehouse) -> None:
    """What a materialized view may read and need not be refreshed for."""
    read = {"fact_claim", "fact_enrollment", "dim_member", "own_table"}

    def unchanged(since: int) -> set[str]:
        set_search_path(loaded.connection, LIVE.schemas.path, is_local=False)
        return changes.unchanged_tables(loaded.connection, read, since)

    assert unchanged(1) == {"fact_claim", "fact_enrollment", "dim_member"}
    for since, (changed, rows) in enumerate(
        [
            ("fact_claim", {"claims": [claim("n1", "A", "2025-03-12")]}),
            ("fact_enrollment", {"enrollments": [cover("n1", "C", "2025-03-01", "2025-03-31")]}),
            ("dim_member", {"members": [{"member_id": "A", "state": "TX"}]}),
        ],
        1,
    ):
        loaded.send(f"2025-05-0{since + 1}", **rows)
        loaded.incremental()
        assert unchanged(since) == read - {changed, "own_table"}


def written(warehouse: Warehouse, cube: str, grain: str) -> dict[Any, str]:
    """By which transaction each row was written."""
    return dict(warehouse.rows(f"select ({grain})::text, xmin::text from cubes.{cube}"))


def through(warehouse: Warehouse) -> set[int | None]:
    """Through which load the cubes are made."""
    rows = warehouse.rows(
        "select cube_name, load_id from ledger.cube_refresh where schema_name = 'cubes'"
    )
    assert {name for name, _ in rows} == set(CUBES)
    return {load_id for _, load_id in rows}


def test_refresh_writes_and_checks_only_rows_that_changed(loaded: Warehouse) -> None:
    rows = {name: ", ".join(cube.grain) for name, cube in CUBES.items()}
    before = {name: written(loaded, name, grain) for name, grain in rows.items()}
    assert through(loaded) == {1}
    second(loaded)
    loaded.incremental()
    assert through(loaded) == {2}
    changed = {
        name: {
            row for row, by in written(loaded, name, grain).items() if before[name].get(row) != by
        }
        for name, grain in rows.items()
    }
    assert changed == {
        "claims_daily_member": {"(A,2025-03-10)", "(A,2025-03-11)"},
        "claims_by_plan_metal_month": {"(Silver,2025-03-01)", "(Silver,2025-04-01)"},
        "claims_by_month": {"(metal_tier,Silver,2025-03-01)", "(specialty,Cardiology,2025-03-01)"},
        "utilization_by_specialty": {"(Cardiology,2025-03-01)", "(Cardiology,2025-04-01)"},
        "high_cost_member_tracking": set(),
        "cost_month": {'(2025-03-01,x,Silver,"(unknown)")'},
        "member_month": {"(B,2025-03-01,P)"},
        "exposure_month": {'(2025-04-01,x,Silver,"(none)")'},
        "enrollment_flow_month": {"(2025-03-01,x,Silver)", "(2025-04-01,x,Silver)"},
        "inpatient_stay": set(),
        "readmission_month": set(),
        "high_cost_year": set(),
    }
    # The gate checked the changed days and months, all coverage, and the grain of every view.
    checked = dict(
        loaded.rows(
            "select check_name, rows_checked from quality.check_judged where check_run_id ="
            " (select max(check_run_id) from quality.check_run where gate = 'cubes')"
        )
    )
    views = {cube.name for cube in CUBES.values() if cube.kind is VIEW}
    assert {name: rows for name, rows in checked.items() if name.endswith(".grain_is_known")} == {
        f"{view}.grain_is_known": loaded.value(f"select count(*) from cubes.{view}")
        for view in views
    }
    assert {
        name: rows for name, rows in checked.items() if not name.endswith("grain_is_known")
    } == {
        "claims_daily_member.money_as_in_facts": 3,
        "claims_by_plan_metal_month.money_as_in_facts": 1,
        "utilization_by_specialty.money_as_in_facts": 1,
        "cost_month.money_as_in_facts": 1,
        "claims_by_plan_metal_month.covered_days": 4,
        "high_cost_member_tracking.rolling_paid": 0,
        "member_month.days_as_in_facts": 1,
        "member_month.counted_once": 1,
        "enrollment_flow_month.flow_continues": 4,
        "inpatient_stay.claims_as_in_facts": 0,
        "inpatient_stay.stays_apart": 0,
        "high_cost_year.years_as_in_days": 0,
    }


# A view is wrong where the table that it reads is wrong. By check: the damage that it detects.
REFRESH = "refresh materialized view {}"
BY_MONTH = "update claims_by_month set claims = 9 where breakdown = '{}' and month = '2025-03-01';"
DAMAGE = {
    "claims_daily_member.money_as_in_facts": (
        "update claims_daily_member set paid_usd = 0 where service_date = '2025-03-11'"
    ),
    "claims_by_plan_metal_month.money_as_in_facts": (
        BY_MONTH.format("metal_tier") + REFRESH.format("claims_by_plan_metal_month")
    ),
    "claims_by_plan_metal_month.covered_days": (
        "update exposure_month set covered_days = covered_days + 1"
    ),
    "utilization_by_specialty.money_as_in_facts": (
        "delete from claims_by_month where breakdown = 'specialty';"
        + REFRESH.format("utilization_by_specialty")
    ),
    "cost_month.money_as_in_facts": "update cost_month set paid_usd = 1",
    "member_month.days_as_in_facts": (
        "update member_month set covered_days = 1 where member_id = 'B';"
        "insert into touched_member_month values ('B')"
    ),
    "member_month.counted_once": (
        "update member_month set member_months_any = 2 where member_id = 'B';"
        "insert into touched_member_month values ('B')"
    ),
    "enrollment_flow_month.flow_continues": "update enrollment_flow_month set at_end = 9",
    "inpatient_stay.claims_as_in_facts": (
        "insert into inpatient_stay (member_id, stay_id, claims) values ('B', 'x', 1);"
        "insert into touched_inpatient_stay values ('B')"
    ),
    "inpatient_stay.stays_apart": (
        "insert into inpatient_stay (member_id, stay_id, admit_date, discharge_date) select 'B',"
        " id, '2025-03-01', '2025-03-02' from unnest(array['x', 'y']) as id;"
        "insert into touched_inpatient_stay values ('B')"
    ),
    "high_cost_year.years_as_in_days": (
        "insert into high_cost_year (member_id, benefit_year, paid_usd) values ('B', 2025, 1);"
        "insert into touched_high_cost_year values ('B')"
    ),
    "high_cost_member_tracking.rolling_paid": (
        "update claims_daily_member set paid_usd = 70000 where service_date = '2025-04-10';"
        "insert into members_to_track values ('B')"
    ),
}


@pytest.mark.slow
def test_wrong_refresh_is_rolled_back(loaded: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    made = refresh.run_cubes
    second(loaded)
    loaded.run(commands.run_stages, ("stage", "dims", "facts"))
    before = loaded.rows("select * from cubes.claims_daily_member order by 1, 2")
    for check, damage in DAMAGE.items():

        def damaging(
            connection: psycopg.Connection[Any], *build: Any, what: str = damage, **how: Any
        ) -> refresh.Refresh:
            found = made(connection, *build, **how)
            assert found.by_change
            connection.execute(what)
            return found

        monkeypatch.setattr(refresh, "run_cubes", damaging)
        with loaded.pipeline() as pipeline, pytest.raises(CheckFailedError, match=check):
            commands.run_cubes(pipeline)
    assert through(loaded) == {1}
    assert loaded.rows("select * from cubes.claims_daily_member order by 1, 2") == before
    monkeypatch.undo()
    loaded.run(commands.run_cubes)
    assert differing_cubes(loaded.connection) == []


@pytest.mark.slow
def test_cubes_without_a_last_load_are_rebuilt_whole(loaded: Warehouse) -> None:
    # A load that has changed dimensions and not yet facts: the cubes are of no load.
    loaded.send(
        "2025-04-01",
        members=[{"member_id": "A", "last_name": "earlier"}],
        providers=[{"provider_id": "D", "specialty": "Oncology"}],
        claims=[claim("c1", "A", "2025-01-10", provider_id="E"), claim("c7", "A", "2025-01-11")],
    )
    for stages, known in ((("stage", "dims"), None), (("facts",), 2)):
        with loaded.pipeline() as pipeline:
            commands.run_stages(pipeline, stages)
            commands.run_cubes(pipeline)
        assert through(loaded) == {known}
        assert differing_cubes(loaded.connection) == []
    # A change by hand, which counts to the next load.
    loaded.connection.execute("update warehouse.fact_claim set paid_amount = 20 where true")
    loaded.connection.execute("delete from warehouse.fact_enrollment where enrollment_id = 'e1'")
    loaded.run(commands.run_cubes, whole=True)
    assert through(loaded) == {None}
    second(loaded)
    loaded.incremental()
    assert through(loaded) == {3}
    loaded.connection.execute("update warehouse.fact_claim set paid_amount = 30 where true")
    loaded.send("2025-05-03", claims=[claim("c8", "C", "2025-02-01")])
    loaded.incremental()
    assert through(loaded) == {4}
    assert loaded.rows("select sum(paid_usd) from cubes.utilization_by_specialty") != [(0,)]


@pytest.mark.slow
def test_months_are_made_again_only_of_members_of_whom_they_say_something(
    loaded: Warehouse,
) -> None:
    """A counter is corrected in place; a birth date, a move and an end of coverage matter."""

    def made_again(batch_id: str, **feeds: list[dict[str, str]]) -> int:
        loaded.send(batch_id, **feeds)
        loaded.incremental()  # which compares each cube with its definition
        rows: int = loaded.value(
            "select rows_checked from quality.check_judged where check_run_id ="
            " (select max(check_run_id) from quality.check_run where gate = 'cubes')"
            " and check_name = 'member_month.days_as_in_facts'"
        )
        return rows

    counted = [{"member_id": member, "call_count": "7"} for member in "ABC"]
    assert made_again("2025-05-02", members=counted) == 0
    assert loaded.value("select count(*) from internal.dim_member_past") == 3
    born = [*counted[1:], {"member_id": "A", "call_count": "8", "dob": "1990-07-15"}]
    assert made_again("2025-05-03", members=born) == 1
    ended = [cover("e2", "B", "2025-03-01", "2025-03-31")]
    assert made_again("2025-05-04", members=counted[1:], enrollments=ended) == 1


@pytest.mark.slow
def test_statistics_of_a_new_cube_are_renewed_once_enough_of_it_changed(loaded: Warehouse) -> None:
    """The rows that it was made with are none of its changes."""
    cube = "cubes.claims_daily_member"
    more = (
        "insert into cubes.claims_daily_member (member_id, service_date, claims)"
        " select 'X', '2020-01-01'::date + n, 1 from generate_series(1, %s) as n"
    )
    days = [claim(f"d{n}", "C", f"2025-02-{n % 28 + 1:02}") for n in range(28)]
    loaded.send("2025-05-02", claims=days)
    loaded.rebuild()
    stale = []
    for rows in (0, 1, 5):
        with loaded.connection.transaction():
            loaded.connection.execute(more.replace("%s", str(rows)))
            stale.append(tables.are_stale(loaded.connection, cube))
            loaded.connection.execute("delete from cubes.claims_daily_member where member_id = 'X'")
            loaded.connection.execute("select pg_stat_force_next_flush()")
    assert stale == [False, False, True]
    # Earlier transactions count too, until somebody looks.
    assert tables.are_stale(loaded.connection, cube)
    tables.analyze(loaded.connection, "cubes", "claims_daily_member")
    assert not tables.are_stale(loaded.connection, cube)


@pytest.mark.slow
def test_later_month_changes_the_tracking_of_members_without_new_claims(loaded: Warehouse) -> None:
    """Who is over the threshold stays so; what leaves the window below zero brings others back."""
    loaded.send(
        "2025-05-02",
        claims=[
            claim("d1", "A", "2024-05-10", "-30000.00", status="reversed"),
            claim("d2", "A", "2024-08-10", "55000.00"),
        ],
    )
    loaded.incremental()
    over = "select month from cubes.high_cost_member_tracking where member_id = '{}' order by 1"
    assert loaded.rows(over.format("A")) == []
    loaded.send("2025-07-01", claims=[claim("d3", "C", "2025-06-10")])
    loaded.incremental()
    assert loaded.column(over.format("A")) == [date(2025, 5, 1), date(2025, 6, 1)]
    assert loaded.rows(over.format("B")) == [(date(2025, m, 1),) for m in (4, 5, 6)]
    # The only claim of the last month turns out to be of another year.
    loaded.send("2025-07-02", claims=[claim("d3", "C", "2024-01-10")])
    loaded.incremental()
    assert loaded.rows(over.format("A")) == []
    assert loaded.value(over.format("B")) == date(2025, 4, 1)


@pytest.mark.slow
def test_late_dimension_row_moves_the_claims_that_named_its_key(loaded: Warehouse) -> None:
    loaded.send(
        "2025-05-02",
        enrollments=[{**cover("e3", "Z", "2025-02-01", "2025-02-28"), "plan_id": "Q"}],
        claims=[claim("d1", "Z", "2025-02-10", provider_id="F", plan_id="Q")],
    )
    loaded.incremental()
    loaded.send(
        "2025-05-03",
        members=[{"member_id": "Z"}],
        plans=[{"plan_id": "Q", "effective_year": 2025, "metal_tier": "gold"}],
        providers=[{"provider_id": "F", "specialty": "Oncology"}],
    )
    loaded.incremental()
    assert through(loaded) == {3}
    assert loaded.rows(
        "select metal_tier, covered_days from cubes.claims_by_plan_metal_month"
        " where claims > 0 and month = '2025-02-01'"
    ) == [("Gold", 28)]
    assert loaded.rows(
        "select specialty from cubes.utilization_by_specialty where month = '2025-02-01'"
    ) == [("Oncology",)]
    # A rebuild's loads have new numbers, and the cubes follow the loads after it.
    loaded.rebuild()
    assert through(loaded) == {6}
    second(loaded, "2025-05-04")
    loaded.incremental()
    assert through(loaded) == {7}


@pytest.mark.slow
def test_claims_move_when_a_corrected_batch_removes_their_version(loaded: Warehouse) -> None:
    """Provider, plan and member had a version that is in no dimension any more."""

    def changed(specialty: str, tier: str, **member: str) -> None:
        shutil.rmtree(loaded.inbox / "2025-05-02", ignore_errors=True)
        loaded.send(
            "2025-05-02",
            members=[{"member_id": "A", **member}],
            plans=[{**PLANS[1], "metal_tier": tier}],
            providers=[{"provider_id": "D", "specialty": specialty}],
        )
        loaded.incremental()

    months = "select breakdown, category, claims from cubes.claims_by_month where month = '{}'"
    changed("Oncology", "Gold", last_name="married")
    loaded.send("2025-05-10", claims=[claim("d1", "A", "2025-05-05")])
    loaded.incremental()
    assert set(loaded.rows(months.format("2025-05-01"))) == {
        ("metal_tier", "Gold", 1),
        ("specialty", "Oncology", 1),
    }
    changed("Cardiology", "Silver")
    assert through(loaded) == {4}
    assert set(loaded.rows(months.format("2025-05-01"))) == {
        ("metal_tier", "Silver", 1),
        ("specialty", "Cardiology", 1),
    }
    assert loaded.rows(
        "select member_id, claims from cubes.claims_daily_member where service_date = '2025-05-05'"
    ) == [("A", 1)]


def test_a_member_who_reaches_exactly_the_threshold_is_tracked(loaded: Warehouse) -> None:
    members = "select member_id, paid_12_months_usd, band from cubes.high_cost_member_tracking"
    month = " where month = '2025-04-01' order by 1"
    for batch, paid, expected in (
        ("2025-05-02", "49979.99", []),
        ("2025-05-03", "49980.00", [("A", 50000, "$50k+")]),
    ):
        loaded.send(batch, claims=[claim("d1", "A", "2025-04-05", paid)])
        loaded.incremental()
        assert loaded.rows(members + month) == [*expected, ("B", 60010, "$50k+")]
