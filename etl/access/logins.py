"""People's logins: one role each, with limits for its sessions.

Settings of a group are not inherited, so each login gets its own.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from etl.access.roles import ROLES, SCOPED, Role, named
from etl.contracts.states import STATE_NAMES
from etl.db.passwords import scram_verifier, set_password
from etl.db.statements import run, scalar
from etl.errors import SchemaError, ServerError, UsageError
from etl.schema import layout
from etl.warehouse.tables import LIVE

SESSIONS = 10
# What PostgreSQL takes for no name of a role, whatever quotes are around it.
_OF_SQL = ("public", "none")
# How the logins are called that show what a role sees.
TRIAL = "aca_try_"
# What every login's sessions have set: a report of an hour is none any more, and a transaction that
# somebody left open must not keep a full load from going live.
_LIMITS = {"statement_timeout": "1h", "idle_in_transaction_session_timeout": "10min"}
# A masked view joins the codes of persons and keys. The planner would plan more than 8 joins in
# parts and miss that two of these are one; from 12 on it does not try all orders.
_PLANNING = {"join_collapse_limit": "11", "from_collapse_limit": "11"}
# Inside a security barrier the planner does not know how many different codes there are, expects
# very many rows of a join, and sorts both sides for a merge that a hash join does in half the time.
_PLANNING_OF_SCOPE = {"enable_mergejoin": "off"}
# Postal codes, those of the armed forces, and "--", of which nobody is: a login of no state.
_STATES = {*STATE_NAMES.values(), "AA", "AE", "AP", "--"}
# What only a superuser may set.
_GUARDED = {"temp_file_limit": "20GB"}
_LOGGED = {"log_statement": "all"}


class Login(NamedTuple):
    """A login as ``make roles`` lists it."""

    name: str
    role: str
    may_log_in: bool
    states: str
    sessions: int


@dataclass(frozen=True, slots=True)
class Added:
    """What was done for a login: its password if it is new, and what could not be set."""

    role: Role
    password: str | None
    not_set: tuple[str, ...]


def role_of(name: str) -> Role:
    """The role that a command names; ``UsageError`` where there is none."""
    role = named(name)
    if role is None:
        shorts = ", ".join(role.short for role in ROLES.values())
        what = f"There is no role {name!r}." if name else "Which role is meant?"
        raise UsageError(what, f"Name one of {shorts}: ROLE=analyst")
    return role


def add(
    connection: psycopg.Connection[Any], login: str, role: Role, states: Sequence[str] = ()
) -> Added:
    """Give a login a role, and make the login if it is not there; it has no other role of ours.

    ``states``: those whose members it may see, for ``aca_analyst_scoped`` and no other. Raises
    ``UsageError`` for a name or states that cannot be, ``ServerError`` without the right.
    """
    _require_name(login)
    _require_states(role, states)
    is_superuser = _require_ready(connection)
    name = sql.Identifier(login)
    with _explained(connection, login), connection.transaction():
        password = None
        found = run(connection, "access/logins.exists", {"login": login}).fetchone()
        if found is None:
            password = secrets.token_urlsafe(24)
            verifier = sql.Literal(scram_verifier(connection, login, password))
            run(connection, "access/logins.create", login=name, verifier=verifier)
        elif found != (True, False):
            raise UsageError(
                f"{login} is a superuser, who sees everything whatever its role."
                if found[1]
                else f"{login} is a role and no login.",
                "Choose another name for the login.",
            )
        run(connection, "access/logins.allow", login=name, sessions=sql.Literal(SESSIONS))
        _take_roles(connection, login)
        run(connection, "access/logins.grant_role", role=sql.Identifier(role.name), login=name)
        if states:
            values = {"login": login, "states": sorted(set(states))}
            run(connection, "access/logins.add_states", values)
        guarded = {**_GUARDED, **(_LOGGED if role.is_identified else {})}
        planning = {**_PLANNING, **(_PLANNING_OF_SCOPE if role.name == SCOPED else {})}
        wanted = {**_LIMITS, **planning, **(guarded if is_superuser else {})}
        database = sql.Identifier(connection.info.dbname)
        for setting, value in wanted.items():
            run(
                connection,
                "access/logins.settings",
                login=name,
                database=database,
                name=sql.Identifier(setting),
                value=sql.Literal(value),
            )
        path = sql.SQL(", ").join(map(sql.Identifier, path_of(connection, role)))
        run(connection, "access/logins.search_path", login=name, database=database, path=path)
    return Added(role, password, tuple(name for name in guarded if name not in wanted))


def path_of(connection: psycopg.Connection[Any], role: Role) -> tuple[str, ...]:
    """Where names without a schema are looked for.

    On a cluster a dimension is read where loads change it: looks at persons are noted there.
    """
    live = layout.found(connection, LIVE.schemas)
    before = {live.warehouse: (live.history,)} if live.has_history else {}
    return tuple(name for schema in role.path for name in (*before.get(schema, ()), schema))


def drop(connection: psycopg.Connection[Any], login: str) -> bool:
    """Take a login's roles and let it in no more; whether it could be dropped, as it owns nothing.

    Its sessions end. Raises ``UsageError`` for one that has no role of ours.
    """
    _require_ready(connection)
    if not _roles_of(connection, login):
        raise UsageError(
            f"{login!r} is no login with a role of the warehouse.", "make roles lists them."
        )
    name = sql.Identifier(login)
    with _explained(connection, login), connection.transaction():
        _take_roles(connection, login)
        run(connection, "access/logins.keep_out", login=name)
    run(connection, "access/logins.end_sessions", {"login": login})
    try:
        run(connection, "access/logins.drop", login=name)
    except psycopg.errors.DependentObjectsStillExist:
        return False
    return True


@contextmanager
def _explained(connection: psycopg.Connection[Any], login: str) -> Iterator[None]:
    """Say which right is lacking: who may make roles may change only those given to them."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        owner = connection.info.user
        raise ServerError(
            f"{owner} may not change the login {login} or give it a role of the warehouse.",
            f"Let a superuser run, for the login and the roles that make roles lists: "
            f"grant ... to {owner} with admin option;",
        ) from error


