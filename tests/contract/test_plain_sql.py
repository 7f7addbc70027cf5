"""Plain SQL cannot break a history, whoever sends it and in whatever form."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import errors

from etl.db.connection import connect
from etl.warehouse.tables import DIMENSIONS, Dimension
from tests.support.databases import fresh_database

COLUMNS = "validity_start_ts, validity_end_ts, current_flag, attr_hash, hash_version, load_id"


@dataclass(frozen=True)
class History:
    """A dimension with two versions of the key a, and one of the key b for all time."""

    url: str
    connection: psycopg.Connection[Any]
    dimension: Dimension

    @property
    def table(self) -> str:
        return f"warehouse.{self.dimension.table}"

    @property
    def sk(self) -> str:
        return self.dimension.sk

    @property
    def name(self) -> str:
        """The part of the natural key that the versions here differ in."""
        return self.dimension.key[0]

    @property
    def columns(self) -> str:
        return f"{self.sk}, {', '.join(self.dimension.key)}, {COLUMNS}"

    def values(self, sk: int, key: str, start: str, end: str, current: str | None = None) -> str:
        """The values of a version, ready for ``insert``."""
        parts = ", ".join(
            "2025" if c == "effective_year" else f"'{key}'" for c in self.dimension.key
        )
        current = current or ("true" if end.startswith("9999") else "false")
        return (
            f"{sk}, {parts}, timestamp '{start}', timestamp '{end}', {current}, "
            "'00000000-0000-0000-0000-000000000000'::uuid, 1, 1"
        )

    def insert(self, *version: Any) -> str:
        return f"insert into {self.table} ({self.columns}) values ({self.values(*version)})"

    def rows(self) -> list[tuple[Any, ...]]:
        return self.connection.execute(f"select * from {self.table} order by 1").fetchall()

    def other(self) -> psycopg.Connection[Any]:
        """Another session, which opens a transaction with its first statement."""
        return psycopg.connect(self.url)


@pytest.fixture(scope="module")
def shared_url(admin_url: str, template: str) -> Iterator[str]:
    """One database for all of these tests, for none of them changes more than its histories."""
    with fresh_database(admin_url, template) as url:
        yield url


@pytest.fixture(params=DIMENSIONS)
def history(request: pytest.FixtureRequest, shared_url: str) -> Iterator[History]:
    with connect(shared_url, "test") as connection:
        made = History(shared_url, connection, DIMENSIONS[request.param])
        connection.execute(f"truncate {made.table}, internal.{made.dimension.table}_past cascade")
        connection.execute(
            "insert into warehouse.dim_geography (geography_sk, load_id) values (-1, 0) "
            "on conflict do nothing"
        )
        connection.execute(made.insert(1, "a", "1900-01-01", "2025-01-01"))
        connection.execute(made.insert(2, "a", "2025-01-01", "9999-12-31"))
        connection.execute(made.insert(3, "b", "1900-01-01", "9999-12-31"))
        yield made


OVERLAPS = {
    "insert": lambda h: h.insert(9, "a", "2024-01-01", "2024-06-01"),
    "insert of a current version": lambda h: h.insert(9, "a", "2030-01-01", "9999-12-31"),
    "insert of two that overlap": lambda h: (
        h.insert(8, "c", "1900-01-01", "2025-01-01")
        + f", ({h.values(9, 'c', '2024-01-01', '9999-12-31')})"
    ),
    "insert from a query": lambda h: (
        f"insert into {h.table} ({h.columns}) select {h.values(9, 'a', '2024-01-01', '2024-06-01')}"
    ),
    "update of the end": lambda h: (
        f"update {h.table} set validity_end_ts = '2025-02-01' where {h.sk} = 1"
    ),
    "update of the start": lambda h: (
        f"update {h.table} set validity_start_ts = '2024-12-31' where {h.sk} = 2"
    ),
    "update of the key": lambda h: f"update {h.table} set {h.name} = 'b' where {h.sk} = 1",
    "update of every key": lambda h: f"update {h.table} set {h.name} = 'c'",
    "insert on conflict do nothing": lambda h: (
        h.insert(9, "a", "2024-01-01", "2024-06-01") + f" on conflict ({h.sk}) do nothing"
    ),
    "insert on conflict do update": lambda h: (
        h.insert(1, "a", "1900-01-01", "2025-06-01")
        + f" on conflict ({h.sk}) do update set validity_end_ts = excluded.validity_end_ts"
    ),
    "merge that inserts": lambda h: (
        f"merge into {h.table} as d using (select 9 as n) as s on d.{h.sk} = s.n "
        f"when not matched then insert ({h.columns}) "
        f"values ({h.values(9, 'a', '2024-01-01', '2024-06-01')})"
    ),
    "merge that updates": lambda h: (
        f"merge into {h.table} as d using (select 1 as n) as s on d.{h.sk} = s.n "
        "when matched then update set validity_end_ts = '2025-02-01'"
    ),
    "insert in the statement of an update": lambda h: (
        f"with moved as (update {h.table} set validity_end_ts = '2024-06-01' where {h.sk} = 1) "
        + h.insert(9, "a", "2024-05-01", "2024-12-01")
    ),
}


@pytest.mark.parametrize("form", OVERLAPS)
def test_no_statement_leaves_versions_that_overlap(history: History, form: str) -> None:
    before = history.rows()
    with pytest.raises((errors.ExclusionViolation, errors.UniqueViolation)):
        history.connection.execute(OVERLAPS[form](history))
    assert history.rows() == before


def test_copy_leaves_no_versions_that_overlap(history: History) -> None:
    before = history.rows()
    keys = ["2025" if c == "effective_year" else "a" for c in history.dimension.key]
    row = [9, *keys, "2024-01-01", "2024-06-01", "f", "0" * 32, 1, 1]
    with (
        pytest.raises(errors.ExclusionViolation),
        history.connection.cursor() as cursor,
        cursor.copy(f"copy {history.table} ({history.columns}) from stdin") as copy,
    ):
        copy.write_row([str(value) for value in row])
    assert history.rows() == before


@pytest.mark.parametrize(
    ("start", "end", "current"),
    [
        ("2024-01-01", "2024-01-01", "false"),  # empty
        ("2024-06-01", "2024-01-01", "false"),  # backwards
        ("2024-01-01", "9999-12-31", "false"),  # in force and not said to be
        ("2024-01-01", "2025-01-01", "true"),  # ended and said to be in force
    ],
)
def test_version_of_no_duration_or_with_a_wrong_current_flag_is_refused(
    history: History, start: str, end: str, current: str
) -> None:
    with pytest.raises(errors.CheckViolation):
        history.connection.execute(history.insert(9, "c", start, end, current))
    history.connection.execute(history.insert(9, "c", "2024-01-01", "2024-06-01"))
    with pytest.raises(errors.CheckViolation):
        history.connection.execute(
            f"update {history.table} set validity_start_ts = '{start}', "
            f"validity_end_ts = '{end}', current_flag = {current} where {history.sk} = 9"
        )


def test_a_key_has_one_current_version(history: History) -> None:
    with pytest.raises(errors.UniqueViolation):
        history.connection.execute(history.insert(9, "b", "2030-01-01", "9999-12-31"))
    with pytest.raises((errors.UniqueViolation, errors.ExclusionViolation)):
        history.connection.execute(
            f"update {history.table} set validity_end_ts = '9999-12-31', current_flag = true "
            f"where {history.sk} = 1"
        )


def test_one_statement_may_move_the_boundary_of_two_versions(history: History) -> None:
    history.connection.execute(
        f"update {history.table} set "
        f"validity_end_ts = case {history.sk} when 1 then '2025-02-01' else validity_end_ts end, "
        f"validity_start_ts = case {history.sk} when 2 then '2025-02-01' "
        f"else validity_start_ts end where {history.sk} in (1, 2)"
    )
    history.connection.execute(
        f"with ended as (update {history.table} set validity_end_ts = '2025-03-01', "
        f"current_flag = false where {history.sk} = 2) select 1"
    )
    history.connection.execute(history.insert(4, "a", "2025-03-01", "9999-12-31"))
    assert len(history.rows()) == 4


@pytest.mark.parametrize("first_commits", [True, False])
def test_second_writer_waits_and_sees_the_first(history: History, first_commits: bool) -> None:
    with history.other() as first, history.other() as second, ThreadPoolExecutor(1) as pool:
        first.execute(history.insert(8, "c", "1900-01-01", "9999-12-31"))
        waiting = pool.submit(second.execute, history.insert(9, "c", "2000-01-01", "2010-01-01"))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.2)
        if first_commits:
            first.commit()
            with pytest.raises(errors.ExclusionViolation):
                waiting.result(timeout=10)
            second.rollback()
        else:
            first.rollback()
            waiting.result(timeout=10)
    assert len(history.rows()) == 4


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.parametrize("form", ["insert", "update"])
def test_repeatable_read_writes_no_version(history: History, level: str, form: str) -> None:
    with history.other() as late, history.other() as first:
        late.execute(f"set transaction isolation level {level}")
        late.execute(f"select count(*) from {history.table}")
        first.execute(f"delete from {history.table} where {history.sk} = 3")
        first.execute(history.insert(8, "c", "1900-01-01", "9999-12-31"))
        first.commit()
        statement = {
            "insert": history.insert(9, "c", "2000-01-01", "2010-01-01"),
            "update": f"update {history.table} set {history.name} = 'c', "
            f"validity_end_ts = '2030-01-01', current_flag = false where {history.sk} = 2",
        }[form]
        with pytest.raises(errors.InvalidTransactionState):
            late.execute(statement)
        late.rollback()
    assert [row[0] for row in history.rows()] == [1, 2, 8]
