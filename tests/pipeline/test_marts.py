"""What people read in schema mart: the right answer the easy way, every column described."""

from __future__ import annotations

import re

import psycopg
import pytest

from etl.access.classification import described_columns
from etl.docs import report_queries
from etl.pipeline import commands
from etl.warehouse.measures import MEASURES, Unit
from etl.warehouse.tables import CUBES, MARTS, MARTS_OF_CUBES
from tests.support.access import login_of
from tests.support.tables import draw, drawn
from tests.support.warehouse import CopyOf, Warehouse

CLAIMS = """
    claim_id | member_id | service_date | status   | claim_amount | allowed_amount | paid_amount
    payable  | A         | 2025-01-05   | approved | 100          | 60             | 45.50
    no word  | A         | 2025-01-06   |          | 10           | 6              | 5
    adjusted | A         | 2025-02-05   | ADJUSTED | 20           | 12             | 11
    denied   | A         | 2025-01-07   | denied   | 200          | 120            | 0
    pending  | A         | 2025-01-08   | pending  | 300          | 180            | 150
    odd      | A         | 2025-01-09   | parked   | 400          | 240            | 200
    nobody's | Z         | 2025-01-10   | approved | 1            | 1              | 1
"""


# Numbers that are no measures.
NOT_MEASURED = re.compile(r"\w+_(sk|id|year|age|number)|position")


def is_money(column: str) -> bool:
    return column in MEASURES and MEASURES[column].unit is Unit.USD


def load_two_batches(warehouse: Warehouse) -> None:
    warehouse.send(
        "2025-01-20",
        members="member_id | state | source_updated_at \n A | FL | 2025-01-01T00:00:00Z",
        plans="plan_id | effective_year | metal_tier \n P | 2025 | Silver",
        enrollments="enrollment_id | member_id | plan_id | start_date | premium_paid | aptc_amount"
        "\n E1 | A | P | 2025-01-01 | 100.10 | 400.20",
    )
    warehouse.send(
        "2025-02-10",
        members="member_id | state | source_updated_at \n A | TX | 2025-02-01T00:00:00Z",
        claims=[row | {"plan_id": "P"} for row in draw(CLAIMS)],
    )
    warehouse.incremental()


@pytest.fixture
def loaded(copy_of: CopyOf) -> Warehouse:
    """Two batches: the member moves between, and a claim names nobody who is known."""
    return copy_of(load_two_batches)


def test_claims_count_for_what_they_are_without_a_filter(loaded: Warehouse) -> None:
    assert drawn(
        loaded.connection,
        "select claim_id, state, is_payable, is_complete, billed_usd, allowed_usd, paid_usd, "
        "member_cost_usd as cost_usd from mart.claim order by service_date",
    ) == draw("""
        claim_id | state | is_payable | is_complete | billed_usd | allowed_usd | paid_usd | cost_usd
        payable  | FL    | true       | true        | 100.00     | 60.00       | 45.50    | 14.50
        no word  | FL    | true       | true        | 10.00      | 6.00        | 5.00     | 1.00
        denied   | FL    | false      | true        | 200.00     | 120.00      | 0.00     | 0.00
        pending  | FL    | false      | true        | 0.00       | 0.00        | 0.00     | 0.00
        odd      | FL    | false      | true        | 0.00       | 0.00        | 0.00     | 0.00
        nobody's |       | true       | true        | 1.00       | 1.00        | 1.00     | 0.00
        adjusted | TX    | true       | false       | 20.00      | 12.00       | 11.00    | 1.00
    """)
    sums = "sum(billed_usd), sum(allowed_usd), sum(paid_usd)"
    assert loaded.rows(f"select {sums} from mart.claim") == loaded.rows(
        f"select {sums} from cubes.claims_daily_member"
    )


def test_lines_of_a_month_are_joined_to_the_claims_of_that_month(loaded: Warehouse) -> None:
    plan = loaded.column(
        "explain (costs off) select sum(paid_usd) from mart.claim_line"
        " where service_date between '2025-01-01' and '2025-01-31'"
    )
    read = re.findall(r"fact_claim_\w+", "\n".join(plan))
    states = {"fact_claim_state", "fact_claim_state_pkey"}
    assert set(read) - states == {"fact_claim_2025_01", "fact_claim_line_2025_01"}


def test_no_row_of_a_mart_is_there_twice(loaded: Warehouse) -> None:
    loaded.send("2025-02-20", claims=[{"claim_id": n, "service_date": "2025-01-05"} for n in "xy"])
    loaded.incremental()
    for mart, grain in (
        ("claim", "claim_id"),
        ("claim_line", "claim_id, line_number"),
        ("claim_diagnosis", "claim_id, position"),
        ("enrollment", "enrollment_id"),
    ):
        counted = f"select count(*), count(distinct ({grain})) from mart.{mart}"
        [(rows, keys)] = loaded.rows(counted)
        assert rows == keys > 0


