"""The masked schemas of a build: what analysts read, under the names of what it shows.

- ``limited`` and ``safe_harbor`` show every relation as their standard treats it
  (``etl/access/treatments.py``).
- ``limited_as_known`` is to ``limited`` what ``as_known`` is to the warehouse.
- ``scoped`` is ``limited`` with the members of the states that the reader may see, and theirs.

All views belong to the owner of the tables, so a reader needs no right on these.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from psycopg import sql

from etl.access.classification import cube_columns
from etl.access.masking import Masking, restricted
from etl.access.treatments import Standard
from etl.db.statements import names, read_file, statement
from etl.schema.objects import Columns, Place, SchemaObject, Wrapper, function_of
from etl.schema.readers import KEYS, as_known_rows, dimension_views, fact_history
from etl.warehouse.tables import CUBES, DIMENSIONS, FACTS, Cube, past_of

# A row that is refused must not be seen by a function of the reader's either.
_BARRIER = "with (security_barrier)"
# Fewer persons than these in a cell could be known by it.
FEWEST_PERSONS = 11


def access_functions() -> Iterator[SchemaObject]:
    """What masked views call."""
    for name in read_file("access/functions"):
        made = function_of(f"access/functions.{name}", "access")
        yield replace(made, parts={**made.parts, "restricted": restricted()})


def masked() -> Iterator[SchemaObject]:
    """The masked views on dimensions and facts."""
    for standard in Standard:
        for shown in _relations():
            yield _masked(shown, standard)
    yield from _as_known()
    for shown in _relations():
        yield from _scoped(shown)


@cache
def masked_cubes() -> tuple[SchemaObject, ...]:
    """The masked views on cubes, which have to be there first."""
    return tuple(_of_cubes())


def _of_cubes() -> Iterator[SchemaObject]:
    for cube in CUBES.values():
        shown = _table("cubes", cube.name)
        yield _masked(shown, Standard.LIMITED)
        if cube.is_of_persons:
            yield from _scoped(shown, cube)
            yield _masked(shown, Standard.SAFE_HARBOR)
        elif cube.persons:
            hidden = replace(shown, wrappers=(_hides_cells(cube),))
            yield _masked(hidden, Standard.SAFE_HARBOR)


def _relations() -> Iterator[SchemaObject]:
    """Each relation of dimensions and facts that masked schemas show, as a view of all its rows."""
    for table in KEYS:
        yield _table("warehouse", table)
        if KEYS[table]:
            yield _table("warehouse", past_of(table))
    for dimension in DIMENSIONS.values():
        yield from dimension_views("warehouse", dimension)
    for fact in FACTS.values():
        if fact.states:
            yield _table("warehouse", fact.state)
            yield fact_history(fact)


def _table(schema: str, table: str) -> SchemaObject:
    place = Place(schema, table)
    parts = {"relation": place}
    return SchemaObject("view", place, "access/masked.table", parts, {"relation": table})


def _masked(shown: SchemaObject, standard: Standard) -> SchemaObject:
    """A view on a relation's rows as a standard treats them."""
    schema, relation, _ = shown.place
    return replace(
        shown,
        place=Place(standard.value, relation),
        masking=Masking(standard, schema, relation),
    )


def _as_known() -> Iterator[SchemaObject]:
    for table in KEYS:
        rows, parts = as_known_rows(table)
        yield SchemaObject(
            "view",
            Place("limited_as_known", table),
            rows,
            {"load": Place("warehouse", "as_known_point", is_call=True), **parts},
            {"table": table},
            columns_of=Columns(Place("warehouse", table), "kept"),
            masking=Masking(Standard.LIMITED, "warehouse", table),
        )
    for dimension in DIMENSIONS.values():
        yield from dimension_views("limited_as_known", dimension)
    for name in ("as_known_at", "as_known_at_time", "as_known_now"):
        made = function_of(f"access/masked.{name}", "limited")
        yield replace(made, parts={**made.parts, "warehouse": Place("warehouse")})


def _scoped(shown: SchemaObject, cube: Cube | None = None) -> Iterator[SchemaObject]:
    """A view on those rows of a relation that are about members of the reader's states.

    What says of no row whose it is has none.
    """
    in_scope = _scope(shown.place.name, cube)
    if in_scope is None:
        return
    scopes = tuple(
        Wrapper(
            f"access/masked.{scope}",
            {"dim_member": Place("warehouse", "dim_member"), "day": sql.Identifier(day)},
        )
        for scope, day in in_scope
    )
    view = replace(_masked(shown, Standard.LIMITED), wrappers=scopes)
    yield replace(view, place=Place("scoped", shown.place.name), options=_BARRIER if scopes else "")


def _scope(relation: str, cube: Cube | None) -> list[tuple[str, str]] | None:
    """How rows of a relation are found to be in scope; none where nothing shows that."""
    if cube:
        return [("in_scope_by_member_and_day", cube.grain[1])]
    if relation == "dim_member_as_is":
        return [("in_scope_by_key", ""), ("in_scope_by_state", "")]
    if relation.startswith("dim_member") or relation == "dim_geography":
        return [("in_scope_by_state", "")]
    if relation in (*(fact.table for fact in FACTS.values()),):
        return [("in_scope_by_key", "")]
    if relation.startswith("fact_"):
        return None
    return []


def _hides_cells(cube: Cube) -> Wrapper:
    """What hides the small cells of a cube, whose grain ends with a category and a month."""
    *others, category, month = cube.grain
    columns = list(cube_columns(cube.name))
    hidden = [
        sql.Identifier(column) if column in cube.grain else sql.SQL("null") for column in columns
    ]
    parts: dict[str, sql.Composable] = {
        "month": sql.Identifier(month),
        "block": names([*others, category]),
        "partition": names([*others, "cell_year"]),
        "columns": names(columns),
        "hidden_columns": sql.SQL(", ").join(hidden),
    }
    kinds = [_cells_of(persons, counts, parts) for persons, counts in cube.persons.items()]
    said: dict[str, sql.Composable] = {
        "is_small": sql.SQL("\nor ").join(kind["is_small"] for kind in kinds),
        "counted": _said("counted", kinds),
        "ranked": _said("ranked", kinds),
        "is_second": sql.SQL("\nor ").join(
            statement("access/masked.cells_second", **kind) for kind in kinds
        ),
    }
    return Wrapper("access/masked.cells", {**parts, **said})


def _cells_of(
    persons: str, counts: tuple[str, ...], parts: dict[str, sql.Composable]
) -> dict[str, sql.Composable]:
    """The parts of statements about cells by one column that counts persons."""
    made = ("small", "months", "all", "has_small", "place")
    kind: dict[str, sql.Composable] = {
        **{part: sql.Identifier(f"{persons}_{part}") for part in made},
        **{part: parts[part] for part in ("block", "partition")},
        "persons": sql.Identifier(persons),
        "counts": names(counts, "c"),
        "fewest": sql.Literal(FEWEST_PERSONS),
    }
    return {**kind, "is_small": statement("access/masked.cells_are_small", **kind)}


def _said(what: str, kinds: list[dict[str, sql.Composable]]) -> sql.Composed:
    """A statement about cells, of each column that counts persons."""
    return sql.SQL(", ").join(statement(f"access/masked.cells_{what}", **kind) for kind in kinds)