def listed(connection: psycopg.Connection[Any]) -> list[Login]:
    """The logins that have a role of the warehouse."""
    _require_migrated(connection)
    return [Login(*row) for row in run(connection, "access/logins.logins", {"roles": list(ROLES)})]


def trial_name(role: Role) -> str:
    """Name of the login to see what a role sees."""
    return f"{TRIAL}{role.short}"


def trial(
    connection: psycopg.Connection[Any], role: Role, states: Sequence[str], password: str | None
) -> tuple[str, str]:
    """A login to see what a role sees: its name and password.

    ``password``: the one that it is to have, if one was given out before. Without ``states`` a
    login of scoped keeps those it has, and otherwise gets the state with the most members.
    """
    login = trial_name(role)
    if role.name == SCOPED and not states:
        known = [row.states for row in listed(connection) if row.name == login]
        most = scalar(connection, "access/logins.state_of_most")
        states = known[0].split(", ") if known and known[0] else [most]
        # Senders may have words of their own for states.
        states = [state for state in states if state in _STATES] or ["--"]
    added = add(connection, login, role, states)
    if added.password is not None:
        return login, added.password
    # Somebody may have changed it since, or made the login again.
    password = password or secrets.token_urlsafe(24)
    set_password(connection, login, password)
    return login, password


def _take_roles(connection: psycopg.Connection[Any], login: str) -> None:
    for held in _roles_of(connection, login):
        run(
            connection,
            "access/logins.revoke_role",
            role=sql.Identifier(held),
            login=sql.Identifier(login),
        )
    run(connection, "access/logins.forget_states", {"login": login})


def _roles_of(connection: psycopg.Connection[Any], login: str) -> list[str]:
    values = {"login": login, "roles": list(ROLES)}
    return [role for (role,) in run(connection, "access/logins.roles_of", values)]


def _require_name(login: str) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.@-]{0,62}", login) or login.startswith("pg_"):
        raise UsageError(
            f"{login!r} cannot be the name of a login." if login else "Which login is meant?",
            "Use letters, digits and _ . @ - with a letter first: LOGIN=jdoe",
        )
    if login in _OF_SQL:
        raise UsageError(
            f"{login} means something else to PostgreSQL than a login.",
            "Choose another name for the login: LOGIN=jdoe",
        )
    if login.startswith("aca_") and not login.startswith(TRIAL):
        raise UsageError(
            f"{login} is the name of a role of the warehouse or like one.",
            "Choose a name that does not begin with aca_.",
        )


def _require_states(role: Role, states: Sequence[str]) -> None:
    if role.name != SCOPED:
        if states:
            raise UsageError(
                f"STATES= is for the role scoped; {role.short} does not look at states.",
                "Leave it out, or choose ROLE=scoped.",
            )
        return
    wrong = [state for state in states if state not in _STATES]
    if wrong or not states:
        raise UsageError(
            f"{wrong[0]!r} is no state." if wrong else "Which states may the login see?",
            "Give postal codes: STATES=FL,OH",
        )


def _require_migrated(connection: psycopg.Connection[Any]) -> tuple[bool, bool]:
    is_migrated, makes_roles, is_superuser = run(
        connection, "access/logins.is_ready", {"roles": list(ROLES)}
    ).fetchone() or (False, False, False)
    if not is_migrated:
        raise SchemaError("The warehouse has no roles yet.", "Run make migrate, then this again.")
    return makes_roles, is_superuser


def _require_ready(connection: psycopg.Connection[Any]) -> bool:
    """Raise unless logins can be made here; whether by a superuser."""
    makes_roles, is_superuser = _require_migrated(connection)
    if not makes_roles:
        raise ServerError(
            f"{connection.info.user} may not make logins.",
            f"Let a superuser run: alter role {connection.info.user} createrole;",
        )
    return is_superuser
