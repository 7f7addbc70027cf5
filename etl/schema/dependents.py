"""What people built on the warehouse: found, made to follow a rebuild, or named.

A view is bound to tables and not to their names, so after a swap it would go on reading the build
that was replaced. Those that may be replaced are; all others are reported, with the reason and what
helps. No object of a person ever stops a load, and none is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from etl.db.connection import set_config
from etl.db.statements import run, scalar, statement
from etl.warehouse.tables import Schemas

# How long we wait for a lock at a time: whoever wants the same table after us waits behind us.
LOCK_PATIENCE = "100ms"


@dataclass(frozen=True, slots=True)
class Dependent:
    """Somebody's object that cannot follow a rebuild: which, why not, and what helps."""

    name: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class View:
    """Somebody's view on a build, in the columns of ``rebuild/dependents.views``."""

    oid: int
    schema: str
    name: str
    shown: str
    shown_schema: str
    owner: str
    definition: str
    options: str
    is_temporary: bool
    is_ours: bool
    is_of_superuser: bool
    may_create: bool
    has_types_of_build: bool
    has_dependents: bool

    @property
    def identifier(self) -> sql.Identifier:
        """Its name for a statement."""
        return sql.Identifier(self.schema, self.name)

    def stuck(self, reason: str, remedy: str) -> Dependent:
        """This view as one that cannot follow."""
        return Dependent(f"view {self.shown}", reason, remedy)

    def obstacle(self, role: str) -> Dependent | None:
        """Why the view cannot be replaced by ``role``; none if it can."""
        if self.is_temporary:
            return self.stuck(
                f"temporary, of a session of {self.owner}",
                "it is gone when its session ends; let the session create it again",
            )
        if not self.is_ours:
            again = f"let {self.owner} create it again after the load"
            # Nobody should make a loader a superuser for the sake of a view.
            remedy = again if self.is_of_superuser else f"grant {self.owner} to {role}, or {again}"
            return self.stuck(f"it belongs to {self.owner}", remedy)
        if not self.may_create:
            return self.stuck(
                f"{role} may not create views in its schema",
                f"grant create on schema {self.shown_schema} to {role}",
            )
        if self.has_types_of_build and self.has_dependents:
            return self.stuck(
                "a rebuild makes the types of its columns again, and other objects depend on it",
                "drop it with what depends on it, and create them again, its columns cast to types "
                "such as text or numeric",
            )
        return None


def views(connection: psycopg.Connection[Any], schemas: Schemas) -> list[View]:
    """The views outside a build that read from it."""
    found = run(connection, "rebuild/dependents.views", {"schemas": list(schemas.names)})
    return [View(*row) for row in found]


def stuck(
    connection: psycopg.Connection[Any], schemas: Schemas, *, is_replaced: bool = False
) -> list[Dependent]:
    """What reads from a build and cannot be made to follow another that takes its place.

    ``is_replaced``: another has taken its place, so whatever still reads from it did not follow.
    """
    role = scalar(connection, "server/server.login")
    on_build = views(connection, schemas)
    found = [
        view.obstacle(role)
        or view.stuck(
            "it was in use, or its definition no longer fits",
            "run make migrate; if it is named again, create it again",
        )
        for view in on_build
        if is_replaced or view.obstacle(role)
    ]
    values = {"schemas": list(schemas.names), "views": [view.oid for view in on_build]}
    for (name,) in run(connection, "rebuild/dependents.others", values):
        found.append(
            Dependent(
                name,
                "it cannot be replaced where it is",
                "drop it and create it again after the load",
            )
        )
    return found


def may_follow(connection: psycopg.Connection[Any], schemas: Schemas) -> bool:
    """Whether any view that reads from a build can be made to follow another."""
    role = scalar(connection, "server/server.login")
    return not all(view.obstacle(role) for view in views(connection, schemas))


def follow(connection: psycopg.Connection[Any], found: list[View]) -> None:
    """Let those of the views that may read from what has the live names now.

    In the caller's transaction. What could not follow still reads from the old build, see
    ``stuck``. ``psycopg.errors.LockNotAvailable`` where a view is in use.
    """
    role = scalar(connection, "server/server.login")
    for view in found:
        if view.obstacle(role) is None:
            try:
                with connection.transaction():
                    _replace(connection, view)
            except psycopg.OperationalError:
                raise
            except psycopg.DatabaseError:
                continue  # such as a column that is no longer there


def _replace(connection: psycopg.Connection[Any], view: View) -> None:
    """Define a view again; one whose columns change their type is dropped and made again."""
    said = []
    if view.has_types_of_build:
        said = run(connection, "rebuild/dependents.said_of_view", {"view_oid": view.oid}).fetchall()
        run(connection, "rebuild/dependents.drop", view=view.identifier)
    run(
        connection,
        "rebuild/dependents.replace",
        view=view.identifier,
        definition=sql.SQL(view.definition.rstrip().removesuffix(";")),
        options=sql.SQL(f"with ({view.options})" if view.options else ""),
    )
    for (again,) in said:
        connection.execute(again)


def foreign_objects(
    connection: psycopg.Connection[Any], schemas: Schemas, made: list[tuple[str, str]]
) -> list[tuple[str, str]]:
    """What somebody put into a build's schemas, each with the command that takes it elsewhere.

    ``made``: schema and name of all that the warehouse makes there.
    """
    return run(connection, "rebuild/dependents.foreign_objects", _named(schemas, made)).fetchall()


def additions(connection: psycopg.Connection[Any], old: Schemas, new: Schemas) -> list[str]:
    """What somebody put on tables of one build and those of another go without, by description."""
    # On a cluster, what loads ask of a dimension is in schema history.
    builds = {"old": [*old.names, old.warehouse], "new": [*new.names, new.history]}
    return [name for (name,) in run(connection, "rebuild/dependents.additions", builds)]


def prune(
    connection: psycopg.Connection[Any], schemas: Schemas, made: list[tuple[str, str]]
) -> None:
    """Drop the parts of a retired build that nobody needs or reads; the rest stays.

    Each is a transaction of its own, so that no table is kept while another is waited for. What
    needs another part goes first, so it is looked for again as long as something goes.
    """
    parts = _named(schemas, made)
    goes_on = True
    while goes_on:
        drops = run(connection, "rebuild/dependents.parts", parts).fetchall()
        went = [_dropped(connection, sql.SQL(drop)) for (drop,) in drops]
        goes_on = any(went)
    for schema in schemas.names:
        drop = statement("rebuild/dependents.drop_empty_schema", schema=sql.Identifier(schema))
        _dropped(connection, drop)


def _dropped(connection: psycopg.Connection[Any], drop: sql.SQL | sql.Composed) -> bool:
    """Whether something could be dropped, since nothing needs it and nobody reads it."""
    try:
        with connection.transaction():
            set_config(connection, "lock_timeout", LOCK_PATIENCE)
            connection.execute(drop)
    except (psycopg.errors.DependentObjectsStillExist, psycopg.errors.LockNotAvailable):
        return False
    return True


def _named(schemas: Schemas, made: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "schemas": list(schemas.names),
        "made_schemas": [schema for schema, _ in made],
        "made_names": [name for _, name in made],
    }
