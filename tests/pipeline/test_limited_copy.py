"""The limited copy of the member dimension follows it, whoever writes, and fails closed."""

from __future__ import annotations

import pytest

from etl.access.classification import identifier_of
from etl.access.treatments import Standard, Treatment, treatment_of
from etl.schema import repeatable
from tests.support.warehouse import Warehouse, found_by

CHECK = "dim_member.limited_as_dimension"
MEMBERS = """
    member_id | first_name | state | zip   | source_updated_at
    A         | Ada        | FL    | 33101 | 2026-01-01T00:00:00Z
    B         | Bob        | OH    | 43004 | 2026-01-01T00:00:00Z
"""
LATER = """
    member_id | first_name | state | zip   | source_updated_at
    A         | Ada        | OH    | 43004 | 2026-02-01T00:00:00Z
    C         | Cy         | FL    | 33101 | 2026-02-01T00:00:00Z
"""
# What the limited view shows of a version: none where it is not there.
SHOWN = """
    select v.zip, v.state, c.member_id
    from warehouse.dim_member as d
    join access.member_crosswalk as c on c.member_id = d.member_id
    left join access.member_key as k on k.member_sk = d.member_sk
    left join limited.dim_member as v
        on v.member_sk = k.limited_sk and v.member_id = c.limited_ref
    where d.member_sk > 0
    order by c.member_id, d.validity_start_ts
"""
COPIES = "select count(*) from warehouse.dim_member_limited"


@pytest.fixture(scope="module")
def world(module_warehouse: Warehouse) -> Warehouse:
    module_warehouse.send("2026-01-31", members=MEMBERS)
    module_warehouse.rebuild()
    module_warehouse.send("2026-02-28", members=LATER)
    module_warehouse.incremental()
    return module_warehouse


def differing(world: Warehouse) -> int | None:
    return found_by(world.connection, CHECK).rows_failed


@pytest.mark.slow
def test_a_load_and_a_full_load_bring_each_version(world: Warehouse) -> None:
    shown = [("33101", "FL", "A"), ("43004", "OH", "A"), ("43004", "OH", "B"), ("33101", "FL", "C")]
    assert world.rows(SHOWN) == shown
    world.rebuild()
    assert world.rows(SHOWN) == shown
    assert (world.column(COPIES), differing(world)) == ([5], 0)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("update dim_member set zip = '1' where member_id = 'B'", ("1", "OH", "B")),
        ("update dim_member set member_sk = 99 where member_id = 'B'", (None, None, "B")),
    ],
)
def test_what_is_written_by_hand_is_shown_in_the_same_transaction(
    world: Warehouse, written: str, shown: tuple[str | None, ...]
) -> None:
    with world.connection.transaction(force_rollback=True):
        world.connection.execute("set local search_path to warehouse")
        world.connection.execute(written)
        assert world.rows(SHOWN)[2] == shown


def test_version_that_only_ends_keeps_its_row_which_ends_with_it(world: Warehouse) -> None:
    ended = "update dim_member set current_flag = false, validity_end_ts = '2026-03-01'"
    shown = (
        "select v.current_flag, v.validity_end_ts::date::text, k.limited_sk is not null"
        " from warehouse.dim_member as d"
        " join access.member_key as k on k.member_sk = d.member_sk"
        " left join limited.dim_member as v on v.member_sk = k.limited_sk"
        " where d.member_id = 'B'"
    )
    taken_out = (
        "select n_tup_del from pg_stat_xact_user_tables"
        " where relid = 'warehouse.dim_member_limited'::regclass"
    )
    with world.connection.transaction(force_rollback=True):
        world.connection.execute("set local search_path to warehouse")
        before = world.column(taken_out)
        world.connection.execute(f"{ended} where member_id = 'B'")
        assert world.rows(shown) == [(False, "2026-03-01", True)]
        assert world.column(taken_out) == before
        # With any other value that differs, what the limited standard makes of it is made again.
        world.connection.execute(
            "update dim_member set current_flag = true, validity_end_ts = '9999-12-31', zip = '7'"
            " where member_id = 'B'"
        )
        assert world.rows(shown) == [(True, "9999-12-31", True)]
        assert world.rows(SHOWN)[2] == ("7", "OH", "B")


