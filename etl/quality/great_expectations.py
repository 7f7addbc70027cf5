"""Checks that Great Expectations answers, one validation a table.

Great Expectations is used in memory: nothing is written to disk, nothing is sent anywhere, no
progress bars. Only counts leave it: a result with samples of values would contain personal data.
The rows that break an expectation are asked for by their keys, and only where some do.

It counts all expectations of a table in one scan and the rows in another; what else it sends reads
no rows. Loading it takes seconds of Python, in which the server can do other work.
"""

from __future__ import annotations

import gc
import importlib
import logging
import operator
import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from threading import Lock, Thread
from typing import Any

import psycopg

from etl.contracts.checks import Check, Finding
from etl.db import trouble
from etl.db.connection import connect, reading
from etl.db.statements import run
from etl.errors import ServerError
from etl.quality.checks.constraints import failing_keys
from etl.quality.put_off import put_off
from etl.render.expectations import Expectation, Suite
from etl.warehouse.tables import Schemas

# Counts and no samples.
_RESULT_FORMAT = {"result_format": "BASIC", "partial_unexpected_count": 0}

_APPLICATION = "aca-warehouse checks"

_LOADING = Lock()

Found = dict[str, Finding | None]
# By contract of a sender, the loads that came under it.
Loads = dict[str, list[int]]


def run_suites(
    url: str, schemas: Schemas, suites: tuple[Suite, ...]
) -> Iterator[tuple[Check, Finding | None]]:
    """Validate the suites; for each check what it found, ``None`` if its column is not there.

    Raises ``ServerError`` where a check could not be asked: that is no failure of the check.
    """
    opened = _Opened(url)
    try:
        source = _source(opened)
        with connect(url, _APPLICATION) as connection:
            loads = dict(_loads_by_contract(connection, schemas))
            for suite in suites:
                asked = _evaluable(connection, schemas, suite)
                found = _ask(source, asked, getattr(schemas, suite.layer), loads, opened)
                found = _with_keys(connection, schemas, asked, found)
                for expectation in suite.expectations:
                    yield expectation.check, found.get(expectation.check.name)
    finally:
        opened.close()


def context_in_memory() -> Any:
    """A context of Great Expectations that lives in memory and says nothing."""
    # Its messages can quote values, and some of its loggers set a level of their own.
    logger = logging.getLogger("great_expectations")
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False
    _load()
    with warnings.catch_warnings(action="ignore"):
        from great_expectations import get_context
        from great_expectations.data_context.types.base import ProgressBarsConfig

        context = get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def load_ahead() -> None:
    """Begin to import Great Expectations in a thread, while the server is at work for this process.

    A process that ends before waits for it: libraries may crash where their import is cut off.
    """
    Thread(target=_load, name="import Great Expectations").start()


def _load() -> None:
    """Import Great Expectations, or wait until another thread has."""
    with _LOADING, warnings.catch_warnings(action="ignore"):
        _load_once()


@cache
def _load_once() -> None:
    """Import Great Expectations: seconds of Python, and only the checks need it.

    Two of its expectations, which no check is, import scipy and altair: 80 MB of memory, and a
    quarter of these seconds. What packages make lasts. Not to look through it for garbage, neither
    meanwhile nor later, saves a quarter of these seconds, and a third of those in which the checks
    are then answered.
    """
    gc.disable()
    try:
        with put_off("scipy.stats", "altair"):
            importlib.import_module("great_expectations")
    finally:
        gc.freeze()
        gc.enable()


