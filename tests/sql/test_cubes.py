"""The cubes on small drawn tables, expected rows worked out by hand."""

from datetime import date
from decimal import Decimal

import psycopg
import pytest
from psycopg import sql

from etl.contracts.feeds import FEEDS
from etl.db.connection import set_search_path
from etl.db.statements import names, run
from etl.errors import SchemaError
from etl.render import claim_status
from etl.stages.cubes import definitions
from etl.stages.cubes.refresh import run_cubes
from etl.warehouse.tables import CUBES, LIVE

DAILY = "claims_daily_member"
BY_MONTH = "claims_by_month"
METAL = "claims_by_plan_metal_month"
HIGH_COST = "high_cost_member_tracking"
SPECIALTY = "utilization_by_specialty"


@pytest.fixture
def tables(database):
    """A warehouse with three plans, four members, three providers, the unknown rows, no facts."""
    # Facts may be drawn in any order and without the rows that nothing here looks at.
    database.execute("set session_replication_role = replica")
    set_path(database)
    database.execute("create table warehouse.fact_claim_any partition of fact_claim default")
    database.execute(
        "insert into dim_date (date_key, full_date, month_start, load_id)"
        " select to_char(d, 'yyyymmdd')::integer, d, date_trunc('month', d), 0"
        " from generate_series(timestamp '2023-01-01', '2026-12-31', '1 day') as d"
    )
    draw(
        database,
        "dim_plan (plan_sk, plan_id, effective_year, metal_tier)",
        (-1, "", -1, None),
        (1, "S", 2025, "Silver"),
        (2, "G", 2025, "gold"),
        (3, "inferred", 2025, None),
        (4, "B", 2025, "Expanded Bronze"),
    )
    draw(
        database,
        "dim_member (member_sk, member_id)",
        (-1, ""),
        (1, "ann"),
        (2, "bob"),
        (3, "cid"),
    )
    draw(database, "dim_member (member_sk, member_id, validity_start_ts)", (4, "ann", "2025-02-15"))
    draw(
        database,
        "dim_provider (provider_sk, provider_id, specialty)",
        (-1, "", None),
        (1, "p", "Cardiology"),
        (2, "q", "Dermatology"),
    )
    return database


def set_path(database):
    database.execute(
        sql.SQL("set search_path = {}").format(
            sql.SQL(", ").join(map(sql.Identifier, LIVE.schemas.path))
        )
    )


def draw(database, table, *rows):
    """Insert rows; SCD2 columns that a test does not name are filled in."""
    name, _, columns = table.partition(" ")
    named = [c.strip() for c in columns.strip("()").split(",")]
    filled = {"load_id": 1}
    if name.startswith("dim_"):
        filled |= {
            "validity_start_ts": "1900-01-01",
            "validity_end_ts": "9999-12-30",
            "current_flag": False,
            "attr_hash": "00000000-0000-0000-0000-000000000000",
            "hash_version": 1,
        }
    filled = {k: v for k, v in filled.items() if k not in named}
    with database.cursor() as cursor:
        cursor.executemany(
            sql.SQL("insert into {} ({}) values ({})").format(
                sql.Identifier(name),
                sql.SQL(", ").join(map(sql.Identifier, [*named, *filled])),
                sql.SQL(", ").join(sql.Placeholder() * (len(named) + len(filled))),
            ),
            [(*row, *filled.values()) for row in rows],
        )


def claims(database, *rows):
    """Draw claims: (member_sk, plan_sk, provider_sk, day, status, billed, allowed, paid)."""
    draw(
        database,
        "fact_claim (claim_id, date_key, member_sk, plan_sk, provider_sk, service_date, status,"
        " claim_amount, allowed_amount, paid_amount)",
        *((f"c{n}", int(row[3].replace("-", "")), *row) for n, row in enumerate(rows)),
    )


def enrollments(database, *rows):
    """Draw spans of coverage: (member_sk, plan_sk, start, end)."""
    draw(
        database,
        "fact_enrollment (enrollment_id, enrollment_start_date_key, enrollment_end_date_key,"
        " coverage_days, member_sk, plan_sk, start_date, end_date)",
        *(
            (
                f"e{n}",
                -1,
                -1,
                (date.fromisoformat(row[3]) - date.fromisoformat(row[2])).days + 1,
                *row,
            )
            for n, row in enumerate(rows)
        ),
    )