def test_end_of_a_version_is_shown_as_it_is() -> None:
    """What makes it enough to give a row of the copy the end of its version."""
    ends = ("validity_end_ts", "current_flag")
    identifiers = [identifier_of("warehouse", "dim_member", column) for column in ends]
    treatments = {treatment_of(identifier, Standard.LIMITED) for identifier in identifiers}
    assert treatments == {Treatment.KEEP}


def test_what_is_gone_from_the_dimension_is_not_shown(world: Warehouse) -> None:
    with world.connection.transaction(force_rollback=True):
        world.connection.execute("delete from warehouse.dim_member where member_id = 'A'")
        assert world.column(COPIES) == [3]
        world.connection.execute("truncate warehouse.dim_member cascade")
        assert world.column(COPIES) == [0]
    with world.connection.transaction(force_rollback=True):
        both = "truncate warehouse.dim_member, warehouse.dim_member_limited cascade"
        world.connection.execute(both)
        assert world.column(COPIES) == [0]


def test_a_version_without_codes_is_not_shown_until_a_load_gives_it_one(world: Warehouse) -> None:
    with world.connection.transaction(force_rollback=True):
        world.connection.execute(
            "create temporary table one as select * from warehouse.dim_member"
            " where member_id = 'B';"
            "update one set member_id = 'D', member_sk = member_sk + 100;"
            "insert into warehouse.dim_member select * from one"
        )
        assert world.column(COPIES) == [5]
        assert world.column("select count(*) from limited.dim_member") == [5]


@pytest.mark.parametrize(
    "changed",
    [
        "delete from warehouse.dim_member_limited where version_sk > 0",
        "update warehouse.dim_member_limited set zip = '0' where version_sk > 0",
        "update warehouse.dim_member_limited set first_name = 'Ada' where version_sk > 0",
        "update warehouse.dim_member_limited set version_sk = version_sk + 50 where version_sk > 0",
        # Of which state versions are.
        "delete from warehouse.member_scope",
        "insert into warehouse.member_scope select 'ZZ', part, bit_or(bits)"
        " from warehouse.member_scope group by part",
    ],
)
def test_a_copy_that_differs_is_found_and_made_again_with_its_definition(
    world: Warehouse, changed: str
) -> None:
    world.connection.execute(changed)
    assert differing(world) in (4, 8)
    world.connection.execute("comment on view warehouse.dim_member_limited_rows is 'another'")
    repeatable.ensure(world.connection)
    assert (world.column(COPIES), differing(world)) == ([5], 0)


def test_member_whose_key_was_another_ones_before_is_shown(warehouse: Warehouse) -> None:
    """A rebuilt history can take the highest keys away, and later members get them."""
    warehouse.send("2026-01-31", members=MEMBERS)
    warehouse.incremental()
    warehouse.connection.execute(
        "insert into access.member_key (member_sk, limited_sk, safe_harbor_sk) "
        "select key, key + 1000000, key + 2000000 from generate_series(3, 9) as key"
    )
    warehouse.send("2026-02-28", members=LATER)
    warehouse.incremental()
    assert ("33101", "FL", "C") in warehouse.rows(SHOWN)
    assert differing(warehouse) == 0


def test_member_whom_only_a_claim_names_is_shown_after_its_facts(warehouse: Warehouse) -> None:
    warehouse.send("2026-01-31", members=MEMBERS)
    warehouse.incremental()
    warehouse.send("2026-02-28", claims=[{"member_id": "Z"}])
    warehouse.incremental()
    assert (None, None, "Z") in warehouse.rows(SHOWN)
    assert (warehouse.column(COPIES), differing(warehouse)) == ([4], 0)


def test_version_that_was_inserted_by_hand_is_shown_after_the_next_load(
    warehouse: Warehouse,
) -> None:
    warehouse.send("2026-01-31", members=MEMBERS)
    warehouse.incremental()
    warehouse.connection.execute(
        "create temporary table one as select * from warehouse.dim_member where member_id = 'B';"
        "update one set member_id = 'D', member_sk = member_sk + 100;"
        "insert into warehouse.dim_member select * from one"
    )
    warehouse.send("2026-02-28", members=LATER)
    warehouse.incremental()
    assert ("43004", "OH", "D") in warehouse.rows(SHOWN)
