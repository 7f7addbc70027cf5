"""The relations that pages read, as they were known after a load.

Schema ``as_known`` has dimensions and facts. Cubes and marts are queries over these, so they are
run over what was known, into temporary tables of the same names.
"""

from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.db.connection import set_search_path
from etl.db.statements import run, scalar, statement
from etl.errors import UsageError
from etl.render import claim_status
from etl.schema.marts import own_keys
from etl.stages import tables
from etl.stages.cubes.definitions import definition
from etl.warehouse.tables import CUBES

_PATH = ("pg_temp", "as_known", "warehouse")
# What pages read and what that is made of, each after those that it reads.
_CUBES = (
    *("claims_daily_member", "member_month", "exposure_month"),
    *("cost_month", "enrollment_flow_month", "high_cost_year"),
)
_MARTS = ("claim", "pmpm_month")


class Known(NamedTuple):
    """What was known after a load: the load, the one that has it now, the day, one sentence."""

    load_id: int
    kept_by: int
    as_of: date
    says: str


def put_at(connection: psycopg.Connection[Any], load: str) -> Known:
    """Let unqualified names mean what was known after a load, until the transaction ends.

    ``load``: its number, as a person writes it. Raises ``UsageError`` where there is no such load,
    or what was known after it is no longer kept.
    """
    if not load.isascii() or not load.isdigit() or len(load) > 18:
        raise _unknown(f"AS_KNOWN={load} is no number of a load")
    values = {"load": int(load)}
    try:
        says = scalar(connection, "reports/business.put_at_load", values)
        row = run(connection, "reports/business.day_known", values).fetchone()
    except (
        psycopg.errors.NoDataFound,
        psycopg.errors.ObjectNotInPrerequisiteState,
    ) as error:
        raise _unknown(error.diag.message_primary or "that load is not known") from error
    assert row is not None  # one row, or an error
    kept_by, day = row
    if day is None:
        raise _unknown(f"no batch was loaded up to load {load}")
    set_search_path(connection, _PATH)
    _make_tables(connection, day)
    return Known(int(load), kept_by, day, says)


def _unknown(what: str) -> UsageError:
    return UsageError(
        f"The report cannot be made as it was known: {what}.",
        "make psql to query ledger.load, which lists the loads: make report AS_KNOWN=3",
    )


def _make_tables(connection: psycopg.Connection[Any], day: date) -> None:
    for name in _CUBES:
        _make(connection, name, definition(CUBES[name]))
    named = {n: sql.Identifier(n) for n in (*_CUBES, "fact_claim")}
    named |= {n: sql.Identifier(n) for n in ("dim_member", "dim_plan", "dim_provider")}
    known = {"as_of": sql.Literal(day), "state": claim_status.state("c")}
    parts = {**own_keys(), **known, **named}
    for name in _MARTS:
        _make(connection, name, statement(f"mart/{name}.definition", **parts))


def _make(connection: psycopg.Connection[Any], name: str, rows: sql.Composable) -> None:
    table = sql.Identifier("pg_temp", name)
    run(connection, "reports/business.known", relation=table, definition=rows)
    tables.analyze(connection, "pg_temp", name)
