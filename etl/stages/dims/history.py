"""A slowly changing dimension brought up to a load, and its history rebuilt when asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from etl.stages.dims import rebuild_history, simple_path
from etl.stages.dims.work import DimensionWork, FeedLoad
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import BEGINNING, FACTS, Dimension, Fact


def run_dimension(
    connection: psycopg.Connection[Any], dimension: Dimension, load: FeedLoad
) -> dict[str, int]:
    """Bring one dimension up to the load; counts of what changed, by kind."""
    with DimensionWork(connection, dimension, load) as work:
        if simple_path.may_fill(work):
            return simple_path.fill(work)
        classes = simple_path.classify(work)
        keys = rebuild_history.find_keys(work, classes)
        if keys:
            work.run("2_keys_to_rebuild.remove_from_arrivals")
            classes = simple_path.count_classes(work)
        counts = simple_path.append(work, classes)
        if keys:
            counts |= rebuild_history.rebuild(work, keys)
        work.run("6_rekey_facts.create_shortened", makes="shortened")
        if "changed" in classes:
            work.run("6_rekey_facts.add_changed")
        if keys:
            _add_rebuilt(work, BEGINNING)
        counts["rekeyed"] = _rekey_facts(work)
        work.analyze_dimension(sum(counts.values()))
        return counts


def restate(
    connection: psycopg.Connection[Any], dimension: Dimension, load: FeedLoad, since: datetime
) -> dict[str, int]:
    """Rebuild a dimension's history from staging, from an instant (UTC) on; what changed.

    What the dimension has before ``since`` stays as it is. ``load`` is one without files.
    """
    with DimensionWork(connection, dimension, load, rekey_reason="restated") as work:
        work.run("2_keys_to_rebuild.candidates_of_dimension", makes="rebuild_candidate")
        return _rebuild_candidates(work, since)


def correct(
    connection: psycopg.Connection[Any],
    dimension: Dimension,
    load: FeedLoad,
    loads: list[int],
    lines: list[int],
) -> dict[str, int]:
    """Rebuild the history of keys of which rows were corrected in staging; what changed.

    ``loads`` and ``lines`` say where the rows are; ``load`` is one without files.
    """
    with DimensionWork(connection, dimension, load) as work:
        work.run(
            "2_keys_to_rebuild.candidates_of_corrections",
            makes="rebuild_candidate",
            loads=loads,
            lines=lines,
        )
        return _rebuild_candidates(work, BEGINNING)


def _rebuild_candidates(work: DimensionWork, since: datetime) -> dict[str, int]:
    """Rebuild the history of the candidates, where it differs, and let facts follow."""
    if not rebuild_history.number_keys(work):
        return {"rekeyed": 0}
    counts = rebuild_history.rebuild_differing(work, since)
    work.run("6_rekey_facts.create_shortened", makes="shortened")
    _add_rebuilt(work, since)
    counts["rekeyed"] = _rekey_facts(work)
    work.analyze_dimension(sum(counts.values()))
    return counts


def _add_rebuilt(work: DimensionWork, since: datetime) -> None:
    """Note the versions of the rebuilt keys, whose facts may need another one from then on."""
    work.run("6_rekey_facts.add_rebuilt", since=since, reason=work.rekey_reason)


def _rekey_facts(work: DimensionWork) -> int:
    """Point facts of shortened versions at the version of their own date; how many."""
    found, from_date = work.row("6_rekey_facts.earliest_shortened")
    if not found:
        return 0
    count = 0
    dated: tuple[tuple[Fact | Detail, str], ...] = (
        *((fact, fact.date) for fact in FACTS.values()),
        *((detail, detail.of.date) for detail in DETAILS),
    )
    for fact, date in dated:
        if any(ref.dimension.name == work.dimension.name for ref in fact.references):
            rekeyed = work.run(
                "6_rekey_facts.rekey",
                {"fact": sql.Identifier(fact.table), "date": sql.Identifier(date)},
                from_date=from_date,
                fact=fact.table,
                dimension=work.dimension.table,
            )
            count += sum(facts for (facts,) in rekeyed)
    return count
