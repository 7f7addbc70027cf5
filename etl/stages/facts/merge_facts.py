"""Facts: from staging to the fact tables, each row with the keys of the versions of its own date.

A key that no dimension has gets an inferred version; a missing key points at -1. A fact is in the
state that the latest batch brings, whenever that batch came. There are two paths:

- a load whose batch is the latest of its feed brings the latest states: its rows replace what the
  fact has;
- for a late one, the states of the facts that it names are worked out again from the staging rows
  of all batches, in the order of the batches, and only what differs is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import psycopg
from psycopg import sql

from etl.db import steps
from etl.db.statements import names, run, scalar
from etl.stages import tables
from etl.stages.facts import claims, details, enrollments, fact_loads, references
from etl.stages.facts.fact_loads import Corrected, CurrentLoad, FactLoads
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import FACT_CLAIM, Fact


def run_fact(
    connection: psycopg.Connection[Any], fact: Fact, current_load: CurrentLoad
) -> dict[str, int]:
    """Load one fact's rows of the load; counts by kind."""
    return _merge(connection, fact, fact_loads.find(connection, fact, current_load), current_load)


def run_details(
    connection: psycopg.Connection[Any],
    current_load: CurrentLoad,
    feeds: Collection[str],
    around: Callable[[Detail], AbstractContextManager[None]] = lambda detail: nullcontext(),
    corrected: Corrected | None = None,
) -> dict[str, int]:
    """Bring what claims consist of up to the feeds of a load, after its facts; counts by kind.

    ``around``: what each is made in. ``corrected``: which rows of the one feed were corrected.
    """
    counts: dict[str, int] = {}
    has_claims = FACT_CLAIM.feed.name in feeds
    changed = None
    if has_claims:
        loads = fact_loads.find(connection, FACT_CLAIM, current_load, corrected)
        changed = claims.changed(loads)
    for detail in DETAILS:
        has_sets = detail.feed.name in feeds
        if has_claims or has_sets:
            changes = details.Changes(changed, has_sets, corrected)
            with around(detail), steps.within(detail.table):
                merged = details.merge(connection, detail, current_load, changes)
            counts |= _of_feed(detail, merged)
    if has_claims:
        tables.drop(connection, "withdrawn_claim")
    return counts


def are_details_first(
    connection: psycopg.Connection[Any], current_load: CurrentLoad, feeds: Collection[str]
) -> bool:
    """Whether a load with these feeds is the first to bring claims and what they consist of.

    Then ``fill_detail`` fills each table by itself.
    """
    return FACT_CLAIM.feed.name in feeds and all(
        details.is_first(connection, detail, current_load) for detail in DETAILS
    )


def fill_detail(
    connection: psycopg.Connection[Any], detail: Detail, current_load: CurrentLoad
) -> dict[str, int]:
    """Fill one table of what claims consist of; counts by kind."""
    with steps.within(detail.table):
        return _of_feed(detail, details.fill(connection, detail, current_load))


def _of_feed(detail: Detail, counts: dict[str, int]) -> dict[str, int]:
    return {f"{detail.feed.name}_{kind}": number for kind, number in counts.items()}


def correct_fact(
    connection: psycopg.Connection[Any], fact: Fact, current_load: CurrentLoad, corrected: Corrected
) -> dict[str, int]:
    """Bring one fact up to rows of a load that were corrected in staging; counts by kind.

    What the fact did not have is marked as unknown before the load that corrected it.
    """
    loads = fact_loads.find(connection, fact, current_load, corrected)
    parts = {
        "key": sql.Identifier(fact.key),
        "fact": sql.Identifier(fact.table),
        "is_affected": _is_affected(fact, loads),
    }
    run(connection, "facts/8_corrections.keep_before", loads.values, **parts)
    counts = _merge(connection, fact, loads, current_load)
    columns = scalar(connection, "rebuild/bulk.columns", {"table": fact.table})
    columns.remove("load_id")  # its past has another
    run(
        connection,
        "facts/8_corrections.mark_unknown_before",
        loads.values,
        past=sql.Identifier(fact.past),
        columns=names(columns),
        columns_of_fact=names(columns, "f"),
        **parts,
    )
    tables.drop(connection, "fact_before")
    return counts


def _is_affected(fact: Fact, loads: FactLoads) -> sql.Composable:
    """Which facts a correction may bring: those that it names, unless a row made way for one."""
    if loads.displaces:
        # What the displaced row had displaced before may come back.
        return sql.SQL("true")
    return sql.SQL("f.{0} in (select s.{0} from {1} as s where {2})").format(
        sql.Identifier(fact.key), sql.Identifier(fact.feed.table), loads.is_current()
    )


def _merge(
    connection: psycopg.Connection[Any], fact: Fact, loads: FactLoads, current_load: CurrentLoad
) -> dict[str, int]:
    schemas = current_load.build.schemas
    inferred = references.infer_unknown(connection, fact, loads, schemas)
    if fact is FACT_CLAIM:
        counts = claims.merge(connection, loads, current_load)
    else:
        counts = enrollments.merge(connection, loads, current_load.build)
    return {"inferred": inferred, **counts}
