"""What was known on a cluster, and exports of it, rehearsed with stand-ins for Citus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from etl.access.roles import named
from etl.config import Settings
from etl.db.connection import connect, set_config
from etl.dictionary import model
from etl.dictionary import read as dictionary
from etl.docs import report_queries
from etl.errors import UsageError
from etl.export import make
from etl.warehouse.tables import LIVE
from tests.support.looking import record
from tests.support.rehearsed import DAYS, FIRST, Batch, claim, require_same_known, send
from tests.support.warehouse import Warehouse
from tests.support.watching import Silent

LINES = [
    {"claim_id": claim_id, "line_number": number, "service_date": "2025-01-05", "line_paid": 5}
    for claim_id, number in (("c1", 1), ("c1", 2), ("c3", 1), ("waits", 1))
]
DIAGNOSES = [{"claim_id": "c2", "position": 1, "service_date": "2025-02-20"}]
WITH_LINES: Batch = (FIRST[0], {**FIRST[1], "claim_lines": LINES, "claim_diagnoses": DIAGNOSES})
CHANGED: Batch = (
    "2025-03-01",
    {
        "claim_lines": [{**LINES[0], "line_paid": 7}],
        "claim_diagnoses": [{**DIAGNOSES[0], "diagnosis_code": "E119"}],
        "claims": [claim(4, "late", "2025-01-07", provider_id="D9", paid_amount=99)],
    },
)
REPORTS = ("paid_by_broker_as_known", "claims_changed_since_a_load", "put_at_an_instant")


def answer(one: Warehouse, report: str) -> Any:
    set_config(one.connection, "search_path", ", ".join(LIVE.schemas.readers_path), is_local=False)
    return report_queries.reports()[report].ask(one.connection)


def test_lines_diagnoses_and_reports_are_known_as_on_one_server(
    warehouse: Warehouse, on_cluster: Warehouse
) -> None:
    send(WITH_LINES, warehouse, on_cluster)
    for one in (warehouse, on_cluster):
        one.rebuild()
    for batch in (CHANGED, DAYS[1]):
        send(batch, warehouse, on_cluster)
        for one in (warehouse, on_cluster):
            one.incremental()
    past = "select count(*) from internal.fact_claim_line_past"
    assert on_cluster.value(past) == warehouse.value(past) > 0
    require_same_known(warehouse, on_cluster)
    for report in REPORTS[:2]:
        assert answer(on_cluster, report) == answer(warehouse, report) != [], report
    assert answer(on_cluster, REPORTS[2])


def test_exports_of_a_cluster_have_what_it_reads_and_say_what_it_does_not(
    on_cluster: Warehouse, server_settings: Settings, tmp_path: Path
) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    send(DAYS[1], on_cluster)
    on_cluster.incremental()

    def exported(kept: Any, short: str, to: str, asked: str = "") -> make.Export:
        role = named(short)
        assert role is not None
        request = make.Request(role, "parquet", tmp_path, asked, as_known=1, to=tmp_path / to)
        with connect(kept.login(f"{short}_{to}", short), "test") as session:
            make.act_as(session, role)
            return make.export(session, request, Silent())

    with record(server_settings, on_cluster.url, on_cluster.data) as kept:
        done = exported(kept, "phi", "phi")
        assert done.left_out == {}
        paid = pq.read_table(done.folder / "fact_claim.parquet").to_pylist()
        assert {row["claim_id"]: row["status"] for row in paid}["c1"] != "denied"
        assert len(paid) == len(FIRST[1]["claims"])
        assert pq.read_table(done.folder / "dim_member.parquet").num_rows > 0
        masked = exported(kept, "analyst", "masked")
        assert {"fact_claim", "dim_date"} < masked.left_out.keys()
        assert "dim_plan" in {one.table.name for one in masked.tables}
        said = json.loads((masked.folder / make.MANIFEST).read_text())
        assert said["left_out"] == masked.left_out
        with pytest.raises(UsageError, match="fact_claim cannot be exported: "):
            exported(kept, "analyst", "not", "fact_claim")
        assert not (tmp_path / "not").exists()
    phi = named("phi")
    assert phi is not None
    with pytest.raises(UsageError, match="on a cluster it cannot act as it"):
        make.act_as(on_cluster.connection, phi)


def test_dictionary_says_of_a_view_why_a_cluster_does_not_read_it(on_cluster: Warehouse) -> None:
    send(FIRST, on_cluster)
    on_cluster.rebuild()
    on_cluster.connection.execute(
        "create view mart.never as select mart.refuse_to_read('Citus refuses it.') as given"
    )
    columns = (model.Column("given", "boolean", is_mandatory=False, meaning=""),)
    never = model.Relation("mart", "never", "view", "What never is.", columns)
    found = dictionary._profiled(on_cluster.connection, never)
    assert (found.meaning, found.rows) == ("What never is. Citus refuses it.", None)
