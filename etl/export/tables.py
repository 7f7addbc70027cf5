"""What a role can export: its relations, and the columns of each in the types of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import psycopg
import pyarrow as pa
from psycopg import sql

from etl.access.roles import Role
from etl.db.arrow_copy import INSTANT, arrow_type
from etl.db.statements import run, scalar, statement
from etl.errors import UsageError
from etl.warehouse.tables import CUBES, LIVE, MARTS, MARTS_OF_CUBES, OPEN_END

# Exported where nobody names a table.
MARTS_SHOWN = (*MARTS, *MARTS_OF_CUBES, *CUBES)
ALL = "all"
# Where masked views take the meaning of their columns from.
_SHOWN_SCHEMAS = [LIVE.schemas.mart, LIVE.schemas.cubes, LIVE.schemas.warehouse]
_VALID_UNTIL = "validity_end_ts"
_IS_OPEN = "is_open"
_INSTANT_OF_ZONE = "timestamp with time zone"
_NUMBER = "numeric"
_DOLLARS = "numeric(18,2)"
_LONG_NUMBER = "numeric(38,20)"


class Found(NamedTuple):
    """A relation that a role reads: its schema, number and description."""

    schema: str
    relation_id: int
    description: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file: its name, how a query gives it, its type and what it means."""

    name: str
    value: sql.Composable
    type: pa.DataType
    description: str

    @property
    def is_money(self) -> bool:
        """Whether it is an amount of US dollars, to the cent."""
        return pa.types.is_decimal(self.type) and self.type.scale == 2


@dataclass(frozen=True)
class Table:
    """A relation to export. ``rows``, ``row_bytes``: what the planner expects of its rows."""

    name: str
    schema: str
    relation_id: int
    description: str
    columns: tuple[Column, ...]
    rows: int = 0
    row_bytes: int = 0

    @cached_property
    def arrow(self) -> pa.Schema:
        """The schema of its files, each column with its meaning."""
        said = {"description": self.description}
        fields = [
            pa.field(c.name, c.type, metadata={"description": c.description}) for c in self.columns
        ]
        return pa.schema(fields, metadata=said)

    @property
    def money(self) -> list[str]:
        """Names of its columns of US dollars."""
        return [column.name for column in self.columns if column.is_money]

    @property
    def parts(self) -> dict[str, sql.Composable]:
        """What statements on its rows put in."""
        shown = [
            sql.SQL("{}\nas {}").format(column.value, sql.Identifier(column.name))
            for column in self.columns
        ]
        return {
            "columns": sql.SQL(", ").join(shown),
            "relation": sql.Identifier(self.schema, self.name),
        }


def relations(connection: psycopg.Connection[Any], schemas: Sequence[str]) -> dict[str, Found]:
    """What the session may read in these schemas, by name."""
    found = run(connection, "export/export.relations", {"schemas": list(schemas)})
    return {name: Found(*row) for name, *row in found}


def asked_for(
    connection: psycopg.Connection[Any],
    role: Role,
    schemas: Sequence[str],
    asked: str,
    *,
    is_known: bool,
) -> dict[str, Found]:
    """The relations that somebody asks for, names with commas between; the marts where none is.

    ``is_known``: of the tables as they were known after a load, of which all are meant where none
    is named. Raises ``UsageError`` for a name that the role has no table of.
    """
    there = relations(connection, schemas)
    names = [name for part in asked.split(",") if (name := part.strip())]
    if names == [ALL] or (not names and is_known):
        names = sorted(there)
    elif not names:
        names = [name for name in MARTS_SHOWN if name in there]
    for name in names:
        if name not in there:
            raise _not_there(connection, role, name, sorted(there), is_known=is_known)
    return {name: there[name] for name in names}


def described(
    connection: psycopg.Connection[Any], found: Mapping[str, Found], *, keeps_end: bool
) -> list[Table]:
    """Relations as tables to export.

    ``keeps_end``: a version that nothing has ended is valid until 9999-12-31, as in the warehouse,
    instead of nothing.
    """
    return [_table(connection, name, *found[name], keeps_end=keeps_end) for name in found]


def _not_there(
    connection: psycopg.Connection[Any],
    role: Role,
    name: str,
    there: Sequence[str],
    *,
    is_known: bool,
) -> UsageError:
    values = {"name": name, "schemas": list(LIVE.schemas.names)}
    is_somewhere = scalar(connection, "export/export.is_there", values)
    if is_somewhere and is_known:
        what = f"{name} is not kept as it was known after a load."
    elif is_somewhere:
        what = f"The role {role.short} may not read {name}."
    else:
        what = f"There is no table {name!r}."
    return UsageError(what, f"There are, for the role {role.short}: {', '.join(there) or 'none'}.")


def _table(
    connection: psycopg.Connection[Any],
    name: str,
    schema: str,
    relation_id: int,
    said: str,
    *,
    keeps_end: bool,
) -> Table:
    values = {"name": name, "relation_id": relation_id, "shown": _SHOWN_SCHEMAS}
    found = run(connection, "export/export.columns", values).fetchall()
    columns = [_column(*row, keeps_end=keeps_end) for row in found]
    if any(column.name == _VALID_UNTIL for column in columns):
        columns.append(_is_open())
    # The mark of its definition is for the schema's own upkeep.
    table = Table(name, schema, relation_id, said.split(" Definition ")[0], tuple(columns))
    plan = scalar(connection, "export/export.expected", **table.parts)[0]["Plan"]
    rows, width = plan["Plan Rows"], plan["Plan Width"]
    return Table(name, schema, relation_id, table.description, table.columns, rows, width)


def _column(name: str, stored: str, said: str, *, keeps_end: bool) -> Column:
    column: sql.Composable = sql.Identifier(name)
    if name == _VALID_UNTIL and not keeps_end:
        column = statement("export/export.end_of_validity", column=column, open_end=_OPEN_END)
        said = said.split("; 9999-12-31")[0]
    elif stored == _INSTANT_OF_ZONE:
        column = statement("export/export.instant", column=column)
    elif stored == _NUMBER and name.endswith("_usd"):
        # An amount with more than two digits after the point would be no amount, and stops it.
        stored = _DOLLARS
    elif stored == _NUMBER:
        column, stored = statement("export/export.number", column=column), _LONG_NUMBER
    return Column(name, column, arrow_type(stored), said)


def _is_open() -> Column:
    is_open = statement(
        "export/export.is_open", column=sql.Identifier(_VALID_UNTIL), open_end=_OPEN_END
    )
    said = "Whether nothing has ended the version yet."
    return Column(_IS_OPEN, is_open, pa.bool_(), said)


_OPEN_END = sql.Literal(OPEN_END)


def is_instant(kind: pa.DataType) -> bool:
    """Whether a type is that of instants."""
    return bool(kind == INSTANT)