def query(database, cube, columns):
    """The cube's definition run as a query: these columns, in the order of the grain.

    The cubes that it reads are made first, and the cube itself, which has to be the same.
    """
    build(database)
    wanted, grain = names(columns.split()), names(CUBES[cube].grain)
    select = sql.SQL("select {} from {} order by {}")
    defined = sql.SQL("({}) as cube").format(definitions.definition(CUBES[cube]))
    rows = database.execute(select.format(wanted, defined, grain)).fetchall()
    made = database.execute(select.format(wanted, sql.Identifier(cube), grain)).fetchall()
    assert made == rows
    return rows


def build(database):
    """Make all cubes, or bring all of their rows up to date; rows written by cube."""
    with database.transaction():
        set_search_path(database, LIVE.schemas.path)
        return run_cubes(database, whole=True).rows


D = Decimal


def test_daily_keeps_pending_apart_and_denied_pays_nothing(tables):
    claims(
        tables,
        (1, 1, 1, "2025-01-10", "approved", "100.00", "80.00", "60.10"),
        (1, 1, 1, "2025-01-10", "Denied", "50.00", "40.00", "40.00"),
        (1, 1, 1, "2025-01-10", "PENDING", "30.00", "20.00", "10.00"),
        (1, 1, 1, "2025-01-11", "reversed", "-100.00", "-80.00", "-60.10"),
        (2, 1, 1, "2025-01-10", "pending", "7.00", None, None),
        (2, 1, 1, "2025-01-12", None, "9.00", "9.00", "9.00"),
    )
    columns = (
        "member_id service_date claims pending_claims denied_claims"
        " billed_usd pending_billed_usd allowed_usd paid_usd"
    )
    ten, eleven, twelve = date(2025, 1, 10), date(2025, 1, 11), date(2025, 1, 12)
    assert query(tables, DAILY, columns) == [
        ("ann", ten, 2, 1, 1, D("150.00"), D("30.00"), D("120.00"), D("60.10")),
        ("ann", eleven, 1, 0, 0, D("-100.00"), D(0), D("-80.00"), D("-60.10")),
        ("bob", ten, 0, 1, 0, D(0), D("7.00"), D(0), D(0)),
        ("bob", twelve, 1, 0, 0, D("9.00"), D(0), D("9.00"), D("9.00")),
    ]


def test_daily_gathers_versions_of_a_member_and_keeps_unknown_ones(tables):
    claims(
        tables,
        (1, 1, 1, "2025-02-20", "approved", 1, 1, 1),
        (4, 1, 1, "2025-02-20", "approved", 2, 2, 2),
        (-1, -1, -1, "2025-02-20", "approved", 4, 4, 4),
    )
    assert query(tables, DAILY, "member_id claims paid_usd") == [
        ("(unknown)", 1, D(4)),
        ("ann", 2, D(3)),
    ]


def test_metal_prorates_member_months_by_covered_days(tables):
    enrollments(
        tables,
        (1, 1, "2025-01-01", "2025-03-31"),  # three whole months
        (2, 1, "2025-01-16", "2025-02-14"),  # 16 of 31 and 14 of 28 days
        (3, 2, "2025-02-28", "2025-02-28"),  # one day of 28
    )
    columns = "metal_tier month covered_days member_months"
    assert [row for row in query(tables, METAL, columns) if row[2]] == [
        ("Gold", date(2025, 2, 1), 1, D("0.035714")),
        ("Silver", date(2025, 1, 1), 47, D("1.516129")),
        ("Silver", date(2025, 2, 1), 42, D("1.500000")),
        ("Silver", date(2025, 3, 1), 31, D("1.000000")),
    ]


def test_metal_counts_a_leap_day_and_a_span_over_the_year_end(tables):
    enrollments(tables, (1, 1, "2023-12-31", "2024-02-29"))
    assert [
        row[1:]
        for row in query(tables, METAL, "metal_tier month covered_days")
        if row[0] == "Silver"
    ] == [(date(2023, 12, 1), 1), (date(2024, 1, 1), 31), (date(2024, 2, 1), 29)]


def test_metal_shows_every_tier_in_every_month_without_a_gap(tables):
    claims(
        tables,
        (1, 1, 1, "2025-01-10", "approved", 10, 10, 10),
        (1, 1, 1, "2025-04-10", "approved", 10, 10, 10),
    )
    rows = query(tables, METAL, "metal_tier month claims paid_pmpm_usd")
    months = [date(2025, m, 1) for m in (1, 2, 3, 4)]
    # Plan 3 is inferred: its tier is not known.
    tiers = ["(unknown)", "Expanded Bronze", "Gold", "Silver"]
    assert [row[:2] for row in rows] == [(tier, month) for tier in tiers for month in months]
    assert [row[2] for row in rows if row[0] == "Silver"] == [1, 0, 0, 1]
    assert all(row[3] is None for row in rows)


