"""Rows that COPY skips are read alike, whether the server's notices are known or learned."""

from __future__ import annotations

import re
from typing import Any

import pytest

from etl.errors import ServerError
from etl.stages.stage import skipped_rows
from tests.support.warehouse import Warehouse

REJECTED = "select line, column_name, reason from quality.rejected_row order by line"


def send(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """Load members of whom three cannot be; what was rejected."""
    members = [
        {"member_id": "A"},
        {"member_id": "B", "dob": "31.31.2025"},
        {"member_id": "C", "fpl_ratio": 'a "b" 4711'},
        {"member_id": "", "dob": "1980-01-01"},
        *({"member_id": f"D{n}"} for n in range(100)),
    ]
    warehouse.send("2025-01-01", members=members)
    warehouse.incremental()
    return warehouse.rows(REJECTED)


@pytest.mark.parametrize("speaks", ["English", "another language"])
def test_rows_that_fail_a_type_are_rejected_by_line_and_column(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, speaks: str
) -> None:
    probes: list[list[str]] = []
    if speaks != "English":
        probe = skipped_rows._probe

        def counted(connection: Any) -> list[str]:
            probes.append(probe(connection))
            return probes[-1]

        monkeypatch.setattr(skipped_rows, "_SPEAKS_ENGLISH", re.compile("never"))
        monkeypatch.setattr(skipped_rows, "_probe", counted)
    rejected = send(warehouse)
    assert [(line, column) for line, column, _ in rejected] == [
        (3, "dob"),
        (4, "fpl_ratio"),
        (5, "member_id"),
    ]
    assert bool(probes) == (speaks != "English")
    assert warehouse.value("select count(*) from pg_type where typname = 'filled'") == 0


def test_notices_that_are_not_understood_stop_the_load_with_a_sentence(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(skipped_rows, "_SPEAKS_ENGLISH", re.compile("never"))
    monkeypatch.setattr(skipped_rows, "_probe", lambda connection: ["?"])
    with pytest.raises(ServerError, match="are not understood") as caught:
        send(warehouse)
    assert "lc_messages = 'C'" in caught.value.hint
    assert warehouse.value("select count(*) from staging.members_raw") == 0
