"""A dimension's history rebuilt from staging: shown first, then done, and facts follow."""

from __future__ import annotations

from datetime import datetime

import pytest

from etl.pipeline import commands
from etl.quality.runner import run_sql_checks
from etl.warehouse.tables import DIMENSIONS, LIVE
from tests.support.warehouse import Contents, CopyOf, Warehouse

MEMBER = DIMENSIONS["member"]
LONG_AGO = datetime(1900, 1, 1)


def load_three_names(warehouse: Warehouse) -> None:
    for number, name in enumerate(("Ames", "Bell", "Cole"), start=1):
        warehouse.send(
            f"2025-0{number}-01",
            members=[{"member_id": m, "last_name": name, "call_count": number} for m in "AB"],
            claims=[
                {"claim_id": f"{m}{number}", "member_id": m, "service_date": f"2025-0{number}-15"}
                for m in "AB"
            ],
        )
    warehouse.incremental()


@pytest.fixture
def warehouse(copy_of: CopyOf) -> Warehouse:
    """Two members with three names each, claims on every version."""
    return copy_of(load_three_names)


@pytest.fixture
def loaded(warehouse: Warehouse) -> Contents:
    """The contents as loaded."""
    return warehouse.contents()


def restate(warehouse: Warehouse, since: datetime = LONG_AGO, *, show: bool = False) -> list[str]:
    """Restate the members; the messages."""
    warehouse.run(commands.restate, MEMBER, since, show=show)
    return warehouse.watcher.said


def facts_of(member_sk: int, claims: str) -> list[str]:
    """Statements that give claims, with their lines and diagnoses, to a version of a member."""
    return [
        f"update warehouse.{fact} set member_sk = {member_sk} where claim_id like '{claims}'"
        for fact in ("fact_claim", "fact_claim_line", "bridge_claim_diagnosis")
    ]


def damage(warehouse: Warehouse) -> None:
    """Lose B's second version and its facts' keys, and change A's first name in its last."""
    (first,) = warehouse.rows(
        "select member_sk from warehouse.dim_member where member_id = 'B' "
        "and validity_start_ts = '1900-01-01'"
    )[0]
    with warehouse.connection.transaction():
        for statement in (
            *facts_of(first, "B2"),
            "delete from warehouse.dim_member where member_id = 'B' and last_name = 'Bell'",
            "update warehouse.dim_member set validity_end_ts = '2025-03-01' "
            f"where member_sk = {first}",
            "update warehouse.dim_member set first_name = 'wrong' "
            "where member_id = 'A' and current_flag",
        ):
            warehouse.connection.execute(statement)


def test_restating_undamaged_rows_changes_nothing(warehouse: Warehouse, loaded: Contents) -> None:
    assert restate(warehouse) == ["dim_member is as staging says: no change."]
    assert warehouse.contents() == loaded


def test_restating_damaged_rows_rekeys_facts(warehouse: Warehouse, loaded: Contents) -> None:
    damage(warehouse)
    damaged = warehouse.contents()
    said = (
        "Restating dim_member from 1900-01-01: 2 keys have another history, 1 versions come, "
        "0 go, 1 end sooner, 1 differ otherwise, 3 facts are keyed again."
    )
    assert restate(warehouse, show=True) == [f"{said} This was only shown."]
    assert warehouse.contents() == damaged
    # A restatement that is only shown leaves no load.
    assert warehouse.value("select count(*) from ledger.load") == 3
    assert restate(warehouse) == [said]
    assert warehouse.contents(keys=False) == {
        table: sorted(rows, key=repr) for table, rows in without_keys(loaded, warehouse).items()
    }
    assert warehouse.rows(
        "select fact, dimension, reason, facts, first_date::text, last_date::text "
        "from ledger.fact_rekey where reason = 'restated' order by fact"
    ) == [
        (fact, "dim_member", "restated", 1, "2025-02-15", "2025-02-15")
        for fact in ("bridge_claim_diagnosis", "fact_claim", "fact_claim_line")
    ]
    # The surrogate key of the lost version is not used again.
    assert warehouse.value("select max(member_sk) from warehouse.dim_member") == 7


def without_keys(contents: Contents, warehouse: Warehouse) -> Contents:
    """The contents without surrogate keys."""
    kept = {}
    for table, rows in contents.items():
        names = warehouse.column(
            "select column_name from information_schema.columns where table_schema = "
            f"'warehouse' and table_name = '{table}' "
            "and column_name not in ('load_id', 'created_at') order by 1"
        )
        kept[table] = [
            tuple(v for name, v in zip(names, row, strict=True) if not name.endswith("_sk"))
            for row in rows
        ]
    return kept


