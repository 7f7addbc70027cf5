"""Statistics: whether what the planner believes of a table is still near enough."""

from __future__ import annotations

from typing import Any

import psycopg

from etl.db.statements import scalar

# They are gathered again when more than this share of a table's rows is not known to them.
STALE_SHARE = 0.05


def are_stale(connection: psycopg.Connection[Any], table: str) -> bool:
    """Whether a table has changed so much since they were gathered."""
    values = {"table": table, "share": STALE_SHARE}
    return bool(scalar(connection, "ledger/session.are_stale", values))
