"""Claims: one row per claim in its latest state, and its earlier states next to it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import differ, names, run, scalar, statement
from etl.render import claim_status, staged_rows
from etl.stages import tables
from etl.stages.facts import fact_loads, look_up, partitions, references
from etl.stages.facts.fact_loads import CurrentLoad, FactLoads
from etl.stages.facts.partitions import Partitioned
from etl.warehouse.tables import FACT_CLAIM

Parts = dict[str, sql.Composable]


def merge(
    connection: psycopg.Connection[Any], loads: FactLoads, current_load: CurrentLoad
) -> dict[str, int]:
    """Bring the claims up to the current rows; counts by kind.

    Leaves the table ``withdrawn_claim`` for what claims consist of.
    """
    parts = parts_of(loads)
    has_rows = scalar(connection, "facts/3_claims_of_latest_load.has_rows")
    run(connection, "facts/3_claims_of_latest_load.create_withdrawn")
    run(connection, "facts/2_claim_reversals.create_self_reversal")
    finds_all = loads.is_late and loads.is_snapshot
    if finds_all:
        run(connection, "facts/4_claims_of_late_load.find_affected", loads.values, **parts)
        tables.analyze(connection, "affected_claim")
        parts["affected_claims"] = statement("facts/4_claims_of_late_load.affected")
    if loads.is_late:
        loads = _holding(connection, loads, parts, current_load)
        existing = _find_states_of_late(connection, loads, parts)
    elif has_rows:
        existing = _find_states_of_latest(connection, loads, parts)
    else:
        existing = _find_states_of_first(connection, loads, parts)
    parts["of_existing"] = among_existing(existing)
    tables.analyze(connection, "existing_claim")
    withdrawn = run(connection, "facts/6_claim_rows.withdraw", **parts).rowcount
    inserted, months = partitions.insert(
        connection,
        _partitioned(current_load),
        "facts/6_claim_rows.insert_new",
        loads.values,
        parts,
        statement("facts/6_claim_rows.days", is_current=loads.is_current()),
    )
    updated = 0
    if has_rows:
        updated = run(
            connection, "facts/6_claim_rows.update_existing", loads.values, **parts
        ).rowcount
    if loads.is_late:
        run(connection, "facts/4_claims_of_late_load.delete_unconfirmed_states", **parts)
        run(connection, "facts/4_claims_of_late_load.insert_missing_states", **parts)
        tables.drop(connection, "claim_state")
    gone = ["affected_claim"] if finds_all else []
    tables.drop(connection, "existing_claim", "self_reversal", *gone)
    return {
        "inserted": inserted,
        "updated": updated,
        "taken_back": withdrawn,
        "partitions": months,
    }


def changed(loads: FactLoads) -> sql.Composed:
    """A query for the claims that may have changed since the claims were brought up to a load."""
    if not loads.is_late:
        return statement("facts/3_claims_of_latest_load.changed")
    return _affected(loads)


def _partitioned(current_load: CurrentLoad) -> Partitioned:
    filtered = ("claim_id", "date_key", "service_date", "member_sk", "provider_sk", "plan_sk")
    return Partitioned(
        FACT_CLAIM.table,
        (FACT_CLAIM.key, FACT_CLAIM.date),
        (*filtered, "status"),
        current_load,
        has_status=True,
    )


def _holding(
    connection: psycopg.Connection[Any], loads: FactLoads, parts: Parts, current_load: CurrentLoad
) -> FactLoads:
    """The same loads, with those that brought any of the affected claims."""
    feed, old_rows = FACT_CLAIM.feed, current_load.old_rows
    if loads.is_snapshot:  # affects all claims
        if old_rows is not None:
            old_rows.bring_back_loads(connection, [feed.name], loads.values["build_loads"])
        return loads
    found = fact_loads.holding(connection, feed, loads.values, parts["affected_claims"], old_rows)
    return replace(loads, holding=found)


def _find_states_of_late(
    connection: psycopg.Connection[Any], loads: FactLoads, parts: Parts
) -> int:
    """Work out the states of the affected claims again from the rows of all loads.

    Returns how many of them the fact has.
    """
    file, values = "facts/4_claims_of_late_load", loads.values
    run(connection, "facts/2_claim_reversals.find_of_late", values, **parts)
    run(connection, f"{file}.find_states", values, **parts)
    tables.analyze(connection, "claim_state")
    existing = run(connection, f"{file}.find_existing").rowcount
    run(connection, f"{file}.find_withdrawn", values, **parts)
    return existing


def _find_states_of_latest(
    connection: psycopg.Connection[Any], loads: FactLoads, parts: Parts
) -> int:
    """Find which claims of the load the fact has, and which ones it ends or reverses.

    Returns how many of them the fact has.
    """
    file, values = "facts/3_claims_of_latest_load", loads.values
    existing = run(connection, f"{file}.find_existing", values).rowcount
    if loads.is_snapshot:
        run(connection, f"{file}.find_absent", values, **parts)
    signs = run(connection, f"{file}.signs", values, **parts).fetchone()
    has_markers, has_reversals = signs or (False, False)
    if has_markers:
        run(connection, f"{file}.find_marked", values)
    if has_reversals:
        run(connection, "facts/2_claim_reversals.find_of_latest", values, **parts)
    return existing


def _find_states_of_first(
    connection: psycopg.Connection[Any], loads: FactLoads, parts: Parts
) -> int:
    """The same while the fact is empty: only the load's own file can have reversed a claim."""
    run(connection, "facts/3_claims_of_latest_load.no_existing")
    if scalar(connection, "facts/2_claim_reversals.has_reversed_in_file", loads.values):
        run(connection, "facts/2_claim_reversals.find_of_latest", loads.values, **parts)
    return 0


