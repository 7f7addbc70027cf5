"""The role that loads and owns what is made: no superuser, so row security never touches a load.

A login acts as the role in every session of a run. It does with its own rights what the role has
none for: it sees what other sessions do, and replaces views of people, whom it can be a member of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from etl.access.roles import LOADER
from etl.db.connection import set_config, with_settings
from etl.db.statements import run, scalar
from etl.schema import grants
from etl.schema.dependents import LOCK_PATIENCE
from etl.server.topology import is_cluster
from etl.warehouse import builds
from etl.warehouse.tables import KEPT, LIVE

# Every schema of the warehouse, also of builds that were replaced and are kept.
_SCHEMAS = {
    "schemas": builds.named((*LIVE.schemas.names, LIVE.schemas.history, *KEPT)),
    **builds.OF_HISTORY,
}
# A statement of a load sees every row or ends: row security can be forced on owners.
_SEES_ALL = {"row_security": "off"}
# Seconds in which moments are looked for at which nobody reads a table that is to change its owner.
_HAND_OVER_SECONDS = 5.0


def become(connection: psycopg.Connection[Any], url: str) -> str:
    """Let a session act as the loader from now on; the address by which others of its run do.

    Where the login cannot, it loads with its own rights, as ``who_loads`` says. The other roles are
    made first, which takes the login's rights too.
    """
    grants.make_roles(connection)
    settings = dict(_SEES_ALL)
    if _is_ready(connection) and _hand_over(connection):
        settings["role"] = LOADER
    for name, value in settings.items():
        set_config(connection, name, value, is_local=False)
    return with_settings(url, settings)


@contextmanager
def as_login(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Act with the rights of the login: within the caller's transaction, or outside of one."""
    is_local = connection.info.transaction_status is not TransactionStatus.IDLE
    role = scalar(connection, "access/loader.acts_as")
    set_config(connection, "role", "none", is_local=is_local)
    try:
        yield
    finally:
        # A transaction that failed takes back what it set.
        if connection.info.transaction_status in (
            TransactionStatus.IDLE,
            TransactionStatus.INTRANS,
        ):
            set_config(connection, "role", role, is_local=is_local)


def who_loads(connection: psycopg.Connection[Any]) -> str:
    """Who loads and owns the tables, and what it would take for the loader to; empty before."""
    login, is_superuser, owner = run(connection, "access/loader.who_loads").fetchone() or ("",) * 3
    if owner is None:
        return ""
    unlimited = "no right limits it, and its reads leave no record"
    lacking = _lacking(connection)
    if lacking and not all(may_run for _, may_run in lacking):
        grants = " ".join(statement for statement, _ in lacking)
        return (
            f"{login} loads and owns the tables; for {LOADER} to do so a superuser runs: {grants}"
        )
    if owner != LOADER or lacking:
        said = f"{owner} owns the tables until the next run, which gives them to {LOADER}"
    else:
        said = f"{LOADER} loads and owns the tables"
    return f"{said}; the login {login} is a superuser: {unlimited}" if is_superuser else said


def _lacking(connection: psycopg.Connection[Any]) -> list[tuple[str, bool]]:
    """What the login lacks to act as the loader, as statements; whether it may run each."""
    return run(connection, "access/loader.lacking", {"role": LOADER}).fetchall()


def _is_ready(connection: psycopg.Connection[Any]) -> bool:
    """Whether the login can act as the loader, who is made and granted what it lacks."""
    lacking = _lacking(connection)
    if not all(may_run for _, may_run in lacking):
        return False
    for statement, _ in lacking:
        # Another session may make the role meanwhile, or grant the same at the same moment, which
        # PostgreSQL calls an internal error.
        with suppress(
            psycopg.errors.DuplicateObject,
            psycopg.errors.UniqueViolation,
            psycopg.errors.InternalError_,
        ):
            connection.execute(statement)
    if is_cluster(connection) and not scalar(
        connection, "server/nodes.has_login", {"role": LOADER}
    ):
        return False  # nodes log in to each other as whoever acts
    return not scalar(connection, "access/loader.is_superuser", {"role": LOADER})


def _hand_over(connection: psycopg.Connection[Any]) -> bool:
    """Give the loader what it does not own; whether that could be, as nobody read it for long."""
    due = run(connection, "access/loader.of_others", {"role": LOADER, **_SCHEMAS})
    statements = [statement for (statement,) in due]
    deadline = time.monotonic() + _HAND_OVER_SECONDS
    while statements:
        try:
            with connection.transaction():
                set_config(connection, "lock_timeout", LOCK_PATIENCE)
                for statement in statements:
                    connection.execute(statement)
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        else:
            return True
    return True
