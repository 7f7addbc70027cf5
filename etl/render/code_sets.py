"""How a row of a feed finds the key of its code, as SQL."""

from __future__ import annotations

from psycopg import sql

from etl.db.statements import statement
from etl.warehouse.code_sets import CodeSet


def value(codes: CodeSet, column: sql.Composable) -> sql.Composed:
    """The code that a column of a feed names, as the dimension has it."""
    return statement(f"render/code_sets.{codes.form}", column=column)


def join(codes: CodeSet, column: sql.Composable) -> sql.Composed:
    """The join by which a row finds the dimension's row of the code in a column of it."""
    return statement(
        "render/code_sets.join_code",
        dim=sql.Identifier(codes.table),
        code=sql.Identifier(codes.code),
        value=value(codes, column),
    )


def key(codes: CodeSet) -> sql.Composed:
    """The surrogate key that ``join`` finds, -1 where the row names no code."""
    return statement(
        "render/code_sets.key", dim=sql.Identifier(codes.table), sk=sql.Identifier(codes.sk)
    )
