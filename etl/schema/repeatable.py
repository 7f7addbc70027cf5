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

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, cast

import psycopg
import xxhash
from psycopg import sql

from etl.db.connection import set_search_path
from etl.db.statements import described, equal, names, read_file, run, scalar
from etl.errors import SchemaError
from etl.schema.revisions import newest
from etl.warehouse.tables import DIMENSIONS, FACTS, KEPT, LIVE, Dimension, Fact, Schemas, past_of

# What may have to be dropped to be made again; the others can be replaced where they are.
_DROPPED = ("view", "function", "aggregate", "trigger")
# How PostgreSQL refuses to replace one: by a view with fewer columns, by a function of other rows.
_NOT_REPLACED = (
    psycopg.errors.InvalidTableDefinition,
    psycopg.errors.InvalidFunctionDefinition,
)


class Place(NamedTuple):
    """A name in one of the schemas, which are called otherwise in a rebuild."""

    schema: str
    name: str = ""

    def in_build(self, schemas: Schemas) -> str:
        """What the schema is called in a build."""
        return self.schema if self.schema in KEPT else getattr(schemas, self.schema)

    def of(self, schemas: Schemas) -> sql.Identifier:
        """The name in a build."""
        schema = self.in_build(schemas)
        return sql.Identifier(schema, self.name) if self.name else sql.Identifier(schema)


Parts = Mapping[str, sql.Composable | Place]


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """One object: a statement of ``sql/`` with its parts put in.

    ``words`` go into its comment, which is what the statement's header says. ``columns_of``: a
    table whose columns the statement names as ``{columns}``, each of the relation named second, but
    for those that follow.
    """

    kind: str
    place: Place
    statement: str
    parts: Parts = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    columns_of: tuple[str, ...] = ()
    on_table: str = ""

    @property
    def mark(self) -> str:
        """What changes when the object has to be made again.

        A migration can change the columns of a table, so after one everything is made again.
        """
        text = "".join(described(self.statement))
        said = (self.kind, self.place, self.on_table, self.parts, self.words, self.columns_of)
        return xxhash.xxh3_64_hexdigest(f"{text}{said}{newest()}".encode())

    def identity(self, schemas: Schemas) -> sql.Composable:
        """Kind and name, as COMMENT ON takes them."""
        name: sql.Composable = self.place.of(schemas)
        if self.kind in ("function", "aggregate"):
            arguments = sql.SQL(_signature(self.statement)[2])
            name = sql.SQL("{}{}").format(name, arguments)
        if self.on_table:
            table = Place(self.place.schema, self.on_table).of(schemas)
            name = sql.SQL("{} on {}").format(sql.Identifier(self.place.name), table)
        return sql.SQL("{} {}").format(sql.SQL(self.kind), name)

    def make(self, connection: psycopg.Connection[Any], schemas: Schemas) -> None:
        """Make it, or make it again where it is, and say in the catalog what it is."""
        comment, text = described(self.statement)
        parts = {
            name: part.of(schemas) if isinstance(part, Place) else part
            for name, part in self.parts.items()
        }
        if self.columns_of:
            parts["columns"] = self._columns(connection, schemas)
        definition = sql.SQL(text).format(**parts)
        if self.kind == "view":
            view = self.place.of(schemas)
            run(connection, "schema/repeatable.create_view", view=view, definition=definition)
        else:
            connection.execute(definition)
        run(
            connection,
            "schema/repeatable.describe",
            object=self.identity(schemas),
            comment=sql.Literal(f"{comment.format(**self.words)} Definition {self.mark}."),
        )

    def _columns(self, connection: psycopg.Connection[Any], schemas: Schemas) -> sql.Composed:
        """The table's columns in their order there, which a migration can make another one."""
        table, relation, *left_out = self.columns_of
        values = {"table": f"{schemas.warehouse}.{table}"}
        found = scalar(connection, "rebuild/bulk.columns", values)
        return names([name for name in found if name not in left_out], relation)


def ensure(
    connection: psycopg.Connection[Any],
    groups: Sequence[Sequence[SchemaObject]] = (),
    schemas: Schemas = LIVE.schemas,
) -> None:
    """Make what is not there as its text says, drop what has no text; who could use it still can.

    ``groups`` are the objects of some schemas; without them all. Raises ``SchemaError`` if an
    object has to be dropped and others need it.
    """
    groups = groups or (kept(), of_build())
    every = [entry for group in groups for entry in group]
    places = _places(every, schemas)
    wanted = {entry.mark for entry in every}
    marks = {mark for *_, mark in _made(connection, places)}
    if marks == wanted:
        return
    with connection.transaction():
        set_search_path(connection, list(KEPT))
        for group in groups:
            try:
                with connection.transaction():
                    for entry in group:
                        if entry.mark not in marks:
                            entry.make(connection, schemas)
            except _NOT_REPLACED:
                with dropped(connection, group, schemas):
                    pass
        _drop(connection, [made for made in _made(connection, places) if made[2] not in wanted])


@contextmanager
def dropped(
    connection: psycopg.Connection[Any],
    objects: Sequence[SchemaObject] = (),
    schemas: Schemas = LIVE.schemas,
) -> Iterator[None]:
    """Do without objects, or all, such as while the tables that they read change.

    Afterwards they are there again, and who could use them still can. In the caller's transaction.
    """
    objects = objects or (*kept(), *of_build())
    places = _places(objects, schemas)
    grants = run(connection, "schema/repeatable.grants", {"schemas": places}).fetchall()
    _drop(connection, [made for made in _made(connection, places) if made[0] in _DROPPED])
    yield
    set_search_path(connection, list(KEPT))
    for entry in objects:
        entry.make(connection, schemas)
    for (grant,) in grants:
        # Of what is gone there is nothing to grant.
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


