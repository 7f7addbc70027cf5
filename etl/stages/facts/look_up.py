"""Rows of some claims, looked up in all partitions of a table that has them by day of service."""

from __future__ import annotations

from psycopg import sql

from etl.db.statements import statement

# Up to so many are a list; for more the planner decides how to join.
FEW_CLAIMS = 100_000


def among(claims: sql.Composable, number: int) -> sql.Composed:
    """What a column of claims has to be to be one of a query's, of which there are so many."""
    size = "few" if number <= FEW_CLAIMS else "many"
    return statement(f"facts/look_up.{size}", named=claims)
