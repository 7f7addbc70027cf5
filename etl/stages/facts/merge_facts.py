"""Facts: from staging to the fact tables, each row keyed to the versions of its own date.

A key that no dimension holds gets an inferred row; a missing key points at -1. A fact is in the
state that the latest batch told, whenever that batch came. Two paths lead there:

- a load whose batch is the latest of its feed can only bring the latest state: what it names
  takes the place of what is held;
- for a late one, staging is asked what all batches told of the facts that it names, in the order
  of the batches, and only what differs is changed.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import assign, differ, equal, names, run, scalar, statement
from etl.render import hashing
from etl.render.values import end as end_of
from etl.stages import bulk, statistics
from etl.stages.dims.versions import analyze, last_sk
from etl.warehouse.tables import FACT_CLAIM, FACT_ENROLLMENT, Fact, Reference

_ENROLLMENT_OWN = (
    "enrollment_start_date_key",
    "enrollment_end_date_key",
    "start_date",
    "end_date",
    "coverage_days",
)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A load in hand: the build that it goes into, and the schema of that build's facts."""

    load_id: int
    schema: str
    statuses: tuple[str, ...]
    is_rebuild: bool


@dataclass(frozen=True, slots=True)
class Corrected:
    """Rows that were corrected in staging: where they are, and the load that corrected them.

    ``displaces``: whether one of them took the place of a row that had been loaded.
    """

    lines: list[int]
    made_by: int
    displaces: bool


@dataclass(frozen=True, slots=True)
class _Order:
    """Where a load's batch stands among those of its feed.

    ``loads``: those that can have told the facts that the load names, in the order of their
    batches, each with whether it is a snapshot; the load alone where its batch is the latest, for
    then it has the last word.
    """

    load_id: int
    loads: list[tuple[int, bool]]
    corrected: Corrected | None = None

    @property
    def is_late(self) -> bool:
        return len(self.loads) > 1 or self.corrected is not None

    @property
    def values(self) -> dict[str, Any]:
        of_rows = {
            "lines": self.corrected.lines if self.corrected else None,
            "made_by": self.corrected.made_by if self.corrected else self.load_id,
        }
        loads, snapshots = map(list, zip(*self.loads, strict=True))
        return {
            "load_id": self.load_id,
            "loads": loads,
            "snapshots": snapshots,
            "is_snapshot": self.is_snapshot,
            **of_rows,
        }

    @property
    def is_snapshot(self) -> bool:
        """Whether what the load lacks is gone."""
        return self.corrected is None and (self.load_id, True) in self.loads

    def in_hand(self, alias: str = "s") -> sql.Composable:
        """Which rows of staging the facts are brought up to."""
        of_load = sql.SQL("{}.load_id = %(load_id)s").format(sql.Identifier(alias))
        if self.corrected is None:
            return of_load
        of_lines = sql.SQL("{}.source_line = any(%(lines)s)").format(sql.Identifier(alias))
        return sql.SQL("{} and {}").format(of_load, of_lines)


def correct_fact(
    connection: psycopg.Connection[Any], fact: Fact, arrived: Arrived, corrected: Corrected
) -> dict[str, int]:
    """Bring one fact up to rows of a load that were corrected in staging; counts by kind.

    What was not held before is marked as not known before the load that corrected it.
    """
    order = _Order(arrived.load_id, _loads(connection, fact, arrived), corrected)
    key = sql.Identifier(fact.key)
    # Where a row went, whatever stood behind it may come back.
    among = (
        sql.SQL("true")
        if corrected.displaces
        else sql.SQL("f.{0} in (select s.{0} from {1} as s where {2})").format(
            key, sql.Identifier(fact.feed.table), order.in_hand()
        )
    )
    table = sql.Identifier(fact.table)
    run(connection, "facts/order.hold", order.values, key=key, fact=table, among=among)
    counts = _run(connection, fact, order, arrived.schema, arrived.is_rebuild)
    columns = scalar(connection, "facts/order.columns", {"fact": fact.table})
    run(
        connection,
        "facts/order.mark_unknown_before",
        order.values,
        key=key,
        fact=table,
        past=sql.Identifier(fact.past),
        columns=names(columns),
        columns_of_fact=names(columns, "f"),
        among=among,
    )
    run(connection, "facts/order.drop_held")
    return counts


def run_fact(connection: psycopg.Connection[Any], fact: Fact, arrived: Arrived) -> dict[str, int]:
    """Load one fact's rows of the load; counts by kind."""
    loads = _loads(connection, fact, arrived)
    order = _Order(arrived.load_id, loads[-1:] if loads[-1][0] == arrived.load_id else loads)
    return _run(connection, fact, order, arrived.schema, arrived.is_rebuild)


def _run(
    connection: psycopg.Connection[Any],
    fact: Fact,
    order: _Order,
    schema: str,
    is_rebuild: bool,
) -> dict[str, int]:
    inferred = sum(_infer(connection, fact, ref, order) for ref in fact.references)
    if fact is FACT_CLAIM:
        counts = _run_claims(connection, order, schema)
    else:
        counts = _run_enrollments(connection, order, is_rebuild)
    return {"inferred": inferred, **counts}


