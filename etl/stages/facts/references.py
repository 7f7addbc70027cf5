"""Columns of facts: surrogate keys of dimension versions, and what a row of staging has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import assign, equal, names, run, statement
from etl.render import staged_rows
from etl.stages import tables
from etl.stages.dims import publishing, versions
from etl.stages.facts.fact_loads import FactLoads
from etl.warehouse.tables import FACT_CLAIM, Fact, Reference, Schemas


def infer_unknown(
    connection: psycopg.Connection[Any], fact: Fact, loads: FactLoads, schemas: Schemas
) -> int:
    """Give every key that no dimension has an inferred version; how many."""
    return sum(_infer(connection, fact, named, loads, schemas) for named in fact.references)


def _infer(
    connection: psycopg.Connection[Any],
    fact: Fact,
    reference: Reference,
    loads: FactLoads,
    schemas: Schemas,
) -> int:
    dimension = reference.dimension
    keys = [key for key, _ in reference.key]
    unknown = run(
        connection,
        "facts/1_references.find_unknown_keys",
        loads.values,
        dim=sql.Identifier(dimension.table),
        staging=sql.Identifier(fact.feed.table),
        date=sql.Identifier(fact.date),
        is_current=loads.is_current(),
        key_values=sql.SQL(", ").join(
            sql.SQL("{} as {}").format(value, sql.Identifier(key))
            for key, value in _key_values(reference).items()
        ),
        all_present=sql.SQL(" and ").join(
            sql.SQL("{} is not null").format(sql.Identifier("named", key)) for key in keys
        ),
        same_key=equal(keys, "d", "named"),
    ).rowcount
    if unknown:
        with publishing.at_versions(connection, schemas) as placed:
            versions.infer(connection, dimension, loads.values["current_load_id"])
            if tables.are_stale(connection, dimension.table):
                versions.analyze(connection, dimension)
            publishing.publish(connection, placed, dimension.table, dimension.sk)
    tables.drop(connection, "unknown_key")
    return unknown


def parts(fact: Fact) -> dict[str, sql.Composable]:
    """What a fact's row consists of: the keys of versions, the joins that find them, values."""
    sks = [reference.sk for reference in fact.references]
    keys = [_sk_value(reference) for reference in fact.references]
    return {
        "references": sql.SQL("\n").join(_join(fact, r) for r in fact.references),
        "sks": names(sks),
        "sk_values": sql.SQL(", ").join(keys),
        "sk_values_named": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(key, sql.Identifier(sk))
            for key, sk in zip(keys, sks, strict=True)
        ),
        "assign_sks": assign(sks, "v"),
        "carried": names(fact.carried),
        "carried_values": values(fact, fact.carried),
        "assign_carried": assign(fact.carried, "v"),
    }


def values(fact: Fact, columns: Iterable[str]) -> sql.Composed:
    """Columns of a staging row as the fact has them, each under its name."""
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(value(fact, name), sql.Identifier(name)) for name in columns
    )


def value(fact: Fact, column: str) -> sql.Composed:
    """A column of a staging row as the fact has it.

    It has the type that the warehouse stores: finer digits of a ratio make no other state. Of a
    claim that is reversed under its own id no amount is left.
    """
    stored = staged_rows.stored(fact.feed, column)
    if fact is not FACT_CLAIM or column not in fact.feed.money:
        return stored
    return statement(
        "facts/2_claim_reversals.netted", amount=sql.Identifier("s", column), stored=stored
    )


def _join(fact: Fact, reference: Reference) -> sql.Composed:
    values = _key_values(reference)
    in_force, before = _aliases(reference)

    def same_key(alias: str) -> sql.Composed:
        return sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier(alias, key), value)
            for key, value in values.items()
        )

    return statement(
        "facts/1_references.join_in_force",
        dim=sql.Identifier(reference.dimension.table),
        sk=sql.Identifier(reference.sk),
        in_force=sql.Identifier(in_force),
        last_before=sql.Identifier(before),
        date=sql.Identifier("s", fact.date),
        same_key=same_key(in_force),
        same_key_before=same_key("before"),
    )


def _sk_value(reference: Reference) -> sql.Composed:
    """The key of the version in force, of the last before it, or of the unknown row."""
    in_force, before = _aliases(reference)
    return sql.SQL("coalesce({}, {}, -1)").format(
        sql.Identifier(in_force, reference.sk), sql.Identifier(before, reference.sk)
    )


def _aliases(reference: Reference) -> tuple[str, str]:
    name = reference.dimension.name
    return f"{name}_in_force", f"{name}_before"


def _key_values(reference: Reference) -> dict[str, sql.Composable]:
    """For each natural-key column, its value in a staging row of the fact."""
    return {
        key: sql.SQL("day.plan_year")
        if column is None
        else sql.SQL("nullif(s.{}, '')").format(sql.Identifier(column))
        for key, column in reference.key
    }
