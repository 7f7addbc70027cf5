"""What claims consist of: their lines and their diagnoses, each claim's set as the feed has it.

A claim's set is that of the latest batch that names the claim, whenever that batch came. A claim
without a set has one row made of the claim itself; a set without its claim waits. Only the claims
that a load's claims or sets name are looked at, and only what differs is changed. There are three
paths, and all make their rows by one statement:

- the first load fills the table from all claims and sets at once;
- a load whose batch is the latest of the feed brings the sets of the claims that it names; the
  others of its claims keep theirs;
- for a late one, the sets of the claims that it names are found again in all batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from etl.db.statements import assign, differ, names, run, scalar, statement
from etl.render import code_sets, staged_rows
from etl.schema import layout
from etl.stages import tables
from etl.stages.facts import fact_loads, look_up, partitions
from etl.stages.facts.fact_loads import Corrected, CurrentLoad, FactLoads
from etl.stages.facts.partitions import Partitioned
from etl.warehouse.details import IS_FROM_CLAIM, Detail

_FILE = "facts/9_details"


@dataclass(frozen=True, slots=True)
class Changes:
    """What a load changed.

    ``claims``: a query for the claims that it may have changed, if it brought any. ``has_sets``:
    whether it brought sets. ``corrected``: which of its rows were corrected later, where not all
    are new.
    """

    claims: sql.Composed | None
    has_sets: bool
    corrected: Corrected | None = None


_ALL = Changes(None, has_sets=True)


def merge(
    connection: psycopg.Connection[Any],
    detail: Detail,
    current_load: CurrentLoad,
    changes: Changes,
) -> dict[str, int]:
    """Bring what claims consist of up to what a load changed; counts by kind."""
    work = _Work(connection, detail, current_load, changes)
    if work.is_first():
        return work.fill()
    work.touch(is_all=not work.has_rows())
    return work.replace()


def is_first(
    connection: psycopg.Connection[Any], detail: Detail, current_load: CurrentLoad
) -> bool:
    """Whether a load fills the table from all claims and sets, so that ``fill`` does."""
    return _Work(connection, detail, current_load, _ALL).is_first()


def fill(
    connection: psycopg.Connection[Any], detail: Detail, current_load: CurrentLoad
) -> dict[str, int]:
    """Make all rows of what claims consist of where there is none; counts by kind."""
    return _Work(connection, detail, current_load, _ALL).fill()


class _Work:
    """One table of what claims consist of, and the statements that bring it up to a load."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        detail: Detail,
        current_load: CurrentLoad,
        changes: Changes,
    ) -> None:
        self.connection = connection
        self.feed = detail.feed
        self.old_rows = current_load.old_rows
        self.spread = f"{detail.table}_sets"
        self.changes = changes
        # All that can have brought sets, the current load among them if it does.
        build_loads = fact_loads.of_feed(connection, detail.feed, current_load)
        self.loads = FactLoads(current_load.load_id, build_loads, changes.corrected)
        self.is_late = _is_late(self.loads, changes)
        self.parts = parts_of(detail, self.loads)
        self.values = {
            **self.loads.values,
            "feed": detail.feed.name,
            "is_late": self.is_late,
        }
        self.partitioned = Partitioned(
            detail.table,
            (*detail.key, detail.of.date),
            (*detail.key, "date_key", detail.of.date, *(ref.sk for ref in detail.references)),
            current_load,
            is_filled_on_workers=layout.found(connection, current_load.build.schemas).has_history,
        )

    def run(self, name: str, **parts: sql.Composable) -> int:
        """How many rows a statement finds or changes."""
        parts = {**self.parts, **parts}
        return run(self.connection, f"{_FILE}.{name}", self.values, **parts).rowcount

    def has_rows(self) -> bool:
        """Whether there is any row."""
        return bool(scalar(self.connection, f"{_FILE}.has_rows", **self.parts))

    def is_first(self) -> bool:
        """Whether there is no row yet, and no load but one brought sets."""
        return len(self.loads.build_loads) < 2 and not self.has_rows()

    def fill(self) -> dict[str, int]:
        """Make all rows, of all claims and of the sets that one load brought, if one did."""
        spread = self.spread_sets() if self.partitioned.is_filled_on_workers else {}
        inserted = self.insert("all", "insert_all", **spread)
        if spread:
            tables.drop(self.connection, self.spread)
        return {"inserted": inserted, "updated": 0, "deleted": 0}

    def touch(self, *, is_all: bool) -> None:
        """Find the claims whose rows are made again, and which load brought the set of each."""
        self.run("create_touched")
        finds_sets = self.is_late or is_all
        touched = 0
        if is_all:
            touched = self.run("touch_all")
        elif self.changes.has_sets:
            touched = self.run("touch_named")
            if self.loads.is_snapshot:
                touched += self.run("touch_absent")
        if self.changes.claims:
            touched += self.run("touch_changed", changed_claims=self.changes.claims)
        self.parts["of_touched"] = among_touched(touched)
        tables.analyze(self.connection, "touched_claim")
        self.run("find_before")
        tables.analyze(self.connection, "detail_before")
        if self.changes.claims and self.run("touch_left_alone"):
            finds_sets = True
        if finds_sets:
            if is_all and self.old_rows is not None:
                build_loads = self.values["build_loads"]
                self.old_rows.bring_back_loads(self.connection, [self.feed.name], build_loads)
            if not is_all:
                claims = statement(f"{_FILE}.claims_without_set")
                self.values["holding"] = fact_loads.holding(
                    self.connection, self.feed, self.values, claims, self.old_rows
                )
            self.run("find_sets")

    def replace(self) -> dict[str, int]:
        """Make the rows of the touched claims again and change what differs."""
        self.values["holding"] = scalar(self.connection, f"{_FILE}.loads_of_sets")
        self.run("make_rows", **sources_of(self.parts, "touched"))
        tables.analyze(self.connection, "detail_row")
        deleted = self.run("delete_gone")
        # Makes the months that rows change to as well.
        inserted = self.insert("new", "insert_new")
        updated = self.run("update_changed")
        tables.drop(self.connection, "touched_claim", "detail_before", "detail_row")
        return {"inserted": inserted, "updated": updated, "deleted": deleted}

    def spread_sets(self) -> dict[str, sql.Composable]:
        """Bring the sets to the workers that have their claims, which make the rows of both."""
        parts = sources_of(self.parts, "all") | {"spread": sql.Identifier(self.spread)}
        self.run("create_spread", **parts)
        layout.spread(self.connection, self.spread, self.partitioned.table)
        self.run("spread_sets", **parts)
        return {"sets": statement(f"{_FILE}.spread", **parts)}

    def insert(self, which: str, insert: str, **sources: sql.Composable) -> int:
        """Insert ``all`` rows or the ``new`` ones; how many."""
        parts = {**self.parts, **sources_of(self.parts, "all"), **sources}
        days = statement(f"{_FILE}.days_of_{which}", **parts)
        rows, _ = partitions.insert(
            self.connection, self.partitioned, f"{_FILE}.{insert}", self.values, parts, days
        )
        return rows


