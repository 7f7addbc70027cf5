"""What a rehearsal of the layout of a cluster loads, and how its tables are compared."""

from __future__ import annotations

from typing import Any

import psycopg

from etl.warehouse.tables import DIMENSIONS, LIVE
from tests.support.as_known import State, as_known
from tests.support.warehouse import Warehouse

MEMBERS = [
    {"member_id": name, "last_name": name, "source_updated_at": "2025-01-01T00:00:00Z"}
    for name in ("A", "B", "C")
]
PLANS = [{"plan_id": "P1", "effective_year": 2025}]
PROVIDERS = [{"provider_id": "D1", "name": "Dr One"}, {"provider_id": "D2", "name": "Dr Two"}]


def claim(number: int, member: str, day: str, **more: Any) -> dict[str, Any]:
    known = {"provider_id": "D1", "plan_id": "P1", "paid_amount": 10 * number}
    return {"claim_id": f"c{number}", "member_id": member, "service_date": day, **known, **more}


def moved(member: str, name: str, day: str, **more: Any) -> dict[str, Any]:
    said = {"member_id": member, "last_name": name, "source_updated_at": f"{day}T00:00:00Z"}
    return {**said, **more}


# A batch by its day; feeds with a star are snapshots.
Batch = tuple[str, dict[str, Any]]
FIRST: Batch = (
    "2025-01-10",
    {
        "members": MEMBERS,
        "plans": PLANS,
        "providers": PROVIDERS,
        "enrollments": [
            {"enrollment_id": "e1", "member_id": "A", "plan_id": "P1", "start_date": "2025-01-01"}
        ],
        "claims": [
            claim(1, "A", "2025-01-05"),
            claim(2, "A", "2025-02-20"),
            claim(3, "B", "2025-03-05"),
            claim(4, "late", "2025-01-07", provider_id="D9"),
        ],
    },
)
DAYS: list[Batch] = [
    # A version ends, and facts of its later days get the next one.
    ("2025-02-10", {"members": [moved("A", "Archer", "2025-02-01")]}),
    # Known late: a key that a fact made is completed, and a claim changes.
    (
        "2025-03-10",
        {
            "members": [moved("late", "Known", "2025-01-01")],
            "providers": [{"provider_id": "D1", "name": "Dr Other"}],
            "claims": [
                claim(1, "A", "2025-01-05", status="denied"),
                claim(5, "C", "2025-03-01"),
                claim(6, "new", "2025-03-02"),
            ],
        },
    ),
    # Late: a version comes before another, and takes facts from it.
    (
        "2025-01-20",
        {"members": [moved("A", "Abbott", "2025-01-03"), moved("B", "Bo", "2025-01-15")]},
    ),
    # Dirt, a key twice, and a claim that comes again as it is.
    (
        "2025-03-20",
        {
            "members": [
                moved("C", "Cole", "2025-03-01"),
                moved("C", "Coleman", "2025-03-15"),
                moved("D", "Dee", "2025-03-15", dob="never"),
            ],
            "claims": [
                claim(7, "A", "not a day"),
                claim(8, "A", "2025-03-19", paid_amount=-5),
                claim(2, "A", "2025-02-20"),
            ],
        },
    ),
    # A snapshot without one member, who is gone from then on.
    ("2025-04-10", {"snapshots": ("members",), "members": [MEMBERS[0], MEMBERS[1]]}),
]


def send(batch: Batch, *warehouses: Warehouse) -> None:
    day, feeds = batch
    for warehouse in warehouses:
        warehouse.send(day, **feeds)


def rows(connection: psycopg.Connection, schema: str, table: str) -> list[str]:
    """Rows of a table without what no two loads have the same: times, and codes that are drawn."""
    left_out = ["created_at", "load_timestamp", "entered_at"]
    left_out += ["member_id", "member_sk"] if table == "dim_member_limited" else []
    found = connection.execute(
        f'select (to_jsonb(t) - %s::text[])::text from "{schema}"."{table}" as t order by 1',
        [left_out],
    )
    return [row for (row,) in found]


def contents(warehouse: Warehouse) -> dict[str, list[str]]:
    """Every row of every table of the live build, and why facts were re-keyed.

    Not those of partitions by themselves: on a cluster these are others.
    """
    schemas = LIVE.schemas
    names = (schemas.staging, schemas.warehouse, schemas.internal, schemas.cubes)
    tables = warehouse.rows(
        "select relnamespace::regnamespace::text, relname from pg_class where relkind in "
        "('r', 'p') and not relispartition and relnamespace::regnamespace::text in "
        f"{names} union all select schemaname, matviewname from pg_matviews "
        f"where schemaname in {names} union all values ('ledger', 'fact_rekey')"
    )
    return {f"{s}.{t}": rows(warehouse.connection, s, t) for s, t in tables}


def require_same(plain: Warehouse, clustered: Warehouse) -> None:
    expected, found = contents(plain), contents(clustered)
    assert found.keys() == expected.keys()
    assert {name for name in expected if found[name] != expected[name]} == set()
    assert any(expected["warehouse.fact_claim"])
    for table in ("dim_geography", *(dimension.table for dimension in DIMENSIONS.values())):
        assert rows(clustered.connection, "history", table) == found[f"warehouse.{table}"]


def known(warehouse: Warehouse) -> dict[int, State]:
    """What was known after each load, without times, which no two loads have the same.

    Of a load that is no longer kept the error.
    """
    loads = "select load_id from ledger.load where live_at is not null order by load_id"
    found: dict[int, State] = {}
    for (load_id,) in warehouse.rows(loads):
        try:
            state = as_known(warehouse.connection, load_id)
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            state = {"error": [{"says": error.diag.message_primary}]}
        found[load_id] = {
            name: [{k: v for k, v in row.items() if k != "created_at"} for row in rows]
            for name, rows in state.items()
        }
    return found


def require_same_known(plain: Warehouse, clustered: Warehouse) -> None:
    expected, found = known(plain), known(clustered)
    assert sum(1 for state in expected.values() if state.get("fact_claim")) > 1
    assert found.keys() == expected.keys()
    for load_id, state in expected.items():
        assert found[load_id].keys() == state.keys()
        assert {name for name in state if found[load_id][name] != state[name]} == set(), load_id


def require_published(clustered: Warehouse) -> None:
    for dimension in DIMENSIONS.values():
        kept, shown = (
            rows(clustered.connection, schema, dimension.table)
            for schema in ("history", "warehouse")
        )
        assert kept == shown
