"""Sets of codes: dimensions without history, extended by the codes that a load names."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from etl.contracts.feeds import FEEDS
from etl.db.statements import names, run, statement
from etl.render.code_sets import value
from etl.stages.dims import publishing
from etl.warehouse.code_sets import CODE_SETS, CodeSet, Naming
from etl.warehouse.tables import Schemas

# Decimal numbers go as text, in all their digits.
_dumps = partial(json.dumps, default=str)


def extend(connection: psycopg.Connection[Any], schemas: Schemas, values: dict[str, Any]) -> int:
    """Extend each set by the codes that the load names; how many.

    ``schemas``: those of the build, in its layout. ``values``: ``load_id`` whose rows are looked
    at, ``made_by`` in whose name codes come.
    """
    return sum(_extend(connection, schemas, codes, values) for codes in CODE_SETS.values())


def _extend(
    connection: psycopg.Connection[Any], schemas: Schemas, codes: CodeSet, values: dict[str, Any]
) -> int:
    parts = parts_of(codes)
    run(connection, "dims/code_sets.ensure_unknown", _rows(codes, [None]), **parts)
    # A query of its own, since one that inserts at once would use one core.
    missing = run(connection, "dims/code_sets.missing", values, **parts).fetchall()
    if not missing:
        return 0
    given = values | _rows(codes, (code for (code,) in missing))
    added = run(connection, "dims/code_sets.extend", given, **parts).rowcount
    publishing.analyze(connection, schemas, codes.table)
    return added


def _rows(codes: CodeSet, said: Iterable[str | None]) -> dict[str, Any]:
    """Rows of codes without their keys, as a statement binds them."""
    rows = [codes.describe(code or "")._asdict() | {codes.code: code} for code in said]
    return {"rows": Jsonb(rows, dumps=_dumps)}


def parts_of(codes: CodeSet) -> dict[str, sql.Composable]:
    """Identifiers and fragments of the statements about a set."""
    columns = (*codes.attributes, "is_inferred")
    return {
        "dim": sql.Identifier(codes.table),
        "sk": sql.Identifier(codes.sk),
        "code": sql.Identifier(codes.code),
        "attributes": names(columns),
        "attributes_of_row": names(columns, "r"),
        "named": sql.SQL(" union ").join(_named(codes, naming) for naming in codes.named_by),
    }


def _named(codes: CodeSet, naming: Naming) -> sql.Composed:
    return statement(
        "dims/code_sets.named",
        staging=sql.Identifier(FEEDS[naming.feed].table),
        written=sql.Identifier(naming.column),
        value=value(codes, sql.Identifier("s", naming.column)),
    )
