"""The simple path: rows that are the latest of their key end the current version and add one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import LiteralString

from psycopg import sql

from etl.contracts.column import IS_DELETED
from etl.db.statements import names, scalar
from etl.stages import bulk
from etl.stages.dims import fragments, versions
from etl.stages.dims.work import DimensionWork

# How many arrivals there are of each class.
Classes = dict[str, int]


def may_fill(work: DimensionWork) -> bool:
    """Whether each row of the load is the first version of its key, and there are very many.

    So it is where no other load brought the feed, nobody reads the dimension yet, no key comes
    twice, and no row is a delete marker.
    """
    return (
        work.load.build.is_rebuild
        and work.is_first
        and len(work.file_columns) == 1
        and not work.watermark.may_repeat
        and (work.watermark.rows or 0) >= bulk.ROWS
        and not (
            IS_DELETED.name in work.file_columns[work.load.load_id]
            and work.row("3_simple_path.has_markers")[0]
        )
    )


def fill(work: DimensionWork) -> dict[str, int]:
    """Make the dimension of the load, as a table in place of the empty one.

    CREATE TABLE AS works on both cores and writes page by page; INSERT does neither.
    """
    table = work.dimension.table
    columns = scalar(work.connection, "rebuild/bulk.columns", {"table": table})
    filled = f"{table}_filled"
    parts = {
        # It stays, and so has to be made where the dimension is.
        "filled": sql.Identifier(work.schemas.versions, filled),
        "table_columns": names(columns),
        "versions": versions.complete(work.dimension, work.text("3_simple_path.first_versions")),
    }
    work.run("3_simple_path.fill", parts)
    bulk.replace(work.connection, table, filled)
    versions.analyze(work.connection, work.dimension)
    return {"new_versions": work.watermark.rows or 0}


def classify(work: DimensionWork) -> Classes:
    """Find out what each row of the load means for the current version of its key."""
    # Only a snapshot lacks keys that are gone. A left join can go by an index and, where the
    # dimension is empty, uses both cores.
    finds_absent = work.load.is_snapshot and not work.is_first
    if not (finds_absent and _classify_others(work)):
        _compare(work, "full join" if finds_absent else "left join", "any_row")
    if finds_absent:
        work.run("1_arrivals.remove_rejected_keys")
    work.run("1_arrivals.analyze_arrival")
    return count_classes(work)


def _compare(work: DimensionWork, join: LiteralString, rows: str) -> None:
    """Compare rows of the load with the current versions; ``rows``: the fragment of which."""
    columns = work.file_columns.get(work.load.load_id, [])
    parts = fragments.of_file(work.dimension, columns) | {
        "left_or_full_join": sql.SQL(join),
        "can_differ": work.text(f"1_arrivals.{rows}"),
    }
    work.run(
        "1_arrivals.classify",
        parts,
        makes="arrival",
        known_until=work.watermark.known_until,
        out_of_order=work.watermark.out_of_order,
        columns_vary=bool(work.loads_without()),
    )


def _classify_others(work: DimensionWork) -> bool:
    """Compare only rows that the snapshot before lacks, where all others mean nothing.

    The others have a current version, each its own, or were changed by hand: then the current
    versions are not as many as they have to be, nothing is done, and the answer is no.
    """
    found = work.run("1_arrivals.unchanged_rows").fetchone()
    if found is None:
        return False
    other_rows, same_rows = found
    _compare(work, "left join", "other_row")
    classes = count_classes(work)
    matched = other_rows - classes.get("new", 0) - classes.get("inferred", 0)
    (current,) = work.row("1_arrivals.count_current")
    if current > same_rows + matched:
        matched += work.run("1_arrivals.add_absent").rowcount
    if current != same_rows + matched:
        work.drop("arrival")
        return False
    return True


def count_classes(work: DimensionWork) -> Classes:
    """How many arrivals there are of each class."""
    return dict(work.run("1_arrivals.count_classes").fetchall())


def append(work: DimensionWork, classes: Classes) -> dict[str, int]:
    """Do what the arrivals ask for; counts of what changed, by kind."""
    steps = (
        ("completed", "complete_inferred", {"inferred"}),
        ("expired", "close_replaced", {"changed", "gone"}),
        ("expired", "close_absent", {"absent"}),
        ("corrected", "correct_type_1", {"same", "changed"} if work.dimension.type_1 else set()),
    )
    counts = {"completed": 0, "expired": 0, "new_versions": 0, "corrected": 0}
    for count, step, concerned in steps:
        if concerned & classes.keys():
            counts[count] += work.run(f"3_simple_path.{step}").rowcount
    if {"new", "changed"} & classes.keys():
        with _in_bulk(work) if _outgrows(work, classes) else nullcontext():
            counts["new_versions"] = work.insert("3_simple_path.arrived_versions")
    return counts


def _outgrows(work: DimensionWork, classes: Classes) -> bool:
    """Whether the load brings most of what the dimension will have, and nobody reads it yet."""
    new = classes.get("new", 0)
    return (
        work.load.build.is_rebuild
        and "changed" not in classes
        and new >= bulk.ROWS
        and new > versions.last_sk(work.connection, work.dimension)
    )


@contextmanager
def _in_bulk(work: DimensionWork) -> Iterator[None]:
    """Do without keys, indexes and the guard while very many rows come."""
    guard = {"guard": sql.Identifier(f"{work.dimension.table}_guard_inserts")}
    with bulk.without_indexes(work.connection, work.dimension.table):
        work.run("3_simple_path.disable_overlap_guard", guard)
        yield
        work.run("3_simple_path.enable_overlap_guard", guard)