def _loads(
    connection: psycopg.Connection[Any], fact: Fact, arrived: Arrived
) -> list[tuple[int, bool]]:
    """The loads that can have told facts of this kind, in the order of their batches."""
    return run(
        connection,
        "facts/order.loads",
        {
            "feed": fact.feed.name,
            "load_id": arrived.load_id,
            "statuses": list(arrived.statuses),
            "is_rebuild": arrived.is_rebuild,
        },
    ).fetchall()


def _infer(connection: psycopg.Connection[Any], fact: Fact, ref: Reference, order: _Order) -> int:
    dimension = ref.dimension
    named = [k for k, _ in ref.key]
    dim = sql.Identifier(dimension.table)
    unknown = run(
        connection,
        "facts/reference.find_unknown",
        order.values,
        dim=dim,
        staging=sql.Identifier(fact.feed.table),
        date=sql.Identifier(fact.date),
        in_hand=order.in_hand(),
        key_values=sql.SQL(", ").join(
            sql.SQL("{} as {}").format(value, sql.Identifier(k))
            for k, value in _key_values(ref).items()
        ),
        all_present=sql.SQL(" and ").join(
            sql.SQL("{} is not null").format(sql.Identifier("named", k)) for k in named
        ),
        same_key=equal(named, "d", "named"),
    ).rowcount
    if unknown:
        run(
            connection,
            "facts/reference.infer",
            {
                **order.values,
                "last_sk": last_sk(connection, dimension),
                "hash_version": dimension.hash_version,
            },
            hash_of_nothing=hashing.of_nothing(dimension),
            dim=dim,
            sk=sql.Identifier(dimension.sk),
            keys=names(named),
        )
        if statistics.are_stale(connection, dimension.table):
            analyze(connection, dimension)
    run(connection, "facts/reference.drop_unknown")
    return unknown


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
        # As the warehouse stores them: finer digits of a ratio are no change of state.
        "carried_values": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(_held(fact, c), sql.Identifier(c)) for c in fact.carried
        ),
        "assign_sks": assign(sks, "v"),
        "assign_carried": assign(fact.carried, "v"),
    }


def _state_parts(fact: Fact, order: _Order) -> dict[str, sql.Composable]:
    """What tells the states of a fact apart, and those columns of them that are kept."""
    columns = (fact.date, *(ref.sk for ref in fact.references), *fact.carried)
    named = dict.fromkeys(c for ref in fact.references for _, c in ref.key if c is not None)
    return {
        # Versions of one key keep their facts, so a changed key is one that was told anew.
        "is_changed": sql.SQL(" or ").join(
            [
                *([sql.SQL("f.load_id <> v.load_id")] if order.is_late else []),
                # A corrected row may also take the place of another one of its own load.
                *([differ(columns, "f", "v")] if order.corrected or not order.is_late else []),
                # A late batch can bring what a reversal of a later one takes back.
                *([differ(fact.feed.money, "f", "v")] if order.is_late else []),
            ]
        ),
        "in_hand": order.in_hand(),
        "r_in_hand": order.in_hand("r"),
        "fresh": statement("facts/claim.fresh") if order.is_late else order.in_hand(),
        "told_by": sql.Identifier("k", "load_id") if order.is_late else sql.Placeholder("load_id"),
        "natural_keys": sql.SQL(", ").join(
            sql.SQL("nullif(s.{}, '')").format(sql.Identifier(c)) for c in named
        ),
        "carried_of_row": sql.SQL(", ").join(_held(fact, c) for c in fact.carried),
        "states": names(fact.states),
        "f_states": names(fact.states, "f"),
        "state_values": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(_held(fact, c), sql.Identifier(c)) for c in fact.states
        ),
        "old_states": names(fact.states, "old"),
        "states_differ": differ((fact.date, *fact.states), "h", "c"),
    }


def _stored(fact: Fact, column: str) -> sql.Composed:
    """A staging column in the type that the warehouse stores."""
    stored = fact.feed.column(column).type.stored
    return sql.SQL("s.{}::{}").format(sql.Identifier(column), sql.SQL(stored))


def _held(fact: Fact, column: str) -> sql.Composed:
    """The same as the fact holds it: nothing of a claim that is reversed under its own id."""
    stored = _stored(fact, column)
    if fact is not FACT_CLAIM or column not in fact.feed.money:
        return stored
    return statement("facts/claim.netted", amount=sql.Identifier("s", column), stored=stored)


def _reversals(*rows: str) -> dict[str, sql.Composable]:
    """Whether a row is a reversal, for each of these relations."""
    is_reversal, in_file = "facts/claim.is_reversal", "facts/claim.is_reversed_in_file"
    found = {f"{row}_is_reversal": statement(is_reversal, row=sql.Identifier(row)) for row in rows}
    return {**found, "s_in_file": statement(in_file, row=sql.Identifier("s"))}


