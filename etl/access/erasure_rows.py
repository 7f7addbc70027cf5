"""Rows in the database of members who are erased: set by set, the tokens made outside of it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from etl.access.classification import UnclassifiedError, identifier_of
from etl.access.erasure import ERASURES, Erasure, Said, Tokens
from etl.contracts.column import Identifier
from etl.contracts.feed import Feed
from etl.db.statements import names, run, statement
from etl.render import hashing
from etl.warehouse import builds
from etl.warehouse.tables import (
    DIM_MEMBER,
    DIMENSIONS,
    KEPT,
    LIVE,
    MEMBER_LIMITED,
    Dimension,
    Schemas,
)

# Who looked and what was disclosed is kept for six years, whoever asks (45 CFR 164.316(b)(2),
# 164.528).
_KEPT = (schema for schema in KEPT if schema != "audit")
# Schemas of the live build, of a rebuild, of builds that were replaced and are kept, and those of
# no build.
_SCHEMAS = builds.named(
    (
        *(LIVE.schemas.staging, LIVE.schemas.warehouse, LIVE.schemas.internal),
        *(LIVE.schemas.cubes, LIVE.schemas.history, *_KEPT),
    )
)
_TEXT = "S"  # the category of types of text


@dataclass(frozen=True, slots=True)
class Relation:
    """A table with its columns that identify a person.

    ``schema``: none where the search path says it. ``base``: the schema of the live build whose
    table it is, or was. ``categories``: of the types of its columns. ``is_published``: it has the
    rows of another one, from which they are published again.
    """

    schema: str | None
    name: str
    base: str
    columns: tuple[str, ...]
    identifiers: Mapping[str, Identifier]
    categories: Mapping[str, str]
    has_triggers: bool = False
    is_published: bool = False

    @property
    def table(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier(*filter(None, (self.schema, self.name)))

    def is_of(self, schemas: Schemas) -> bool:
        """Whether it is a table of this build."""
        return self.schema in (*schemas.names, schemas.history)

    @property
    def number(self) -> str | None:
        """The column with the number of a member, one in a row."""
        for column, identifier in self.identifiers.items():
            if identifier is Identifier.MEMBER_NUMBER and self.categories[column] == _TEXT:
                return column
        return None

    @property
    def is_direct(self) -> bool:
        """Whether its rows identify a person by number, or whole, or are a copy of such."""
        if self.name == MEMBER_LIMITED:
            return True
        kinds = set(self.identifiers.values())
        return bool(kinds & {Identifier.MEMBER_NUMBER, Identifier.WHOLE_ROW})

    def erased(self, *how: Erasure) -> dict[str, Identifier]:
        """The columns of which this becomes."""
        return {c: i for c, i in self.identifiers.items() if ERASURES.get(i) in how}


def relations(connection: psycopg.Connection[Any]) -> list[Relation]:
    """The tables that identify a person directly.

    Raises ``UnclassifiedError`` where nobody said what a column of the live tables is.
    """
    asked = {"schemas": _SCHEMAS, **builds.OF_HISTORY}
    found = run(connection, "access/erasure.relations", asked).fetchall()
    kept = {(schema, name) for schema, name, *_ in found if _base(schema) == LIVE.schemas.history}
    made = (_relation(kept, *row) for row in found)
    return [relation for relation in made if relation.is_direct]


def _relation(
    kept: Container[tuple[str, str]],
    schema: str,
    name: str,
    columns: list[str],
    categories: list[str],
    has_triggers: bool,
) -> Relation:
    """A table; ``kept``: those in which loads of a cluster change dimensions."""
    base, is_live = _base(schema), schema == _base(schema)
    is_published = base == LIVE.schemas.warehouse and (_history_of(schema), name) in kept
    identifiers = {}
    for column in columns:
        # A build of an earlier version of the code has columns that nobody knows any more.
        with nullcontext() if is_live else suppress(UnclassifiedError):
            identifiers[column] = identifier_of(base, name, column)
    by_column = dict(zip(columns, categories, strict=True))
    return Relation(
        schema, name, base, tuple(columns), identifiers, by_column, has_triggers, is_published
    )


def _base(schema: str) -> str:
    """What a schema of a build is called in the live one."""
    match = re.match(_SCHEMAS, schema)
    assert match is not None  # the query chose it by the same expression
    return match[1]


def _history_of(schema: str) -> str:
    """The schema in which dimensions are changed that are published in this one."""
    return LIVE.schemas.history + schema.removeprefix(LIVE.schemas.warehouse)


def of_feed(feed: Feed) -> Relation:
    """The staging table of a feed, of the build on whose search path it is."""
    columns = {column.name: column.identifier for column in feed.staged}
    texts = dict.fromkeys(columns, _TEXT)
    return Relation(None, feed.table, LIVE.schemas.staging, tuple(columns), columns, texts)


@contextmanager
def named(connection: psycopg.Connection[Any], members: Mapping[str, str]) -> Iterator[None]:
    """Let these members, each with a token, be those to erase, until the block ends."""
    tables = ("members", "values", "lines")
    for table in tables:
        run(connection, f"access/erasure.create_{table}")
    fill(connection, "erased_member", members.items())
    yield
    for table in ("erased_member", "erased_value", "erased_line"):
        run(connection, "tables.drop", table=sql.Identifier(table))


def fill(connection: psycopg.Connection[Any], table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Stream rows into a temporary table; no log and no view of the server shows them."""
    into = statement("access/erasure.fill", table=sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(into) as copy:
        for row in rows:
            copy.write_row(row)


def people(
    connection: psycopg.Connection[Any], table: str, tokens: Iterable[str]
) -> dict[Said, str]:
    """Erased members by what a row without a number says of them, from a table that has them."""
    columns = of_feed(DIM_MEMBER.feed).identifiers
    by_kind: dict[Identifier, list[str]] = {}
    for column, identifier in columns.items():
        by_kind.setdefault(identifier, []).append(column)
    [number], [born] = by_kind[Identifier.MEMBER_NUMBER], by_kind[Identifier.BIRTH_DATE]
    found = run(
        connection,
        "access/erasure.people",
        {"tokens": list(tokens)},
        table=sql.Identifier(table),
        number=sql.Identifier(number),
        email=names(by_kind[Identifier.EMAIL]),
        names=names(by_kind[Identifier.NAME]),
        born=sql.Identifier(born),
    )
    known: dict[Said, str] = {}
    for token, *said, year in found:
        email, *full_name = said
        if email:
            known[(email,)] = token
        if all(full_name) and year:
            known[(*full_name, year)] = token
    return known


def numbers_of(
    connection: psycopg.Connection[Any], relation: Relation, load_id: int | None = None
) -> list[str]:
    """The numbers of members that a table has, or that a load brought to it."""
    assert relation.number is not None
    query = statement(
        "access/erasure.numbers",
        table=relation.table,
        number=sql.Identifier(relation.number),
        scope=_scope(load_id),
    )
    return [number for (number,) in connection.execute(query, {"load_id": load_id})]


def collect_values(
    connection: psycopg.Connection[Any],
    tokens: Tokens,
    among: Iterable[Relation],
    load_id: int | None = None,
) -> None:
    """Make the tokens of the direct values that the members to erase have in tables."""
    found: set[tuple[str, str]] = set()
    for relation in among:
        values = relation.erased(Erasure.TOKEN)
        values.pop(relation.number or "", None)
        if relation.number is None or not values:
            continue
        pairs = sql.SQL(", ").join(
            sql.SQL("({}, r.{}::text)").format(sql.Literal(i.value), sql.Identifier(column))
            for column, i in values.items()
        )
        found |= set(
            run(
                connection,
                "access/erasure.direct_values",
                {"load_id": load_id},
                table=relation.table,
                number=sql.Identifier(relation.number),
                pairs=pairs,
                scope=_scope(load_id),
            )
        )
    rows = ((kind, value, tokens.of(Identifier(kind), value)) for kind, value in found)
    fill(connection, "erased_value", rows)


def tokenize(
    connection: psycopg.Connection[Any], relation: Relation, load_id: int | None = None
) -> int:
    """Give the rows of the members to erase their tokens; how many rows."""
    if relation.number is None:
        return 0
    assignments = [
        statement(
            "access/erasure.token_of_member"
            if column == relation.number
            else "access/erasure.token_of_value",
            column=sql.Identifier(column),
            identifier=sql.Literal(identifier.value),
        )
        for column, identifier in relation.erased(Erasure.TOKEN).items()
    ]
    return _change(connection, "tokenize", relation, assignments, load_id)


def strip(
    connection: psycopg.Connection[Any],
    relation: Relation,
    tokens: Iterable[str],
    load_id: int | None = None,
) -> None:
    """Let of these members' birth dates stay the year and of ZIP codes nothing; hash again."""
    columns = relation.erased(Erasure.FIRST_OF_YEAR, Erasure.NOTHING)
    if relation.number is None or not columns:
        return
    how = {Erasure.FIRST_OF_YEAR: "first_of_year", Erasure.NOTHING: "nothing"}
    assignments = [
        statement(f"access/erasure.{how[ERASURES[identifier]]}", column=sql.Identifier(column))
        for column, identifier in columns.items()
    ]
    _change(connection, "strip", relation, assignments, load_id, list(tokens))


def rehash(connection: psycopg.Connection[Any], relation: Relation, tokens: Iterable[str]) -> None:
    """Make the hashes of these members' versions again."""
    dimension = _dimension_of(relation)
    if dimension is None or relation.number is None:
        return
    run(
        connection,
        "access/erasure.rehash",
        {"tokens": list(tokens)},
        table=relation.table,
        number=sql.Identifier(relation.number),
        hash_of_v=hashing.of_columns(dimension, "v"),
    )


@contextmanager
def without_triggers(
    connection: psycopg.Connection[Any], among: Iterable[Relation]
) -> Iterator[None]:
    """Change tables without triggers that would keep the past of their rows."""
    triggers = [
        trigger
        for relation in among
        if relation.has_triggers
        for trigger in run(
            connection,
            "access/erasure.triggers",
            {"table": relation.table.as_string(connection)},
        ).fetchall()
    ]
    for disable, _ in triggers:
        connection.execute(disable)
    yield
    for _, enable in triggers:
        connection.execute(enable)


def _change(
    connection: psycopg.Connection[Any],
    name: str,
    relation: Relation,
    assignments: list[sql.Composed],
    load_id: int | None,
    tokens: list[str] | None = None,
) -> int:
    assert relation.number is not None
    return run(
        connection,
        f"access/erasure.{name}",
        {"load_id": load_id, "tokens": tokens},
        table=relation.table,
        number=sql.Identifier(relation.number),
        assignments=sql.SQL("\n, ").join(assignments),
        scope=_scope(load_id),
    ).rowcount


def _scope(load_id: int | None) -> sql.Composed:
    return statement("access/erasure.anywhere" if load_id is None else "access/erasure.of_load")


def _dimension_of(relation: Relation) -> Dimension | None:
    """The dimension whose versions a table has, now or as they were."""
    for dimension in DIMENSIONS.values():
        if relation.name in (dimension.table, dimension.past) and {
            "attr_hash",
            *dimension.drivers,
        } <= set(relation.columns):
            return dimension
    return None
