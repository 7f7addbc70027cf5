"""Masks in the layout of a cluster, rehearsed on one server that is its own worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from etl.access.roles import ROLES
from etl.server import own_texts
from etl.warehouse.places import LOCAL, PLACES
from tests.support.access import acting_as, tables_behind
from tests.support.rehearsed import FIRST, send
from tests.support.warehouse import Warehouse

MASKED = ("aca_analyst", "aca_analyst_scoped", "aca_analyst_deid", "aca_auditor")
ON_NODES = {
    f"{schema}.{name}"
    for name, lies in PLACES.items()
    if lies != LOCAL
    for schema in ("warehouse", "internal")
}
# What masked roles read of the coordinator, without codes of members.
SAME = {
    "aca_analyst": (
        "select plan_id, effective_year, current_flag from limited.dim_plan order by 1, 2",
        "select provider_id, name, validity_start_ts from limited.dim_provider_as_is order by 1, 3",
        "select count(*) from limited.dim_member",
        "select service_date, paid_usd from limited.claims_daily_member order by 1, 2",
    ),
    "aca_analyst_deid": (
        "select count(*), min(validity_start_ts) from safe_harbor.dim_member",
        "select provider_id from safe_harbor.dim_provider_current order by 1",
    ),
    "aca_analyst_scoped": (
        "select count(*) from scoped.claims_daily_member",
        "select plan_id from scoped.dim_plan order by 1",
    ),
}


def test_masked_roles_read_of_the_coordinator_what_they_read_of_one_server(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    assert own_texts.open_functions(on_cluster.connection)
    send(FIRST, warehouse, on_cluster)
    for one in (warehouse, on_cluster):
        one.rebuild()
    # The run took from everybody what has a node run a text.
    assert not own_texts.open_functions(on_cluster.connection)
    for role, texts in SAME.items():
        for text in texts:
            rows = [asked(one, role, text) for one in (warehouse, on_cluster)]
            assert rows[0] == rows[1], text
    for role in MASKED:
        # Citus plans no statement that names nothing of its own, and so keeps no step of it.
        assert not tables_behind(on_cluster.connection, role) & ON_NODES, role
        assert tables_behind(warehouse.connection, role) & ON_NODES, role
    for schema, role in (("limited", MASKED[0]), ("scoped", MASKED[1]), ("safe_harbor", MASKED[2])):
        for name in ("fact_claim", "claim", "claim_line", "claim_diagnosis", "dim_diagnosis"):
            with pytest.raises(psycopg.errors.FeatureNotSupported, match=f"^{name} cannot be read"):
                asked(on_cluster, role, f"select count(*) from {schema}.{name}")


def asked(one: Warehouse, role: str, text: str) -> Sequence[Any]:
    assert role in ROLES
    with acting_as(one.connection, role):
        return one.connection.execute(text.encode()).fetchall()
