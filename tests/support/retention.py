"""Batches of several years, of which the older rows are to go; what a reader sees of them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from etl.pipeline import retention
from etl.warehouse.tables import FACTS
from tests.support.corrections import cubes
from tests.support.feeds import write_batch
from tests.support.tables import Drawn, draw
from tests.support.warehouse import Warehouse

# With YEARS=1 the newest batch puts the horizon at 2024-01-01.
HORIZON = "2024-01-01"
# Batch and its feeds, in the order of arrival. M3 is named by an old claim alone, M2 before its
# feed; the third batch arrives late.
BATCHES: list[tuple[str, dict[str, Drawn]]] = [
    (
        "2023-02-01",
        {
            "members": draw("""
                member_id | last_name
                M1        | Ames
            """),
            "plans": draw("""
                plan_id | effective_year
                P       | 2023
            """),
            "enrollments": draw("""
                enrollment_id | member_id | plan_id | start_date | end_date   | premium_paid
                E1            | M1        | P       | 2023-01-01 | 2023-06-30 | 100.00
                E2            | M1        | P       | 2023-07-01 |            | 110.00
                E3            | M2        | P       | 2023-08-01 | 2024-02-29 | 120.00
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | service_date | paid_amount | status
                OLD      | M1        | P       | 2023-01-15   | 10.01       | pending
                OLDER    | M3        | P       | 2022-12-31   | 20.02       |
                MOVED    | M2        | P       | 2023-12-31   | 30.03       |
                BACK     | M1        | P       | 2024-01-01   | 40.04       |
                LAST     | M1        | P       | 2023-12-31   | 50.05       |
            """),
        },
    ),
    (
        "2024-02-01",
        {
            "members": draw("""
                member_id | last_name
                M1        | Bell
                M2        | Cole
            """),
            "enrollments": draw("""
                enrollment_id | member_id | plan_id | start_date | end_date   | premium_paid
                E3            | M2        | P       | 2023-08-01 | 2024-03-31 | 121.00
                E4            | M2        | P       | 2024-04-01 | 2024-06-30 | 130.00
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | service_date | paid_amount | status
                OLD      | M1        | P       | 2023-01-15   | 11.01       |
                MOVED    | M2        | P       | 2024-01-02   | 31.03       |
                BACK     | M1        | P       | 2023-12-30   | 41.04       |
                NEW      | M4        | P       | 2024-01-05   | 60.06       |
                GONE     | M1        | P       | 2023-11-11   | 70.07       |
            """),
        },
    ),
    (
        "2023-06-01",
        {
            "members": draw("""
                member_id | last_name
                M1        | Between
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | service_date | paid_amount | status
                OLD      | M1        | P       | 2023-01-15   | 10.51       | denied
                LATE     | M1        | P       | 2023-05-05   | 80.08       |
            """),
        },
    ),
    (
        "2025-03-01",
        {
            "enrollments": draw("""
                enrollment_id | member_id | plan_id | start_date | end_date   | is_deleted
                E4            | M2        | P       | 2024-04-01 | 2024-03-31 |
                E1            | M1        | P       | 2023-01-01 | 2023-05-31 |
            """),
            "claims": draw("""
                claim_id | member_id | plan_id | service_date | paid_amount | is_deleted
                GONE     | M1        | P       | 2023-11-11   | 70.07       | true
                NEW      | M4        | P       | 2024-01-05   | 61.06       |
                NEWER    | M1        | P       | 2025-01-05   | 90.09       |
            """),
        },
    ),
]
# Claims that are gone afterwards; BACK stays, since the state that it replaced lies behind HORIZON.
OLD_CLAIMS = ["GONE", "LAST", "LATE", "OLD", "OLDER"]


def send_all(warehouse: Warehouse) -> None:
    """Write the batches and load each when it arrives."""
    for batch_id, feeds in BATCHES:
        write_batch(warehouse.inbox, batch_id, **feeds)
        warehouse.incremental(1)


def retain(warehouse: Warehouse, years: int = 1, *, confirmed: bool = True) -> list[str]:
    """Let old rows go; what was said."""
    with warehouse.pipeline(1) as pipeline:
        retention.retain(pipeline, years, confirmed=confirmed)
    return warehouse.watcher.said


def seen(warehouse: Warehouse) -> dict[str, Any]:
    """All that a reader sees, with surrogate keys, and what the ledger counts; loads by place."""
    places = {
        load_id: place
        for place, (load_id,) in enumerate(
            warehouse.rows("select load_id from ledger.load where status = 'loaded' order by 1")
        )
    }

    def of(query: str) -> list[tuple[Any, ...]]:
        return sorted(
            ((places.get(load), *rest) for load, *rest in warehouse.rows(query)), key=repr
        )

    pasts = {
        fact.past: of(
            f"select load_id, {fact.key}, {fact.date}, {', '.join(fact.carried)} "
            f"from internal.{fact.past}"
        )
        for fact in FACTS.values()
    }
    return {
        **warehouse.contents(),
        **cubes(warehouse),
        **pasts,
        "states": of(
            "select load_id, claim_id, service_date, paid_amount from internal.fact_claim_state"
        ),
        "staged claims": of("select load_id, claim_id, source_line from staging.claims_raw"),
        "staged enrollments": of(
            "select load_id, enrollment_id, source_line from staging.enrollments_raw"
        ),
        "ledger": of(
            "select load_id, feed, f.status, rows_read, rows_loaded, rows_rejected, "
            "rows_duplicate, rows_expired, f.totals::text, distinct_keys "
            "from ledger.load_file f join ledger.load l using (load_id) where l.status = 'loaded'"
        ),
        "parts": of(
            "select load_id, feed, part, rows_read, rows_loaded, rows_expired "
            "from ledger.load_file_part join ledger.load l using (load_id) "
            "where l.status = 'loaded'"
        ),
    }


def rebuild_gives_the_same(warehouse: Warehouse) -> None:
    """A full load gives all that a reader sees now, with surrogate keys."""
    kept = seen(warehouse)
    warehouse.rebuild(1)
    rebuilt = seen(warehouse)
    for name, rows in kept.items():
        assert rebuilt[name] == rows, name


def money(warehouse: Warehouse, what: str) -> Decimal:
    """The dollars paid of the claims of the live build that the ledger calls so."""
    ((found,),) = warehouse.rows(
        f"select sum((totals -> 'paid_amount' ->> '{what}')::numeric) "
        "from ledger.load_file f join ledger.load l using (load_id) "
        "where feed = 'claims' and l.status = 'loaded' and f.status = 'loaded'"
    )
    return Decimal(found)


def traces(warehouse: Warehouse, keys: list[str]) -> list[str]:
    """Tables of the database in which a word is one of these keys, as a dump of it would be."""
    words = rf"\y({'|'.join(keys)})\y"
    tables = warehouse.column(
        "select format('%I.%I', schemaname, tablename) from pg_tables "
        "where schemaname not in ('pg_catalog', 'information_schema') order by 1"
    )
    return [
        table
        for table in tables
        if warehouse.connection.execute(
            f"select from {table} as t where t::text ~ %s limit 1", [words]
        ).rowcount
    ]