def test_metal_pmpm_members_pending_and_denied(tables):
    enrollments(
        tables,
        (1, 1, "2025-02-01", "2025-02-28"),
        (2, 1, "2025-02-01", "2025-02-14"),
        (3, 1, "2025-02-01", "2025-02-28"),
    )
    claims(
        tables,
        (1, 1, 1, "2025-02-10", "approved", 100, 80, 70),
        (4, 1, 1, "2025-02-20", "approved", 100, 80, 55),  # the same member, a later version
        (2, 1, 1, "2025-02-10", "denied", 10, 5, 5),
        (3, 1, 1, "2025-02-10", "pending", 1000, 500, 400),
        (2, 2, 1, "2025-02-10", "approved", 8, 8, 8),
        (-1, -1, 1, "2025-02-10", "approved", 3, 2, 1),
        (-1, 3, 1, "2025-02-11", "approved", 3, 2, 1),
    )
    columns = (
        "metal_tier claims pending_claims denied_claims members member_months"
        " billed_usd pending_billed_usd allowed_usd paid_usd paid_pmpm_usd"
    )
    assert query(tables, METAL, columns) == [
        ("(unknown)", 2, 0, 0, 1, D(0), D(6), D(0), D(4), D(2), None),
        ("Expanded Bronze", 0, 0, 0, 0, D(0), D(0), D(0), D(0), D(0), None),
        ("Gold", 1, 0, 0, 1, D(0), D(8), D(0), D(8), D(8), None),
        ("Silver", 3, 1, 1, 2, D("2.5"), D(210), D(1000), D(165), D(125), D("50.00")),
    ]


