"""Breaches: typed rows and whole files compared with what their contract allows.

Only rules whose breach costs a row or the file are looked at here, in one scan each; the others
are left to the quality checks. A contract without such rules costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.column import Breach
from etl.contracts.feed import Volume
from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.db.statements import run, scalar
from etl.errors import BatchError
from etl.render import parsing


def set_aside(
    connection: psycopg.Connection[Any],
    load_id: int,
    contract: SenderContract,
    columns: Iterable[str],
    where: str,
) -> list[tuple[int, str]]:
    """Take rows out of staging with values that the contract allows in no row: (line, column).

    ``columns``: those that the file has; ``where`` names the file. Raises ``BatchError`` if a
    value is there that the contract allows in no file.
    """
    rules: dict[Breach, dict[str, sql.Composable]] = {breach: {} for breach in Breach}
    values: dict[str, Any] = {"load_id": load_id}
    for name in columns:
        follows = contract.breach(name)
        if follows is not Breach.WARN:
            rules[follows][name], bound = parsing.breach(contract, name)
            values |= bound
    table = sql.Identifier(contract.feed.table)
    if fatal := rules[Breach.REJECT_FILE]:
        counts = sql.SQL(", ").join(
            sql.SQL("count(*) filter (where {})").format(rule) for rule in fatal.values()
        )
        found = scalar(
            connection,
            "stage/stage.count_breaches",
            values,
            table=table,
            found=sql.SQL("array[{}]").format(counts),
        )
        for name, rows in zip(fatal, found, strict=True):
            if rows:
                raise BatchError(
                    Refusal.CONTRACT_BROKEN,
                    f"{where} was refused: {name} of {rows:,} rows is not {contract.check(name)}, "
                    f"which its contract {contract.name} asks of every row.",
                    "Ask the sender for a file that keeps to the contract; nothing was loaded.",
                )
    costly = rules[Breach.REJECT_ROW]
    if not costly:
        return []
    cases = [
        sql.SQL("when {} then {}").format(rule, sql.Literal(name)) for name, rule in costly.items()
    ]
    return run(
        connection,
        "stage/stage.set_aside_breaches",
        values,
        table=table,
        is_breach=sql.SQL(" or ").join(costly.values()),
        at_fault=sql.SQL("case {} end").format(sql.SQL(" ").join(cases)),
    ).fetchall()


def of_volume(volume: Volume | None, rows: int, where: str) -> str | None:
    """What there is to say of a file's number of rows; ``BatchError`` if that refuses it."""
    if volume is None or volume.low <= rows <= volume.high:
        return None
    said = f"{rows:,} rows where {volume.low:,} to {volume.high:,} are expected"
    if volume.on_breach is Breach.REJECT_FILE:
        raise BatchError(
            Refusal.CONTRACT_BROKEN,
            f"{where} was refused: {said}.",
            "Ask the sender whether the file is whole; nothing was loaded.",
        )
    return said
