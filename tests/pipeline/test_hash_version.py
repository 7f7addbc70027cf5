"""A new definition of the hash: every version is hashed again and none is added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from etl.quality.checks.parts import subjects
from etl.quality.checks.registry import declared_for_gate, sql_checks
from etl.warehouse.tables import DIMENSIONS, Dimension
from tests.support.warehouse import Warehouse

VERSIONS = (
    "select member_id, hios_id, validity_start_ts::text, current_flag "
    "from warehouse.dim_member where member_sk > 0 order by 1, 3"
)


@pytest.fixture
def promoted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Dimension]:
    """Members with an attribute that was Type 1 and is a change driver now."""
    member = DIMENSIONS["member"]
    columns = tuple(
        replace(c, driver=True) if c.name == "hios_id" else c for c in member.feed.columns
    )
    changed = replace(
        member, feed=replace(member.feed, columns=columns), hash_version=member.hash_version + 1
    )
    with monkeypatch.context() as patched:
        patched.setitem(DIMENSIONS, "member", changed)
        forget_checks()
        yield changed
    forget_checks()


def forget_checks() -> None:
    """Let the checks be composed again from the dimensions as they are declared now."""
    subjects.cache_clear()
    sql_checks.cache_clear()
    declared_for_gate.cache_clear()


def test_rehash_adds_versions_only_for_changed_values(
    warehouse: Warehouse, request: pytest.FixtureRequest
) -> None:
    warehouse.send("2025-01-01", members=[member(m, "H1") for m in "ABC"])
    warehouse.incremental()
    before = warehouse.rows("select member_sk, attr_hash from warehouse.dim_member order by 1")
    changed = request.getfixturevalue("promoted")
    # A is sent again unchanged, B changed, C not at all.
    warehouse.send("2025-02-01", members=[member("A", "H1"), member("B", "H2")])
    warehouse.incremental()
    assert warehouse.rows(VERSIONS) == [
        ("A", "H1", "1900-01-01 00:00:00", True),
        ("B", "H1", "1900-01-01 00:00:00", False),
        ("B", "H2", "2025-02-01 00:00:00", True),
        ("C", "H1", "1900-01-01 00:00:00", True),
    ]
    drivers = ", ".join(changed.drivers)
    assert warehouse.rows(
        "select count(*), count(*) filter (where attr_hash = encode(substring(sha256("
        f"record_send(row({drivers}))) for 16), 'hex')::uuid), min(hash_version), "
        "max(hash_version) from warehouse.dim_member"
    ) == [(5, 5, changed.hash_version, changed.hash_version)]
    after = dict(warehouse.rows("select member_sk, attr_hash from warehouse.dim_member"))
    assert all(after[sk] != attr_hash for sk, attr_hash in before)


def test_a_load_of_another_feed_also_hashes_members_again(
    warehouse: Warehouse, request: pytest.FixtureRequest
) -> None:
    warehouse.send("2025-01-01", members=[member("A", "H1")])
    warehouse.incremental()
    changed = request.getfixturevalue("promoted")
    warehouse.send("2025-02-01", plans=[{"plan_id": "P"}])
    warehouse.incremental()
    assert warehouse.rows("select distinct hash_version from warehouse.dim_member") == [
        (changed.hash_version,)
    ]


def member(member_id: str, hios_id: str) -> dict[str, str]:
    return {"member_id": member_id, "hios_id": hios_id}