def test_premium_is_what_the_member_pays_and_the_tax_credit(loaded: Warehouse) -> None:
    assert drawn(
        loaded.connection,
        "select premium_usd, tax_credit_usd, net_premium_usd, is_in_force, plan_year "
        "from mart.enrollment",
    ) == draw("""
        premium_usd | tax_credit_usd | net_premium_usd | is_in_force | plan_year
        500.30      | 400.20         | 100.10          | true        | 2025
    """)


def test_timeline_of_a_member_is_in_order(loaded: Warehouse) -> None:
    assert drawn(
        loaded.connection,
        "select from_date, what, number, state, amount_usd from mart.member_timeline "
        "where member_id = 'A' and (what <> 'claim' or number in ('payable', 'adjusted')) "
        "order by from_date, what",
    ) == draw("""
        from_date  | what     | number   | state | amount_usd
        1900-01-01 | version  |          | FL    |
        2025-01-01 | coverage | E1       | FL    | 500.30
        2025-01-05 | claim    | payable  | FL    | 45.50
        2025-02-01 | version  |          | TX    |
        2025-02-05 | claim    | adjusted | TX    | 11.00
    """)


@pytest.mark.slow
def test_day_that_the_data_speaks_of_is_that_of_the_newest_batch_loaded(
    loaded: Warehouse,
) -> None:
    assert str(loaded.value("select mart.as_of()")) == "2025-02-10"
    loaded.send("2025-01-25", plans="plan_id | effective_year \n P2 | 2025")
    loaded.incremental()
    assert str(loaded.value("select mart.as_of()")) == "2025-02-10"
    loaded.rebuild()
    assert str(loaded.value("select mart.as_of()")) == "2025-02-10"


def test_every_relation_and_column_of_mart_says_what_it_is(loaded: Warehouse) -> None:
    described = loaded.rows(
        "select c.relname, obj_description(c.oid), array_agg(a.attname::text order by a.attnum), "
        "array_agg(col_description(c.oid, a.attnum) order by a.attnum) from pg_class as c "
        "join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped "
        "where c.relnamespace = 'mart'::regnamespace group by c.oid, c.relname"
    )
    assert {relation for relation, *_ in described} == {*MARTS, *MARTS_OF_CUBES, *CUBES}
    for relation, said, columns, meanings in described:
        assert said
        file = f"cubes/{relation}" if relation in CUBES else f"mart/{relation}"
        assert [(c, m) for c, _, m in described_columns(file)] == list(
            zip(columns, meanings, strict=True)
        )


def test_every_number_that_people_read_is_a_declared_measure(loaded: Warehouse) -> None:
    numbers = loaded.rows(
        "select table_name, column_name from information_schema.columns where table_schema = 'mart'"
        " and data_type in ('smallint', 'integer', 'bigint', 'numeric', 'double precision')"
    )
    assert {("claim", "paid_usd"), ("member_month", "member_months_day")} <= set(numbers)
    undeclared = [
        f"{relation}.{column}: declare it in etl/warehouse/measures.py"
        for relation, column in numbers
        if column not in MEASURES and not NOT_MEASURED.fullmatch(column)
    ]
    assert undeclared == []


def test_money_that_people_read_has_cents_and_no_more(loaded: Warehouse) -> None:
    types = loaded.rows(
        "select c.relname || '.' || a.attname, a.attname::text, "
        "format_type(a.atttypid, a.atttypmod) from pg_class as c "
        "join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped "
        "where c.relnamespace in ('mart'::regnamespace, 'cubes'::regnamespace) "
        # A view shows what it computes from such columns without a form of its own.
        "and c.relkind in ('r', 'v', 'm') and (a.atttypmod <> -1 or c.relkind <> 'v')"
    )
    dollars = {name: kind for name, column, kind in types if is_money(column)}
    assert {"cost_month.paid_usd", "claims_daily_member.paid_usd"} <= dollars.keys()
    assert {n: k for n, k in dollars.items() if not re.fullmatch(r"numeric\(\d+,2\)", k)} == {}