def _run_claims(connection: psycopg.Connection[Any], order: _Order, schema: str) -> dict[str, int]:
    values = order.values
    parts = {
        **_reference_parts(FACT_CLAIM),
        **_state_parts(FACT_CLAIM, order),
        **_reversals("s", "f"),
    }
    has_rows = scalar(connection, "facts/claim.has_rows")
    run(connection, "facts/claim.create_gone")
    run(connection, "facts/claim.create_reversing")
    if order.is_late:
        hand = "snapshot" if order.is_snapshot else "load"
        parts["hand"] = statement(f"facts/claim.hand_of_{hand}", **parts)
        run(connection, "facts/claim.find_reversing_late", values, **parts)
        run(connection, "facts/claim.find_chain", values, **parts)
        run(connection, "facts/claim.index_chain")
        run(connection, "facts/claim.find_known_late")
        run(connection, "facts/claim.find_gone_late", values, **parts)
    elif has_rows:
        run(connection, "facts/claim.find_known", values)
        if order.is_snapshot:
            run(connection, "facts/claim.find_absent", values)
        signs = run(connection, "facts/claim.signs", values, **parts).fetchone()
        has_markers, has_reversals = signs or (False, False)
        if has_markers:
            run(connection, "facts/claim.find_marked", values)
        if has_reversals:
            run(connection, "facts/claim.find_reversing", values, **parts)
    else:
        run(connection, "facts/claim.no_known")
        if scalar(connection, "facts/claim.has_reversed_in_file", values):
            run(connection, "facts/claim.find_reversing", values, **parts)
    run(connection, "facts/claim.index_known")
    taken_back = run(connection, "facts/claim.take_back", **parts).rowcount
    found = run(connection, "facts/claim.months", {**values, "schema": schema}, **parts).fetchall()
    months = [month for month, is_new in found if is_new]
    inserted = 0
    if months:
        inserted += _fill_new_months(connection, values, parts, months)
    if len(months) < len(found):
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
    if order.is_late:
        run(connection, "facts/claim.drop_unfounded_states", **parts)
        run(connection, "facts/claim.insert_missing_states", **parts)
        run(connection, "facts/claim.drop_chain")
    for name in ("known", "gone", "reversing"):
        run(connection, f"facts/claim.drop_{name}")
    return {
        "inserted": inserted,
        "updated": updated,
        "taken_back": taken_back,
        "partitions": len(months),
    }


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
    for name in ("detach", "add_key", "add_bounds", "attach", "drop_bounds", "analyze"):
        each(name)
    run(connection, "facts/claim.drop_loading")
    return inserted


def _partition(month: date) -> str:
    return f"fact_claim_{month:%Y_%m}"


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _run_enrollments(
    connection: psycopg.Connection[Any], order: _Order, is_rebuild: bool
) -> dict[str, int]:
    values, table = order.values, FACT_ENROLLMENT.table
    parts = _reference_parts(FACT_ENROLLMENT)
    columns = (
        *(ref.sk for ref in FACT_ENROLLMENT.references),
        *_ENROLLMENT_OWN,
        *FACT_ENROLLMENT.carried,
    )
    fills = is_rebuild and not scalar(connection, "facts/enrollment.has_rows")
    standing = run(connection, "facts/enrollment.find_latest", values).rowcount
    displaced = scalar(connection, "facts/enrollment.leave_displaced", values)
    in_bulk = fills and standing >= bulk.ROWS
    run(connection, "facts/enrollment.index_standing")
    taken_back = run(connection, "facts/enrollment.delete_superseded", values).rowcount
    displaces = order.corrected is not None and order.corrected.displaces
    in_hand = sql.SQL("true") if displaces else order.in_hand()
    last_day = end_of(
        FACT_ENROLLMENT.feed.column("end_date"),
        "s",
        sql.SQL("make_date(day.plan_year, 12, 31)"),
    )
    run(
        connection,
        "facts/enrollment.key_rows",
        values,
        in_hand=in_hand,
        last_day=last_day,
        **parts,
    )
    run(connection, "facts/enrollment.index_keyed")
    displaced += run(connection, "facts/enrollment.replace_same_grain").rowcount
    updated = run(
        connection,
        "facts/enrollment.update_known",
        assign_columns=assign(columns, "k"),
        columns_differ=differ(columns, "f", "k"),
    ).rowcount
    with bulk.without_indexes(connection, table) if in_bulk else nullcontext():
        inserted = run(
            connection,
            "facts/enrollment.insert_new",
            columns=names(columns),
            keyed_columns=names(columns, "k"),
        ).rowcount
    if fills:
        run(connection, "facts/enrollment.analyze")
    for name in ("keyed", "standing"):
        run(connection, f"facts/enrollment.drop_{name}")
    return {
        "inserted": inserted,
        "updated": updated,
        "displaced": displaced,
        "taken_back": taken_back,
    }
