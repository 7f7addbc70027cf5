"""The rebuild: the history of keys made again from all that staging has of them."""

from __future__ import annotations

from datetime import datetime

from psycopg import sql

from etl.stages import tables
from etl.stages.dims.simple_path import Classes
from etl.stages.dims.work import DimensionWork
from etl.warehouse.tables import BEGINNING


def find_keys(work: DimensionWork, classes: Classes) -> int:
    """Number the keys that the simple path might get wrong; how many.

    Looks only where there may be any.
    """
    is_snapshot, mark = work.load.is_snapshot, work.watermark
    steps = {
        "add_late": mark.out_of_order or bool({"late", "absent"} & classes.keys()),
        "add_repeated": mark.may_repeat,
        "add_returning": bool({"new", "inferred"} & classes.keys()),
        "add_marked": is_snapshot and not work.is_first,
        "add_all_versions": is_snapshot and mark.out_of_order,
    }
    work.run("2_keys_to_rebuild.create_candidate", makes="rebuild_candidate")
    for step, is_due in steps.items():
        if is_due:
            work.run(f"2_keys_to_rebuild.{step}", out_of_order=mark.out_of_order)
    return number_keys(work)


def number_keys(work: DimensionWork) -> int:
    """Number the candidates; how many keys they are."""
    keys = work.run("2_keys_to_rebuild.number_keys", makes="key_to_rebuild").rowcount
    if keys:
        work.analyze("key_to_rebuild")
    return keys


def rebuild(work: DimensionWork, keys: int) -> dict[str, int]:
    """Rebuild the history of the numbered keys; counts of what changed, by kind."""
    lay_out(work)
    return {"rebuilt_keys": keys, **_apply(work)}


def rebuild_differing(work: DimensionWork, since: datetime) -> dict[str, int]:
    """Rebuild from an instant (UTC) on the history of those numbered keys whose history differs."""
    lay_out(work)
    if since > BEGINNING:
        work.run("4_rebuild_history.create_restated", since=since)
        tables.drop(work.connection, "rebuilt")
        work.run("4_rebuild_history.use_restated")
    work.analyze("rebuilt")
    # A table of its own, whose rows are counted before keys are looked up in it: guesses at how
    # many histories differ were so far off that each key was looked for among all.
    differing = work.run("5_apply_history.create_differing", makes="differing").rowcount
    work.analyze("differing")
    work.run("5_apply_history.remove_unchanged_keys")
    work.run("5_apply_history.remove_unchanged_versions")
    work.analyze("key_to_rebuild")
    return {"rebuilt_keys": differing, **_apply(work)}


def lay_out(work: DimensionWork) -> None:
    """Lay out what the history of the numbered keys has to be, as the table ``rebuilt``."""
    delivered = {"deliveries": work.text("4_rebuild_history.deliveries")}
    for name in ("delivery", "observation"):
        work.run(f"4_rebuild_history.create_{name}", delivered, makes=name)
        work.run(f"4_rebuild_history.index_{name}")
        work.analyze(name)
    for column, loads in work.loads_without().items():
        kind = "driver" if column in work.dimension.drivers else "type_1"
        parts = {"attribute": sql.Identifier(column), "attribute_name": sql.Literal(column)}
        work.run(f"4_rebuild_history.complete_{kind}", delivered | parts, loads_without=loads)
    work.run("4_rebuild_history.remove_unobserved")
    work.run("4_rebuild_history.create_gap", makes="gap")
    work.run("4_rebuild_history.reach_back")
    work.run("4_rebuild_history.create_existing_version", makes="existing_version")
    work.analyze("existing_version")
    work.run("4_rebuild_history.create_rebuilt", makes="rebuilt")


def _apply(work: DimensionWork) -> dict[str, int]:
    """Make the dimension agree with ``rebuilt``, changing only what differs."""
    work.run("5_apply_history.defer_keys")
    return {
        "removed": work.run("5_apply_history.drop_orphaned_versions").rowcount,
        "shortened": work.run("5_apply_history.shorten").rowcount,
        "rewritten": work.run("5_apply_history.rewrite").rowcount,
        "added": work.insert("5_apply_history.added_versions"),
    }
