"""Statements of the business report that are easier to draw than to load."""

from __future__ import annotations

import psycopg

from etl.db.statements import run
from tests.support.tables import draw

MEMBER_MONTHS = """
    month      | member_id | state | metal_tier | beginnings | endings
    2025-01-01 | leaves    | FL    | Silver     | 0          | 1
    2025-02-01 | leaves    | TX    | Gold       | 1          | 0
    2025-01-01 | returns   | CO    | Silver     | 1          | 0
    2025-03-01 | returns   | TX    | Gold       | 0          | 1
    2025-02-01 | begins    | TX    | Gold       | 1          | 0
    2025-03-01 | stays     | TX    | Gold       | 0          | 0
"""
FLOWS = """
    state | metal_tier | beginnings | endings | persons_beginning | persons_ending
    CO    | Silver     | 1          | 0       | 1                 | 0
    FL    | Silver     | 0          | 1       | 0                 | 1
    TX    | Gold       | 2          | 1       | 2                 | 1
"""


def test_who_ends_in_one_cell_and_begins_in_another_counts_in_both(admin_url: str) -> None:
    with psycopg.connect(admin_url) as connection:
        connection.execute(
            "create temporary table member_month (month date, member_id text, state text,"
            " metal_tier text, beginnings bigint, endings bigint)"
        )
        with connection.cursor() as cursor:
            cursor.executemany(
                "insert into member_month values (%(month)s, %(member_id)s, %(state)s,"
                " %(metal_tier)s, %(beginnings)s, %(endings)s)",
                draw(MEMBER_MONTHS),
            )
        flows = run(connection, "reports/business.flows", {"as_of": "2025-03-31"}).fetchall()
        connection.rollback()
    # Without the quarter and whether it is complete.
    found = [(state, tier, *map(str, counts)) for _, state, tier, _, *counts in sorted(flows)]
    assert found == [tuple(row.values()) for row in draw(FLOWS)]