def test_high_cost_window_opens_and_closes(tables):
    claims(
        tables,
        (1, 1, 1, "2024-01-05", "approved", 0, 0, "30000.00"),
        (1, 1, 1, "2024-03-05", "approved", 0, 0, "20000.00"),  # exactly the threshold
        (1, 1, 1, "2024-06-05", "approved", 0, 0, "50000.00"),  # 100,000: the next band
        (1, 1, 1, "2024-06-06", "denied", 0, 0, "900000.00"),
        (1, 1, 1, "2024-06-07", "pending", 0, 0, "900000.00"),
        (2, 1, 1, "2024-03-05", "approved", 0, 0, "49999.99"),
        (3, 1, 1, "2025-12-05", "approved", 0, 0, "1.00"),  # the last month of anyone
    )
    held = query(tables, HIGH_COST, "member_id month paid_12_months_usd band first_month_over")
    first = date(2024, 3, 1)
    months = [date(2024 + (m - 1) // 12, (m - 1) % 12 + 1, 1) for m in range(3, 18)]
    # January 2024 leaves the window of January 2025, March that of March; June that of June.
    paid = ["50000"] * 3 + ["100000"] * 7 + ["70000"] * 2 + ["50000"] * 3
    assert held == [
        ("ann", month, D(amount), "$100k+" if amount == "100000" else "$50k+", first)
        for month, amount in zip(months, paid, strict=True)
    ]


def test_high_cost_begins_at_exactly_fifty_thousand_dollars(tables):
    claims(
        tables,
        (1, 1, 1, "2025-01-15", "approved", 0, 0, "50000.00"),
        (2, 1, 1, "2025-01-15", "approved", 0, 0, "49999.99"),
        (3, 1, 1, "2025-01-15", "approved", 0, 0, "99999.99"),
    )
    assert query(tables, HIGH_COST, "member_id paid_12_months_usd band") == [
        ("ann", D(50000), "$50k+"),
        ("cid", D("99999.99"), "$50k+"),
    ]


def test_high_cost_ends_with_the_last_month_of_claims(tables):
    claims(
        tables,
        (4, 1, 1, "2025-03-31", "approved", 0, 0, "1000000.00"),
        (2, 1, 1, "2025-05-01", "pending", 0, 0, "1.00"),
        (-1, 1, 1, "2025-04-01", "approved", 0, 0, "60000.00"),  # nobody's
    )
    assert query(tables, HIGH_COST, "member_id month band") == [
        ("ann", date(2025, 3, 1), "$1M+"),
        ("ann", date(2025, 4, 1), "$1M+"),
        ("ann", date(2025, 5, 1), "$1M+"),
    ]


def test_high_cost_reversal_takes_a_member_out_and_keeps_the_first_month(tables):
    claims(
        tables,
        (1, 1, 1, "2025-01-15", "approved", 0, 0, "250000.00"),
        (1, 1, 1, "2025-02-15", "reversed", 0, 0, "-240000.00"),
        (1, 1, 1, "2025-04-15", "approved", 0, 0, "45000.00"),
    )
    first = date(2025, 1, 1)
    assert query(tables, HIGH_COST, "month paid_12_months_usd band first_month_over") == [
        (first, D(250000), "$250k+", first),
        (date(2025, 4, 1), D(55000), "$50k+", first),
    ]


def test_specialty_rates_are_per_1000_member_months_of_everybody(tables):
    enrollments(
        tables,
        (1, 1, "2025-04-01", "2025-04-30"),
        (2, 2, "2025-04-01", "2025-04-15"),
    )  # 1.5 member-months in April, none in May
    claims(
        tables,
        (1, 1, 1, "2025-04-10", "approved", 100, 90, 60),
        (1, 1, 1, "2025-04-11", "denied", 100, 30, 30),
        (2, 1, 1, "2025-04-12", "pending", 100, 90, 60),
        (2, 1, -1, "2025-04-12", "approved", 3, 3, 3),
        (1, 1, 2, "2025-05-12", "approved", 5, 5, 5),
    )
    columns = (
        "specialty claims pending_claims denied_claims members member_months allowed_usd paid_usd"
        " claims_per_1000 members_per_1000 allowed_per_1000_usd paid_per_1000_usd"
    )
    assert query(tables, SPECIALTY, columns) == [
        ("(unknown)", 1, 0, 0, 1, D("1.5"), D(3), D(3), D("666.67"), D("666.67"), D(2000), D(2000)),
        (
            "Cardiology",
            2,
            1,
            1,
            1,
            D("1.5"),
            D(120),
            D(60),
            D("1333.33"),
            D("666.67"),
            D(80000),
            D(40000),
        ),
        ("Dermatology", 1, 0, 0, 1, D(0), D(5), D(5), None, None, None, None),
    ]


@pytest.mark.parametrize("cube", CUBES.values(), ids=list(CUBES))
def test_a_cube_is_its_definition_when_made_and_when_refreshed(tables, cube):
    columns = " ".join(name for name, _ in run(tables, f"cubes/{cube.name}.columns"))
    build(tables)
    oid = _oid(tables, cube.name)
    enrollments(tables, (1, 1, "2025-01-01", "2025-12-31"))
    claims(tables, (1, 1, 1, "2025-04-10", "approved", 90000, 90000, 90000))
    written = build(tables)
    # The tiers of the warehouse are there without a claim, each in all months of the coverage.
    assert written[cube.name] == len(query(tables, cube.name, columns)) > 0
    assert _oid(tables, cube.name) == oid


@pytest.mark.parametrize("cube", CUBES.values(), ids=list(CUBES))
def test_a_cube_and_its_columns_say_what_they_are(tables, cube):
    build(tables)
    described = tables.execute(
        "select attname, col_description(attrelid, attnum) from pg_attribute"
        " where attrelid = %s::regclass and attnum > 0 order by attnum",
        (f"cubes.{cube.name}",),
    ).fetchall()
    assert described == run(tables, f"cubes/{cube.name}.columns").fetchall()
    assert tables.execute(
        "select obj_description(oid, 'pg_class'), relkind::text from pg_class"
        " where oid = %s::regclass",
        (f"cubes.{cube.name}",),
    ).fetchone() == (
        f"{cube.description} One row a {' and '.join(cube.grain)}.",
        "r" if cube.is_followed else "m",
    )


def _redefine(monkeypatch, cube):
    """Let the definition of a cube be written otherwise from now on."""
    read_file = definitions.read_file

    def redefined(name):
        file = dict(read_file(name))
        if name == f"cubes/{cube}":
            file["columns"] += "  "
        return file

    monkeypatch.setattr(definitions, "read_file", redefined)


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
    claims(tables, (1, 1, 1, "2025-01-10", "approved", 1, 1, 1))
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
    tables.execute("drop materialized view cubes.utilization_by_specialty")
    tables.execute(
        sql.SQL("create table cubes.utilization_by_specialty as {}").format(
            definitions.definition(CUBES[SPECIALTY])
        )
    )
    tables.execute("grant select on cubes.utilization_by_specialty to public")
    tables.execute("delete from cube_refresh where cube_name = 'utilization_by_specialty'")
    claims(tables, (1, 1, 1, "2025-01-10", "approved", 1, 1, 1))
    assert build(tables)[SPECIALTY] == 1
    assert tables.execute(
        "select relkind::text, has_table_privilege('public', oid, 'select') from pg_class"
        " where oid = 'cubes.utilization_by_specialty'::regclass"
    ).fetchone() == ("m", True)


def test_of_a_cube_that_is_there_only_what_differs_is_written(tables):
    day = ("approved", 1, 1, 1)
    claims(tables, *((m, 1, 1, f"2025-01-1{d}", *day) for m in (1, 2) for d in (0, 1)))
    assert build(tables)[DAILY] == 4
    tables.execute("delete from fact_claim where claim_id = 'c0'")
    tables.execute("update fact_claim set member_sk = 3 where claim_id = 'c1'")
    tables.execute("update fact_claim set paid_amount = 2 where claim_id = 'c2'")
    same = "select xmin::text from claims_daily_member where member_id = 'bob' and paid_usd = 1"
    before = tables.execute(same + " and service_date = '2025-01-11'").fetchall()
    # Two went, one came, one changed; a second time nothing differs.
    assert build(tables)[DAILY] == 4
    assert set(build(tables).values()) == {0}
    assert tables.execute("select count(*) from utilization_by_specialty").fetchone() == (1,)
    assert tables.execute(same).fetchall() == before
    assert query(tables, DAILY, "member_id paid_usd") == [
        ("bob", D(2)),
        ("bob", D(1)),
        ("cid", D(1)),
    ]
    # A row that goes from a view is counted as one that comes.
    tables.execute("delete from fact_claim")
    assert build(tables)[SPECIALTY] == 1


@pytest.mark.parametrize("cube", [DAILY, METAL])
def test_a_changed_cube_that_a_view_reads_from_is_refused_in_a_sentence(tables, monkeypatch, cube):
    build(tables)
    tables.execute(f"create view public.mine as select * from {cube}")
    _redefine(monkeypatch, cube)
    with pytest.raises(SchemaError, match=f"{cube} has changed, and other views read it"):
        build(tables)


def test_the_grain_of_a_cube_is_enforced(tables):
    claims(tables, (1, 1, 1, "2025-01-10", "approved", 1, 1, 1))
    build(tables)
    for cube in CUBES.values():
        grain = tables.execute(
            "select array_agg(a.attname order by a.attnum)::text[] from pg_index as i"
            " inner join pg_attribute as a on i.indexrelid = a.attrelid"
            " where i.indrelid = %s::regclass and i.indisunique",
            (f"cubes.{cube.name}",),
        ).fetchone()[0]
        assert tuple(grain) == cube.grain
    with pytest.raises(psycopg.errors.UniqueViolation):
        tables.execute("insert into claims_daily_member select * from claims_daily_member")


UNKNOWN = ("D", "Paid", "VOID", "Rejected", "BILLED", "approved ", "")


def test_claims_of_an_unknown_status_are_counted_apart_and_never_paid(tables):
    claims(
        tables,
        (1, 1, 1, "2025-02-10", "Approved", "100.00", "80.00", "70.00"),
        *((1, 1, 1, "2025-02-10", word, "60000.00", "60000.00", "60000.00") for word in UNKNOWN),
        (2, 1, 1, "2025-02-10", "VOID", "60000.00", "60000.00", "60000.00"),
    )
    columns = "claims unknown_status_claims billed_usd unknown_status_billed_usd"
    columns += " allowed_usd paid_usd"
    one, apart = (1, D(100), D(80), D(70)), len(UNKNOWN)
    by_member = [
        (one[0], apart, one[1], apart * D(60000), one[2], one[3]),
        (0, 1, D(0), D(60000), D(0), D(0)),
    ]
    together = [(one[0], apart + 1, one[1], (apart + 1) * D(60000), one[2], one[3])]
    assert query(tables, DAILY, columns) == by_member
    rows = [row for row in query(tables, METAL, f"{columns} members") if row[1]]
    assert rows == [(*row, 1) for row in together]
    assert query(tables, SPECIALTY, f"{columns} members") == [(*row, 1) for row in together]
    assert query(tables, HIGH_COST, "member_id") == []


def test_the_words_of_a_status_are_those_of_the_contract(tables):
    words = [*FEEDS["claims"].column("status").check.values, None, "void"]
    tables.execute("create temporary table said (status text)")
    with tables.cursor() as cursor:
        cursor.executemany("insert into said values (%s)", [(word,) for word in words])
    found = tables.execute(
        sql.SQL(
            "select s.status, is_pending, is_denied, is_unknown, is_adjudicated, is_paid"
            " from said as s cross join lateral ({}) as state"
        ).format(claim_status.state())
    ).fetchall()
    # Pending, denied, unknown, adjudicated, paid.
    assert {word: "".join("-+"[flag] for flag in flags) for word, *flags in found} == {
        "pending": "+----",
        "denied": "-+-+-",
        "approved": "---++",
        "adjusted": "---++",
        "reversed": "---++",
        None: "---++",
        "void": "--+--",
    }
