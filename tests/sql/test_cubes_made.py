"""How a cube is made, brought up to date, made again when its definition changes, and guarded."""

import psycopg
import pytest
from psycopg import sql

from etl.db.connection import set_search_path
from etl.errors import SchemaError
from etl.stages.cubes import definitions
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import CUBES, LIVE, TABLE
from tests.support.cubes import (
    BY_MONTH,
    DAILY,
    METAL,
    SPECIALTY,
    assert_cube,
    build,
    claims,
    enrollments,
    rows_of,
)


@pytest.mark.parametrize("cube", CUBES.values(), ids=list(CUBES))
def test_a_cube_is_its_definition_when_made_and_when_refreshed(tables, cube):
    columns = ", ".join(name for name, _ in definitions.columns(cube))
    build(tables)
    oid = _oid(tables, cube.name)
    enrollments(tables, "start_date | end_date \n 2025-01-01 | 2025-12-31")
    claims(
        tables,
        """
        service_date | paid_amount | claim_type | admit_date | discharge_date
        2025-04-10   | 190000      | Inpatient  | 2025-04-10 | 2025-04-12
        """,
    )
    written = build(tables)
    # The tiers of the warehouse are there without a claim, each in all months of the coverage.
    assert written[cube.name] == len(rows_of(tables, cube.name, columns)) > 0
    assert _oid(tables, cube.name) == oid


@pytest.mark.parametrize("cube", CUBES.values(), ids=list(CUBES))
def test_a_cube_and_its_columns_say_what_they_are(tables, cube):
    build(tables)
    described = tables.execute(
        "select attname, col_description(attrelid, attnum) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 order by attnum",
        (f"cubes.{cube.name}",),
    ).fetchall()
    assert described == definitions.columns(cube)
    assert tables.execute(
        "select obj_description(oid, 'pg_class'), relkind::text from pg_class"
        " where oid = %s::regclass",
        (f"cubes.{cube.name}",),
    ).fetchone() == (
        f"{cube.description} One row per {' and '.join(cube.grain)}.",
        "r" if cube.is_followed else "m",
    )


def _redefine(monkeypatch, cube):
    """Change what a column of a cube means from now on."""
    columns = definitions.columns

    def redefined(asked):
        *others, (column, meaning) = columns(asked)
        return [*others, (column, f"{meaning} Otherwise." if asked.name == cube else meaning)]

    monkeypatch.setattr(definitions, "columns", redefined)


def _oid(database, name):
    return database.execute("select %s::regclass::oid", (name,)).fetchone()[0]


def _oids(database):
    return {name: _oid(database, name) for name in CUBES}


@pytest.mark.parametrize("cube", [DAILY, METAL])
def test_a_changed_definition_makes_the_cube_again_and_keeps_its_grants(tables, monkeypatch, cube):
    name = f"reader of {tables.info.dbname}"
    role, table = sql.Identifier(name), sql.Identifier("cubes", cube)
    tables.execute(sql.SQL("create role {}").format(role))
    try:
        build(tables)
        grant = sql.SQL("grant select on {} to {} with grant option")
        tables.execute(grant.format(table, role))
        tables.execute(sql.SQL("grant select (claims) on {} to public").format(table))
        before = _oid(tables, cube)
        build(tables)
        assert _oid(tables, cube) == before
        _redefine(monkeypatch, cube)
        build(tables)
        assert _oid(tables, cube) != before
        assert tables.execute(
            "select has_table_privilege(%s, %s, 'select with grant option'),"
            " has_column_privilege('public', %s, 'claims', 'select'),"
            " has_column_privilege('public', %s, 'paid_usd', 'select')",
            (name, cube, cube, cube),
        ).fetchone() == (True, True, False)
    finally:
        tables.execute(sql.SQL("drop owned by {}").format(role))
        tables.execute(sql.SQL("drop role {}").format(role))


def test_a_changed_definition_makes_the_cubes_that_read_from_it_again(tables, monkeypatch):
    claims(tables, "service_date | paid_amount \n 2025-01-10 | 1")
    build(tables)
    before = _oids(tables)
    _redefine(monkeypatch, BY_MONTH)
    with tables.transaction():
        set_search_path(tables, LIVE.schemas.path)
        made = run_cubes(tables)
    # The metal tiers read the months, and the specialties both; nothing else was made again.
    changed = {name for name, oid in _oids(tables).items() if oid != before[name]}
    assert changed == {BY_MONTH, METAL, SPECIALTY}
    assert {name: made.rows[name] for name in (DAILY, BY_MONTH, SPECIALTY)} == {
        DAILY: 0,
        BY_MONTH: 2,
        SPECIALTY: 1,
    }


