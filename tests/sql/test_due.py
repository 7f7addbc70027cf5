"""When cubes have to be made, by what the ledger says of earlier stages."""

from __future__ import annotations

from typing import Any

import psycopg

from etl.db.statements import scalar
from tests.support.health import arrived, at
from tests.support.tables import draw

STAGES = """
    stage  | status | started_at        | finished_at       | is_due
    facts  | done   | 2025-01-01 10:00Z | 2025-01-01 10:05Z | true
    cubes  | failed | 2025-01-01 10:06Z | 2025-01-01 10:07Z | true
    checks | done   | 2025-01-01 10:08Z | 2025-01-01 10:09Z | true
    cubes  | done   | 2025-01-01 10:10Z | 2025-01-01 10:11Z | false
    checks | done   | 2025-01-01 10:12Z | 2025-01-01 10:13Z | false
    replay | done   | 2025-01-01 10:14Z | 2025-01-01 10:15Z | true
"""


def test_cubes_are_due_until_they_were_made_after_the_latest_load(
    database: psycopg.Connection[Any],
) -> None:
    database.execute("set search_path = ledger")
    arrived(database, "claims", at("2025-01-01T00:00"))
    assert not scalar(database, "ledger/ledger.cubes_are_due")
    for row in draw(STAGES):
        due = row.pop("is_due")
        database.execute(
            "insert into stage_run (load_id, stage, is_rebuild, status, started_at, finished_at)"
            " select load_id, %(stage)s, false, %(status)s, %(started_at)s, %(finished_at)s"
            " from load",
            row,
        )
        assert str(scalar(database, "ledger/ledger.cubes_are_due")).lower() == str(due).lower()
