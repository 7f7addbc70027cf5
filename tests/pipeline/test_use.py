"""Who reads what is counted from the server's own counts, over swaps, without texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest

from etl.access import logins
from etl.db.connection import set_search_path
from etl.docs import data_dictionary, report_queries
from etl.errors import SchemaError, UsageError
from etl.operations import deprecation, use, use_page
from etl.pipeline import commands
from etl.schema import marts
from etl.synthetic.generate import generate
from etl.warehouse.deprecated import Deprecated
from etl.warehouse.tables import CUBES, LIVE, Cube
from tests.support.warehouse import Warehouse


@pytest.fixture(scope="module")
def loaded(module_warehouse: Warehouse) -> Warehouse:
    generate(module_warehouse.inbox, members=60)
    module_warehouse.rebuild()
    set_search_path(module_warehouse.connection, LIVE.schemas.path, is_local=False)
    return module_warehouse


def reader(warehouse: Warehouse, name: str, role: str) -> Iterator[psycopg.Connection[Any]]:
    added = logins.add(warehouse.connection, name, logins.role_of(role), [])
    address = psycopg.conninfo.make_conninfo(warehouse.url, user=name, password=added.password)
    with psycopg.connect(address, autocommit=True) as connection:
        yield connection
    logins.drop(warehouse.connection, name)


@pytest.fixture(scope="module")
def analyst(loaded: Warehouse) -> Iterator[psycopg.Connection[Any]]:
    yield from reader(loaded, "reading_analyst", "analyst")


@pytest.fixture(scope="module")
def phi(loaded: Warehouse) -> Iterator[psycopg.Connection[Any]]:
    yield from reader(loaded, "reading_phi", "phi")


def read_by(warehouse: Warehouse, role: str) -> dict[tuple[str, str], int]:
    use.collect(warehouse.connection)
    found = use.used(warehouse.connection, 90)
    return {(u.schema, u.relation): u.calls for u in found if u.role == role}


@pytest.mark.slow
def test_a_cube_read_through_a_masked_view_is_counted(
    loaded: Warehouse, analyst: psycopg.Connection[Any]
) -> None:
    before = read_by(loaded, "reading_analyst")
    query = "select sum(paid_usd) from claims_by_month where month >= date '2025-01-01'"
    for _ in range(3):
        analyst.execute(query)
    after = read_by(loaded, "reading_analyst")
    for relation in (("limited", "claims_by_month"), ("cubes", "claims_by_month")):
        assert after[relation] == before.get(relation, 0) + 3
    assert read_by(loaded, "reading_analyst") == after, "counted twice"


def test_statements_of_every_form_are_counted(
    loaded: Warehouse, phi: psycopg.Connection[Any]
) -> None:
    with phi.transaction(), phi.cursor("of_server") as cursor:
        cursor.execute("select * from dim_provider where provider_sk > %s", [3])
        cursor.fetchone()
    with phi.cursor().copy("copy (select plan_id from dim_plan_current) to stdout") as rows:
        list(rows)
    phi.execute(
        "select count(*), now() - interval '3 days', '2025-01-01'::timestamp, numeric '1.5' "
        "from fact_claim where service_date < date '2025-02-01' and status in ('a', 'b', 'c')"
    )
    found = read_by(loaded, "reading_phi")
    assert {
        ("warehouse", "dim_provider"),
        ("warehouse", "dim_plan_current"),
        ("warehouse", "dim_plan"),
        ("warehouse", "fact_claim"),
    } <= found.keys()
    assert not any("fact_claim_2" in relation for _, relation in found)


def test_a_login_without_a_search_path_is_counted_by_what_it_finds_in_public(
    loaded: Warehouse,
) -> None:
    # Made by hand, not by make role-add, which sets a path.
    loaded.connection.execute(
        "create role reading_plain login password 'x';"
        "create view public.months as select month from cubes.claims_by_month;"
        "grant select on public.months to reading_plain"
    )
    address = psycopg.conninfo.make_conninfo(loaded.url, user="reading_plain", password="x")
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("select min(month) from months")
    try:
        assert read_by(loaded, "reading_plain") == {
            ("public", "months"): 1,
            ("cubes", "claims_by_month"): 1,
        }
    finally:
        loaded.connection.execute("drop view public.months; drop role reading_plain")


def test_every_documented_report_can_be_planned_and_no_text_is_kept(
    loaded: Warehouse, phi: psycopg.Connection[Any]
) -> None:
    # The server forgets statements that were seldom run where tests before ran very many.
    loaded.connection.execute("select public.pg_stat_statements_reset()")
    for report in report_queries.reports().values():
        report.ask(phi)
    # Of select as_known_at($1) nobody knows which of the functions is meant; it reads no table.
    assert use.collect(loaded.connection) == 1
    found = read_by(loaded, "reading_phi")
    assert {"fact_claim_history", "load_file", "claims_by_plan_metal_month"} <= {
        relation for _, relation in found
    }
    tables = ("relation_use", "statement_counted")
    kept = "".join(str(loaded.rows(f"select * from {table}")) for table in tables)
    assert "select" not in kept
    assert loaded.value("select count(*) from relation_use where role = current_user") == 0


@pytest.mark.slow
def test_counts_continue_over_a_swap_and_a_reset(
    loaded: Warehouse, phi: psycopg.Connection[Any]
) -> None:
    query = "select count(*) from high_cost_member_tracking"
    place = ("cubes", "high_cost_member_tracking")
    # The server forgets statements when it has seen too many, those of other tests too.
    loaded.connection.execute("select public.pg_stat_statements_reset()")
    before = read_by(loaded, "reading_phi").get(place, 0)
    phi.execute(query)
    loaded.rebuild()
    phi.execute(query)
    assert read_by(loaded, "reading_phi")[place] == before + 2
    loaded.connection.execute("select public.pg_stat_statements_reset()")
    phi.execute(query)
    assert read_by(loaded, "reading_phi")[place] == before + 3


@pytest.fixture
def declared() -> Iterator[dict[str, Cube]]:
    """The declared cubes, which are in their order again afterwards."""
    before = dict(CUBES)
    yield CUBES
    CUBES.clear()
    CUBES.update(before)


def test_a_deprecated_cube_goes_when_nobody_reads_or_declares_it(
    loaded: Warehouse, phi: psycopg.Connection[Any], declared: dict[str, Cube]
) -> None:
    name = "utilization_by_specialty"
    outdated = replace(CUBES[name], deprecated=Deprecated(date(2026, 1, 31), "claims_by_month"))
    with pytest.raises(UsageError, match="never declared"):
        drop(loaded, name)
    declared[name] = outdated
    loaded.run(commands.run_cubes)
    comment = loaded.value(f"select obj_description('cubes.{name}'::regclass)")
    assert comment.endswith("Deprecated since 2026-01-31: read claims_by_month.")
    # Views are listed once a process, so those of the changed cubes are asked for again.
    [view] = [v for v in marts.marts_of_cubes.__wrapped__() if v.place.name == name]
    assert view.words["description"].count("Deprecated since 2026-01-31") == 1
    assert view.deprecated is None
    assert "| cubes.utilization_by_specialty | 2026-01-31 |" in data_dictionary.render()
    phi.execute(f"select count(*) from {name}")
    shown = "\n".join(use_page.lines(loaded.connection, 90))
    assert f"cubes.{name}  Deprecated since 2026-01-31: read claims_by_month." in shown
    with pytest.raises(UsageError, match="by reading_phi"):
        drop(loaded, name)
    loaded.connection.execute("update relation_use set day = day - 30")
    with pytest.raises(UsageError, match="the code declares it"):
        drop(loaded, name)
    del declared[name]
    loaded.connection.execute(f"create view public.mine as select claims from cubes.{name}")
    with pytest.raises(SchemaError, match="Views of people"):
        drop(loaded, name)
    loaded.connection.execute("drop view public.mine")
    assert "was dropped" in drop(loaded, name)
    assert loaded.value(f"select to_regclass('cubes.{name}')") is None
    for schema in ("limited", "mart"):
        assert loaded.value(f"select to_regclass('{schema}.{name}')") is None


def drop(warehouse: Warehouse, cube: str) -> str:
    return "\n".join(deprecation.drop(warehouse.connection, cube))