def among_touched(number: int) -> sql.Composed:
    """What a column of claims has to be to be a touched one, of which there are so many."""
    return look_up.among(statement(f"{_FILE}.touched"), number)


def _is_late(loads: FactLoads, changes: Changes) -> bool:
    """Whether later batches may have brought sets of the claims whose sets a load brings."""
    is_latest = loads.build_loads[-1:] and loads.build_loads[-1][0] == loads.load_id
    return changes.has_sets and (loads.corrected is not None or not is_latest)


def sources_of(parts: Mapping[str, sql.Composable], which: str) -> dict[str, sql.Composable]:
    """What rows are made of: ``all`` claims and sets, or those that are ``touched``."""
    return {name: statement(f"{_FILE}.{which}_{name}", **parts) for name in ("claims", "sets")}


def parts_of(detail: Detail, loads: FactLoads) -> dict[str, sql.Composable]:
    """Identifiers and fragments of the statements."""
    number = sql.Identifier(detail.number)
    sks = [reference.sk for reference in detail.references]
    columns = [
        *("date_key", detail.of.date),
        *sks,
        *detail.carried,
        *filter(None, [detail.first]),
        IS_FROM_CLAIM,
        detail.codes.sk,
    ]
    return {
        "detail": sql.Identifier(detail.table),
        "staging": sql.Identifier(detail.feed.table),
        "number": number,
        "is_current": loads.is_current(),
        "day": sql.Identifier("r", detail.of.date),
        "staged_values": _named(
            {name: staged_rows.stored(detail.feed, c) for name, c in detail.carried.items()}
        ),
        "kept_values": names(detail.carried, "b"),
        "sk_values": _named(
            {sk: sql.SQL("coalesce({}, -1)").format(sql.Identifier("f", sk)) for sk in sks}
        ),
        "values": _named(_values(detail)),
        "references": code_sets.join(detail.codes, _value(detail, detail.codes.code)),
        "code_key": _named({detail.codes.sk: code_sets.key(detail.codes)}),
        "columns": names(columns),
        "columns_of_row": names(columns, "r"),
        "assign_columns": assign(columns, "r"),
        "columns_differ": differ(columns, "b", "r"),
    }


def _values(detail: Detail) -> dict[str, sql.Composable]:
    """What a row has of its claim's set, or of the claim."""
    values: dict[str, sql.Composable] = {c: _value(detail, c) for c in detail.carried}
    if detail.first:
        values[detail.first] = statement(f"{_FILE}.first", number=sql.Identifier(detail.number))
    return values


def _value(detail: Detail, column: str) -> sql.Composed:
    """A column of a row of a claim's set, or of the claim itself where that has the column."""
    of_set = sql.Identifier("s", column)
    if column not in detail.of.carried:
        return sql.Composed([of_set])
    return statement(f"{_FILE}.value", of_set=of_set, of_claim=sql.Identifier("f", column))


def _named(values: Mapping[str, sql.Composable]) -> sql.Composed:
    """Values, each under its name."""
    return sql.SQL(", ").join(
        sql.SQL("{} as {}").format(value, sql.Identifier(name)) for name, value in values.items()
    )
