"""The schema ``mart``: what people read, views that say the right answer the easy way.

A view of ``sql/mart`` has its ``definition`` and its ``columns``, like a cube; each cube has a view
of its own name. Every column says in the catalog what it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from psycopg import sql

from etl.access.classification import identifies, mart_columns
from etl.db.statements import statement
from etl.render import claim_status
from etl.schema.noted import as_reader, noted_by_itself
from etl.schema.objects import InLayout, Place, Rows, SchemaObject, functions_of
from etl.schema.readers import KEYS, at_versions
from etl.warehouse.tables import CUBES, DIM_MEMBER, FACT_CLAIM, MARTS, MARTS_OF_CUBES

# What the statements of sql/mart call the facts that have the key of a member.
_FACTS = ("c", "l", "e", "b")
# Marts of what lies on the workers of a cluster: they join members as published to every node.
_OF_CLAIMS = ("claim", "claim_line", "claim_diagnosis")
_EARLIER_STATES = {"earlier_states": Place("internal", FACT_CLAIM.state)}


@cache
def mart_functions() -> tuple[SchemaObject, ...]:
    """What views call, of all schemas."""
    return tuple(functions_of("mart/functions", "mart"))


@cache
def marts() -> tuple[SchemaObject, ...]:
    """The views on facts and dimensions."""
    return tuple(map(_noted, map(mart, MARTS)))


@cache
def marts_of_cubes() -> tuple[SchemaObject, ...]:
    """The views on cubes, which have to be there first."""
    return tuple(_of_cubes())


def mart(name: str) -> SchemaObject:
    """A view of ``sql/mart`` that reads its tables with the rights of its owner."""
    return SchemaObject(
        "view",
        Place("mart", name),
        f"mart/{name}.definition",
        {
            "mart": Place("mart"),
            "state": claim_status.state("c"),
            "as_of": statement("ledger/as_of.loaded"),
            **own_keys(),
            "had_amounts": InLayout(
                "facts/status.had_amounts", "facts/status.had_amounts_joined", _EARLIER_STATES
            ),
            "join_had_amounts": InLayout("", "facts/status.join_had_amounts", _EARLIER_STATES),
            **{table: Place("warehouse", table) for table in KEYS},
            **{cube: Place("cubes", cube) for cube in CUBES},
        },
    )


def own_keys() -> dict[str, sql.Composable]:
    """What the statements read as keys of members where versions and facts bear their own."""
    of_facts = {f"{row}_member_sk": sql.Identifier(row, DIM_MEMBER.sk) for row in _FACTS}
    return {"version_sk": sql.Identifier(DIM_MEMBER.sk), **of_facts}


def masked_mart(name: str, members: Place | Rows) -> SchemaObject:
    """The same of members that bear the codes of a masked schema.

    ``members``: versions of members, each with its own key as ``version_sk``, and the codes of
    person and key as ``member_id`` and ``member_sk``. So a question about one code finds its
    version first, also in a view of several parts, where a code put in around it would be compared
    only after all parts were there.
    """
    shown = mart(name)
    of_version = {f"{row}_member_sk": sql.Identifier("m", DIM_MEMBER.sk) for row in _FACTS}
    parts = {"dim_member": members, "version_sk": sql.Identifier("version_sk"), **of_version}
    return replace(shown, parts={**shown.parts, **parts})


def _noted(view: SchemaObject) -> SchemaObject:
    """The view as readers have it: where it says who a person is, reading it is noted."""
    columns = list(mart_columns(view.place.name))
    if not identifies("mart", view.place.name, columns):
        return view
    if view.place.name in _OF_CLAIMS:
        return noted_by_itself(view)
    return as_reader(at_versions(view))


def _of_cubes() -> Iterator[SchemaObject]:
    yield from map(mart, MARTS_OF_CUBES)
    for cube in CUBES.values():
        # The cube's comment says too since when nobody should read it.
        yield _noted(
            SchemaObject(
                "view",
                Place("mart", cube.name),
                "mart/cubes.cube",
                {"cube": Place("cubes", cube.name)},
                {"description": cube.comment},
            )
        )
