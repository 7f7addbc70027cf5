"""The catalog against the contracts: Alembic's own comparison is blind to keys and to checks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy.dialects import postgresql

from etl.contracts.feeds import FEEDS
from etl.contracts.types import DOMAINS
from etl.db.connection import connect, set_search_path
from etl.db.statements import run
from etl.errors import SchemaError
from etl.schema import build, migrations, revisions
from etl.schema.migrations import alembic_config, migrate
from etl.schema.warehouse_tables import all_tables
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import LIVE, NEXT
from tests.support.catalog import catalog


@pytest.mark.parametrize("part", [0, 1, 3])
def test_a_rebuild_makes_the_schema_that_the_migrations_make(
    database: psycopg.Connection[Any], database_url: str, part: int
) -> None:
    build.create(database)
    build.finish(database)
    with database.transaction():
        set_search_path(database, NEXT.schemas.path)
        run_cubes(database, NEXT)
    live = LIVE.schemas.names[part]
    assert catalog(database, NEXT.schemas.names[part], live, in_order=False) == catalog(
        database, live, live, in_order=False
    )


def test_the_catalog_is_what_the_contracts_say(database: psycopg.Connection[Any]) -> None:
    dialect = postgresql.dialect()
    for table in all_tables().tables.values():
        rows = database.execute(
            "select a.attname, t.typname, format_type(a.atttypid, a.atttypmod), a.attnotnull, "
            "col_description(a.attrelid, a.attnum) from pg_attribute a "
            "join pg_type t on t.oid = a.atttypid "
            "where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped",
            [table.fullname],
        ).fetchall()
        assert {r[0] for r in rows} == {c.name for c in table.columns}, table.fullname
        for name, type_name, said, not_null, comment in rows:
            column = table.columns[name]
            where = f"{table.fullname}.{name}"
            if isinstance(column.type, postgresql.DOMAIN):
                assert type_name == column.type.name, where
            else:
                wanted = column.type.compile(dialect=dialect).lower().replace(", ", ",")
                said = said.replace("character varying", "varchar")
                assert said.replace(" without time zone", "") == wanted.replace(
                    " without time zone", ""
                ), where
            assert not_null == (not column.nullable), where
            assert comment == column.comment, where


def test_every_feed_column_is_staged_and_described(database: psycopg.Connection[Any]) -> None:
    for feed in FEEDS.values():
        found = {
            name: (said or "")
            for name, said in database.execute(
                "select attname, col_description(attrelid, attnum) from pg_attribute "
                "where attrelid = to_regclass(%s) and attnum > 0",
                [f"staging.{feed.table}"],
            )
        }
        for column in feed.columns:
            assert column.description in found[column.name]
        assert {"load_id", "load_timestamp", "source_line"} <= found.keys()


def test_backups_compare_every_table_but_those_of_the_server(
    database: psycopg.Connection[Any],
) -> None:
    database.execute("create schema own; create table own.copy (id integer)")
    compared = {schema for schema, _ in run(database, "operations/backup.tables")}
    assert {"staging", "warehouse", "cubes", "ledger", "quality", "own"} <= compared
    assert not compared & {"information_schema", "pg_catalog", "pg_toast"}


def test_functions_that_the_dictionary_names_are_there(database: psycopg.Connection[Any]) -> None:
    values = {"schemas": [*LIVE.schemas.names]}
    found = run(database, "dictionary/catalog.functions", values).fetchall()
    missing = "select n.name from unnest(%s::text[]) as n (name) where to_regproc(n.name) is null"
    assert found
    assert database.execute(missing, [[name for name, _ in found]]).fetchall() == []


def test_migrations_go_up_down_and_up_without_drift(empty_url: str) -> None:
    config = alembic_config(empty_url)
    command.upgrade(config, "head")
    command.check(config)
    command.downgrade(config, "base")
    with connect(empty_url, "test") as connection:
        left = connection.execute(
            "select nspname from pg_namespace where nspname = any(%s)",
            [["staging", "warehouse", "internal", "cubes", "as_known", "ledger", "quality"]],
        ).fetchall()
    assert left == []
    migrate(empty_url)
    command.check(config)


STAGED = """
    insert into staging.claims_raw (
        load_id, source_line, claim_id, member_id, provider_id, plan_id, service_date, claim_amount,
        allowed_amount, paid_amount, status, diagnosis_code, procedure_code
    )
    values (%s, 2, %s, 'A', 'R', 'P', '2025-01-05', 1, 1, 1, 'approved', 'I10', '99213')