class _Opened:
    """Opens the connection of Great Expectations, and keeps the reason if it is not to be had.

    It has engines by the two and asks for a connection for each of 200 statements: all get the
    same. An address is for libpq to read: SQLAlchemy and Great Expectations know fewer forms of it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection: psycopg.Connection[Any] | None = None
        self.error: ServerError | None = None

    def __call__(self) -> psycopg.Connection[Any]:
        if self.connection is None or self.connection.closed:
            try:
                self.connection = connect(self.url, _APPLICATION, autocommit=False)
            except ServerError as error:
                self.error = error
                raise
        return self.connection

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()


def _source(opened: _Opened) -> Any:
    """The database as a data source of a Great Expectations context."""
    context = context_in_memory()
    with warnings.catch_warnings(action="ignore"):
        from sqlalchemy.pool import StaticPool

        try:
            # Its declared signature lacks ``kwargs``.
            sources: Any = context.data_sources
            return sources.add_postgres(
                name="warehouse",
                # It asks for an address of this form and does not use it.
                connection_string="postgresql+psycopg://warehouse@warehouse/warehouse",
                create_temp_table=False,
                kwargs={"creator": opened, "poolclass": StaticPool},
            )
        except ConnectionError as error:
            raise opened.error or error from error


def _evaluable(connection: psycopg.Connection[Any], schemas: Schemas, suite: Suite) -> Suite:
    """The suite without the expectations on columns that the table does not have."""
    table = {"schema": getattr(schemas, suite.layer), "table": suite.table}
    held = {name for (name,) in run(connection, "checks/constraints.columns", table)}
    needed = {*suite.keys, suite.marked} - {None}
    if not held >= needed:
        return replace(suite, expectations=())
    kept = tuple(e for e in suite.expectations if e.arguments["column"] in held)
    return replace(suite, expectations=kept)


def _ask(source: Any, suite: Suite, schema: str, loads: Loads, opened: _Opened) -> Found:
    """Counts by name of check; ``ServerError`` if one of them is missing."""
    if not suite.expectations:
        return {}
    from great_expectations.exceptions import GreatExpectationsError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        found = _validate(source, suite, schema, loads)
    except (ConnectionError, GreatExpectationsError, SQLAlchemyError) as error:
        raise _not_asked(suite, schema, opened, trouble.state_of(error)) from error
    if not all(found.get(e.check.name) for e in suite.expectations):
        raise _not_asked(suite, schema, opened)
    return found


def _not_asked(suite: Suite, schema: str, opened: _Opened, state: str | None = None) -> ServerError:
    # What Great Expectations wraps it hides; a connection that is gone is seen anyway.
    is_lost = opened.connection is not None and opened.connection.closed
    return opened.error or ServerError(
        f"The checks of {schema}.{suite.table} could not be asked.",
        "Nothing is said about them. See the log of the server and run again.",
        sqlstate=trouble.LOST if is_lost else state,
    )


def _loads_by_contract(
    connection: psycopg.Connection[Any], schemas: Schemas
) -> list[tuple[str, list[int]]]:
    with reading(connection, schemas.path):
        return run(connection, "checks/constraints.loads_by_contract").fetchall()


def _validate(source: Any, suite: Suite, schema: str, loads: Loads) -> Found:
    """Counts by name of check, all expectations of the table in as few scans as can be.

    What is judged on the loads of a contract under which none came has nothing to count.
    """
    from great_expectations.core import ExpectationSuite

    with warnings.catch_warnings(action="ignore"):
        asset = source.add_table_asset(name=suite.table, table_name=suite.table, schema_name=schema)
        batch = asset.add_batch_definition_whole_table("all").get_batch()
        result = batch.validate(
            ExpectationSuite(
                name=suite.table,
                expectations=[
                    {
                        "type": e.kind,
                        "kwargs": {**e.arguments, **_row_condition(suite, e, loads)},
                        "meta": {"check": e.check.name},
                    }
                    for e in suite.expectations
                    if e.of is None or e.of in loads
                ],
            ),
            result_format=_RESULT_FORMAT,
        )
    found: Found = {e.check.name: Finding(0, 0) for e in suite.expectations if e.of is not None}
    return found | {r.expectation_config.meta["check"]: _counts(r) for r in result.results}


def _row_condition(suite: Suite, expectation: Expectation, loads: Loads) -> dict[str, Any]:
    """The rows that the expectation is about: those that share a condition share a scan."""
    from great_expectations.expectations.row_conditions import Column

    load = Column("load_id")
    of_load = None
    elsewhere = [load_id for name in expectation.not_of for load_id in loads.get(name, ())]
    if expectation.of is not None:
        of_load = load.is_in(loads[expectation.of])
    elif elsewhere:
        of_load = load.is_not_in(elsewhere)
    if suite.marked is None:
        return {} if of_load is None else {"row_condition": of_load}
    marked = Column(suite.marked)
    ways: tuple[Any, ...] = (marked.is_null(), operator.eq(marked, False))
    if of_load is not None:
        ways = tuple(way & of_load for way in ways)
    return {"row_condition": ways[0] | ways[1]}


def _counts(result: Any) -> Finding | None:
    found = result.result
    if "unexpected_count" not in found or "element_count" not in found:
        return None
    # Of an empty table Great Expectations knows no count of failures.
    checked = found["element_count"]
    return Finding(
        checked,
        found["unexpected_count"] or 0,
        rows_judged=checked - (found.get("missing_count") or 0),
    )


def _with_keys(
    connection: psycopg.Connection[Any], schemas: Schemas, suite: Suite, found: Found
) -> Found:
    """The findings with the keys of rows that fail, in one more scan of a table that has any."""
    failing = [e for e in suite.expectations if (f := found[e.check.name]) and f.rows_failed]
    if not failing:
        return found
    with reading(connection, schemas.path):
        rows = connection.execute(failing_keys(suite, failing)).fetchall()
    keys = {rule: tuple(shown) for rule, shown in rows}
    return {
        name: replace(finding, keys=keys[name]) if finding and name in keys else finding
        for name, finding in found.items()
    }
