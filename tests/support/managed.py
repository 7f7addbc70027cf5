"""A warehouse on a server as managed ones are: its owner is no superuser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.db.connection import connect
from tests.support.databases import drop, url_of
from tests.support.warehouse import Warehouse
from tests.support.watching import Silent


def odd_password() -> str:
    """Every character with a meaning in a URL, in key=value pairs or to a library on the way."""
    return "p@ss/w:rd?#%41$HOME${X}&a=b+c' \\\"ü"


@dataclass
class Managed(Warehouse):
    """A warehouse on a server as managed ones are: its owner is no superuser.

    ``address``: what DATABASE_URL says. ``admin``: a connection of the superuser to the same
    database; with ``server`` one to another.
    """

    owner: str = ""
    address: str = ""
    admin: psycopg.Connection[Any] = field(kw_only=True)
    server: psycopg.Connection[Any] = field(kw_only=True)
    roles: list[str] = field(default_factory=list)

    def login(self, role: str) -> str:
        """Make a role that may log in; the address by which it does."""
        identifier = sql.Identifier(role)
        self.admin.execute(
            sql.SQL("create role {} login nosuperuser password {}").format(
                identifier, odd_password()
            )
        )
        self.roles.append(role)
        return make_conninfo(self.address, user=role)


def owned(admin_url: str, owner: str, name: str) -> str:
    """The address of a database for a role."""
    parts = {"user": owner, "password": odd_password(), "dbname": name}
    return make_conninfo("", **conninfo_to_dict(admin_url) | parts)


@contextmanager
def role(admin_url: str, name: str) -> Iterator[None]:
    """A role that may log in and has no other right."""
    with psycopg.connect(admin_url, autocommit=True) as server:
        made = sql.SQL("create role {} login password {}")
        server.execute(made.format(sql.Identifier(name), odd_password()))
    yield
    # Tests may have restarted the server meanwhile.
    with psycopg.connect(admin_url, autocommit=True) as server:
        server.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@contextmanager
def managed_by(
    admin_url: str, owner: str, template: str, inbox: Path, data: Path
) -> Iterator[Managed]:
    """A database of this owner, a copy of the template."""
    name = "managed"
    parts = {"database": name, "owner": owner, "template": template}
    made = sql.SQL(
        "create database {database} owner {owner} template {template} strategy file_copy"
    )
    with psycopg.connect(admin_url, autocommit=True) as server:
        server.execute(made.format(**{k: sql.Identifier(v) for k, v in parts.items()}))
        roles: list[str] = []
        address = owned(admin_url, owner, name)
        try:
            with connect(address, "test") as own, connect(url_of(admin_url, name), "test") as admin:
                yield Managed(
                    address, inbox, data, own, Silent(), owner, address,
                    admin=admin, server=server, roles=roles,
                )  # fmt: skip
        finally:
            drop(server, name)
            for made_role in reversed(roles):
                server.execute(sql.SQL("drop role {}").format(sql.Identifier(made_role)))
