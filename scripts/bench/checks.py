"""What the quality checks cost: all of them, against one statement by hand for each table.

The statements of ``sql/bench/checks.sql`` count the rows that the checks count, a table each. What
the registry declares is taken from there: the clauses of contracts, lists of columns, and the
statements on past tables and cubes, of which each is in one pass as it is. The checks of how much
came read short profiles and no table, and are on the side of the checks alone.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

import psycopg
from measuring import measured_run, measured_seed, next_day, scratch, timed
from psycopg import sql
from rich.console import Console
from rich.table import Table

from etl.contracts.feeds import FEEDS
from etl.contracts.types import Type
from etl.db.connection import connect, reading
from etl.db.statements import Parts, Values, equal, names, run, statement
from etl.quality.checks.arrivals import arrival_checks
from etl.quality.checks.clauses import is_about
from etl.quality.checks.cubes import cube_checks
from etl.quality.checks.past import past_checks
from etl.quality.checks.registry import sql_checks
from etl.quality.checks.sql import SqlCheck
from etl.quality.runner import CheckResult, run_checks
from etl.render.expectations import Suite, broken, looked_at, suites
from etl.warehouse.tables import DIMENSIONS, FACT_CLAIM, FACTS, LIVE

Counts = dict[str, int]

STATUSES = ("running", "loaded")
_IMPORT = "import great_expectations"


def measure(url: str, rounds: int) -> dict[str, Any]:
    """Seconds of all the checks and of the statements by hand, in turn; the best of each counts.

    Great Expectations is imported before, and told apart: a run of its own imports it while the
    first checks are at work. ``SystemExit`` where the two find other counts.
    """
    imported = timed(["-c", _IMPORT])["wall"]
    importlib.import_module(_IMPORT.split()[-1])
    checks: list[float] = []
    hands: list[dict[str, float]] = []
    for _ in range(rounds):
        spent, found = _all_checks(url)
        checks.append(spent)
        seconds, counts = by_hand(url)
        hands.append(seconds)
        compared = _compared(found, counts)
    hand = min(hands, key=lambda seconds: sum(seconds.values()))
    return {
        "import_seconds": imported,
        "checks_seconds": round(min(checks), 2),
        "by_hand_seconds": {table: round(spent, 2) for table, spent in hand.items()},
        "compared": len(compared),
        "broken": sum(1 for count in compared.values() if count),
    }


def measure_dirty(members: int) -> dict[str, Any]:
    """The same of a small warehouse whose feeds have defects, where the counts are not nought."""
    with scratch() as (url, folder):
        measured_seed(folder, members, years=2, dirty="0.01")
        measured_run(url, folder / "inbox", "full-load")
        next_day(folder)
        measured_run(url, folder / "inbox", "incremental")
        return {"members": members, **measure(url, rounds=1)}


def by_hand(url: str) -> tuple[dict[str, float], Counts]:
    """Seconds by table and broken rows by check, from one statement a table."""
    seconds: dict[str, float] = {}
    counts: Counts = {}
    with connect(url, "aca-warehouse bench") as connection, reading(connection, LIVE.path):
        # What whoever writes such a statement allows it, and every stage of a load has.
        run(connection, "ledger/session.work_session")
        run(connection, "ledger/session.work_transaction")
        found = run(connection, "checks/staging.loads_of_build", {"statuses": list(STATUSES)})
        loads = found.fetchall()
        values = {
            "loads": [load_id for load_id, _ in loads],
            "loads_in_facts": [load_id for load_id, is_in_facts in loads if is_in_facts],
        }
        for table, query, more in _statements():
            started = time.perf_counter()
            cursor = connection.execute(query, {**values, **more})
            (row,) = cursor.fetchall()
            seconds[table] = time.perf_counter() - started
            columns = [column.name for column in cursor.description or ()]
            for name, count in zip(columns, row, strict=True):
                counts[f"{table}.{name}"] = int(count or 0)
        for entry in (*past_checks(), *cube_checks()):
            started = time.perf_counter()
            found_here = _as_it_is(connection, entry, values)
            table = _table(entry)
            seconds[table] = seconds.get(table, 0.0) + time.perf_counter() - started
            counts |= found_here
    return seconds, counts


def show(result: dict[str, Any]) -> None:
    """Print the measurements as a table of seconds and ratios to the statements by hand."""
    by_table = result["by_hand_seconds"]
    floor = sum(by_table.values())
    table = Table(
        title=f"{result['compared']:,} checks, {result['broken']:,} of them with rows that fail, "
        "the same by hand; one statement by hand a table = 1",
        title_justify="left",
        box=None,
    )
    for name in ("what", "seconds", "ratio"):
        table.add_column(name, justify="left" if name == "what" else "right")
    rows = [
        ("all checks", result["checks_seconds"]),
        ("importing Great Expectations, apart", result["import_seconds"]),
        ("by hand", floor),
        *sorted(by_table.items(), key=lambda row: -row[1])[:5],
    ]
    for what, spent in rows:
        table.add_row(what, f"{spent:.2f}", f"{spent / floor:.2f}")
    Console().print(table)


def _all_checks(url: str) -> tuple[float, Counts]:
    """Seconds of a whole run of the checks, its record included, and what it finds."""
    found: Counts = {}

    def hear(result: CheckResult) -> None:
        if result.found is None:
            raise SystemExit(f"{result.check.name} could not be evaluated.")
        found[result.check.name] = result.rows_failed

    with connect(url, "aca-warehouse bench") as connection:
        started = time.perf_counter()
        run_checks(connection, url, LIVE, STATUSES, hear)
        return time.perf_counter() - started, found


def _compared(found: Counts, by_hand: Counts) -> Counts:
    """The counts that both found; ``SystemExit`` where they differ."""
    apart = {check.name for entry in arrival_checks() for check in entry.checks.values()}
    asked = {name: count for name, count in found.items() if name not in apart}
    differing = [
        f"{name}: {count:,} against {by_hand.get(name)} by hand"
        for name, count in asked.items()
        if by_hand.get(name) != count
    ]
    if differing:
        raise SystemExit("The checks and the statements differ: " + "; ".join(differing))
    return asked


def _as_it_is(connection: psycopg.Connection[Any], entry: SqlCheck, values: Values) -> Counts:
    cursor = run(connection, entry.statement, {**entry.values, **values}, **entry.parts)
    columns = [column.name for column in cursor.description or ()]
    rows = [dict(zip(columns, row, strict=True)) for row in cursor]
    return {entry.checks[row["rule"]].name: row["rows_failed"] for row in rows}


def _statements() -> list[tuple[str, sql.Composed, Values]]:
    """The statements by hand: table, statement, what is bound beside the loads."""
    found = []
    for suite in suites():
        parts, values = _declared(suite.table)
        name, more = _written(suite)
        composed = statement(f"bench/checks.{name}", **parts, **more, **_clauses(suite))
        found.append((suite.table, composed, values))
    parts, values = _declared(FACT_CLAIM.state)
    found.append((FACT_CLAIM.state, statement("bench/checks.fact_claim_state", **parts), values))
    return found


def _declared(table: str) -> tuple[dict[str, Parts], Values]:
    """What the registry's statements on a table are composed of, and what is bound to them."""
    entries = [entry for entry in sql_checks() if _table(entry) == table]
    parts = {name: part for entry in entries for name, part in entry.parts.items()}
    values = {name: value for entry in entries for name, value in entry.values.items()}
    values["feed"] = next((entry.feed for entry in entries if entry.feed), None)
    return parts, values


