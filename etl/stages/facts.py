"""Facts: from staging to the fact tables, each row keyed to the versions of its own date.

A key that no dimension holds gets an inferred row; a missing key points at -1. A later state of
a fact updates its one row; an earlier one that arrives late changes nothing.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import assign, differ, names, run, scalar, statement
from etl.render import hashing
from etl.stages.dims import analyze, last_sk
from etl.warehouse import FACT_CLAIM, FACT_ENROLLMENT, Fact, Reference

_ENROLLMENT_OWN = (
    "enrollment_start_date_key",
    "enrollment_end_date_key",
    "start_date",
    "end_date",
    "coverage_days",
)


def run_fact(
    connection: psycopg.Connection[Any], fact: Fact, load_id: int, as_of: datetime, schema: str
) -> dict[str, int]:
    """Load one fact's rows of the load; counts by kind. ``schema`` is that of the facts."""
    values = {"load_id": load_id, "as_of": as_of}
    inferred = sum(_infer(connection, fact, ref, values) for ref in fact.references)
    if fact is FACT_CLAIM:
        counts = _run_claims(connection, values, schema)
    else:
        counts = _run_enrollments(connection, values)
    return {"inferred": inferred, **counts}


def _infer(
    connection: psycopg.Connection[Any], fact: Fact, ref: Reference, values: dict[str, Any]
) -> int:
    dimension = ref.dimension
    named = [k for k, _ in ref.key]
    count = run(
        connection,
        "facts/reference.infer",
        {
            **values,
            "last_sk": last_sk(connection, dimension),
            "hash_version": dimension.hash_version,
        },
        hash_of_nothing=hashing.of_nothing(dimension),
        dim=sql.Identifier(dimension.table),
        sk=sql.Identifier(dimension.sk),
        staging=sql.Identifier(fact.source.table),
        date=sql.Identifier(fact.date),
        keys=names(named),
        named_keys=names(named, "named"),
        key_values=sql.SQL(", ").join(
            sql.SQL("{} as {}").format(value, sql.Identifier(k))
            for k, value in _key_values(ref).items()
        ),
        all_present=sql.SQL(" and ").join(
            sql.SQL("{} is not null").format(sql.Identifier("named", k)) for k in named
        ),
        same_key=sql.SQL(" and ").join(
            sql.SQL("d.{0} = named.{0}").format(sql.Identifier(k)) for k in named
        ),
    ).rowcount
    if count:
        analyze(connection, dimension)
    return count


def _key_values(ref: Reference) -> dict[str, sql.Composable]:
    """For each natural-key column, where a staging row of the fact says its value."""
    return {
        key: sql.SQL("day.plan_year")
        if column is None
        else sql.SQL("nullif(s.{}, '')").format(sql.Identifier(column))
        for key, column in ref.key
    }


def _reference_parts(fact: Fact) -> dict[str, sql.Composable]:
    """The joins that find a fact's dimension versions, and the keys that they give."""
    joins, keys = [], []
    for ref in fact.references:
        name = ref.dimension.name
        values = _key_values(ref)

        def same(alias: str, values: dict[str, sql.Composable] = values) -> sql.Composed:
            return sql.SQL(" and ").join(
                sql.SQL("{} = {}").format(sql.Identifier(alias, key), value)
                for key, value in values.items()
            )

        in_force, before = f"{name}_in_force", f"{name}_before"
        joins.append(
            statement(
                "facts/reference.join_in_force",
                dim=sql.Identifier(ref.dimension.table),
                sk=sql.Identifier(ref.sk),
                in_force=sql.Identifier(in_force),
                last_before=sql.Identifier(before),
                date=sql.Identifier("s", fact.date),
                same_key=same(in_force),
                same_key_before=same("before"),
            )
        )
        keys.append(
            sql.SQL("coalesce({}, {}, -1)").format(
                sql.Identifier(in_force, ref.sk), sql.Identifier(before, ref.sk)
            )
        )
    sks = [ref.sk for ref in fact.references]
    return {
        "references": sql.SQL("\n").join(joins),
        "sks": names(sks),
        "sk_values": sql.SQL(", ").join(keys),
        "sk_values_named": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(key, sql.Identifier(sk))
            for key, sk in zip(keys, sks, strict=True)
        ),
        "carried": names(fact.carried),
        "carried_values": names(fact.carried, "s"),
        "assign_sks": assign(sks, "v"),
        "assign_carried": assign(fact.carried, "v"),
        "sks_differ": differ(sks, "f", "v"),
        "carried_differ": differ(fact.carried, "f", "v"),
    }


