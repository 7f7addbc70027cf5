"""Which columns a query's columns are made of, by sqlglot.

Through common table expressions, subqueries and unions down to relations. A column is made of the
columns in its expression, and it depends on those in its conditions: of CASE, FILTER, EXISTS, of a
window, and of the join that finds the row that it is taken from. What filters, groups or sorts the
query as a whole is neither. A column that counts rows is made of the rows of what the query reads:
column ``ROWS`` of these relations. A column of literals or of the clock alone is made of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import Scope, build_scope

DIALECT = "postgres"
# Stands for the rows of a relation, which a count is made of.
ROWS = "*"
# Relations of the server itself, as texts of views name them.
_CATALOG = ("pg_", "pg_catalog.", "information_schema.")


class Node(NamedTuple):
    """A column of a relation, ``schema.name`` or, of a file, its name."""

    relation: str
    column: str

    def __str__(self) -> str:
        return f"{self.relation}.{self.column}"


class Source(NamedTuple):
    """What a column is made of or, where it is no ``is_value``, what it depends on."""

    node: Node
    is_value: bool


# For each column what it is made of and depends on.
Traced = dict[str, frozenset[Source]]
# The columns of each relation, in their order.
Columns = Mapping[str, Sequence[str]]
_NO_VALUES: Mapping[str, Node] = {}


class NotTracedError(Exception):
    """A statement that cannot be read, or names what nobody knows; nothing is guessed of it."""


def trace(query: exp.Expr, columns: Columns, bound: Mapping[str, Node] = _NO_VALUES) -> Traced:
    """For each column of a query, in order, and for its ``ROWS``, what they are made of.

    ``bound``: what the values are that the statement takes by name; others are constants. Raises
    ``NotTracedError``.
    """
    try:
        named = {name_of(table) for table in query.find_all(exp.Table)}
        qualified = qualify(
            query.copy(),
            dialect=DIALECT,
            schema=_schema({name: columns[name] for name in sorted(named & columns.keys())}),
            validate_qualify_columns=False,
            quote_identifiers=False,
        )
        root = build_scope(qualified)
        if root is None:
            raise NotTracedError("This is no query.")
        tracer = _Tracer(root, columns, bound)
        traced = {
            name: _once(tracer.of_output(root, at))
            for at, name in enumerate(_names(root.expression))
        }
        return traced | {ROWS: _once(tracer.rows_of(root))}
    except SqlglotError as error:
        raise NotTracedError(str(error)) from error


def parsed(text: str) -> exp.Expr:
    """A statement as sqlglot reads it. Raises ``NotTracedError``."""
    try:
        return parse_one(text, dialect=DIALECT)
    except SqlglotError as error:
        raise NotTracedError(str(error)) from error


def name_of(table: exp.Table) -> str:
    """A relation as nodes name it."""
    return f"{table.db}.{table.name}" if table.db else table.name


def _once(sources: Iterable[Source]) -> frozenset[Source]:
    """What a value is made of is not listed again as what it depends on."""
    found = frozenset(sources)
    return frozenset(s for s in found if s.is_value or Source(s.node, is_value=True) not in found)


def _schema(columns: Columns) -> dict[str, object]:
    """The relations as sqlglot wants them: every table two deep; types play no part."""
    schema: dict[str, dict[str, dict[str, str]]] = {}
    for relation, names in columns.items():
        place, _, name = relation.rpartition(".")
        schema.setdefault(place, {})[name] = dict.fromkeys(names, "text")
    return dict(schema)


def _names(query: exp.Expr) -> list[str]:
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.this
    assert isinstance(query, exp.Query)  # what selects from anything is one
    return [projection.alias_or_name for projection in query.selects]


class _Tracer:
    """Walks from outputs to relations. Each output of each scope is followed once."""

    def __init__(self, root: Scope, columns: Columns, bound: Mapping[str, Node]) -> None:
        self.columns, self.bound = columns, bound
        self.scopes = {id(scope.expression): scope for scope in root.traverse()}
        self.found: dict[tuple[int, int], set[Source]] = {}

    def of_output(self, scope: Scope, at: int) -> set[Source]:
        """What the column at a place of a scope is made of."""
        key = (id(scope), at)
        if key not in self.found:
            # A recursive query meets itself here, and adds nothing.
            self.found[key] = set()
            self.found[key] = self._follow(scope, at)
        return self.found[key]

    def _follow(self, scope: Scope, at: int) -> set[Source]:
        query = scope.expression
        if isinstance(query, exp.SetOperation):
            branches = scope.set_operation_scopes
            return {source for branch in branches for source in self.of_output(branch, at)}
        if isinstance(query, exp.Select):
            return set(self.of_expression(query.selects[at], scope))
        # Rows of a function or of VALUES: whatever is in it.
        return set(self.of_expression(query, scope))

    def of_expression(self, expression: exp.Expr, scope: Scope) -> Iterator[Source]:
        """What an expression in a scope is made of."""
        match expression:
            case exp.Exists():
                yield from _depends(self._of_exists(expression, scope))
            case exp.Query():
                yield from self._of_query(expression)
            case exp.Column():
                yield from self._of_column(expression, scope)
            case exp.Placeholder() if expression.name in self.bound:
                yield Source(self.bound[expression.name], is_value=True)
            case exp.Count(this=exp.Star()):
                yield from self._of_rows(scope)
            case _:
                conditions = _conditions(expression)
                for child in expression.iter_expressions():
                    sources = self.of_expression(child, scope)
                    yield from _depends(sources) if id(child) in conditions else sources

    def _of_exists(self, expression: exp.Exists, scope: Scope) -> Iterator[Source]:
        for column in expression.find_all(exp.Column):
            select = column.find_ancestor(exp.Select)
            yield from self._of_column(column, self.scopes.get(id(select), scope))

    def _of_query(self, query: exp.Expr) -> Iterator[Source]:
        inner = self._scope_of(query)
        for at in range(len(_names(inner.expression))):
            yield from self.of_output(inner, at)

    def _scope_of(self, query: exp.Expr) -> Scope:
        """The scope of a query in parentheses, or of one of a lateral join."""
        while isinstance(query, exp.Lateral | exp.Subquery):
            query = query.this
        try:
            return self.scopes[id(query)]
        except KeyError:
            raise NotTracedError("A subquery is not understood.") from None

    def _of_column(self, column: exp.Column, scope: Scope) -> Iterator[Source]:
        place = _place_of(column.table, scope)
        if place is None:
            raise NotTracedError(f"{column.sql(DIALECT)} is of no relation that the query names.")
        source = place.sources[column.table]
        if isinstance(source, Scope):
            yield from self._of_scope(source, column.name)
        elif isinstance(source.this, exp.Func):
            yield from self.of_expression(source.this, scope)
        else:
            yield Source(self._node(name_of(source), column.name), is_value=True)
        yield from _depends(self._found_by(column.table, place))

    def _node(self, relation: str, column: str) -> Node:
        if not relation.startswith(_CATALOG) and column not in self.columns.get(relation, ()):
            raise NotTracedError(f"{relation} has no column {column}.")
        return Node(relation, column)

    def _found_by(self, alias: str, scope: Scope) -> Iterator[Source]:
        """What the join compares that finds the rows of a relation: columns of the others."""
        key = (id(scope), hash(alias))
        if key in self.found:
            yield from self.found[key]
            return
        self.found[key] = set()
        for join in scope.expression.args.get("joins") or ():
            condition = join.args.get("on")
            if join.alias_or_name == alias and condition is not None:
                for column in condition.find_all(exp.Column):
                    if (
                        column.table != alias
                        and column.find_ancestor(exp.Select) is scope.expression
                    ):
                        self.found[key] |= set(self._of_column(column, scope))
        yield from self.found[key]

    def _of_scope(self, source: Scope, name: str) -> Iterator[Source]:
        query = source.expression
        is_lateral = isinstance(query, exp.Lateral) and isinstance(query.this, exp.Subquery)
        if is_lateral or isinstance(query, exp.Query):
            inner = self._scope_of(query)
            names = source.outer_columns or _names(inner.expression)
            if name not in names:
                raise NotTracedError(f"A subquery has no column {name}.")
            yield from self.of_output(inner, names.index(name))
        else:
            yield from self.of_output(source, 0)

    def _of_rows(self, scope: Scope) -> Iterator[Source]:
        for _, source in scope.selected_sources.values():
            if isinstance(source, Scope):
                yield from self.rows_of(source)
            elif not isinstance(source.this, exp.Func):
                yield Source(Node(name_of(source), ROWS), is_value=True)

    def rows_of(self, scope: Scope) -> set[Source]:
        """The rows that those of a scope are made of."""
        key = (id(scope), -1)
        if key not in self.found:
            self.found[key] = set()
            branches = scope.set_operation_scopes or self._inside(scope)
            self.found[key] = (
                {source for branch in branches for source in self.rows_of(branch)}
                if branches
                else set(self._of_rows(scope))
            )
        return self.found[key]

    def _inside(self, scope: Scope) -> list[Scope]:
        """The scope of the query that a subquery or a lateral join consists of."""
        query = scope.expression
        while isinstance(query, exp.Lateral | exp.Subquery):
            query = query.this
        inner = self.scopes.get(id(query))
        return [inner] if inner is not None and inner is not scope else []


def _place_of(name: str, scope: Scope | None) -> Scope | None:
    """The scope in which an alias stands for something: here or, of a subquery, around it."""
    while scope is not None and name not in scope.sources:
        scope = scope.parent
    return scope


def _conditions(expression: exp.Expr) -> set[int]:
    """The parts of an expression that decide about its value and are none of it."""
    match expression:
        case exp.If():
            parts = [expression.this]
        case exp.Filter():
            parts = [expression.expression]
        case exp.Window():
            parts = [*(expression.args.get("partition_by") or ()), expression.args.get("order")]
        case _:
            parts = []
    return {id(part) for part in parts if part is not None}


def _depends(sources: Iterable[Source]) -> Iterator[Source]:
    return (Source(source.node, is_value=False) for source in sources)
