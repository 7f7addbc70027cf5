"""Views, functions, triggers and rights: texts in ``sql/``, made again when they change.

Tables have migrations, since they contain rows. Everything else is what its text says: each object
is one statement of ``sql/``, the same for the live schemas and for those of a rebuild. The mark at
the end of its comment says which text it was made from, so one query finds what has to be made
again.

To add a view on the ledger or on quality, add a statement to ``sql/ledger/views.sql`` or
``sql/quality/views.sql``. Statements are made in their order here and in the files, so what reads
another object comes after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from itertools import chain
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from etl.db.connection import set_search_path
from etl.db.statements import run, scalar
from etl.errors import SchemaError
from etl.schema import layout
from etl.schema.marts import mart_functions, marts, marts_of_cubes
from etl.schema.masked import access_functions, masked, masked_cubes
from etl.schema.noted import audit_objects, noted_cubes, noted_kept, noted_of_build
from etl.schema.objects import Place, SchemaObject, function_of, functions_of, views_of
from etl.schema.readers import readers, readers_of_cluster
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import (
    CUBES,
    DIM_MEMBER,
    DIMENSIONS,
    FACTS,
    KEPT,
    LIVE,
    Dimension,
    Fact,
    Schemas,
)

# What may have to be dropped to be made again; the others can be replaced where they are.
_DROPPED = ("view", "function", "aggregate", "trigger", "policy")
# How PostgreSQL refuses to replace one: by a view with fewer columns, by a function of other rows;
# and Citus, one that nodes have by a view that reads what the coordinator alone has.
_NOT_REPLACED = (
    psycopg.errors.InvalidTableDefinition,
    psycopg.errors.InvalidFunctionDefinition,
    psycopg.errors.FeatureNotSupported,
)


def ensure(
    connection: psycopg.Connection[Any],
    groups: Sequence[Sequence[SchemaObject]] = (),
    schemas: Schemas = LIVE.schemas,
) -> None:
    """Make what is not there as its text says, drop what has no text; who could use it still can.

    ``groups`` are the objects of some schemas; without them all. Raises ``SchemaError`` if an
    object has to be dropped and others need it.
    """
    schemas = layout.found(connection, schemas)
    groups = groups or (of_access(), kept(), of_build_and_cubes(connection, schemas))
    groups = [in_layout(group, schemas) for group in groups]
    marked = [[(entry, entry.mark) for entry in group] for group in groups]
    places = _places(chain.from_iterable(groups), schemas)
    wanted = {mark for group in marked for _, mark in group}
    marks = {mark for *_, mark in _made(connection, places)}
    if marks == wanted:
        return
    waiting: set[str] = set()
    is_sent_on = layout.is_cluster(connection)
    with connection.transaction():
        set_search_path(connection, list(KEPT))
        for group in marked:
            try:
                with connection.transaction():
                    for entry, mark in group:
                        if mark in marks:
                            continue
                        if not _make(connection, entry, schemas, is_sent_on=is_sent_on):
                            waiting.add(f"{entry.place.in_build(schemas)}.{entry.place.name}")
            except _NOT_REPLACED:
                with dropped(connection, [entry for entry, _ in group], schemas):
                    pass
        left = [made for made in _made(connection, places) if made[2] not in wanted]
        _drop(connection, [made for made in left if made[1] not in waiting])


def _make(
    connection: psycopg.Connection[Any],
    entry: SchemaObject,
    schemas: Schemas,
    *,
    is_sent_on: bool,
) -> bool:
    """Make an object; whether it could be: a cube that it reads may have to be made again first.

    The stage that makes cubes then makes what reads from them.
    """
    if entry not in on_cubes():
        entry.make(connection, schemas, is_sent_on=is_sent_on)
        return True
    try:
        with connection.transaction():
            entry.make(connection, schemas, is_sent_on=is_sent_on)
    except psycopg.errors.UndefinedColumn:
        return False
    return True


@contextmanager
def dropped(
    connection: psycopg.Connection[Any],
    objects: Sequence[SchemaObject] = (),
    schemas: Schemas = LIVE.schemas,
) -> Iterator[None]:
    """Do without objects, or all, such as while the tables that they read change.

    Afterwards they are there again, and who could use them still can. In the caller's transaction.
    """
    schemas = layout.found(connection, schemas)
    objects = objects or (*of_access(), *kept(), *of_build_and_cubes(connection, schemas))
    objects = in_layout(objects, schemas)
    places = _places(objects, schemas)
    grants = run(connection, "schema/repeatable.grants", {"schemas": places}).fetchall()
    _drop(connection, [made for made in _made(connection, places) if made[0] in _DROPPED])
    yield
    set_search_path(connection, list(KEPT))
    is_sent_on = layout.is_cluster(connection)
    for entry in objects:
        _make(connection, entry, schemas, is_sent_on=is_sent_on)
    _grant(connection, grants)


@contextmanager
def cubes_replaced(connection: psycopg.Connection[Any], schemas: Schemas) -> Iterator[None]:
    """Do without the views on cubes while cubes replace others.

    As ``dropped``; afterwards they are there, also where they were not. Raises ``SchemaError`` if
    other views read from them.
    """
    objects = on_cubes()
    values = {"schemas": _places(objects, schemas)}
    grants = run(connection, "schema/repeatable.grants", values).fetchall()
    for entry in objects:
        try:
            run(connection, "schema/repeatable.drop_view", view=entry.place.of(schemas))
        except psycopg.errors.DependentObjectsStillExist as error:
            raise SchemaError(
                f"The definition of a cube has changed, and other views read "
                f"{entry.place.in_build(schemas)}.{entry.place.name}.",
                "Drop those views, run make cubes, then create them again.",
            ) from error
    yield
    ensure(connection, [of_build_and_cubes(connection, schemas)], schemas)
    _grant(connection, grants)


def _grant(connection: psycopg.Connection[Any], grants: Sequence[tuple[LiteralString]]) -> None:
    """Grant again what was granted; of what is gone there is nothing to grant."""
    for (grant,) in grants:
        with (
            suppress(psycopg.errors.UndefinedTable, psycopg.errors.UndefinedFunction),
            connection.transaction(),
        ):
            connection.execute(grant)


def _drop(connection: psycopg.Connection[Any], made: Sequence[tuple[str, str, str]]) -> None:
    """Drop objects; what others of them need goes after these."""
    left = list(made)
    while left:
        kept_back = [entry for entry in left if not _dropped(connection, *entry[:2])]
        if len(kept_back) == len(left):
            raise SchemaError(
                f"The definition of {left[0][1]} has changed, and other views read from it.",
                "Drop those views, run make migrate, then create them again.",
            )
        left = kept_back


def _dropped(connection: psycopg.Connection[Any], kind: str, identity: str) -> bool:
    """Whether an object could be dropped, since nothing needs it."""
    item = sql.SQL(f"{kind} {identity}")
    try:
        with connection.transaction():
            run(connection, "schema/repeatable.drop", object=item)
    except psycopg.errors.DependentObjectsStillExist:
        return False
    return True


def _made(
    connection: psycopg.Connection[Any], schemas: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Kind, name and mark of what was made in these schemas."""
    values = {"schemas": list(schemas)}
    return run(connection, "schema/repeatable.made", values).fetchall()


