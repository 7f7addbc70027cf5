"""Months of claims that have expired: partitions of them and their details go once empty."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from etl.db.connection import set_config
from etl.db.statements import run, scalar
from etl.pipeline.session import RunContext
from etl.schema.dependents import LOCK_PATIENCE
from etl.stages.facts.partitions import TABLES
from etl.warehouse.tables import Build

# Seconds in which a moment is looked for at which nobody reads the claims.
_PATIENCE = 5.0


def drop(context: RunContext, build: Build) -> None:
    """Drop partitions of claims from before the horizon that have no row.

    Where somebody reads the claims without a break they stay until the next run.
    """
    parents = sql.SQL(", ").join(
        sql.Literal(f"{build.schemas.warehouse}.{table}") for table in TABLES
    )
    found = run(context.ledger, "retention/run.empty_months", parents=parents)
    names = [name for (name,) in found]
    partitions = [sql.Identifier(build.schemas.internal, name) for name in names]
    empty = [p for p in partitions if not _has_rows(context.ledger, p)]
    deadline = time.monotonic() + _PATIENCE
    while empty:
        try:
            with context.ledger.transaction():
                set_config(context.ledger, "lock_timeout", LOCK_PATIENCE)
                _drop_all(context.ledger, empty)
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                context.log.info("empty_months_kept", partitions=len(empty))
                return
            time.sleep(0.2)
        except psycopg.errors.DependentObjectsStillExist:
            context.log.info("empty_months_in_use", partitions=len(empty))
            return


def _has_rows(connection: psycopg.Connection[Any], partition: sql.Identifier) -> bool:
    return bool(scalar(connection, "retention/run.has_rows", partition=partition))


def _drop_all(connection: psycopg.Connection[Any], partitions: Sequence[sql.Identifier]) -> None:
    for partition in partitions:
        run(connection, "retention/run.drop_month", partition=partition)
