"""Rows from before the horizon: found in staging, and taken out of it and of what was made of it.

A claim's day of service or the last day of an enrollment's coverage decides, and one goes with all
its rows or not at all: what remains is then as it was. A run of retention looks at every load. Of
a later load old rows go once they have been through the facts, so that surrogate keys are the same
whether a row expired at once or later. The ledger has the lines that went: a full load takes out
the same.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.feed import Feed
from etl.db.statements import names, run, statement
from etl.render.values import end
from etl.retention import horizon
from etl.stages import tables
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import FACT_CLAIM, FACTS, Fact

# What rows of feeds are made into. Claims come before what goes with them.
Kept = Fact | Detail
ALL: tuple[Kept, ...] = (*FACTS.values(), *DETAILS)

_FILE = "retention/expire"
# What rows share that go together: those of one claim or enrollment, those of one line. An
# enrollment replaces another one of the same coverage.
_TOGETHER = {
    "claims": ("same_key", "same_line"),
    "enrollments": ("same_key", "same_coverage", "same_line"),
}


@dataclass(frozen=True, slots=True)
class Expired:
    """Rows of a load that have expired; ``totals``: US dollars by money column."""

    load_id: int
    feed: str
    rows: int
    totals: dict[str, Decimal]


@dataclass(frozen=True, slots=True)
class Going:
    """What goes of a feed, in one year or in all.

    ``rows``: of files. ``facts``: those of them that are in the fact. ``size_bytes``: in staging.
    """

    feed: str
    rows: int
    facts: int
    totals: dict[str, str]
    first_day: date | None
    last_day: date | None
    size_bytes: int
    values: list[int]


def find_all(connection: psycopg.Connection[Any], before: date) -> None:
    """Find all rows that go, of every feed in a temporary table of its own."""
    for fact in FACTS.values():
        find(connection, fact, before)
    for detail in DETAILS:
        find_details(connection, detail, before, of_claims=True)


def find_details(
    connection: psycopg.Connection[Any],
    detail: Detail,
    before: date,
    loads: Collection[int] | None = None,
    *,
    of_claims: bool,
) -> int:
    """Find the rows of what claims consist of that go, in a temporary table; how many.

    ``of_claims``: those of claims that were found. ``loads``: rows that wait for a claim, of these;
    without them of all.
    """
    pieces = parts(detail)
    values = {"horizon": before, "loads": None if loads is None else list(loads)}
    run(connection, f"{_FILE}.create_expiring", **pieces)
    found = 0
    if of_claims:
        found += run(connection, f"{_FILE}.find_of_claims", **pieces).rowcount
    found += run(connection, f"{_FILE}.find_waiting", values, **pieces).rowcount
    if found:
        of_feed = {"feed": detail.feed.name}
        found -= run(connection, f"{_FILE}.keep_lines", of_feed, **pieces).rowcount
    tables.analyze(connection, name_of(detail))
    return found


def find(
    connection: psycopg.Connection[Any],
    fact: Fact,
    before: date,
    loads: Collection[int] | None = None,
    through: int | None = None,
) -> int:
    """Find the rows of a fact's feed that go, in a temporary table; how many.

    ``loads``: only rows of these. ``through``: the last load that is in the facts, if not all are.
    """
    pieces = parts(fact)
    values = {
        "horizon": before,
        "loads": None if loads is None else list(loads),
        "through": through,
    }
    found = run(
        connection,
        f"{_FILE}.find_old",
        values,
        is_exempt=statement(f"{_FILE}.is_exempt"),
        last_day=_last_day(fact.feed),
        **pieces,
    ).rowcount
    if found:
        run(connection, f"{_FILE}.index_rows", **pieces)
    kept = -1
    # Of enrollments that share an identifier or a coverage by turns one after the other stays.
    while found and kept:
        tables.analyze(connection, name_of(fact))
        kept = sum(
            run(
                connection,
                f"{_FILE}.keep_whole",
                values,
                same_thing=statement(f"{_FILE}.{name}", **pieces),
                **pieces,
            ).rowcount
            for name in _TOGETHER[fact.feed.name]
        )
        kept += sum(
            run(
                connection,
                f"{_FILE}.keep_with_details",
                values,
                staging_of_details=sql.Identifier(detail.feed.table),
                feed_of_details=sql.Literal(detail.feed.name),
                **pieces,
            ).rowcount
            for detail in (DETAILS if fact is FACT_CLAIM else ())
        )
        found -= kept
    return found - run(connection, f"{_FILE}.keep_undated", values, **pieces).rowcount


def measure(
    connection: psycopg.Connection[Any], fact: Kept, before: date, year: int | None = None
) -> Going:
    """What goes of a fact's feed, of the rows that were found."""
    pieces = parts(fact)
    kind = "detail" if isinstance(fact, Detail) else "fact"
    counts = (
        sql.SQL("count({})").format(sql.Identifier("s", column.name)) for column in fact.feed.staged
    )
    row = run(
        connection,
        "retention/archive.measure",
        {"horizon": before, "year": year},
        value_counts=sql.SQL(", ").join(counts),
        is_in_fact=statement(f"retention/archive.is_of_{kind}", **pieces),
        **pieces,
    ).fetchone()
    assert row is not None  # an aggregate always gives a row
    return Going(fact.feed.name, *row)