def _places(objects: Iterable[SchemaObject], schemas: Schemas) -> list[str]:
    """The schemas that objects are in."""
    return list(dict.fromkeys(entry.place.in_build(schemas) for entry in objects))


def in_layout(objects: Iterable[SchemaObject], schemas: Schemas) -> list[SchemaObject]:
    """The objects that a build has in its layout."""
    return [entry for entry in objects if schemas.has_history or not entry.is_of_cluster]


@cache
def of_access() -> tuple[SchemaObject, ...]:
    """The objects of access and audit, which all others call."""
    return (*access_functions(), *audit_objects(), *noted_kept("access", "audit"))


@cache
def kept() -> tuple[SchemaObject, ...]:
    """The objects of ledger and quality, which no rebuild replaces."""
    return (
        *views_of("ledger/views", "ledger"),
        *functions_of("quality/functions", "quality"),
        *views_of("quality/views", "quality"),
        *(
            SchemaObject(
                "policy",
                Place("quality", "stewards"),
                "quality/access.stewards",
                {"table": Place("quality", table)},
                on_table=table,
            )
            for table in ("quarantined_line", "correction")
        ),
        *noted_kept("quality"),
    )


@cache
def of_build() -> tuple[SchemaObject, ...]:
    """The objects of a build: guards, then the views and functions that people read it by."""
    views = (*readers(), *readers_of_cluster(), *marts(), *masked())
    return (*guards(), *mart_functions(), *views, *_limits(), *noted_of_build())


def of_build_and_cubes(
    connection: psycopg.Connection[Any], schemas: Schemas
) -> tuple[SchemaObject, ...]:
    """The objects of a build, and if all its cubes are there those on them."""
    asked = {"schema": schemas.cubes, "names": list(CUBES)}
    has_cubes = scalar(connection, "schema/repeatable.has_all", asked)
    return (*of_build(), *((*on_cubes(), *noted_cubes()) if has_cubes else ()))


@cache
def on_cubes() -> tuple[SchemaObject, ...]:
    """The views on cubes, which have to be there first."""
    return (*marts_of_cubes(), *masked_cubes())


@cache
def guards() -> tuple[SchemaObject, ...]:
    """What keeps versions apart and keeps rows as they were, whoever writes."""
    entries: tuple[Dimension | Fact | Detail, ...] = (
        *DIMENSIONS.values(),
        *FACTS.values(),
        *DETAILS,
    )
    triggers = [
        _trigger("guard", dimension, event, (dimension.sk, *dimension.key))
        for dimension in DIMENSIONS.values()
        for event in ("inserts", "updates")
    ] + [_trigger("past", entry, event) for entry in entries for event in ("updates", "deletes")]
    return (
        function_of("schema/guard.refuse_overlapping_versions", "warehouse"),
        function_of("schema/past.keep_past", "warehouse"),
        function_of("schema/published.compare_published", "warehouse"),
        *triggers,
    )


def _limits() -> Iterator[SchemaObject]:
    """What keeps the limited copy of the member dimension; a rebuild fills it when it is done."""
    yield function_of("schema/limited.follow_scope", "warehouse")
    yield function_of("schema/limited.keep_limited", "warehouse")
    for event in ("inserts", "updates", "deletes", "truncates"):
        yield _trigger("limited", DIM_MEMBER, event)


def _trigger(
    file: str, entry: Dimension | Fact | Detail, event: str, arguments: Sequence[str] = ()
) -> SchemaObject:
    action = {"past": "keep", "guard": "guard", "limited": "limit"}[file]
    name = f"{entry.table}_{action}_{event}"
    schema = "versions" if isinstance(entry, Dimension) else "warehouse"
    return SchemaObject(
        "trigger",
        Place(schema, name),
        f"schema/{file}.{action}_{event}",
        {
            "trigger": sql.Identifier(name),
            "table": Place(schema, entry.table),
            "schema": Place("warehouse"),
            "arguments": sql.SQL(", ").join(map(sql.Literal, arguments)),
        },
        on_table=entry.table,
    )
