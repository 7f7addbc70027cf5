"""Rows and checksums of every table, and of what the documented reports answer.

They are taken in one state of the database and compared exactly with those of a restored one.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import sql

from etl.db.connection import set_search_path
from etl.db.statements import run
from etl.docs import report_queries
from etl.operations.backup.store import Tables
from etl.warehouse.tables import LIVE

Reports = Mapping[str, str | None]


def of_tables(connection: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    """Rows and checksum of every table that outlives the server, in the caller's transaction."""
    found = {}
    for schema, name in run(connection, "operations/backup.tables").fetchall():
        found[f"{schema}.{name}"] = _of_table(connection, sql.Identifier(schema, name))
    return found


def _of_table(connection: psycopg.Connection[Any], table: sql.Identifier) -> list[Any]:
    try:
        with connection.transaction():
            row = run(connection, "operations/backup.checksum", table=table).fetchone()
    except psycopg.errors.UndefinedFunction:
        # Columns of a type that has no hash, such as json.
        row = run(connection, "operations/backup.checksum_of_text", table=table).fetchone()
    assert row is not None  # it counts
    return list(row)


def of_reports(connection: psycopg.Connection[Any]) -> dict[str, str | None]:
    """SHA-256 of the rows of each documented report, none where it cannot be asked here.

    By its name and the beginning of its text's SHA-256: a report that was changed since is another.
    """
    found: dict[str, str | None] = {}
    for report in report_queries.reports().values():
        name = f"{report.name} {sha256(report.text.encode()).hexdigest()[:12]}"
        found[name] = None
        try:
            with connection.transaction(force_rollback=True):
                set_search_path(connection, LIVE.schemas.readers_path)
                rows = sorted(map(repr, report.ask(connection)))
                found[name] = sha256("\n".join(rows).encode()).hexdigest()
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            continue  # such as where nothing was ever loaded
    return found


def differences(expected: Tables, found: Tables) -> list[str]:
    """Which tables are not as expected, a phrase each."""
    said = [
        f"{name} has {found[name][0]:,} rows for {rows:,}"
        if found[name][0] != rows
        else f"{name} has other values"
        for name, (rows, checksum) in expected.items()
        if name in found and found[name] != [rows, checksum]
    ]
    said += [f"{name} is missing" for name in expected if name not in found]
    return said + [f"{name} is new" for name in found if name not in expected]
