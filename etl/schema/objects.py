"""A view, function, trigger, policy or grant: one statement of ``sql/``, made in a build's schemas.

``etl/schema/repeatable.py`` says which there are, and makes those again whose text has changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, LiteralString, NamedTuple, cast

import psycopg
import xxhash
from psycopg import sql

from etl.access.masking import Masking
from etl.db.statements import (
    composed,
    described,
    named_in,
    names,
    read_file,
    run,
    run_together,
    scalar,
    statement,
)
from etl.schema.meanings import of_relation
from etl.schema.revisions import newest
from etl.warehouse.deprecated import Deprecated
from etl.warehouse.tables import KEPT, LIVE, Schemas


class Place(NamedTuple):
    """A name in one of the schemas, which are called otherwise in a rebuild.

    ``is_call``: it is a function without arguments, and its value is meant.
    """

    schema: str
    name: str = ""
    is_call: bool = False

    def in_build(self, schemas: Schemas) -> str:
        """What the schema is called in a build."""
        return self.schema if self.schema in KEPT else getattr(schemas, self.schema)

    def of(self, schemas: Schemas) -> sql.Composable:
        """The name in a build."""
        schema = self.in_build(schemas)
        name = sql.Identifier(schema, self.name) if self.name else sql.Identifier(schema)
        return sql.SQL("{}()").format(name) if self.is_call else name


class TextPlace(NamedTuple):
    """A place that a function reads, which on a cluster names it in its text.

    No renaming of schemas reaches a text, and the function is called when its build is live: there
    it names the live one.
    """

    place: Place

    def of(self, schemas: Schemas) -> sql.Composable:
        """The name in the live build on a cluster, on one server in this one."""
        live = replace(LIVE.schemas, has_history=True)
        return self.place.of(live if schemas.has_history else schemas)


class NotedRows(NamedTuple):
    """A dimension that says who a person is, for readers who are noted.

    They read it where loads change it. On a cluster that is a table of the coordinator with a
    policy, and Citus cannot plan the condition of a policy next to what is spread: there the rows
    are asked for by themselves.
    """

    table: str

    def of(self, schemas: Schemas) -> sql.Composable:
        """The table, or its rows in brackets."""
        table = Place("versions", self.table).of(schemas)
        return statement("schema/layout.rows", table=table) if schemas.has_history else table


class Rows(NamedTuple):
    """A statement for rows that another one reads, with its parts."""

    statement: str
    parts: Mapping[str, sql.Composable | Place]

    def of(self, schemas: Schemas) -> sql.Composable:
        """The statement in brackets, as a build has it."""
        definition = composed(described(self.statement)[1], **placed(self.parts, schemas))
        return sql.SQL("({})").format(definition)


class InLayout(NamedTuple):
    """A fragment that one server has in a statement, and the one of a cluster; empty is none."""

    one_server: str
    on_cluster: str
    parts: Mapping[str, sql.Composable | Place]

    def of(self, schemas: Schemas) -> sql.Composable:
        """The fragment in the layout of a build."""
        name = self.on_cluster if schemas.has_history else self.one_server
        return statement(name, **placed(self.parts, schemas)) if name else sql.SQL("")


Parts = Mapping[str, sql.Composable | Place | TextPlace | NotedRows | Rows | InLayout]


class Columns(NamedTuple):
    """The columns of a table or view but for some, as columns of a relation of a statement.

    ``key``: that of its rows, where on a cluster each lies next to what it was before.
    """

    table: Place
    relation: str
    left_out: tuple[str, ...] = ()
    key: tuple[str, ...] = ()


class Refusal(NamedTuple):
    """Why a view has no rows on a cluster, and a table whose columns are those of its rows."""

    why: str
    table: Place


class Wrapper(NamedTuple):
    """A statement over the rows of a view, which it names ``{rows}``, with its parts."""

    statement: str
    parts: Parts


@dataclass(frozen=True)
class SchemaObject:
    """One object: a statement of ``sql/`` with its parts put in.

    ``words`` go into its comment, which is what the statement's header says. ``columns_of``: the
    columns that the statement names as ``{columns}``, or ``{columns_of_both}``. ``wrappers``: what
    is put around the statement of a view, innermost first; ``masking`` comes last. ``options``:
    those of a view.
    ``deprecated``: since when nobody should read a view any more, and what to read in its place.
    ``made_of``: another object, after whose change it is made again too. ``then``: statements with
    the same parts for a table that has to follow when it is made again. ``on_cluster``: the
    statement that a cluster has in place of it; ``refusal``: what it says there in place of rows.
    ``noted_on_cluster``: what is put around the statement of a view there, where it reads what is
    published with the rights of its owner, and so has to note by itself who reads it.
    ``is_of_cluster``: one server has no such object.
    """

    kind: str
    place: Place
    statement: str
    parts: Parts = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    columns_of: Columns | None = None
    on_table: str = ""
    wrappers: tuple[Wrapper, ...] = ()
    masking: Masking | None = None
    options: LiteralString = ""
    deprecated: Deprecated | None = None
    made_of: SchemaObject | None = None
    then: tuple[str, ...] = ()
    on_cluster: str = ""
    refusal: Refusal | None = None
    noted_on_cluster: Wrapper | None = None
    is_of_cluster: bool = False

    @cached_property
    def mark(self) -> str:
        """What changes when the object has to be made again.

        A migration can change the columns of a table, so after one everything is made again.
        """
        others = [wrapper.statement for wrapper in self.wrappers]
        for part in self.parts.values():
            others += [part.statement] if isinstance(part, Rows) else []
            others += part[:2] if isinstance(part, InLayout) else []
        text = "".join(_texts(name) for name in (self.statement, *others) if name)
        said: tuple[Any, ...] = (self.kind, self.place, self.on_table, self.parts, self.words)
        masking = self.masking.declaration if self.masking else None
        said += (self.columns_of, self.wrappers, masking, self.options)
        # Only where there is one, or every object would be made again for it.
        said += (self.deprecated,) if self.deprecated else ()
        text += f"{self.meanings}" if self.meanings else ""
        text += _texts(self.on_cluster) if self.on_cluster else ""
        said += (self.refusal,) if self.refusal else ()
        said += (self.noted_on_cluster,) if self.noted_on_cluster else ()
        text += _texts(self.noted_on_cluster.statement) if self.noted_on_cluster else ""
        said += (self.made_of.mark,) if self.made_of else ()
        return xxhash.xxh3_64_hexdigest(f"{text}{said}{newest()}".encode())

    @cached_property
    def meanings(self) -> dict[str, str]:
        """What the columns of a view mean, by name; nothing of what is none."""
        if self.kind != "view":
            return {}
        return of_relation(self.place.schema, self.place.name, self.masking)

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

    def make(
        self, connection: psycopg.Connection[Any], schemas: Schemas, *, is_sent_on: bool = False
    ) -> None:
        """Make it, or make it again where it is, and say in the catalog what it is.

        ``is_sent_on``: nodes of a cluster are sent the text that has a change of theirs, which then
        has to be alone.
        """
        in_its_place = self.on_cluster if schemas.has_history else ""
        comment, text = described(in_its_place or self.statement)
        parts = placed(self.parts, schemas)
        if self.columns_of:
            parts |= _named(connection, self.columns_of, schemas)
        definition = composed(text, **parts)
        notes = self.noted_on_cluster if schemas.has_history else None
        for wrapper in (*self.wrappers, *([notes] if notes else [])):
            parts = {"rows": definition, **placed(wrapper.parts, schemas)}
            definition = composed(described(wrapper.statement)[1], **parts)
        if schemas.has_history and self.refusal:
            definition = _refusing(connection, schemas, *self.refusal)
        if self.masking:
            definition = self.masking.around(connection, definition, schemas.warehouse)
        made: sql.Composable = definition
        if self.kind == "view":
            made = statement(
                "schema/repeatable.create_view",
                view=self.place.of(schemas),
                options=sql.SQL("" if notes else self.options),
                definition=definition,
            )
        said = comment.format(**self.words)
        if self.deprecated:
            said = f"{said} {self.deprecated}"
        is_what = statement(
            "schema/repeatable.describe",
            object=self.identity(schemas),
            comment=sql.Literal(f"{said} Definition {self.mark}."),
        )
        columns = describe_columns(self.place.of(schemas), self.meanings)
        texts = (made, is_what, columns) if self.meanings else (made, is_what)
        for together in [(text,) for text in texts] if is_sent_on else [texts]:
            run_together(connection, together)
        # A build that nobody reads yet is completed when all its rows are there.
        for follows in self.then if schemas.warehouse == LIVE.schemas.warehouse else ():
            run(connection, follows, **placed(self.parts, schemas))


def _refusing(
    connection: psycopg.Connection[Any], schemas: Schemas, why: str, like: Place
) -> sql.Composed:
    """A statement with the columns of a relation that says why when it is asked for rows."""
    relation = like.of(schemas).as_string(connection)
    asked = {"schema": schemas.mart, "why": why, "relation": relation}
    return composed(scalar(connection, "schema/layout.refused_rows", asked))


def describe_columns(relation: sql.Composable, meanings: Mapping[str, str]) -> sql.Composed:
    """The statement that says in the catalog what the columns of a table or view mean.

    A name that is no column is passed over: a cube that is made again only later may lack some.
    """
    return statement(
        "schema/repeatable.describe_columns",
        relation=sql.Literal(relation.as_string()),
        meanings=sql.Literal(json.dumps(dict(meanings))),
    )


def _named(
    connection: psycopg.Connection[Any], columns: Columns, schemas: Schemas
) -> dict[str, sql.Composable]:
    """The columns in their order there, which a migration can make another one."""
    values = {"table": columns.table.of(schemas).as_string(connection)}
    found = scalar(connection, "rebuild/bulk.columns", values)
    shown = [name for name in found if name not in columns.left_out]
    of_both = (
        statement(
            f"schema/as_known.{'key' if name in columns.key else 'value'}_of_both",
            column=sql.Identifier(name),
        )
        for name in shown
    )
    return {
        "columns": names(shown, columns.relation),
        "columns_of_both": sql.SQL(", ").join(of_both),
    }


def _texts(name: str) -> str:
    """What makes a statement what it is: its header, its text, and those of the ones it names."""
    comment, text = described(name)
    return comment + text + "".join(map(_texts, named_in(text)))


def placed(parts: Parts, schemas: Schemas) -> dict[str, sql.Composable]:
    """Parts of a statement with places as names in a build."""
    return {
        name: part if isinstance(part, sql.Composable) else part.of(schemas)
        for name, part in parts.items()
    }


def views_of(file: str, schema: str) -> list[SchemaObject]:
    """Every statement of a file is a view of a schema."""
    return [SchemaObject("view", Place(schema, name), f"{file}.{name}") for name in read_file(file)]


def functions_of(file: str, schema: str) -> list[SchemaObject]:
    """Every statement of a file makes a function of a schema."""
    return [function_of(f"{file}.{name}", schema) for name in read_file(file)]


def function_of(statement: str, schema: str) -> SchemaObject:
    """The function that a statement makes in a schema."""
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