@cache
def kept() -> tuple[SchemaObject, ...]:
    """The objects of the schemas that no rebuild replaces."""
    return (
        *_views("ledger/views", "ledger"),
        *_functions("quality/functions", "quality"),
        *_views("quality/views", "quality"),
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
        SchemaObject("schema", Place("quality"), "quality/access.grants"),
    )


@cache
def of_build() -> tuple[SchemaObject, ...]:
    """The objects of a build: guards, then the views and functions that people read it by."""
    return (*guards(), *_readers())


@cache
def guards() -> tuple[SchemaObject, ...]:
    """What keeps versions apart and keeps rows as they were, whoever writes."""
    entries: tuple[Dimension | Fact, ...] = (*DIMENSIONS.values(), *FACTS.values())
    triggers = [
        _trigger("guard", dimension, event, (dimension.sk, *dimension.key))
        for dimension in DIMENSIONS.values()
        for event in ("inserts", "updates")
    ] + [_trigger("past", entry, event) for entry in entries for event in ("updates", "deletes")]
    return (
        _function("schema/guard.refuse_overlapping_versions", "warehouse"),
        _function("schema/past.keep_past", "warehouse"),
        *triggers,
    )


def _trigger(
    file: str, entry: Dimension | Fact, event: str, arguments: Sequence[str] = ()
) -> SchemaObject:
    action = "keep" if file == "past" else "guard"
    name = f"{entry.table}_{action}_{event}"
    return SchemaObject(
        "trigger",
        Place("warehouse", name),
        f"schema/{file}.{action}_{event}",
        {
            "trigger": sql.Identifier(name),
            "table": Place("warehouse", entry.table),
            "schema": Place("warehouse"),
            "arguments": sql.SQL(", ").join(map(sql.Literal, arguments)),
        },
        on_table=entry.table,
    )


def _readers() -> Iterator[SchemaObject]:
    """Views on a build's tables as they are, and as they were known after a load."""
    yield from _dimension_views("warehouse")
    for fact in FACTS.values():
        if fact.states:
            yield SchemaObject(
                "view",
                Place("warehouse", f"{fact.table}_history"),
                "schema/views.fact_history",
                {
                    "key": sql.Identifier(fact.key),
                    "date": sql.Identifier(fact.date),
                    "fact": Place("warehouse", fact.table),
                    "earlier_states": Place("warehouse", fact.state),
                    "states": names(fact.states),
                    "states_of_state": names(fact.states, "state"),
                },
                {"fact": fact.name},
            )
    yield from _functions("schema/known", "warehouse")
    keys = {d.table: d.sk for d in DIMENSIONS.values()} | {f.table: f.key for f in FACTS.values()}
    for table in ("dim_date", "dim_geography", *keys):
        yield from _as_known(table, keys.get(table))
    yield from _dimension_views("as_known")


def _dimension_views(schema: str) -> Iterator[SchemaObject]:
    """The views that every dimension has, on the dimensions of this schema."""
    for dimension in DIMENSIONS.values():
        yield SchemaObject(
            "view",
            Place(schema, f"{dimension.table}_current"),
            "schema/views.current",
            {"dim": Place(schema, dimension.table)},
            {"dim": dimension.table, "thing": dimension.name},
        )
        yield SchemaObject(
            "view",
            Place(schema, f"{dimension.table}_as_is"),
            "schema/views.as_is",
            {
                "dim": Place(schema, dimension.table),
                "sk": sql.Identifier(dimension.sk),
                "latest_sk": sql.Identifier(f"latest_{dimension.sk}"),
                "key_version_latest": equal(dimension.key, "version", "latest"),
                "key_later_latest": equal(dimension.key, "later", "latest"),
            },
            {"sk": dimension.sk, "thing": dimension.name},
            columns_of=(dimension.table, "latest", dimension.sk),
        )


def _as_known(table: str, key: str | None) -> Iterator[SchemaObject]:
    """How a table is read as it was known; ``key``: that of a row, unless the table only grows."""
    function = Place("warehouse", f"{table}_as_known_at")
    past: dict[str, sql.Composable | Place] = {}
    if key:
        past = {"past": Place("warehouse", past_of(table)), "key": sql.Identifier(key)}
    yield SchemaObject(
        "function",
        function,
        "schema/as_known.kept" if key else "schema/as_known.grown",
        {
            "function": function,
            "table": Place("warehouse", table),
            "known_load": Place("warehouse", "known_load"),
            **past,
        },
        {"table": table},
        columns_of=(table, "kept"),
    )
    yield SchemaObject(
        "view",
        Place("as_known", table),
        "schema/as_known.view",
        {"function": function, "point": Place("warehouse", "as_known_point")},
        {"table": table},
    )


def _views(file: str, schema: str) -> list[SchemaObject]:
    """Every statement of a file is a view of a schema."""
    return [SchemaObject("view", Place(schema, name), f"{file}.{name}") for name in read_file(file)]


def _functions(file: str, schema: str) -> list[SchemaObject]:
    """Every statement of a file makes a function of a schema."""
    return [_function(f"{file}.{name}", schema) for name in read_file(file)]


def _function(statement: str, schema: str) -> SchemaObject:
    kind, name, _ = _signature(statement)
    return SchemaObject(kind, Place(schema, name), statement, {"schema": Place(schema)})


@cache
def _signature(statement: str) -> tuple[str, str, str]:
    """Kind, name and arguments of a function: of two of one name the arguments say which."""
    found = re.match(
        r"create or replace (function|aggregate) .*?(\w+|\}) ?(\([^)]*\))", described(statement)[1]
    )
    if found is None:
        raise ValueError(f"{statement} does not make a function")
    return cast(tuple[str, str, str], found.groups())