def take_out(connection: psycopg.Connection[Any], fact: Kept, before: date) -> list[Expired]:
    """Let the rows that were found leave staging and the facts; what went, by load."""
    feed, pieces = fact.feed, parts(fact)
    values = {"horizon": before, "feed": feed.name}
    gone = [
        Expired(load_id, feed.name, rows, {c: Decimal(said) for c, said in totals.items()})
        for load_id, rows, totals in run(connection, f"{_FILE}.count_files", values, **pieces)
    ]
    run(connection, f"{_FILE}.count_parts", values, **pieces)
    # The past last, because the triggers of the table keep there what it has just lost.
    if isinstance(fact, Fact):
        for table in (fact.table, *([fact.state] if fact.states else ()), fact.past):
            deleted = pieces | {"fact": sql.Identifier(table)}
            run(connection, f"{_FILE}.delete_facts", values, **deleted)
    for detail in DETAILS if fact is FACT_CLAIM else [fact] if isinstance(fact, Detail) else ():
        for table in (detail.table, detail.past):
            run(connection, f"{_FILE}.delete_details", detail=sql.Identifier(table), **pieces)
    for name in ("forget_failing_keys", "forget_rejected_keys"):
        run(connection, f"{_FILE}.{name}", {"key": _key(fact), **values}, **pieces)
    run(connection, f"{_FILE}.delete_rows", **pieces)
    return gone


def expire(
    connection: psycopg.Connection[Any],
    feeds: Collection[str],
    loads: Collection[int],
    through: int | None = None,
    *,
    as_recorded: bool = False,
) -> list[Expired]:
    """Take out what loads brought from before the horizon in force; what went, by load and feed.

    ``through``: that of ``find``. ``as_recorded``: the rows that the ledger names, which is how a
    rebuilt load leaves the same as the one that it rebuilds, whatever came since.
    Belongs into the transaction that brings the loads into the facts.
    """
    before = horizon.in_force(connection)
    if before is None:
        return []
    gone: list[Expired] = []
    found: dict[str, int] = {}
    for entry in ALL:
        of_claims = found.get(FACT_CLAIM.feed.name, 0) > 0
        if entry.feed.name not in feeds and not (of_claims and isinstance(entry, Detail)):
            continue
        if as_recorded:
            number = _find_recorded(connection, entry, loads)
        elif isinstance(entry, Detail):
            number = find_details(connection, entry, before, loads, of_claims=of_claims)
        else:
            number = find(connection, entry, before, loads, through)
        if number:
            gone += take_out(connection, entry, before)
        found[entry.feed.name] = number
    tables.drop(connection, *(name_of(entry) for entry in ALL if entry.feed.name in found))
    return gone


def copy_lines(connection: psycopg.Connection[Any], load_id: int, rebuilds_load_id: int) -> None:
    """Let the same rows of a rebuilt load expire as of the load that it rebuilds."""
    values = {"load_id": load_id, "rebuilds_load_id": rebuilds_load_id}
    run(connection, f"{_FILE}.copy_lines", values)


def _find_recorded(connection: psycopg.Connection[Any], fact: Kept, loads: Collection[int]) -> int:
    values = {"loads": list(loads), "feed": fact.feed.name}
    found = run(connection, f"{_FILE}.find_recorded", values, **parts(fact)).rowcount
    tables.analyze(connection, name_of(fact))
    return found


def name_of(fact: Kept) -> str:
    """The temporary table of the rows of a fact's feed that go."""
    return f"expiring_{fact.feed.name}"


def _key(fact: Kept) -> str:
    """The column by which a row of a feed names its claim or enrollment."""
    return fact.of.key if isinstance(fact, Detail) else fact.key


def parts(fact: Kept) -> dict[str, sql.Composable]:
    """What statements about the rows that go of a fact's feed say of it."""
    key = _key(fact)
    row = fact.key if isinstance(fact, Detail) else (fact.key,)
    pieces: dict[str, sql.Composable] = {
        "expiring": sql.Identifier(name_of(fact)),
        "staging": sql.Identifier(fact.feed.table),
        "fact": sql.Identifier(fact.table),
        "key": sql.Identifier(key),
        "fact_row": sql.SQL("({})").format(names(row, "f")),
        "row_key": names(row, "s"),
        "totals": totals_of(fact.feed),
    }
    if isinstance(fact, Detail):
        pieces |= {
            "expiring_facts": sql.Identifier(name_of(fact.of)),
            "number": sql.Identifier(fact.number),
            "detail_number": sql.Identifier("s", fact.number),
        }
        return pieces | {"is_row": statement(f"{_FILE}.is_row_of_detail", **pieces)}
    pieces |= {"date": sql.Identifier(fact.date), "detail_number": sql.NULL}
    return pieces | {"is_row": statement(f"{_FILE}.is_row_of_fact", **pieces)}


def totals_of(feed: Feed) -> sql.Composable:
    """The sums of a feed's amounts by column, as text that keeps every digit."""
    sums = (
        sql.SQL("{}, coalesce(sum({}), 0)::text").format(
            sql.Literal(column), sql.Identifier("s", column)
        )
        for column in feed.money
    )
    return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(sums))


def _last_day(feed: Feed) -> sql.Composable:
    """The day from which the retention of a row counts; NULL in a marker that has no dates."""
    name = f"{_FILE}.last_day_of_{feed.name}"
    if feed.name == "claims":
        return statement(name)
    open_end = statement(f"{_FILE}.plan_year_end")
    return statement(name, end_date=end(feed.column("end_date"), "s", open_end))