def test_analyst_reads_marts_without_the_schema_and_those_about_nobody_with_it(
    loaded: Warehouse,
) -> None:
    with login_of(loaded.connection, loaded.url, "aca_analyst") as analyst:
        query = "select sum(paid_usd) from {} where state = 'FL'"
        assert analyst.execute(query.format("limited.claim")).fetchone() == (
            loaded.value(query.format("mart.claim")),
        )
        (tiers,) = analyst.execute(
            "select count(*) from mart.claims_by_plan_metal_month"
        ).fetchone()
        assert tiers
        for view in ("claim", "enrollment", "member_timeline", "claims_daily_member"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                analyst.execute(f"select * from mart.{view}")


def test_questions_whose_easy_answer_was_wrong_come_right(warehouse: Warehouse) -> None:
    """A member who is renewed at New Year, first described in February, and moves in March."""
    warehouse.send(
        "2025-02-01",
        members="member_id | state | source_updated_at \n A | FL | 2025-02-01T00:00:00Z",
        plans="plan_id | effective_year | metal_tier \n P | 2024 | Silver \n P | 2025 | Silver",
        enrollments="enrollment_id | member_id | plan_id | start_date | end_date | premium_paid "
        "| aptc_amount \n E1 | A | P | 2024-01-01 | 2024-12-31 | 90 | 60 "
        "\n E2 | A | P | 2025-01-01 | 2025-12-31 | 100 | 50",
    )
    warehouse.send(
        "2025-03-10",
        members="member_id | state | source_updated_at \n A | TX | 2025-03-01T00:00:00Z",
        claims="claim_id | member_id | plan_id | service_date | status | paid_amount | claim_type"
        "\n before | A | P | 2025-01-05 | approved | 10 | Outpatient"
        "\n after | A | P | 2025-03-05 | approved | 20 | Outpatient",
    )
    warehouse.incremental()
    warehouse.find_tables_as_readers()

    def asked(name: str) -> set[tuple[str, ...]]:
        answer = report_queries.reports()[name].ask(warehouse.connection)
        return {tuple(map(str, row)) for row in answer}

    assert ("2025-01-01", "Silver", "150.00", "50.00") in asked("premium_by_tier")
    new_year = {"2024-12-01", "2025-01-01"}
    assert {row for row in asked("churn_by_month") if row[0] in new_year} == {
        (month, "1", "0", "0", "0", "1") for month in new_year
    }
    of_versions = {("FL", "Outpatient", "10.00"), ("TX", "Outpatient", "20.00")}
    assert asked("paid_by_state_and_type") == of_versions
    assert asked("paid_as_was") == {("TX", "20.00")}


def test_cost_per_member_per_month_has_a_row_for_every_exposure(loaded: Warehouse) -> None:
    assert drawn(
        loaded.connection,
        "select state, member_months_day as months, claims, paid_usd, paid_pmpm_usd as paid_pmpm, "
        "is_complete from mart.pmpm_month where claim_type = 'all' and month < '2025-04-01' "
        "order by month, state",
    ) == draw("""
        state     | months   | claims | paid_usd | paid_pmpm | is_complete
        (unknown) | 0        | 1      | 1.00     |           | true
        FL        | 1.000000 | 3      | 50.50    | 50.50     | true
        TX        | 1.000000 | 1      | 11.00    | 11.00     | false
        TX        | 1.000000 | 0      | 0.00     | 0.00      | false
    """)
    of_claims = "select distinct billed_usd, allowed_usd, paid_usd from mart.pmpm_month "
    assert loaded.rows(of_claims + "where claims = 0") == [(0, 0, 0)]
    of_members = "select distinct member_months_any, member_months_mid, premium_usd "
    nobody = "from mart.pmpm_month where member_months_day = 0"
    assert loaded.rows(of_members + nobody) == [(0, 0, 0)]


def test_no_row_of_cost_per_member_per_month_lacks_its_grain_or_is_there_twice(
    loaded: Warehouse,
) -> None:
    grain = "month, state, metal_tier, claim_type"
    rows = loaded.rows(f"select num_nulls({grain}), count(*) from mart.pmpm_month group by {grain}")
    assert set(rows) == {(0, 1)}


def test_cube_of_an_earlier_definition_gets_the_columns_it_lacks(loaded: Warehouse) -> None:
    """Until then its mart shows those that are there."""
    loaded.connection.execute("alter table cubes.cost_month drop column claims cascade")
    loaded.connection.execute(
        "update ledger.cube_refresh set definition_hash = 'of before' "
        "where cube_name = 'cost_month'"
    )
    with loaded.pipeline():
        assert loaded.value("select count(*) from mart.cost_month")
    loaded.run(commands.run_cubes)
    assert loaded.value(
        "select col_description(attrelid, attnum) from pg_attribute "
        "where attrelid = 'mart.cost_month'::regclass and attname = 'claims'"
    )
    assert loaded.value("select sum(claims) from mart.pmpm_month where claim_type = 'all'")
