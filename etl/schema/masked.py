"""The masked schemas of a build: what analysts read, under the names of what it shows.

- ``limited`` and ``safe_harbor`` show every relation as their standard treats it
  (``etl/access/treatments.py``).
- ``limited_as_known`` is to ``limited`` what ``as_known`` is to the warehouse.
- ``scoped`` is ``limited`` with the members of the states that the reader may see, and theirs.

All views belong to the owner of the tables, so a reader needs no right on these. On a cluster they
read nothing that lies on other nodes: where they would, they say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from psycopg import sql

from etl.access.classification import MEMBER_LIMITED_ROWS, MEMBER_MASKED, cube_columns
from etl.access.masking import Masking, restricted
from etl.access.treatments import Standard
from etl.db.statements import names, read_file, statement
from etl.schema.marts import mart, masked_mart
from etl.schema.objects import Columns, Place, Refusal, Rows, SchemaObject, Wrapper, function_of
from etl.schema.readers import (
    KEYS,
    as_known_rows,
    dimension_views,
    fact_history,
    has_versions,
    refusal_as_known,
)
from etl.warehouse.details import DETAILS
from etl.warehouse.places import LOCAL, NOT_MASKED, PLACES
from etl.warehouse.tables import (
    CUBES,
    DIM_MEMBER,
    DIMENSIONS,
    FACTS,
    MARTS,
    MARTS_OF_CUBES,
    MEMBER_LIMITED,
    MEMBER_SCOPE,
    Cube,
)

# A row that is refused must not be seen by a function of the reader's either.
_BARRIER = "with (security_barrier)"
# Fewer persons than these in a cell could be known by it.
FEWEST_PERSONS = 11
_FEWEST = sql.Literal(FEWEST_PERSONS)

_LIMITED = Standard.LIMITED
# What has a key of members, all of whose versions are in the dimension.
_KEYED = (
    *(fact.table for fact in FACTS.values()),
    *(detail.table for detail in DETAILS),
)
# The facts whose rows a mart has, by which its members are found to be in scope.
_FACTS_OF_MARTS = {
    "claim": "fact_claim",
    "claim_line": "fact_claim_line",
    "claim_diagnosis": "bridge_claim_diagnosis",
    "enrollment": "fact_enrollment",
}
# What the limited copy of the member dimension shows.
_OF_COPY = tuple(f"{DIM_MEMBER.table}{form}" for form in ("", "_current", "_as_is"))

# Versions of members with the codes of a standard.
_MEMBERS: dict[Standard, Place | Rows] = {
    Standard.LIMITED: Place("warehouse", MEMBER_LIMITED),
    Standard.SAFE_HARBOR: Rows(
        "access/masked.members", {"dim_member": Place("warehouse", DIM_MEMBER.table)}
    ),
}

Parts = Mapping[str, sql.Composable]


class _Part(NamedTuple):
    """A part of the claims of a cell: its persons and claims, and the measures of it alone.

    ``persons``: the columns that count its persons. Any that are 1 to 10 hide the measures: those
    of denied claims also say how many are not denied. None of these columns is shown, because the
    persons of two parts overlap: with both, those of one alone could be computed.
    """

    persons: tuple[str, ...]
    measures: tuple[str, ...]


_PARTS = {
    "pending": _Part(("pending_members",), ("pending_claims", "pending_billed_usd")),
    "unknown_status": _Part(
        ("unknown_status_members",), ("unknown_status_claims", "unknown_status_billed_usd")
    ),
    "denied": _Part(("denied_members", "paid_members"), ("denied_claims",)),
    "paid": _Part(("paid_members",), ("paid_usd", "paid_pmpm_usd", "paid_per_1000_usd")),
}


def access_functions() -> Iterator[SchemaObject]:
    """What masked views call."""
    for name in read_file("access/functions"):
        made = function_of(f"access/functions.{name}", "access")
        yield replace(made, parts={**made.parts, "restricted": restricted()})


def masked() -> Iterator[SchemaObject]:
    """The masked views on dimensions and facts."""
    yield from _copy()
    for standard in Standard:
        for shown in _relations():
            if standard is not _LIMITED or shown.place.name not in _OF_COPY:
                yield _masked(shown, standard)
        for name in MARTS:
            yield _masked_mart(name, standard)
    yield from _as_known()
    for shown in _relations():
        yield from _scoped(shown)
    for name in MARTS:
        yield from _scoped(mart(name))


def _masked_mart(name: str, standard: Standard) -> SchemaObject:
    """A mart of members that bear the codes of a standard."""
    made = replace(masked_mart(name, _MEMBERS[standard]), refusal=_refusal("mart", name))
    return _masked(made, standard, has_codes=True)


@cache
def masked_cubes() -> tuple[SchemaObject, ...]:
    """The masked views on cubes, which have to be there first."""
    return tuple(_of_cubes())


def _of_cubes() -> Iterator[SchemaObject]:
    for name in MARTS_OF_CUBES:
        yield _masked(mart(name), _LIMITED)
    for cube in CUBES.values():
        shown = _table("cubes", cube.name)
        yield _masked(shown, _LIMITED)
        if cube.is_of_persons:
            yield from _scoped(shown, cube)
            yield _masked(shown, Standard.SAFE_HARBOR)
        elif cube.persons:
            hidden = replace(shown, wrappers=(_hides_cells(cube),))
            yield _masked(hidden, Standard.SAFE_HARBOR)


def _relations() -> Iterator[SchemaObject]:
    """Each relation of dimensions and facts that masked schemas show, as a view of all its rows."""
    for table in KEYS:
        yield _of_coordinator(_table("warehouse", table), table)
    for dimension in DIMENSIONS.values():
        for view in dimension_views("warehouse", dimension):
            yield _of_coordinator(view, dimension.table)
    for fact in FACTS.values():
        if fact.states:
            yield _of_coordinator(fact_history(fact), fact.table)


def _of_coordinator(view: SchemaObject, table: str) -> SchemaObject:
    """A view on a table, for readers who may ask nothing of other nodes of a cluster.

    A dimension is read where loads change it, and what only lies on other nodes not at all.
    """
    if not has_versions(table):
        return replace(view, refusal=_refusal(*view.place[:2], table))
    found = {Place("warehouse", table): Place("versions", table)}
    parts = {
        name: found.get(part, part) if isinstance(part, Place) else part
        for name, part in view.parts.items()
    }
    return replace(view, parts=parts)


def _refusal(schema: str, relation: str, table: str = "") -> Refusal | None:
    """Why masked roles cannot read a relation on a cluster; none where its table lies with them."""
    if table and PLACES[table] == LOCAL:
        return None
    return Refusal(NOT_MASKED.format(relation=relation), Place(schema, relation))


def _copy() -> Iterator[SchemaObject]:
    """What the limited copy of the member dimension is made of, and what shows it."""
    copy, scope = Place("warehouse", MEMBER_LIMITED), Place("warehouse", MEMBER_SCOPE)
    members = _table("warehouse", DIM_MEMBER.table)
    # The copy follows while a load changes the dimension, before that is published.
    members = replace(members, parts={"relation": Place("versions", DIM_MEMBER.table)})
    masked_rows = replace(_masked(members, _LIMITED), place=Place("warehouse", MEMBER_MASKED))
    rows = Place("warehouse", MEMBER_LIMITED_ROWS)
    yield masked_rows
    yield SchemaObject(
        "view",
        rows,
        "access/limited.rows",
        {"shown": masked_rows.place, "copy": copy, "due": rows, "scope": scope},
        made_of=masked_rows,
        then=tuple(
            f"access/limited.{name}"
            for name in ("remove_differing", "add_missing", "remove_scopes", "add_scopes")
        ),
    )
    yield SchemaObject(
        "view",
        Place(_LIMITED.value, DIM_MEMBER.table),
        "access/limited.dimension",
        {"copy": copy},
        {"relation": DIM_MEMBER.table},
        columns_of=Columns(copy, "m", ("version_sk",)),
    )
    yield from dimension_views(_LIMITED.value, DIM_MEMBER)


def _table(schema: str, table: str) -> SchemaObject:
    place = Place(schema, table)
    parts = {"relation": place}
    return SchemaObject("view", place, "access/masked.table", parts, {"relation": table})


def _masked(shown: SchemaObject, standard: Standard, *, has_codes: bool = False) -> SchemaObject:
    """A view on a relation's rows as a standard treats them."""
    schema, relation, _ = shown.place
    by_copy = standard is _LIMITED and relation in _KEYED
    return replace(
        shown,
        place=Place(standard.value, relation),
        masking=Masking(standard, schema, relation, by_copy, has_codes),
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
            refusal=refusal_as_known(table)
            or (None if has_versions(table) else _refusal("warehouse", table, table)),
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
    relation = shown.place.name
    if relation in (*_KEYED, *_FACTS_OF_MARTS):
        yield _facts_in_scope(shown)
        return
    in_scope = _scope(relation, cube)
    if in_scope is None:
        return
    scopes = tuple(
        Wrapper(
            f"access/masked.{scope}",
            {
                "dim_member": Place("versions", DIM_MEMBER.table),
                "members": Place(_LIMITED.value, "dim_member"),
                "day": sql.Identifier(day),
            },
        )
        for scope, day in in_scope
    )
    if relation in (*_OF_COPY, *MARTS):
        # Masked before they are filtered, so that both need one join.
        view = replace(_table(_LIMITED.value, relation), wrappers=scopes)
        if relation in MARTS:
            view = replace(view, refusal=_refusal("mart", relation))
    else:
        view = replace(_masked(shown, _LIMITED), wrappers=scopes)
    yield replace(view, place=Place("scoped", relation), options=_BARRIER if scopes else "")


def _facts_in_scope(shown: SchemaObject) -> SchemaObject:
    """A view on facts, or a mart of them, of members of the reader's states."""
    name = shown.place.name
    fact = _FACTS_OF_MARTS.get(name)
    parts = {
        "relation": Place("warehouse", fact or name),
        "dim_member": Place("warehouse", DIM_MEMBER.table),
        "scope": Place("warehouse", MEMBER_SCOPE),
    }
    part = {fact or "relation": Rows("access/masked.facts_in_scope", parts)}
    made = masked_mart(name, _MEMBERS[_LIMITED]) if fact else shown
    made = replace(made, parts={**made.parts, **part})
    made = replace(made, refusal=_refusal(*shown.place[:2]))
    view = _masked(made, _LIMITED, has_codes=fact is not None)
    return replace(view, place=Place("scoped", name), options=_BARRIER)


def _scope(relation: str, cube: Cube | None) -> list[tuple[str, str]] | None:
    """How rows of a relation are found to be in scope; none where nothing shows that."""
    if cube and "state" not in cube_columns(cube.name):
        return [("in_scope_by_member_and_day", cube.grain[1])]
    if relation == "dim_member_as_is":
        return [("in_scope_by_key", ""), ("in_scope_by_state", "")]
    if cube or relation.startswith("dim_member") or relation in ("dim_geography", *MARTS):
        return [("in_scope_by_state", "")]
    if relation.startswith(("fact_", "bridge_")):
        return None
    return []


def _hides_cells(cube: Cube) -> Wrapper:
    """What hides the small cells of a cube, whose grain ends with a category and a month."""
    *others, category, month = cube.grain
    columns = list(cube_columns(cube.name))
    parts: dict[str, sql.Composable] = {
        "month": sql.Identifier(month),
        "block": names([*others, category]),
        "partition": names([*others, "cell_year"]),
    }
    of_cells = [
        _kind(persons, [_small(sql.Identifier("c", persons), names(counts, "c"))], parts)
        for persons, counts in cube.persons.items()
    ]
    of_parts = {name: _part_of_claims(name, parts) for name in _PARTS}
    kinds = [*of_cells, *of_parts.values()]
    shown: dict[str, sql.Composable] = {column: sql.Identifier(column) for column in columns}
    for name, kind in of_parts.items():
        for column in shown.keys() & set(_PARTS[name].measures):
            shown[column] = _hidden_where(kind["hides"], column)
        for column in shown.keys() & set(_PARTS[name].persons):
            shown[column] = _hidden_where(sql.SQL("true"), column)
    said: dict[str, sql.Composable] = {
        "columns": sql.SQL(", ").join(shown.values()),
        "hidden_columns": sql.SQL(", ").join(
            sql.Identifier(column) if column in cube.grain else sql.SQL("null")
            for column in columns
        ),
        "is_small": sql.SQL("\nor ").join(kind["is_small"] for kind in of_cells),
        "is_second": sql.SQL("\nor ").join(
            statement("access/masked.cells_second", **kind) for kind in of_cells
        ),
        "counted": _said("counted", kinds),
        "ranked": _said("ranked", kinds),
        "hides_parts": _said("part_hidden", of_parts.values()),
    }
    return Wrapper("access/masked.cells", {**parts, **said})


def _hidden_where(hides: sql.Composable, column: str) -> sql.Composed:
    return statement("access/masked.cells_measure", measure=sql.Identifier(column), hides=hides)


def _part_of_claims(name: str, parts: Parts) -> Parts:
    """The parts of statements about cells by the persons of a part."""
    counted = [sql.Identifier("c", column) for column in _PARTS[name].persons]
    kind = _kind(name, [_small(persons, persons) for persons in counted], parts)
    return {**kind, "persons": counted[0], "among": kind["small"]}


def _kind(name: str, small: Iterable[sql.Composed], parts: Parts) -> Parts:
    """The parts of statements about cells by one thing that is counted, a column of persons."""
    made = ("small", "months", "all", "has_small", "place", "hides")
    return {
        **{part: sql.Identifier(f"{name}_{part}") for part in made},
        **{part: parts[part] for part in ("block", "partition")},
        "among": sql.Identifier("is_small"),
        "persons": sql.Identifier("c", name),
        "fewest": _FEWEST,
        "is_small": sql.SQL("\nor ").join(small),
    }


def _small(persons: sql.Composable, counts: sql.Composable) -> sql.Composed:
    """Whether there is anything to count, and of few."""
    return statement(
        "access/masked.cells_are_small", persons=persons, counts=counts, fewest=_FEWEST
    )


def _said(what: str, kinds: Iterable[Parts]) -> sql.Composed:
    """A statement about cells, of each thing that is counted."""
    return sql.SQL(", ").join(statement(f"access/masked.cells_{what}", **kind) for kind in kinds)