"""


def test_staged_claims_become_a_partition_and_peoples_views_read_the_whole(empty_url: str) -> None:
    config = alembic_config(empty_url)
    command.upgrade(config, "0143")
    claims = "select load_id, claim_id from staging.claims_raw order by 1"
    with connect(empty_url, "test") as connection:
        connection.execute(
            "insert into ledger.load (batch_id, as_of, status, kind, is_rebuild) "
            "values ('one', now(), 'loaded', 'batch', false)"
        )
        (load_id,) = connection.execute("select load_id from ledger.load").fetchone() or (0,)
        connection.execute(STAGED, [load_id, "C1"])
        connection.execute(
            "create schema own; create view own.claim with (security_barrier) as "
            f"{claims}; grant select on staging.claims_raw to public"
        )
    command.upgrade(config, "0144")
    with connect(empty_url, "test") as connection:
        connection.execute(
            "create table internal.claims_raw_000002 partition of staging.claims_raw "
            "for values from (2) to (3)"
        )
        connection.execute(STAGED, [2, "C2"])
        both = [(load_id, "C1"), (2, "C2")]
        assert connection.execute(claims).fetchall() == both
        assert connection.execute("select * from own.claim").fetchall() == both
        kept = "select reloptions from pg_class where oid = 'own.claim'::regclass"
        assert connection.execute(kept).fetchall() == [(["security_barrier=true"],)]
        may = "select has_table_privilege('public', %s, 'select')"
        rights = [
            connection.execute(may, [table]).fetchall()
            for table in ("staging.claims_raw", "internal.claims_raw_000001")
        ]
        assert rights == [[(True,)], [(False,)]]
        connection.execute("drop schema own cascade")
    command.downgrade(config, "0143")
    with connect(empty_url, "test") as connection:
        assert connection.execute(claims).fetchall() == both


@pytest.mark.parametrize(
    ("value", "domain"),
    [
        ("NaN", "money_usd"),
        ("1.005", "money_usd"),
        ("Infinity", "finite_number"),
        ("infinity", "calendar_date"),
        ("0099-01-01", "key_date"),
        ("", "key_text"),
        (None, "key_text"),
        (None, "key_year"),
        (None, "key_number"),
        ("0", "key_number"),
        ("2200", "plan_year"),
        ("9999-01-01", "utc_instant"),
    ],
)
def test_domains_refuse_unusable_values(
    database: psycopg.Connection[Any], value: str | None, domain: str
) -> None:
    assert domain in {d.name for d in DOMAINS}
    with pytest.raises(psycopg.errors.IntegrityError):
        database.execute(f"select %s::text::staging.{domain}", [value])


COLUMN_GOES = '''
"""A column goes, and another gets another type."""

from alembic import op
import sqlalchemy as sa

revision = "9999"
down_revision = "{newest}"


def upgrade():
    for schema, table in (("warehouse", "dim_provider"), ("internal", "dim_provider_past")):
        op.drop_column(table, "phone", schema=schema)
        op.alter_column(table, "zip", type_=sa.String(20), schema=schema)
'''


@pytest.fixture
def column_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Migrations with one more, which changes columns that views read."""
    folder = tmp_path / "migrations"
    shutil.copytree(revisions.MIGRATIONS, folder)
    text = COLUMN_GOES.format(newest=revisions.newest())
    (folder / "versions" / "9999_column_goes.py").write_text(text, encoding="utf-8")
    for module in (revisions, migrations):
        monkeypatch.setattr(module, "MIGRATIONS", folder)
    revisions.known.cache_clear()
    yield
    revisions.known.cache_clear()


def test_dropped_column_leaves_views_and_their_grants(
    database: psycopg.Connection[Any], database_url: str, column_goes: None
) -> None:
    view = "warehouse.dim_provider_as_is"
    database.execute("drop role if exists column_reader; create role column_reader")
    database.execute(f"grant select on {view} to column_reader")
    try:
        migrate(database_url)
        columns = database.execute(f"select * from {view}").description
        assert columns is not None
        assert {"name", "zip"} <= {c.name for c in columns}
        assert "phone" not in {c.name for c in columns}
        database.execute("select * from as_known.dim_provider")
        (may_read,) = database.execute(
            "select has_table_privilege('column_reader', %s, 'select')", [view]
        ).fetchone()
        assert may_read
    finally:
        database.execute("drop owned by column_reader; drop role column_reader")


def test_column_is_not_dropped_while_a_view_of_a_user_needs_it(
    database: psycopg.Connection[Any], database_url: str, column_goes: None
) -> None:
    database.execute("create view public.mine as select * from warehouse.dim_provider_current")
    with pytest.raises(SchemaError, match="other views read from it"):
        migrate(database_url)
    database.execute("select phone from public.mine")
    database.execute("select phone from warehouse.dim_provider_as_is")
