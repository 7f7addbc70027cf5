"""Objects of users that depend on a replaced build, or lie in it, keep it from being dropped."""

from __future__ import annotations

import psycopg
import pytest

from etl.db.statements import run, scalar
from etl.schema.build import blockers
from etl.schema.dependents import foreign_objects, stuck
from etl.warehouse.tables import RETIRED

# The name of each dependent object, and how it is created.
NEEDING = {
    "rule _RETURN on view mine.v": "create view mine.v as select id from warehouse_retired.t",
    "constraint r_id_fkey on table mine.r": "create table mine.r (id integer references"
    " warehouse_retired.t)",
    "trigger look on table mine.s": "create table mine.s (); create trigger look before insert"
    " on mine.s execute function warehouse_retired.look()",
    "default value for column id of table mine.d": "create table mine.d"
    " (id integer default warehouse_retired.one())",
    "policy p on table mine.p": "create table mine.p (id integer); create policy p on mine.p"
    " using (id in (select id from warehouse_retired.t))",
    "function mine.f(warehouse_retired.t)": "create function mine.f(warehouse_retired.t)"
    " returns integer language sql return 1",
    "table mine.c": "create table mine.c (value warehouse_retired.t)",
}


@pytest.fixture(scope="module")
def retired(admin_url: str) -> psycopg.Connection:
    """A retired build of a table and two functions, and a schema of a user."""
    with psycopg.connect(admin_url) as connection:
        connection.execute(
            "create schema mine; create schema warehouse_retired;"
            " create table warehouse_retired.t (id integer primary key default 1);"
            " create view warehouse_retired.own as select id from warehouse_retired.t;"
            " create function warehouse_retired.one() returns integer language sql return 1;"
            " create function warehouse_retired.look() returns trigger language plpgsql"
            " as 'begin return null; end'"
        )
        yield connection
        connection.rollback()


def test_retired_build_without_dependents_has_no_blockers(retired: psycopg.Connection) -> None:
    assert blockers(retired) == []


@pytest.mark.parametrize("needing", NEEDING)
def test_dependents_of_a_retired_build_are_named(retired: psycopg.Connection, needing: str) -> None:
    with retired.transaction(force_rollback=True):
        retired.execute(NEEDING[needing])
        assert needing in blockers(retired)


def test_an_object_that_needs_several_parts_of_a_build_is_named_once(
    retired: psycopg.Connection,
) -> None:
    name = "constraint r_id_fkey on table mine.r"
    with retired.transaction(force_rollback=True):
        retired.execute(NEEDING[name])
        assert [dependent.name for dependent in stuck(retired, RETIRED)] == [name]


# What somebody can put into a schema, and how it is created.
FOREIGN = {
    "table {}.kept": "create table {}.kept (id serial)",
    "view {}.shown": "create view {}.shown as select 1 as one",
    "materialized view {}.stored": "create materialized view {}.stored as select 1 as one",
    "sequence {}.numbers": "create sequence {}.numbers",
    "foreign table {}.afar": "create foreign data wrapper w;"
    " create server afar foreign data wrapper w;"
    " create foreign table {}.afar (id integer) server afar",
    "type {}.pair": "create type {}.pair as (a integer, b integer)",
    "type {}.kind": "create type {}.kind as enum ('a')",
    "type {}.amount": "create domain {}.amount as integer",
    "function {}.one_more(integer)": "create function {}.one_more(integer) returns integer"
    " language sql return $1 + 1",
    "procedure {}.act()": "create procedure {}.act() language sql as ''",
    "aggregate {}.total(integer)": "create aggregate {}.total(integer)"
    " (sfunc = int4pl, stype = integer)",
}


def test_objects_of_users_in_a_build_are_named_with_a_statement_that_moves_each(
    retired: psycopg.Connection,
) -> None:
    schema = RETIRED.warehouse
    made = [(schema, name) for name in ("t", "own", "one", "look")]
    with retired.transaction(force_rollback=True):
        assert foreign_objects(retired, RETIRED, made) == []
        for create in FOREIGN.values():
            retired.execute(create.replace("{}", schema))
        found = dict(foreign_objects(retired, RETIRED, made))
        assert {*found} == {name.replace("{}", schema) for name in FOREIGN}
        for remedy in found.values():
            retired.execute(remedy.replace("...", "mine"))
        assert foreign_objects(retired, RETIRED, made) == []


def test_new_tables_and_columns_get_the_grants_of_the_old(retired: psycopg.Connection) -> None:
    readable = (
        "select has_table_privilege('public', 'fresh.t', 'select'), "
        "has_column_privilege('public', 'fresh.t', 'id', 'update'), "
        "has_column_privilege('public', 'fresh.t', 'other', 'update')"
    )
    with retired.transaction(force_rollback=True):
        retired.execute("create schema fresh; create table fresh.t (id integer, other integer)")
        retired.execute("grant select, update (id) on warehouse_retired.t to public")
        assert retired.execute(readable).fetchone() == (False, False, False)
        copied = {"from_schema": "warehouse_retired", "to_schema": "fresh", "declared_roles": []}
        for (grant,) in run(retired, "rebuild/swap.copy_table_grants", copied).fetchall():
            retired.execute(grant)
        assert retired.execute(readable).fetchone() == (True, True, False)


def test_a_report_goes_on_while_its_transaction_does_and_ours_are_none(
    database: psycopg.Connection, database_url: str
) -> None:
    def goes_on() -> bool:
        return scalar(database, "rebuild/swap.reports_go_on")

    with database.transaction():
        database.execute("set local application_name = 'aca-warehouse full-load'")
        assert not goes_on()
    with psycopg.connect(database_url) as report:
        report.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        report.execute("select 1")
        assert goes_on()
        report.rollback()
        assert not goes_on()
