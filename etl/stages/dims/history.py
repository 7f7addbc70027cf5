"""A slowly changing dimension brought up to a load, and its history rebuilt when asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from etl.stages.dims import publishing, rebuild_history, simple_path, versions
from etl.stages.dims.work import DimensionWork, FeedLoad
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import BEGINNING, DIMENSIONS, FACTS, Dimension, Fact, Schemas


def prepare(connection: psycopg.Connection[Any], schemas: Schemas) -> dict[str, int]:
    """Give every dimension its row -1 and the hashes of its definition; counts, by kind."""
    counts = {"rehashed": 0}
    with publishing.at_versions(connection, schemas) as placed:
        # All first: a dimension takes keys from another one's rows.
        added = {d.name: versions.ensure_unknown(connection, d) for d in DIMENSIONS.values()}
        for dimension in DIMENSIONS.values():
            rehashed = versions.rehash(connection, dimension)
            counts["rehashed"] += rehashed
            if added[dimension.name] or rehashed:
                publishing.publish(connection, placed, dimension.table, dimension.sk)
    return {kind: number for kind, number in counts.items() if number}


def run_dimension(
    connection: psycopg.Connection[Any], dimension: Dimension, load: FeedLoad
) -> dict[str, int]:
    """Bring one dimension up to the load; counts of what changed, by kind."""
    with _work(connection, dimension, load) as work:
        if simple_path.may_fill(work):
            counts = simple_path.fill(work)
            publishing.publish(connection, work.schemas, dimension.table, dimension.sk)
            return counts
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
        _finish(work, counts)
        return counts


def restate(
    connection: psycopg.Connection[Any], dimension: Dimension, load: FeedLoad, since: datetime
) -> dict[str, int]:
    """Rebuild a dimension's history from staging, from an instant (UTC) on; what changed.

    What the dimension has before ``since`` stays as it is. ``load`` is one without files.
    """
    with _work(connection, dimension, load, rekey_reason="restated") as work:
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
    with _work(connection, dimension, load) as work:
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
    _finish(work, counts)
    return counts


@contextmanager
def _work(
    connection: psycopg.Connection[Any],
    dimension: Dimension,
    load: FeedLoad,
    rekey_reason: str = "rebuilt",
) -> Iterator[DimensionWork]:
    with (
        publishing.at_versions(connection, load.build.schemas) as placed,
        DimensionWork(connection, dimension, load, placed, rekey_reason) as work,
    ):
        yield work


def _finish(work: DimensionWork, counts: dict[str, int]) -> None:
    """Let facts follow what changed, and let everybody find it."""
    dimension = work.dimension
    publishing.publish(work.connection, work.schemas, dimension.table, dimension.sk)
    counts["rekeyed"] = _rekey_facts(work)
    publishing.withdraw(work.connection, work.schemas, dimension.table, dimension.sk)
    work.analyze_dimension(sum(counts.values()))


def _add_rebuilt(work: DimensionWork, since: datetime) -> None:
    """Note the versions of the rebuilt keys, whose facts may need another one from then on."""
    work.run("6_rekey_facts.add_rebuilt", since=since, reason=work.rekey_reason)


def _rekey_facts(work: DimensionWork) -> int:
    """Point facts of shortened versions at the version of their own date; how many."""
    found, from_date = work.row("6_rekey_facts.earliest_shortened")
    if not found:
        return 0
    work.run("6_rekey_facts.create_map", makes="version_map")
    work.analyze("version_map")
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
