"""Commands for logins and their roles, and for looking with a role's eyes."""

from __future__ import annotations

import fcntl
import getpass
import locale
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.access import logins
from etl.config import Settings, settings
from etl.db.connection import as_url, connect
from etl.docs import psql_start
from etl.errors import UsageError
from etl.pipeline import console, welcome
from etl.server import nodes, replicas, server
from etl.server import psql as psql_program
from etl.server.home import write_private

SESSION = "aca-warehouse access"

app = typer.Typer()

LoginName = Annotated[str, typer.Option(help="Name of the login.")]
RoleName = Annotated[str, typer.Option(help="analyst, scoped, deid, phi, steward or auditor.")]
ReplicaNumber = Annotated[str, typer.Option(help="Number of a replica, in place of the server.")]
States = Annotated[str, typer.Option(help="States of the role scoped, such as FL,OH.")]


@app.command("role-add")
def role_add(login: LoginName = "", role: RoleName = "", states: States = "") -> None:
    """Give a login a role of the warehouse, and make the login if it is not there."""
    chosen, found = settings(), logins.role_of(role)
    with connect(server.ensure_running(chosen), SESSION) as connection:
        added = logins.add(connection, login, found, _listed(states))
        nodes.let_logins_in(chosen)
    seen = f" for {', '.join(_listed(states))}" if states else ""
    typer.echo(f"{login} has the role {added.role.name}{seen} and no other of the warehouse.")
    if added.password is not None:
        typer.echo(f"Its password is in {_keep(chosen, login, added.password)}.")
    if added.not_set:
        typer.echo(
            f"Not set, which takes a superuser: {', '.join(added.not_set)}. Statements of a login "
            "that sees who a person is should be logged."
        )


@app.command("role-drop")
def role_drop(login: LoginName = "") -> None:
    """Take a login's roles and end its sessions; drop it unless it owns something."""
    chosen = settings()
    with connect(server.ensure_running(chosen), SESSION) as connection:
        is_gone = logins.drop(connection, login)
    _file(chosen, login).unlink(missing_ok=True)
    left = "was dropped" if is_gone else "can log in no more; it stays, since it owns something"
    typer.echo(f"{login} {left}.")


@app.command("roles")
def roles() -> None:
    """List the roles of the warehouse, and who has them."""
    with connect(server.ensure_running(settings()), SESSION) as connection:
        console.show_roles(logins.listed(connection))


@app.command("db-url")
def db_url(role: RoleName = "", states: States = "", replica: ReplicaNumber = "") -> None:
    """Print a connection URL and nothing else: the owner's, or that of a login of a role."""
    typer.echo(_url(role, states, replica))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    role: RoleName = "",
    states: States = "",
    replica: ReplicaNumber = "",
) -> None:
    """Open psql on the warehouse, as a login of a role if one is named; the rest goes to psql."""
    url = _url(role, states, replica)
    is_watched = sys.stdin.isatty() and sys.stdout.isatty()
    # Who gives arguments or input wants what psql answers and nothing else.
    if context.args or not is_watched:
        psql_program.become(psql_program.program_for(url, "psql"), url, context.args)
    program = psql_program.program_at_a_terminal(url)
    start = _start(settings(), psql_program.own_start(program))
    welcome.show(url)
    psql_program.become(program, url, (), start)


def _start(chosen: Settings, own: Path | None) -> Path:
    """Write what psql begins with; ``UsageError`` where that cannot be."""
    file = chosen.data / "psql" / "start.psql"
    text = psql_start.start_text(own, is_utf8=locale.getencoding().lower() == "utf-8")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, text)
    except OSError as error:
        raise UsageError(
            f"What psql begins with cannot be written to {file}: {error.strerror}.",
            "See that the folder can be written, or set DATA_DIR to one that can.",
        ) from error
    return file


def _url(role: str, states: str, replica: str = "") -> str:
    return _url_of_replica(role, states, replica) if replica else _url_of_server(role, states)


def _url_of_replica(role: str, states: str, replica: str) -> str:
    """The same on a replica, once it knows the login."""
    chosen, number = settings(), replicas.number_of(replica)
    # Standard output has the address alone.
    url = replicas.address(chosen, number, partial(typer.echo, err=True))
    if not role:
        return url
    login = conninfo_to_dict(_url_of_server(role, states))
    replicas.await_caught_up(chosen, number)
    return as_url(make_conninfo(url, **{part: login[part] for part in ("user", "password")}))


def _url_of_server(role: str, states: str) -> str:
    chosen = settings()
    url = server.ensure_running(chosen)
    if not role:
        return url
    found = logins.role_of(role)
    if chosen.database_url:
        raise UsageError(
            "Logins to look with a role's eyes are made on the embedded server only.",
            f"Make one: make role-add LOGIN={getpass.getuser()} ROLE={found.short}",
        )
    return login_url(chosen, found, states)


def login_url(chosen: Settings, role: logins.Role, states: str) -> str:
    """The address of the login to look with a role's eyes, on the embedded server.

    Two commands at once would both change the login: the second waits.
    """
    url = server.ensure_running(chosen)
    with _one_at_a_time(chosen), connect(url, SESSION) as connection:
        login, password = logins.trial(connection, role, _listed(states), _kept(chosen, role))
        nodes.let_logins_in(chosen)
        _keep(chosen, login, password)
    return as_url(make_conninfo(url, user=login, password=password))


@contextmanager
def _one_at_a_time(chosen: Settings) -> Iterator[None]:
    lock = os.open(chosen.data, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _listed(states: str) -> list[str]:
    return [state for part in states.split(",") if (state := part.strip())]


def _file(chosen: Settings, login: str) -> Path:
    return chosen.data / "logins" / login


def _kept(chosen: Settings, role: logins.Role) -> str | None:
    """The password of the login to look with a role's eyes, if there is one yet."""
    try:
        return _file(chosen, logins.trial_name(role)).read_text(encoding="utf-8").strip() or None
    except OSError:  # it gets another
        return None


def _keep(chosen: Settings, login: str, password: str) -> Path:
    """Keep a password where nobody else may read it; ``UsageError`` where that cannot be."""
    file = _file(chosen, login)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(file, password)
    except OSError as error:
        raise UsageError(
            f"The password of the login {login} cannot be written to {file}: {error.strerror}.",
            "See that the folder can be written, then run make role-drop for the login, and again.",
        ) from error
    return file