def test_a_cube_of_another_kind_is_replaced(tables):
    build(tables)
    tables.execute("drop materialized view cubes.utilization_by_specialty cascade")
    tables.execute(
        sql.SQL("create table cubes.utilization_by_specialty as {}").format(
            definitions.definition(CUBES[SPECIALTY])
        )
    )
    tables.execute("grant select on cubes.utilization_by_specialty to public")
    tables.execute("delete from cube_refresh where cube_name = 'utilization_by_specialty'")
    claims(tables, "service_date | paid_amount \n 2025-01-10 | 1")
    assert build(tables)[SPECIALTY] == 1
    assert tables.execute(
        "select relkind::text, has_table_privilege('public', oid, 'select') from pg_class"
        " where oid = 'cubes.utilization_by_specialty'::regclass"
    ).fetchone() == ("m", True)


def test_refresh_of_an_existing_cube_writes_only_rows_that_differ(tables):
    claims(
        tables,
        """
        member_sk | service_date | paid_amount
        1         | 2025-01-10   | 1
        1         | 2025-01-11   | 1
        2         | 2025-01-10   | 1
        2         | 2025-01-11   | 1
        """,
    )
    assert build(tables)[DAILY] == 4
    tables.execute("delete from fact_claim where claim_id = 'c0'")
    tables.execute("update fact_claim set member_sk = 3 where claim_id = 'c1'")
    tables.execute("update fact_claim set paid_amount = 2 where claim_id = 'c2'")
    same = "select xmin::text from claims_daily_member where member_id = 'bob' and paid_usd = 1"
    before = tables.execute(same + " and service_date = '2025-01-11'").fetchall()
    # Two rows deleted, one inserted, one updated; a second refresh writes nothing.
    assert build(tables)[DAILY] == 4
    assert set(build(tables).values()) == {0}
    assert tables.execute("select count(*) from utilization_by_specialty").fetchone() == (1,)
    assert tables.execute(same).fetchall() == before
    assert_cube(
        tables,
        DAILY,
        """
        member_id | service_date | paid_usd
        bob       | 2025-01-10   | 2.00
        bob       | 2025-01-11   | 1.00
        cid       | 2025-01-11   | 1.00
        """,
    )
    # A row deleted from a view is counted like an inserted one.
    tables.execute("delete from fact_claim")
    assert build(tables)[SPECIALTY] == 1


@pytest.mark.parametrize("schema", ["cubes", "mart"])
@pytest.mark.parametrize("cube", [DAILY, METAL])
def test_changed_cube_that_a_view_reads_is_refused(tables, monkeypatch, cube, schema):
    build(tables)
    tables.execute(f"create view public.mine as select * from {schema}.{cube}")
    _redefine(monkeypatch, cube)
    with pytest.raises(SchemaError, match=r" has changed, and other views read "):
        build(tables)


def required(tables, cube):
    """The columns of a cube's primary key, none of which may be empty."""
    return [
        column
        for (column,) in tables.execute(
            "select a.attname from pg_constraint as c"
            " inner join pg_attribute as a on c.conrelid = a.attrelid and a.attnum = any(c.conkey)"
            " where c.conrelid = %s::regclass and c.contype = 'p' and a.attnotnull"
            " order by array_position(c.conkey, a.attnum)",
            (f"cubes.{cube}",),
        )
    ]


def test_the_grain_of_a_cube_is_enforced(tables):
    claims(tables, "service_date | paid_amount \n 2025-01-10 | 1")
    build(tables)
    for cube in CUBES.values():
        grain = tables.execute(
            "select array_agg(a.attname order by a.attnum)::text[] from pg_index as i"
            " inner join pg_attribute as a on i.indexrelid = a.attrelid"
            " where i.indrelid = %s::regclass and i.indisunique",
            (f"cubes.{cube.name}",),
        ).fetchone()[0]
        assert tuple(grain) == cube.grain
        is_table = cube.kind is TABLE  # a materialized view has no constraints
        assert (tuple(required(tables, cube.name)) == cube.grain) is is_table
    with pytest.raises(psycopg.errors.UniqueViolation):
        tables.execute("insert into claims_daily_member select * from claims_daily_member")