def _run_claims(
    connection: psycopg.Connection[Any], values: dict[str, Any], schema: str
) -> dict[str, int]:
    parts = _reference_parts(FACT_CLAIM)
    has_rows = scalar(connection, "facts/claim.has_rows")
    run(
        connection,
        f"facts/claim.{'find' if has_rows else 'no'}_known",
        values if has_rows else None,
    )
    run(connection, "facts/claim.index_known")
    months = [m for (m,) in run(connection, "facts/claim.new_months", {**values, "schema": schema})]
    inserted = 0
    if months:
        inserted += _fill_new_months(connection, values, parts, months)
    inserted += run(
        connection,
        "facts/claim.insert_new",
        {**values, "new_months": months, "into_new": False},
        target=sql.Identifier("fact_claim"),
        **parts,
    ).rowcount
    updated = 0
    if has_rows:
        updated = run(connection, "facts/claim.update_known", values, **parts).rowcount
    for (month,) in run(connection, "facts/claim.months_of_load", values).fetchall():
        run(connection, "facts/claim.analyze", partition=sql.Identifier(_partition(month)))
    run(connection, "facts/claim.drop_known")
    return {"inserted": inserted, "updated": updated, "partitions": len(months)}


def _fill_new_months(
    connection: psycopg.Connection[Any],
    values: dict[str, Any],
    parts: dict[str, sql.Composable],
    months: list[date],
) -> int:
    """Fill the partitions of months that have none yet, then attach them; rows inserted.

    Keys, indexes and foreign keys come after the rows, which costs a fraction of keeping them up
    row by row, and no reader waits: attaching locks out neither readers nor writers.
    """
    bounds = [
        {
            "partition": sql.Identifier(_partition(month)),
            "month": sql.Literal(month),
            "next": sql.Literal(_next_month(month)),
        }
        for month in months
    ]

    def each(name: str) -> None:
        for bound in bounds:
            run(connection, f"facts/claim.{name}", **bound)

    run(connection, "facts/claim.create_loading")
    each("create_partition")
    inserted = run(
        connection,
        "facts/claim.insert_new",
        {**values, "new_months": months, "into_new": True},
        target=sql.Identifier("fact_claim_loading"),
        **parts,
    ).rowcount
    for name in ("detach", "add_key", "add_bounds", "attach", "drop_bounds"):
        each(name)
    run(connection, "facts/claim.drop_loading")
    return inserted


def _partition(month: date) -> str:
    return f"fact_claim_{month:%Y_%m}"


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _run_enrollments(connection: psycopg.Connection[Any], values: dict[str, Any]) -> dict[str, int]:
    parts = _reference_parts(FACT_ENROLLMENT)
    columns = (
        *(ref.sk for ref in FACT_ENROLLMENT.references),
        *_ENROLLMENT_OWN,
        *FACT_ENROLLMENT.carried,
    )
    run(connection, "facts/enrollment.key_rows", values, **parts)
    run(connection, "facts/enrollment.index_keyed")
    run(connection, "facts/enrollment.drop_outdated", values)
    run(connection, "facts/enrollment.keep_last")
    replaced = run(connection, "facts/enrollment.replace_same_grain").rowcount
    updated = run(
        connection,
        "facts/enrollment.update_known",
        assign_columns=assign(columns, "k"),
        columns_differ=differ(columns, "f", "k"),
    ).rowcount
    inserted = run(
        connection,
        "facts/enrollment.insert_new",
        columns=names(columns),
        keyed_columns=names(columns, "k"),
    ).rowcount
    if inserted or updated:
        run(connection, "facts/enrollment.analyze")
    run(connection, "facts/enrollment.drop_keyed")
    return {"inserted": inserted, "updated": updated, "replaced": replaced}
