"""A rebuild looks first whether the disk has room for it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from etl.db import trouble
from etl.errors import ServerError
from etl.pipeline import room
from etl.server import server
from etl.warehouse.tables import LIVE
from tests.support.warehouse import Warehouse


@pytest.mark.slow
def test_rebuild_without_room_fails_in_one_sentence_before_anything_is_written(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the embedded server is seen; of a server that is given a person is notified."""
    warehouse.send("2025-01-10", plans=[{"plan_id": "P1"}])
    warehouse.rebuild()
    [said] = [text for text in warehouse.watcher.said if "cannot be seen from here" in text]
    assert said.startswith("The rebuild needs about ")

    monkeypatch.setattr(server, "data_folder", lambda _: warehouse.data.parent)
    needed = room.need_of(warehouse.connection)
    size = "select sum(pg_total_relation_size(relid)) from pg_stat_user_tables where schemaname = "
    for schema in LIVE.schemas.names:
        assert needed.tables >= (warehouse.value(f"{size}'{schema}'") or 0)
    before = warehouse.rows("select * from ledger.load order by load_id")
    free = SimpleNamespace(free=needed.total - 1)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: free)
    with pytest.raises(ServerError, match="a rebuild next to the live warehouse") as found:
        warehouse.rebuild()
    assert (found.value.exit_code, trouble.is_transient(found.value)) == (3, False)
    assert warehouse.rows("select * from ledger.load order by load_id") == before
    free.free += 1
    warehouse.rebuild()
