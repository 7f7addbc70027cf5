"""No secret in the catalog, the logs or the process list, while a run is at work and afterwards."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import Settings
from etl.db.connection import connect
from etl.db.passwords import scram_verifier, set_password
from etl.server.home import packaged_programs
from tests.support.feeds import write_batch
from tests.support.managed import Managed, odd_password
from tests.support.processes import Ended
from tests.support.server_log import log_of
from tests.support.warehouse import Warehouse

# Found in any text that it is part of, whatever is escaped there.
PLAIN = "Vx7sHadowless"


@contextmanager
def arguments_of_all() -> Iterator[set[str]]:
    """The arguments of every process on the machine that runs meanwhile."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    seen.add("\0".join(process.cmdline()))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join()


@pytest.fixture
def statements_are_logged(admin_url: str) -> Iterator[None]:
    """What a careful auditor, or a careless administrator, sets for the whole server."""
    with psycopg.connect(admin_url, autocommit=True) as server:
        server.execute("alter system set log_statement = 'all'")
        server.execute("alter system set log_connections = 'all'")
        server.execute("select pg_reload_conf()")
        yield
        server.execute("alter system reset log_statement")
        server.execute("alter system reset log_connections")
        server.execute("select pg_reload_conf()")


def owned_by(bare: Managed, password: str) -> str:
    """The address of a warehouse's owner with this password."""
    return make_conninfo(bare.address, password=password)


def dump(url: str, program: str, *arguments: str) -> str:
    """What a dump contains; the password is in the environment."""
    parts = conninfo_to_dict(url)
    environment = {**os.environ, "PGPASSWORD": str(parts.pop("password"))}
    command = [packaged_programs() / program, *arguments, "--dbname", make_conninfo("", **parts)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.usefixtures("statements_are_logged")
@pytest.mark.slow
def test_password_of_the_address_is_nowhere_while_a_run_is_at_work_and_after_it(
    bare: Managed, admin_url: str, server_settings: Settings
) -> None:
    set_password(bare.server, bare.owner, PLAIN)
    address = owned_by(bare, PLAIN)
    warehouse = Warehouse(address, bare.inbox, bare.data, bare.connection)
    write_batch(bare.inbox, "2025-01-10", members=[{"member_id": "A"}])
    said: list[Ended] = []
    with arguments_of_all() as seen:
        for command in ("full-load", "incremental", "status", "quarantine"):
            said.append(warehouse.command(command))
        said.append(warehouse.command("psql", "-c", "select pg_sleep(1)"))
        # A password that is refused is not repeated either.
        wrong = owned_by(bare, f"{PLAIN}-no")
        said.append(warehouse.command("incremental", DATABASE_URL=wrong, DEBUG="1"))
    assert [ended.returncode for ended in said] == [0, 0, 0, 0, 0, 3], said
    assert any("pg_sleep" in arguments for arguments in seen)
    texts = {
        "process list": "\n".join(seen),
        "output": "\n".join(ended.stdout + ended.stderr for ended in said),
        "etl.jsonl": (bare.data / "logs" / "etl.jsonl").read_text(),
        "server log": log_of(server_settings, bare.server),
        "database": dump(address, "pg_dump"),
        "roles": dump(admin_url, "pg_dumpall", "--globals-only"),
    }
    assert [name for name, text in texts.items() if PLAIN in text] == []
    assert all(texts.values())
    assert f"alter role {bare.owner}" in texts["server log"].replace('"', "")
    assert "ledger.load" in texts["database"]
    assert bare.owner in texts["roles"]


def test_passwords_are_kept_as_scram_verifiers_only(bare: Managed) -> None:
    kept = bare.server.execute("select rolname, rolpassword from pg_authid").fetchall()
    passwords = {name: text for name, text in kept if text is not None}
    assert bare.owner in passwords
    assert {text.split("$")[0] for text in passwords.values()} == {"SCRAM-SHA-256"}


@pytest.mark.parametrize(
    "password", [odd_password(), "x", "pass word", "\u00adpaßwört\u2168", "日本"]
)
@pytest.mark.usefixtures("statements_are_logged")
def test_password_that_is_set_lets_in_and_is_in_no_statement(
    bare: Managed, server_settings: Settings, password: str
) -> None:
    address = make_conninfo(bare.address, password=password)
    set_password(bare.server, bare.owner, password)
    with connect(address, "test") as there:
        assert there.execute("select current_user").fetchone() == (bare.owner,)
    ((statement,),) = bare.admin.execute(
        "select query from pg_stat_activity where pid = %s", [bare.server.info.backend_pid]
    )
    assert "SCRAM-SHA-256$" in statement
    for text in (statement, log_of(server_settings, bare.server)):
        assert f"password '{password}'" not in text
        assert len(password) < 8 or password not in text


def test_verifier_makes_a_login(bare: Managed) -> None:
    login: dict[str, Any] = {
        "name": sql.Identifier("Odd 'login'"),
        "kept": sql.Literal(scram_verifier(bare.admin, "Odd 'login'", odd_password())),
    }
    bare.admin.execute(sql.SQL("create role {name} login password {kept}").format(**login))
    bare.roles.append("Odd 'login'")
    address = make_conninfo(bare.address, user="Odd 'login'", password=odd_password())
    with connect(address, "test") as there:
        assert there.execute("select current_user").fetchone() == ("Odd 'login'",)