def _table(entry: SqlCheck) -> str:
    return next(iter(entry.checks.values())).table


def _written(suite: Suite) -> tuple[str, dict[str, Parts]]:
    """Name of the statement for a table, and its parts that the registry does not have."""
    table = sql.Identifier(suite.table)
    for feed in FEEDS.values():
        if feed.table == suite.table:
            texts = names((c.name for c in feed.columns if c.type is Type.TEXT), "s")
            return "staging", {"table": table, "texts": texts}
    for dimension in DIMENSIONS.values():
        if dimension.table == suite.table:
            return "dimension", {
                "table": table,
                "key_s_v": equal(dimension.key, "s", "v"),
                "key_t_h": equal(dimension.key, "t", "h"),
                "keys_of_past": names(dimension.key, "p"),
                "of_its_own": statement(f"bench/checks.of_its_own_{dimension.name}"),
            }
    (fact,) = (f for f in FACTS.values() if f.table == suite.table)
    return fact.table, {
        "joins_keep_money": _sums_that_differ(fact.feed.money, "placed"),
        "money_total": _sums_that_differ(fact.feed.money, "told"),
    }


def _sums_that_differ(money: tuple[str, ...], other: str) -> sql.Composed:
    return sql.SQL(" + ").join(
        sql.SQL("({} is distinct from {})::integer").format(
            sql.Identifier("plain", column), sql.Identifier(other, column)
        )
        for column in money
    )


def _clauses(suite: Suite) -> dict[str, Parts]:
    """The clauses of the contract, counted by rule; and those of a staging table summed up."""
    rules = {
        e.check.name.removeprefix(f"{suite.table}."): sql.SQL(
            "count(*) filter (where {} and {} and {})"
        ).format(looked_at(suite), is_about(e), broken(e))
        for e in suite.expectations
    }
    return {
        "clauses": sql.SQL(",\n").join(
            sql.SQL("{} as {}").format(count, sql.Identifier(rule)) for rule, count in rules.items()
        ),
        "clause_sums": sql.SQL(",\n").join(
            sql.SQL("sum(h.{0}) as {0}").format(sql.Identifier(rule)) for rule in rules
        ),
    }
