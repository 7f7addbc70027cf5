"""Policies that note who reads the tables that identify a person, and what else audit is made of.

Which tables these are follows from the identifiers of their columns (``etl/access``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any, LiteralString

from psycopg import sql
from sqlalchemy import BigInteger, PrimaryKeyConstraint, String, Table, UniqueConstraint
from sqlalchemy.dialects.postgresql import DOMAIN, TIMESTAMP
from sqlalchemy.types import TypeEngine

from etl.access.classification import cube_columns, identifies
from etl.contracts.feeds import FEEDS
from etl.db.statements import statement
from etl.schema.audit_tables import CHAINS
from etl.schema.objects import Parts, Place, SchemaObject, Wrapper, functions_of
from etl.schema.warehouse_tables import live_tables
from etl.warehouse.tables import CUBES, DIM_MEMBER, DIMENSIONS, Dimension

# Those of the schemas that no rebuild replaces; a test compares them with the catalog.
_KEPT = (
    Place("quality", "rejected_key"),
    Place("quality", "check_result"),
    Place("access", "member_crosswalk"),
    Place("access", "legal_hold"),
    Place("access", "row_fingerprint"),
    Place("audit", "look"),
    Place("audit", "disclosure"),
    Place("audit", "deletion"),
)
# Those of them that show their rows to some readers only.
_KEPT_FOR_STEWARDS = (Place("quality", "quarantined_line"), Place("quality", "correction"))
# A policy of a table applies to whoever reads a view on it only if the view asks as the reader.
_AS_READER = "with (security_invoker)"
# Types of the columns that begin an index: what SQL calls each, and its least value.
_LEAST: dict[type[TypeEngine[Any]], tuple[LiteralString, str]] = {
    String: ("text", ""),
    BigInteger: ("bigint", "-9223372036854775808"),
    TIMESTAMP: ("timestamptz", "-infinity"),
}


def audit_objects() -> Iterator[SchemaObject]:
    """Functions and triggers of audit."""
    yield from functions_of("audit/functions", "audit")
    for chain in CHAINS:
        for name in ("add_link", "refuse_change"):
            trigger = f"{chain}_{name}"
            yield SchemaObject(
                "trigger",
                Place("audit", trigger),
                f"audit/triggers.{name}",
                {
                    "trigger": sql.Identifier(trigger),
                    "table": Place("audit", chain),
                    "schema": Place("audit"),
                },
                {"chain": chain},
                on_table=chain,
            )


def noted_kept(*schemas: str) -> Iterator[SchemaObject]:
    """Policies on tables of some schemas that no rebuild replaces."""
    for table in (*_KEPT, *_KEPT_FOR_STEWARDS):
        if table.schema in schemas:
            if table in _KEPT:
                yield _policy("granted", table)
            yield _policy("noted", table)


def noted_of_build() -> Iterator[SchemaObject]:
    """Policies on the tables of a build: staging, dimensions and their past."""
    for feed in FEEDS.values():
        columns = [column.name for column in feed.staged]
        if identifies("staging", feed.table, columns):
            yield from _policies(Place("staging", feed.table))
    for dimension in DIMENSIONS.values():
        if identifies_persons(dimension):
            # Where loads change it: Citus allows no such policy on what is published, which people
            # have no right on (etl/schema/grants.py).
            yield from _policies(Place("warehouse", dimension.table), at="versions")
            yield from _policies(Place("internal", dimension.past))


def noted_cubes() -> Iterator[SchemaObject]:
    """Policies on cubes, which have to be there first."""
    for cube in CUBES.values():
        if identifies("cubes", cube.name, list(cube_columns(cube.name))):
            yield from _policies(Place("cubes", cube.name))


def identifies_persons(dimension: Dimension) -> bool:
    """Whether the rows of a dimension say who a person is."""
    columns = [column.name for column in dimension.feed.columns]
    return identifies("warehouse", dimension.table, columns)


def as_reader(view: SchemaObject) -> SchemaObject:
    """A view that reads its tables with the rights of who reads it."""
    return replace(view, options=_AS_READER)


def noted_by_itself(view: SchemaObject) -> SchemaObject:
    """A view that reads on a cluster what is published of members, and notes who looks at them.

    There it has the rights of its owner, as readers have none on what is published.
    """
    parts: Parts = {
        "relation": sql.Literal(f"warehouse.{DIM_MEMBER.table}"),
        "kept": Place("versions", DIM_MEMBER.table),
    }
    return replace(as_reader(view), noted_on_cluster=Wrapper("schema/layout.noted_rows", parts))


def _policies(table: Place, at: str = "") -> Iterator[SchemaObject]:
    """The policies of a table. ``at``: the schema that it is in, if its name in notes says another.

    So a look at a person is one at the member dimension in every layout.
    """
    yield _policy("granted", table, at)
    yield _policy("noted", table, at)


def _policy(name: str, table: Place, at: str = "") -> SchemaObject:
    return SchemaObject(
        "policy",
        Place(at or table.schema, name),
        f"audit/policies.{name}",
        {
            "table": Place(at or table.schema, table.name),
            "relation": sql.Literal(f"{table.schema}.{table.name}"),
            **(_bounds(table) if name == "noted" else {}),
        },
        on_table=table.name,
    )


def _bounds(table: Place) -> dict[str, sql.Composable]:
    """What is looked up in each index of a table besides what a reader asks for."""
    columns = begin_an_index(table)
    bounds = [
        statement(
            "audit/policies.bound",
            column=sql.Identifier(column),
            relation=sql.Literal(f"{table.schema}.{table.name}"),
            type=sql.SQL(kind),
            least=sql.Literal(least),
        )
        for column, (kind, least) in sorted(columns.items())
    ]
    return {"columns": sql.Literal(sorted(columns)), "bounds": sql.SQL("").join(bounds)}


def begin_an_index(table: Place) -> dict[str, tuple[LiteralString, str]]:
    """The columns of a table that begin an index, none of which is ever empty; type, least value.

    Without BRIN indexes, which find blocks of rows and not rows.
    """
    if table.schema == "cubes":
        return {CUBES[table.name].grain[0]: _LEAST[String]}
    declared = _tables()[table]
    unique = (PrimaryKeyConstraint, UniqueConstraint)
    keys = [c for c in declared.constraints if isinstance(c, unique)]
    indexes = [i for i in declared.indexes if not i.dialect_options["postgresql"]["using"]]
    begin = [columns[0] for entry in (*keys, *indexes) if (columns := list(entry.columns))]
    return {column.name: _least(column.type) for column in begin}


def _least(kind: TypeEngine[Any]) -> tuple[LiteralString, str]:
    base = kind.data_type if isinstance(kind, DOMAIN) else kind
    return next(least for known, least in _LEAST.items() if isinstance(base, known))


@cache
def _tables() -> dict[Place, Table]:
    return {Place(str(t.schema), t.name): t for t in live_tables().tables.values()}
