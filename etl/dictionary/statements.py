"""What a statement fills, as a query over what it reads.

``insert``, ``update`` and ``create table as`` become the query whose columns are those that they
fill; a ``delete`` or ``update`` with ``returning`` in a common table expression becomes the query
of what it returns. Nothing of this is run: it is what ``trace`` reads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlglot import exp

from etl.dictionary.trace import Columns, NotTracedError, name_of, parsed

# How long a temporary table stays, which is not read here.
_FOR_NOW = re.compile(r"\bon commit drop\b", re.IGNORECASE)


class Filled(NamedTuple):
    """A relation that a statement fills: which columns, by which query.

    ``query``: none where the statement only makes the relation, without rows.
    """

    relation: str
    columns: Sequence[str]
    query: exp.Expr | None


def filled(
    text: str,
    columns: Columns,
    path: Sequence[str],
    functions: Mapping[str, str],
    work: str = "",
) -> list[Filled]:
    """What a statement fills; the relation of a plain query is empty.

    ``path``: the schemas in which it finds names without one. ``functions``: those that return
    rows of a relation, with the relation. ``work``: what stands for the schema of temporary tables,
    which have the same names in the work on every dimension. Raises ``NotTracedError``.
    """
    made = parsed(_FOR_NOW.sub("", text.replace("%%", "%")))
    _replace_functions(made, functions)
    _place(made, columns, path, work)
    changes = [c for c in made.find_all(exp.CTE) if isinstance(c.this, exp.Delete | exp.Update)]
    found = [_of_update(c.this) for c in changes if isinstance(c.this, exp.Update)]
    for change in changes:
        change.set("this", _returned(change.this))
    match made:
        case exp.Create():
            return [*found, _of_create(made)]
        case exp.Insert():
            return [*found, _of_insert(made, columns)]
        case exp.Update():
            return [*found, _of_update(made)]
        case exp.Query():
            return [*found, Filled("", (), made)]
        case _:
            raise NotTracedError(f"{made.key} fills nothing.")


def _of_create(made: exp.Create) -> Filled:
    if isinstance(made.this, exp.Schema):
        listed = [part.name for part in made.this.expressions if isinstance(part, exp.ColumnDef)]
        return Filled(name_of(made.this.this), listed, None)
    return Filled(name_of(made.this), (), made.expression)


def _of_insert(made: exp.Insert, columns: Columns) -> Filled:
    query = made.expression
    # Its own common table expressions are those of its query.
    if made.args.get("with_") and not query.args.get("with_"):
        query.set("with_", made.args["with_"])
    if isinstance(made.this, exp.Schema):
        listed = [column.name for column in made.this.expressions]
        return Filled(name_of(made.this.this), listed, query)
    return Filled(name_of(made.this), columns[name_of(made.this)], query)


def _of_update(made: exp.Update) -> Filled:
    names = [change.this.name for change in made.expressions]
    values = [change.expression for change in made.expressions]
    shown = [exp.alias_(value.copy(), name) for name, value in zip(names, values, strict=True)]
    return Filled(name_of(made.this), names, _query(made, shown, [made.this]))


def _returned(made: exp.Delete | exp.Update) -> exp.Select:
    """The query of what is returned; ``old`` and ``new`` are the row before and after."""
    returned = made.args.get("returning")
    if returned is None:
        raise NotTracedError("A change inside of a statement returns nothing.")
    targets = [made.this]
    for alias in ("old", "new"):
        if any(column.table == alias for column in returned.find_all(exp.Column)):
            row = made.this.copy()
            row.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
            targets.append(row)
    return _query(made, [shown.copy() for shown in returned.expressions], targets)


def _query(made: exp.Expr, shown: Sequence[exp.Expr], targets: Sequence[exp.Expr]) -> exp.Select:
    """A query of expressions over what a change changes and reads."""
    query = exp.select(*shown).from_(targets[0].copy())
    for target in targets[1:]:
        query = query.join(target.copy(), join_type="cross")
    read = made.args.get("from_") or made.args.get("using")
    for source in [read.this] if isinstance(read, exp.From) else read or []:
        query = query.join(source.copy(), join_type="cross")
    if made.args.get("with_"):
        query.set("with_", made.args["with_"].copy())
    return query


def _replace_functions(made: exp.Expr, functions: Mapping[str, str]) -> None:
    """Read the relation in place of a function that returns rows of it."""
    for table in list(made.find_all(exp.Table)):
        if isinstance(table.this, exp.Func) and (found := functions.get(_called(table))):
            schema, _, name = found.rpartition(".")
            alias = table.alias or table.this.name
            table.replace(exp.table_(name, db=schema, alias=alias))


def _called(table: exp.Table) -> str:
    return f"{table.db}.{table.this.name}"


def _place(made: exp.Expr, columns: Columns, path: Sequence[str], work: str) -> None:
    """Give each relation without a schema the one in which it is found."""
    ctes = {cte.alias for cte in made.find_all(exp.CTE)}
    created = made.find(exp.Table) if isinstance(made, exp.Create) else None
    for table in list(made.find_all(exp.Table)):
        name = table.name
        if table.db or isinstance(table.this, exp.Func) or name in ctes:
            continue
        places = [schema for schema in (work, *path) if f"{schema}.{name}" in columns]
        if table is created and work:
            places = [work]
        if places:
            if not table.alias and table is not created:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(name)))
            table.set("db", exp.to_identifier(places[0]))
