"""Who reads what: counted from ``pg_stat_statements``, kept by login, relation and day.

The server counts statements without their values. Which relations a statement reads, PostgreSQL
says itself: planned as a generic plan, it locks each table, each view and what the view reads. So
no SQL is parsed here, and no text of a statement is kept. A statement is planned where its login
finds tables.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain, pairwise
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from etl.access.roles import LOADER
from etl.db.connection import set_config, set_search_path
from etl.db.statements import Values, run, scalar, statement
from etl.errors import ServerError
from etl.warehouse.tables import LIVE

# Statements that are planned at one time; what is left is counted the next time.
_MOST = 2_000
# What a typed literal such as date '2025-01-01' becomes, date $1, is no SQL. A value that many
# types take is put there in its place, the next one where the type does not take it.
_SAMPLES = ("'epoch'", "'0'", "'00:00'", "'true'")
_MOST_TRIES = 100
_PARAMETER = re.compile(r"\$\d+")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of a statement by a login since it was last counted."""

    role: str
    query_id: int
    is_top: bool
    counted_since: datetime
    query: str
    calls: int
    rows: int
    seconds: float
    new_calls: int
    new_rows: int
    new_seconds: float
    search_path: str


@dataclass(frozen=True, slots=True)
class Use:
    """What a login read of a relation; ``last_day``: the last day on which it was counted."""

    schema: str
    relation: str
    role: str
    calls: int
    rows: int
    seconds: float
    last_day: date


def collect(
    connection: psycopg.Connection[Any], replicas: Sequence[psycopg.Connection[Any]] = ()
) -> int:
    """Count what was read since it was counted last; how many statements could not be planned.

    ``connection`` is in autocommit mode and finds the tables of the ledger. ``replicas``: sessions
    on them, since each counts by itself what is read on it; it forgets what was taken from it.
    Raises ``ServerError`` where the server counts no statements.
    """
    require_counting(connection)
    own = _new_calls(connection)
    elsewhere = [(replica, _calls_of_replica(replica)) for replica in replicas]
    found = [*own, *chain.from_iterable(calls for _, calls in elsewhere)]
    # Planned before the transaction that writes: each is rolled back by itself.
    read = {(call.query, call.search_path): _relations(connection, call) for call in found}
    with connection.transaction():
        totals: defaultdict[tuple[str, str, str], list[float]] = defaultdict(lambda: [0, 0, 0.0])
        for call in found:
            for relation in read[call.query, call.search_path] or ():
                total = totals[call.role, *relation]
                for at, new in enumerate((call.new_calls, call.new_rows, call.new_seconds)):
                    total[at] += new
        for call in own:
            _note(connection, call)
        for (role, schema, name), (calls, rows, seconds) in totals.items():
            values: Values = {"role": role, "schema_name": schema, "relation_name": name}
            values |= {"calls": calls, "rows": rows, "seconds": max(seconds, 0.0)}
            run(connection, "operations/use.add", values)
        run(connection, "operations/use.forget_counted")
    for replica, taken in elsewhere:
        # What a replica that is stopped meanwhile does not forget counts once more: rather too many
        # reads than none of a cube that is then dropped.
        with suppress(psycopg.Error):
            for call in taken:
                forgotten = {"role": call.role, "query_id": call.query_id}
                run(replica, "operations/use.forget_calls", forgotten)
    return sum(call.is_top and read[call.query, call.search_path] is None for call in found)


def require_counting(connection: psycopg.Connection[Any]) -> None:
    """Raise ``ServerError`` unless the server counts statements and shows the counts."""
    counts, is_shown, may_make = run(connection, "operations/use.counting").fetchone() or (0, 0, 0)
    if not counts:
        raise ServerError(
            "The server does not count who reads what: pg_stat_statements is not loaded.",
            "The embedded server loads it when it is started next: make down, then make up. On "
            "another add it to shared_preload_libraries and restart it.",
        )
    if is_shown:
        return
    if not may_make:
        raise ServerError(
            "The database does not show what the server counts: it lacks an extension.",
            "Let a superuser run in it: create extension pg_stat_statements schema public; "
            "grant pg_read_all_stats to the owner of the warehouse;",
        )
    run(connection, "operations/use.make_extension")


def used(connection: psycopg.Connection[Any], days: int) -> list[Use]:
    """Who read what in so many days, by relation."""
    return [Use(*row) for row in run(connection, "operations/use.used", {"days": days})]


def first_day(connection: psycopg.Connection[Any]) -> date | None:
    """The day from which on reads are counted."""
    found: date | None = scalar(connection, "operations/use.first_day")
    return found


def _new_calls(connection: psycopg.Connection[Any]) -> Sequence[_Calls]:
    with connection.cursor(row_factory=class_row(_Calls)) as cursor:
        values = {"loader": LOADER, "most": _MOST}
        cursor.execute(statement("operations/use.new_calls"), values)
        return cursor.fetchall()


def _calls_of_replica(replica: psycopg.Connection[Any]) -> Sequence[_Calls]:
    """What was read on a replica since it was counted last."""
    try:
        set_search_path(replica, LIVE.schemas.path, is_local=False)
        return _new_calls(replica)
    except psycopg.Error:  # it is far behind, or being stopped: the next time
        return ()


def _note(connection: psycopg.Connection[Any], call: _Calls) -> None:
    fields = ("role", "query_id", "is_top", "counted_since", "calls", "rows", "seconds")
    values = {name: getattr(call, name) for name in fields}
    run(connection, "operations/use.note_counted", values)


def _relations(connection: psycopg.Connection[Any], call: _Calls) -> list[tuple[str, str]] | None:
    """Schema and name of what a statement reads; ``None`` where it cannot be planned.

    Such as one of tables that are gone since, or are a session's own.
    """
    query = statement("operations/use.plan", query=sql.SQL(call.query)).as_string(connection)
    for _ in range(_MOST_TRIES):
        try:
            with connection.transaction(force_rollback=True):
                set_config(connection, "search_path", call.search_path)
                connection.execute(sql.SQL(query))
                return run(connection, "operations/use.locked").fetchall()
        except (psycopg.errors.SyntaxError, psycopg.DataError) as error:
            readable = _readable(query, int(error.diag.statement_position or 0) - 1)
            if readable is None:
                return None
            query = readable
        except psycopg.Error:
            return None
    return None


def _readable(query: str, at: int) -> str | None:
    """The statement without what the server cannot read of it; ``None`` where nothing helps.

    ``at``: where the server stopped reading. Of a ``COPY`` its query is left.
    """
    if at < 0:
        return None
    if parameter := _PARAMETER.match(query, at):
        return query[:at] + _SAMPLES[0] + query[parameter.end() :]
    for tried, following in pairwise(_SAMPLES):
        if query.startswith(tried, at):
            return query[:at] + following + query[at + len(tried) :]
    word = _WORD.match(query, at)
    if word and word[0].lower() == "copy":
        return query[:at] + query[word.end() :]
    return query[:at] if word and word[0].lower() == "to" else None
