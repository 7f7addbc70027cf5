"""A file that was refused, loaded with the corrections of its rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.errors import BatchError, RejectThresholdError
from etl.pipeline import commands
from tests.support.corrections import (
    claim,
    everything,
    export,
    member,
    open_rows,
    put,
    replay,
    rewrite,
)
from tests.support.warehouse import Warehouse, failed_critical


def test_a_refused_file_is_loaded_with_its_corrections(warehouse: Warehouse) -> None:
    bad = [claim(n, n, paid_amount="-" if n < 4 else "1.00") for n in range(1, 11)]
    warehouse.send(
        "2025-01-10",
        {"files": {"claims.csv": {"totals": {"paid_amount": "8.50"}}}},
        claims=bad,
        members=[member(1)],
    )
    with pytest.raises(RejectThresholdError, match="3 x not a valid amount in paid_amount"):
        warehouse.incremental(0.1)
    codes = (
        "select feed, refusal_code, error_code"
        " from ledger.load_file inner join ledger.load using (load_id)"
    )
    assert warehouse.rows(codes) == [("claims", "too_many_rejected", "too_many_rejected")]
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, lambda row: row | {"paid_amount": "0.50"} if row["_line"] == "2" else None)
    with pytest.raises(RejectThresholdError, match="2 x not a valid amount"):
        replay_within(warehouse, path, 0.1)
    assert warehouse.value("select count(*) from staging.claims_raw") == 0
    # The correction is kept: two rows are open now, and one more correction is enough.
    assert open_rows(warehouse) == 2
    path.unlink()
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, lambda row: row | {"paid_amount": "0.50"} if row["_line"] == "3" else None)
    replay_within(warehouse, path, 0.1)
    assert warehouse.value("select count(*) from warehouse.fact_claim") == 9
    assert open_rows(warehouse) == 1
    not_compared = (
        "select findings -> 'totals_not_compared' from ledger.load_file"
        " where feed = 'claims' and status = 'loaded'"
    )
    assert warehouse.value(not_compared) == ["paid_amount"]
    path.unlink()
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, put(paid_amount="0.60"))
    # Now complete, the file is compared with its manifest.
    with pytest.raises(BatchError, match=r"adds up to 8\.60 where its manifest says 8\.50"):
        replay(warehouse, path)
    assert open_rows(warehouse) == 1
    rewrite(path, put(paid_amount="0.50"))
    replay(warehouse, path)
    assert open_rows(warehouse) == 0
    assert warehouse.value(not_compared) is None
    state = everything(warehouse)
    warehouse.rebuild()
    assert everything(warehouse) == state
    assert failed_critical(warehouse.connection) == set()
    assert warehouse.rows("select notes from ledger.load_file where feed = 'claims'")[-1][0] == [
        "2 rows taken as people corrected them"
    ]


def replay_within(warehouse: Warehouse, path: Path, reject_share: float) -> None:
    with warehouse.pipeline(reject_share) as pipeline:
        commands.replay_export(pipeline, path)


def test_a_refused_file_that_is_gone_cannot_be_loaded(warehouse: Warehouse) -> None:
    folder = warehouse.send("2025-01-10", claims=[claim(1, 1, paid_amount="-")])
    with pytest.raises(RejectThresholdError):
        warehouse.incremental()
    (path,) = export(warehouse, "2025-01-10")
    rewrite(path, put(paid_amount="1.00"))
    (folder / "claims.csv").write_text("another")
    with pytest.raises(BatchError, match="no longer in the inbox as it was"):
        replay(warehouse, path)
    assert warehouse.value("select count(*) from quality.correction") == 0
