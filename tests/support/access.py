"""Somebody with a role of the warehouse: what a login of it sees, and by which right."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from etl.db.connection import connect
from tests.support.managed import odd_password

# Each role, and what it sees by schema: every value (read), masked, or nothing.
ROLES = (
    *("aca_analyst", "aca_analyst_scoped", "aca_analyst_deid", "aca_analyst_phi"),
    *("aca_data_steward", "aca_auditor"),
)


@contextmanager
def acting_as(connection: psycopg.Connection[Any], role: str) -> Iterator[None]:
    """The same session with the rights of a role, rolled back in the end."""
    with connection.transaction(force_rollback=True):
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        yield


@contextmanager
def login_of(
    connection: psycopg.Connection[Any], url: str, role: str, states: Iterable[str] = ()
) -> Iterator[psycopg.Connection[Any]]:
    """A connection of a login with a role, for members of these states where it has states."""
    name = f"{role}_test"
    with logins(connection, {name: (role, states)}), connect(address(url, name), "test") as session:
        yield session


def address(url: str, name: str) -> str:
    """Where a login of ``logins`` connects."""
    return make_conninfo(url, user=name, password=odd_password())


@contextmanager
def logins(
    connection: psycopg.Connection[Any], described: dict[str, tuple[str, Iterable[str]]]
) -> Iterator[None]:
    """Logins by name, each with its role and states; gone in the end."""
    for name, (role, states) in described.items():
        login = sql.Identifier(name)
        made = sql.SQL("create role {} login password {} in role {}")
        connection.execute(made.format(login, odd_password(), sql.Identifier(role)))
        for state in states:
            connection.execute(
                "insert into access.login_state (login, state) values (%s, %s)", [name, state]
            )
    try:
        yield
    finally:
        for name in described:
            connection.execute("delete from access.login_state where login = %s", [name])
            connection.execute(sql.SQL("drop owned by {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def tables_behind(connection: psycopg.Connection[Any], role: str) -> set[str]:
    """The tables whose rows statements of a role can ask for, by name or through views."""
    found = connection.execute(
        """
        with recursive reads as (
            select c.oid, c.relkind
            from pg_class as c
            inner join pg_namespace as n on c.relnamespace = n.oid
            where c.relkind in ('r', 'p', 'v', 'm')
                and has_any_column_privilege(%(role)s, c.oid, 'select')
                and has_schema_privilege(%(role)s, n.oid, 'usage')
                and n.nspname not in ('pg_catalog', 'information_schema', 'citus', 'columnar')
            union
            select t.oid, t.relkind
            from reads as v
            inner join pg_rewrite as w on v.oid = w.ev_class and v.relkind = 'v'
            inner join pg_depend as d on w.oid = d.objid and d.classid = 'pg_rewrite'::regclass
            inner join pg_class as t on d.refobjid = t.oid and d.refclassid = 'pg_class'::regclass
        )

        select format('%%s.%%s', c.relnamespace::regnamespace, c.relname)
        from reads inner join pg_class as c using (oid)
        where c.relkind in ('r', 'p', 'm')
        """,
        {"role": role},
    )
    return {name for (name,) in found}
