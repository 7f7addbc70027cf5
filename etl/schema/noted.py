"""Policies that note who reads the tables that identify a person, and what else audit is made of.

Which tables these are follows from the identifiers of their columns (``etl/access``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from psycopg import sql

from etl.access.classification import cube_columns, identifies
from etl.contracts.feeds import FEEDS
from etl.schema.audit_tables import CHAINS
from etl.schema.objects import Place, SchemaObject, functions_of
from etl.warehouse.tables import CUBES, DIMENSIONS, Dimension

# Those of the schemas that no rebuild replaces; a test compares them with the catalog.
_KEPT = (
    Place("quality", "rejected_key"),
    Place("quality", "check_result"),
    Place("access", "member_crosswalk"),
    Place("access", "legal_hold"),
    Place("audit", "look"),
    Place("audit", "disclosure"),
    Place("audit", "deletion"),
)
# Those of them that show their rows to some readers only.
_KEPT_FOR_STEWARDS = (Place("quality", "quarantined_line"), Place("quality", "correction"))
# A policy of a table applies to whoever reads a view on it only if the view asks as the reader.
_AS_READER = "with (security_invoker)"


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
            for table in (dimension.table, dimension.past):
                yield from _policies(Place("warehouse", table))


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


def _policies(table: Place) -> Iterator[SchemaObject]:
    yield _policy("granted", table)
    yield _policy("noted", table)


def _policy(name: str, table: Place) -> SchemaObject:
    return SchemaObject(
        "policy",
        Place(table.schema, name),
        f"audit/policies.{name}",
        {
            "table": table,
            "relation": sql.Literal(f"{table.schema}.{table.name}"),
        },
        on_table=table.name,
    )