def test_restating_from_a_day_keeps_what_is_before(warehouse: Warehouse, loaded: Contents) -> None:
    damage(warehouse)
    restate(warehouse, datetime(2025, 2, 15))
    assert warehouse.rows(
        "select member_id, last_name, first_name, validity_start_ts::text "
        "from warehouse.dim_member where member_sk > 0 order by 1, 4"
    ) == [
        ("A", "Ames", "x", "1900-01-01 00:00:00"),
        ("A", "Bell", "x", "2025-02-01 00:00:00"),
        ("A", "Cole", "x", "2025-03-01 00:00:00"),
        ("B", "Ames", "x", "1900-01-01 00:00:00"),
        ("B", "Bell", "x", "2025-02-15 00:00:00"),
        ("B", "Cole", "x", "2025-03-01 00:00:00"),
    ]
    assert restate(warehouse, datetime(2025, 2, 15)) == [
        "dim_member is as staging says: no change."
    ]


def test_the_damaged_history_can_be_read_as_known_after_a_restatement(
    warehouse: Warehouse, loaded: Contents
) -> None:
    damage(warehouse)
    state = (
        "select member_id, first_name, last_name, validity_start_ts, validity_end_ts "
        "from warehouse.dim_member{} order by 1, 4"
    )
    damaged = warehouse.rows(state.format(""))
    # A change by hand is known after the next load, which brings nothing more.
    warehouse.send("2025-04-01", plans=[{"plan_id": "P"}])
    warehouse.incremental()
    (load_id,) = warehouse.rows("select max(load_id) from ledger.load")[0]
    restate(warehouse)
    assert warehouse.rows(state.format("")) != damaged
    assert warehouse.rows(state.format(f"_as_known_at({load_id})")) == damaged


def test_restatement_that_is_only_shown_leaves_past_rows_unchanged(
    warehouse: Warehouse, loaded: Contents
) -> None:
    damage(warehouse)
    # The load id taken by a restatement that is only shown is missing from the ledger.
    restate(warehouse, show=True)
    warehouse.send("2025-04-01", plans=[{"plan_id": "P"}])
    warehouse.incremental()
    assert warehouse.rows("select max(load_id), count(*) from ledger.load") == [(5, 4)]
    failed = {
        check.name
        for check, found in run_sql_checks(
            warehouse.connection, LIVE, wanted=lambda check: "_past." in check.name
        )
        if found is None or found.rows_failed
    }
    assert failed == set()


def test_restate_without_a_valid_dimension_or_day_is_refused(warehouse: Warehouse) -> None:
    for arguments, said in (
        ((), "Which dimension is meant?"),
        (("--dim", "broker"), "There is no dimension 'broker' to restate."),
        (("--dim", "member", "--from", "soon"), "'soon' is no day to restate from."),
        (("--dim", "plan", "--from", "0001-01-01T00:00+01:00"), "is no day to restate from."),
    ):
        done = warehouse.command("restate", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_checks_missed_by_a_killed_restatement_run_once_with_the_next(
    loaded: Contents, warehouse: Warehouse
) -> None:
    def cut_short() -> None:
        raise RuntimeError("the checks were cut short")

    damage(warehouse)
    with warehouse.pipeline(checks=cut_short) as pipeline, pytest.raises(RuntimeError):
        commands.restate(pipeline, MEMBER, LONG_AGO)
    ran: list[str] = []
    for _ in range(2):
        with warehouse.pipeline(checks=lambda: ran.append("checks")) as pipeline:
            commands.restate(pipeline, MEMBER, LONG_AGO)
        assert ran == ["checks"]


def test_key_without_versions_before_the_day_is_restated_from_its_beginning(
    warehouse: Warehouse, loaded: Contents
) -> None:
    """The other key's versions before the day stay as they are."""
    (last,) = warehouse.column(
        "select member_sk from warehouse.dim_member where member_id = 'A' and current_flag"
    )
    with warehouse.connection.transaction():
        for statement in (
            *facts_of(last, "A%"),
            "delete from warehouse.dim_member where member_id = 'A' and not current_flag",
        ):
            warehouse.connection.execute(statement)
    restate(warehouse, datetime(2025, 2, 15))
    assert warehouse.rows(
        "select last_name, validity_start_ts::text from warehouse.dim_member "
        "where member_id = 'A' order by 2"
    ) == [
        ("Ames", "1900-01-01 00:00:00"),
        ("Bell", "2025-02-01 00:00:00"),
        ("Cole", "2025-03-01 00:00:00"),
    ]
