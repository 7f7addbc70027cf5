"""What PostgreSQL's catalog says of a schema."""

from __future__ import annotations

import re
from typing import Any

import psycopg

# Everything that the catalog says of the tables of some schemas; {} is the schema's name.
CATALOG = {
    "columns": """
        select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), a.attidentity,
            col_description(c.oid, a.attnum), obj_description(c.oid)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = to_regnamespace(%s) and c.relkind in ('r', 'p')
            and not a.attisdropped and not c.relispartition
        order by 1, 2""",
    "partitioned": """
        select c.relname, pg_get_partkeydef(c.oid) from pg_class c
        where c.relnamespace = to_regnamespace(%s) and c.relkind = 'p' and not c.relispartition
        order by 1""",
    "constraints": """
        select c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid)
        from pg_constraint k join pg_class c on c.oid = k.conrelid
        where c.relnamespace = to_regnamespace(%s) and not c.relispartition
        order by 1, 2""",
    "indexes": """
        select c.relname, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
        from pg_index i join pg_class c on c.oid = i.indrelid
        where c.relnamespace = to_regnamespace(%s) and not c.relispartition
        order by 1, 2""",
    "triggers": """
        select c.relname, pg_get_triggerdef(t.oid), obj_description(t.oid, 'pg_trigger')
        from pg_trigger t join pg_class c on c.oid = t.tgrelid
        where c.relnamespace = to_regnamespace(%s) and not t.tgisinternal order by 1, 2""",
    "functions": """
        select proname, pg_get_functiondef(oid), obj_description(oid) from pg_proc
        where pronamespace = to_regnamespace(%s) and prokind <> 'a' order by 1, 2""",
    "aggregates": """
        select a.aggfnoid::text, a.aggtransfn::text, a.aggcombinefn::text, a.agginitval
        from pg_aggregate a join pg_proc p on p.oid = a.aggfnoid
        where p.pronamespace = to_regnamespace(%s) order by 1""",
    "views": """
        select relname, reloptions, pg_get_viewdef(oid), obj_description(oid) from pg_class
        where relnamespace = to_regnamespace(%s) and relkind = 'v' order by 1""",
    "policies": """
        select c.relname, c.relrowsecurity, p.polname, p.polpermissive, p.polcmd,
            pg_get_expr(p.polqual, c.oid)
        from pg_class c left join pg_policy p on p.polrelid = c.oid
        where c.relnamespace = to_regnamespace(%s) and c.relkind in ('r', 'p')
            and not c.relispartition
        order by 1, 3""",
    "domains": """
        select t.typname, format_type(t.typbasetype, t.typtypmod), t.typnotnull,
            pg_get_constraintdef(k.oid)
        from pg_type t left join pg_constraint k on k.contypid = t.oid and k.contype = 'c'
        where t.typnamespace = to_regnamespace(%s) and t.typtype = 'd' order by 1""",
}


def catalog(
    connection: psycopg.Connection[Any], schema: str, live: str, *, in_order: bool = True
) -> dict[str, Any]:
    """What the catalog says of a schema, with the schema called by its live name.

    ``in_order``: with the order of columns, which a column that a migration adds ends.
    """
    found: dict[str, Any] = {}
    for kind, query in CATALOG.items():
        rows = connection.execute(query, [schema]).fetchall()
        found[kind] = [
            tuple(
                v.replace("_next.", ".").replace(f"{schema}.", f"{live}.")
                if isinstance(v, str)
                else v
                for v in row
            )
            for row in rows
        ]
    return found if in_order else {kind: _unordered(kind, rows) for kind, rows in found.items()}


def _unordered(kind: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The same without the order of columns: their numbers, and of the lines that list them."""
    if kind == "columns":
        return sorted(((table, *rest) for table, _, *rest in rows), key=repr)
    if kind in ("functions", "views"):
        return [
            tuple(sorted(re.split(r",?\s*\n\s*", v)) if isinstance(v, str) else v for v in row)
            for row in rows
        ]
    return rows
