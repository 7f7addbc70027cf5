"""Logins of people: one role each, their limits, and what is left when they go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from etl.access import logins
from etl.access.roles import ROLES, SCOPED
from etl.errors import AcaError, ServerError, UsageError
from tests.support.managed import Managed
from tests.support.tables import draw
from tests.support.warehouse import Warehouse

LOGIN = "jane.doe@x"


@pytest.fixture(scope="module")
def loaded(module_warehouse: Warehouse) -> Iterator[Warehouse]:
    """Two members of Florida and one of Texas; the logins that tests make are dropped."""
    module_warehouse.send(
        "2025-01-10",
        members=draw("""
        member_id | state
        A         | FL
        B         | FL
        C         | TX
        """),
    )
    module_warehouse.incremental()
    yield module_warehouse
    remove_logins(module_warehouse.connection)


def remove_logins(connection: psycopg.Connection[Any]) -> None:
    for (name,) in connection.execute(
        "select rolname from pg_roles where rolname = %s or rolname ~ '^aca_try_'", [LOGIN]
    ).fetchall():
        identifier = sql.Identifier(name)
        connection.execute(sql.SQL("drop owned by {0}; drop role {0}").format(identifier))


@pytest.fixture(autouse=True)
def no_logins(loaded: Warehouse) -> None:
    remove_logins(loaded.connection)
    loaded.connection.execute("delete from access.login_state")


def asks(loaded: Warehouse, login: str, password: str, query: str) -> list[tuple[Any, ...]]:
    """What a login is answered."""
    address = make_conninfo(loaded.url, user=login, password=password)
    with psycopg.connect(address, autocommit=True) as session:
        return session.execute(query.encode()).fetchall()


def add(loaded: Warehouse, role: str, *states: str) -> str | None:
    return logins.add(loaded.connection, LOGIN, logins.role_of(role), states).password


def test_login_sees_what_its_latest_role_does(loaded: Warehouse) -> None:
    password = add(loaded, "analyst")
    assert password
    names = "select count(first_name), count(*) from dim_member where member_sk > 0"
    assert asks(loaded, LOGIN, password, names) == [(0, 3)]

    assert add(loaded, "phi") is None
    assert asks(loaded, LOGIN, password, names) == [(3, 3)]
    assert asks(loaded, LOGIN, password, "show log_statement") == [("all",)]

    assert add(loaded, "scoped", "FL") is None
    assert asks(loaded, LOGIN, password, names) == [(0, 2)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        asks(loaded, LOGIN, password, "select 1 from warehouse.dim_member")

    add(loaded, "scoped", "TX", "TX")
    assert asks(loaded, LOGIN, password, names) == [(0, 1)]
    row = next(row for row in logins.listed(loaded.connection) if row.name == LOGIN)
    assert (row.role, row.states, row.may_log_in) == (SCOPED, "TX", True)


def test_every_login_has_limits_of_its_own(loaded: Warehouse) -> None:
    for role in ROLES.values():
        password = add(loaded, role.short, *(["FL"] if role.name == SCOPED else []))
        remove = password or ""
        shown = {
            name: asks(loaded, LOGIN, remove, f"show {name}")[0][0]
            for name in (
                "statement_timeout",
                "idle_in_transaction_session_timeout",
                "temp_file_limit",
                "join_collapse_limit",
                "from_collapse_limit",
                "enable_mergejoin",
                "search_path",
            )
        }
        assert shown == {
            "statement_timeout": "1h",
            "idle_in_transaction_session_timeout": "10min",
            "temp_file_limit": "20GB",
            "join_collapse_limit": "11",
            "from_collapse_limit": "11",
            "enable_mergejoin": "off" if role.name == SCOPED else "on",
            "search_path": ", ".join(role.path),
        }
        remove_logins(loaded.connection)


def test_dropped_login_is_out_at_once_and_keeps_what_it_owns(loaded: Warehouse) -> None:
    password = add(loaded, "analyst") or ""
    loaded.connection.execute(
        sql.SQL("create schema own authorization {}").format(sql.Identifier(LOGIN))
    )
    address = make_conninfo(loaded.url, user=LOGIN, password=password)
    with psycopg.connect(address, autocommit=True) as session:
        session.execute("create table own.kept as select count(*) from dim_member")
        assert logins.drop(loaded.connection, LOGIN) is False
        with pytest.raises(psycopg.OperationalError):
            session.execute("select count(*) from dim_member")
    with pytest.raises(psycopg.OperationalError):
        asks(loaded, LOGIN, password, "select 1")
    assert loaded.rows("select count from own.kept") == [(4,)]

    add(loaded, "analyst")
    assert asks(loaded, LOGIN, password, "select count from own.kept") == [(4,)]
    loaded.connection.execute("drop schema own cascade")
    assert logins.drop(loaded.connection, LOGIN) is True
    with pytest.raises(UsageError):
        logins.drop(loaded.connection, LOGIN)


def test_trial_login_is_the_same_at_every_call(loaded: Warehouse) -> None:
    role = logins.role_of("scoped")
    login, password = logins.trial(loaded.connection, role, [], None)
    states = "select distinct state from dim_member"
    assert asks(loaded, login, password, states) == [("FL",)]
    assert logins.trial(loaded.connection, role, ["TX"], password) == (login, password)
    assert logins.trial(loaded.connection, role, [], password) == (login, password)
    assert asks(loaded, login, password, states) == [("TX",)]
    # Its file is gone.
    _, other = logins.trial(loaded.connection, role, [], None)
    assert other != password
    assert asks(loaded, login, other, states) == [("TX",)]
    # Somebody changed it since.
    loaded.connection.execute(f"alter role {login} password 'another'")
    assert logins.trial(loaded.connection, role, [], other) == (login, other)
    assert asks(loaded, login, other, states) == [("TX",)]


@pytest.mark.parametrize(
    ("login", "role", "states"),
    [
        ("", "analyst", []),
        ("pg_x", "analyst", []),
        ("aca_loader", "analyst", []),
        ("a b", "analyst", []),
        ("x" * 64, "analyst", []),
        ("public", "analyst", []),
        ("none", "analyst", []),
        (LOGIN, "", []),
        (LOGIN, "owner", []),
        (LOGIN, "scoped", []),
        (LOGIN, "scoped", ["Florida"]),
        (LOGIN, "scoped", ["FL", "fl"]),
        (LOGIN, "scoped", ["XX"]),
        (LOGIN, "analyst", ["FL"]),
    ],
)
def test_login_that_cannot_be_is_refused(
    loaded: Warehouse, login: str, role: str, states: list[str]
) -> None:
    with pytest.raises(UsageError) as refused:
        logins.add(loaded.connection, login, logins.role_of(role), states)
    assert refused.value.hint
    assert logins.listed(loaded.connection) == []


def test_superuser_and_group_are_no_logins(loaded: Warehouse) -> None:
    loaded.connection.execute("create role boss superuser; create role team; grant team to boss")
    try:
        for name in ("boss", "team"):
            with pytest.raises(UsageError):
                logins.add(loaded.connection, name, logins.role_of("analyst"))
    finally:
        loaded.connection.execute("drop role boss; drop role team")


def test_owner_who_may_make_roles_sets_what_it_may(managed: Managed) -> None:
    with pytest.raises(AcaError) as refused:
        logins.add(managed.connection, LOGIN, logins.role_of("phi"))
    assert isinstance(refused.value, ServerError)
    owner = sql.Identifier(managed.owner)
    managed.admin.execute(sql.SQL("alter role {} createrole").format(owner))
    with pytest.raises(ServerError, match="may not change the login"):
        logins.add(managed.connection, LOGIN, logins.role_of("analyst"))
    grants = sql.SQL(", ").join(map(sql.Identifier, ROLES))
    managed.admin.execute(
        sql.SQL("grant {} to {} with admin option, inherit false").format(grants, owner)
    )
    try:
        added = logins.add(managed.connection, LOGIN, logins.role_of("phi"))
        assert added.password
        assert added.not_set == ("temp_file_limit", "log_statement")
        assert logins.drop(managed.connection, LOGIN) is True
    finally:
        managed.admin.execute(sql.SQL("revoke {} from {}").format(grants, owner))
        managed.admin.execute(sql.SQL("alter role {} nocreaterole").format(owner))


def test_command_names_the_file_with_the_password(loaded: Warehouse) -> None:
    ended = loaded.command("role-add", "--login", LOGIN, "--role", "analyst")
    assert ended.returncode == 0
    file = loaded.data / "logins" / LOGIN
    assert str(file) in ended.stdout
    assert file.stat().st_mode & 0o777 == 0o600
    password = file.read_text(encoding="utf-8")
    assert password not in ended.stdout + ended.stderr
    assert asks(loaded, LOGIN, password, "select count(*) from dim_member") == [(4,)]
    assert loaded.command("role-drop", "--login", LOGIN).returncode == 0
    assert not file.exists()
    # Where DATABASE_URL names a server, nobody makes logins for a trial.
    ended = loaded.command("db-url", "--role", "analyst")
    assert (ended.returncode, ended.stdout) == (2, "")


def test_password_that_cannot_be_kept_is_a_sentence(loaded: Warehouse) -> None:
    folder = loaded.data / "logins"
    shutil.rmtree(folder, ignore_errors=True)
    folder.touch()
    try:
        ended = loaded.command("role-add", "--login", LOGIN, "--role", "analyst")
        assert ended.returncode == 2
        assert f"The password of the login {LOGIN} cannot be written" in ended.stderr
    finally:
        folder.unlink()