def among_existing(number: int) -> sql.Composed:
    """What a column of claims has to be to be one that the fact has, of which there are so many."""
    return look_up.among(statement("facts/6_claim_rows.existing"), number)


def parts_of(loads: FactLoads) -> Parts:
    """Identifiers and fragments of the claims' statements."""
    fact = FACT_CLAIM
    keys = dict.fromkeys(c for ref in fact.references for _, c in ref.key if c is not None)
    return {
        **references.parts(fact),
        **claim_status.reversals("s", "f", "r"),
        "day": sql.Identifier("s", fact.date),
        "is_current": loads.is_current(),
        "r_is_current": loads.is_current("r"),
        "build_load": statement("facts/loads.build_load"),
        "affected_claims": _affected(loads),
        "is_named_f": staged_rows.is_named(fact.feed, "f"),
        "is_named_t_by_p": staged_rows.is_named(fact.feed, "t", "p"),
        "is_changed": _is_changed(loads),
        "is_latest_state": statement("facts/4_claims_of_late_load.is_latest_state")
        if loads.is_late
        else loads.is_current(),
        "state_load_id": sql.Identifier("k", "load_id")
        if loads.is_late
        else sql.Placeholder("load_id"),
        "natural_keys": sql.SQL(", ").join(
            sql.SQL("nullif(s.{}, '')").format(sql.Identifier(key)) for key in keys
        ),
        "carried_of_row": sql.SQL(", ").join(references.value(fact, c) for c in fact.carried),
        "states": names(fact.states),
        "f_states": names(fact.states, "f"),
        "old_states": names(fact.states, "old"),
        "state_values": references.values(fact, fact.states),
        "states_differ": differ((fact.date, *fact.states), "h", "c"),
    }


def _affected(loads: FactLoads) -> sql.Composed:
    """A query for the claims whose states are worked out again."""
    kind = "snapshot" if loads.is_snapshot else "load"
    return statement(
        f"facts/4_claims_of_late_load.claims_of_{kind}", r_is_current=loads.is_current("r")
    )


def _is_changed(loads: FactLoads) -> sql.Composed:
    """Whether the fact has an existing claim in another state than its latest one."""
    compared = (
        FACT_CLAIM.date,
        *(reference.sk for reference in FACT_CLAIM.references),
        *FACT_CLAIM.carried,
    )
    conditions: list[sql.Composable] = []
    if loads.is_late:
        # Versions of one key keep their facts, so a changed key comes with another load.
        conditions.append(sql.SQL("f.load_id <> v.load_id"))
    if loads.corrected or not loads.is_late:
        # A corrected row may also replace another one of its own load.
        conditions.append(differ(compared, "f", "v"))
    if loads.is_late:
        # A late batch can bring the amounts that a later one reverses.
        conditions.append(differ(FACT_CLAIM.feed.money, "f", "v"))
    return sql.SQL(" or ").join(conditions)
