"""Breaches: typed rows and whole files compared with what their contract allows.

Only rules whose breach costs a row or the file are looked at here, and rows are taken out only
where the look at all of them saw a breach; the other rules are left to the quality checks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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
from etl.stages.stage.look import Look

_FATAL, _COSTLY = "breach of the file", "breach of a row"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a contract asks of every row: conditions of a breach by column, and values to bind.

    ``fatal``: one breach refuses the file; ``costly``: it costs the row.
    """

    fatal: dict[str, sql.Composable]
    costly: dict[str, sql.Composable]
    values: dict[str, Any]

    @property
    def kinds(self) -> dict[str, sql.Composable]:
        """Conditions of which it has to be known whether any row meets them, by name."""
        kinds = {_FATAL: self.fatal, _COSTLY: self.costly}
        return {kind: _any(rules) for kind, rules in kinds.items() if rules}


def rules_of(contract: SenderContract, columns: Iterable[str]) -> Rules:
    """The rules for the columns that a file has."""
    found = Rules({}, {}, {})
    of = {Breach.REJECT_FILE: found.fatal, Breach.REJECT_ROW: found.costly}
    for name in columns:
        follows = contract.breach(name)
        if follows is not Breach.WARN:
            of[follows][name], bound = parsing.breach(contract, name)
            found.values.update(bound)
    return found


def set_aside(
    connection: psycopg.Connection[Any],
    load_id: int,
    contract: SenderContract,
    rules: Rules,
    look: Look,
    where: str,
) -> list[tuple[int, str]]:
    """Take rows out of staging with values that the contract allows in no row: (line, column).

    ``where`` names the file. Raises ``BatchError`` if a value is there that the contract allows in
    no file.
    """
    values = {"load_id": load_id, **rules.values}
    table = sql.Identifier(contract.feed.table)
    if _FATAL in look.seen:
        counts = sql.SQL(", ").join(
            sql.SQL("count(*) filter (where {})").format(rule) for rule in rules.fatal.values()
        )
        found = scalar(
            connection,
            "stage/stage.count_breaches",
            values,
            table=table,
            found=sql.SQL("array[{}]").format(counts),
        )
        for name, rows in zip(rules.fatal, found, strict=True):
            if rows:
                raise BatchError(
                    Refusal.CONTRACT_BROKEN,
                    f"{where} was refused: {name} of {rows:,} rows is not {contract.check(name)}, "
                    f"which its contract {contract.name} asks of every row.",
                    "Ask the sender for a file that keeps to the contract; nothing was loaded.",
                )
    if _COSTLY not in look.seen:
        return []
    cases = [
        sql.SQL("when {} then {}").format(rule, sql.Literal(name))
        for name, rule in rules.costly.items()
    ]
    return run(
        connection,
        "stage/stage.set_aside_breaches",
        values,
        table=table,
        is_breach=_any(rules.costly),
        at_fault=sql.SQL("case {} end").format(sql.SQL(" ").join(cases)),
    ).fetchall()


def _any(rules: dict[str, sql.Composable]) -> sql.Composed:
    return sql.SQL(" or ").join(rules.values())


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
