"""The identifiers and fragments that the statements of ``sql/dims/`` take, for one dimension.

Aliases in them: ``a`` an arrival, ``c`` a current version, ``d`` the dimension, ``e`` an event of a
rebuilt history, ``k`` a key to rebuild, ``o`` an old version, ``s`` a staged row, ``v`` a version
to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from psycopg import sql

from etl.db.statements import assign, differ, equal, names
from etl.render import hashing, staged_rows, validity
from etl.warehouse.tables import Dimension

Parts = dict[str, sql.Composable]


@cache
def of_dimension(dimension: Dimension) -> Mapping[str, sql.Composable]:
    """What does not depend on the load: composed once, since every statement takes it."""
    feed, key = dimension.feed, dimension.key
    columns = [c.name for c in feed.columns]
    values = [c for c in columns if c not in key]
    return {
        "dim": sql.Identifier(dimension.table),
        "past": sql.Identifier(dimension.past),
        "staging": sql.Identifier(feed.table),
        "sk": sql.Identifier(dimension.sk),
        **validity.BOUNDS,
        "keys": names(key),
        "keys_of_c": names(key, "c"),
        "is_named_a": staged_rows.is_named(feed, "a"),
        "is_named_k_by_p": staged_rows.is_named(feed, "k", "p"),
        "keys_of_either": sql.SQL(", ").join(
            sql.SQL("coalesce(a.{0}, c.{0}) as {0}").format(sql.Identifier(k)) for k in key
        ),
        "columns": names(columns),
        "columns_of_v": names(columns, "v"),
        # A rebuilt version has drivers of its own and the latest Type 1 attributes of its key.
        "columns_of_e_or_latest": sql.SQL(", ").join(
            sql.Identifier("latest" if c in dimension.type_1 else "e", c) for c in columns
        ),
        "values_of_a": names(values, "a"),
        "assign_values": assign(values, "v"),
        "assign_type_1": assign(dimension.type_1, "v"),
        "drivers_of_e": names(dimension.drivers, "e"),
        "drivers_differ": differ(dimension.drivers, "d", "v"),
        "type_1_differ": differ(dimension.type_1, "d", "v"),
        "hash_of_v": hashing.of_columns(dimension, "v"),
        "typed_columns": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(staged_rows.stored(feed, c), sql.Identifier(c))
            for c in columns
        ),
        "marked": staged_rows.marked(feed),
        "effective": staged_rows.effective(feed),
        "effective_in_load": staged_rows.effective(feed, as_of=sql.Identifier("l", "as_of_ts")),
        **{
            f"same_key_{one}_{other}": equal(key, one, other)
            for one, other in ("ac", "sa", "sc", "sk", "dk", "dv", "do")
        },
        **_of_lookups(dimension),
    }


def of_file(dimension: Dimension, columns: Iterable[str]) -> Parts:
    """How arrivals differ from current versions, in the columns that their file has.

    Nothing fills in since when a row is true: where its file lacks that, the row says that it is
    not known.
    """
    has = {*columns, dimension.feed.effective}
    return {
        "file_drivers_differ": differ([c for c in dimension.drivers if c in has], "a", "c"),
        "file_type_1_differ": differ([c for c in dimension.type_1 if c in has], "a", "c"),
    }


def _of_lookups(dimension: Dimension) -> Parts:
    """Fragments that fetch the keys a dimension row takes from other dimensions."""
    values, assigned, joins = [], [], []
    for number, lookup in enumerate(dimension.lookups):
        alias = f"lookup_{number}"
        parts = {
            "column": sql.Identifier(lookup.column),
            "found": sql.Identifier(alias, lookup.column),
            "table": sql.Identifier(lookup.table),
            "alias": sql.Identifier(alias),
            "match": equal(lookup.match, alias, "v"),
        }
        values.append(sql.SQL("coalesce({found}, -1) as {column}, ").format(**parts))
        assigned.append(sql.SQL("{column} = coalesce({found}, -1), ").format(**parts))
        joins.append(sql.SQL("left join {table} as {alias} on {match} ").format(**parts))
    return {
        "lookup_values": sql.Composed(values),
        "lookup_assign": sql.Composed(assigned),
        "lookup_joins": sql.Composed(joins),
    }
