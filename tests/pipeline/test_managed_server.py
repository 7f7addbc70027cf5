"""A server that DATABASE_URL names, and an owner who is no superuser: what managed servers give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import Settings
from etl.contracts.feeds import FEEDS
from etl.db import connection
from etl.db.connection import as_url, connect
from etl.errors import ServerError
from etl.pipeline import commands
from etl.pipeline.session import open_run
from etl.quality import great_expectations
from etl.server import requirements, server
from tests.support.managed import Managed, odd_password
from tests.support.watching import Silent

# Settings that people give to roles and that would end or change a load.
ROLE_SETTINGS = {
    "statement_timeout": "20ms",
    "lock_timeout": "1ms",
    "idle_in_transaction_session_timeout": "20ms",
    "transaction_timeout": "50ms",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "client_min_messages": "error",
    "datestyle": "German",
    "timezone": "Asia/Tokyo",
    "search_path": "nowhere",
}


def settings_of(bare: Managed, address: str | None = None) -> Settings:
    return Settings(address or bare.address, bare.inbox, bare.data, reject_share=0.05)


def limit(bare: Managed, connections: int) -> None:
    """Let the owner have so many connections, the test's own apart."""
    bare.connection.close()
    bare.admin.execute(
        sql.SQL("alter role {} connection limit {}").format(
            sql.Identifier(bare.owner), sql.Literal(connections)
        )
    )


# Addresses


@given(
    st.dictionaries(
        st.sampled_from(
            ["user", "password", "host", "port", "dbname", "service", "passfile", "options"]
        ),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    )
)
def test_url_of_an_address_connects_to_the_same_server(parts: dict[str, str]) -> None:
    address = make_conninfo("", **parts)
    assert conninfo_to_dict(as_url(address)) == parts


def forms(bare: Managed, folder: Path) -> dict[str, str]:
    """The ways that libpq takes to say where a database is."""
    parts = conninfo_to_dict(bare.address)
    plain = {name: value for name, value in parts.items() if name != "password"}
    passfile = folder / "pgpass"
    secret = odd_password().replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:managed:{bare.owner}:{secret}\n")
    passfile.chmod(0o600)
    return {
        "key=value pairs": bare.address,
        "URL": as_url(bare.address),
        "URL with all in its query": as_url(make_conninfo("", **parts, hostaddr="127.0.0.1")),
        "several hosts": make_conninfo("", **parts | {"host": "127.0.0.1,localhost"}),
        "password file": make_conninfo("", **plain, passfile=str(passfile)),
    }


def test_every_form_of_address_that_libpq_accepts_connects(bare: Managed, tmp_path: Path) -> None:
    for form, address in forms(bare, tmp_path).items():
        url = server.ensure_running(settings_of(bare, address))
        assert url.startswith("postgresql://"), form
        with connect(url, "test") as there:
            found = there.execute("select current_user, current_database()").fetchone()
            assert found == (bare.owner, "managed"), form


@pytest.mark.parametrize(
    "address",
    [
        "warehouse",
        "host=127.0.0.1 shade=red",
        "service=nowhere_to_be_found",
        "host=127.0.0.1 port=abc",
        "host=127.0.0.1,localhost port=1,2,3",
        "host=127.0.0.1 port=1 sslmode=perhaps",
        "postgresql://127.0.0.1:1,127.0.0.1:2/warehouse",
        "postgresql://u@127.0.0.1:1/warehouse?nonsense=1",
        "host=127.0.0.1 port=1 dbname='\udcff'",
    ],
)
def test_address_that_libpq_refuses_is_one_sentence(bare: Managed, address: str) -> None:
    with pytest.raises(ServerError, match="DATABASE_URL") as caught:
        server.ensure_running(settings_of(bare, address))
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert server.status(settings_of(bare, address)).trouble == caught.value.message


@pytest.mark.slow
def test_psql_is_given_no_password_that_others_can_read(bare: Managed) -> None:
    said = bare.command(
        "psql", "-Atc", "select current_user", "-c", "\\! tr '\\0' ' ' < /proc/$PPID/cmdline"
    )
    user, arguments = said.stdout.split("\n", 1)
    assert (said.returncode, user) == (0, bare.owner)
    assert "psql" in arguments
    assert odd_password() not in arguments


def test_database_whose_encoding_lacks_characters_is_refused(bare: Managed) -> None:
    database = sql.Identifier("managed")
    bare.server.execute(sql.SQL("drop database {} with (force)").format(database))
    bare.server.execute(
        sql.SQL("create database {} owner {} encoding 'LATIN1' locale 'C' template template0")
        .format(database, sql.Identifier(bare.owner))
    )  # fmt: skip
    with pytest.raises(ServerError, match="keeps text as LATIN1"):
        server.ensure_running(settings_of(bare))


def test_files_are_read_as_utf_8_whatever_the_address_says(bare: Managed) -> None:
    with connect(f"{bare.address} client_encoding=latin1", "test") as there:
        assert there.execute("show client_encoding").fetchone() == ("UTF8",)


# Connections and rights


@pytest.mark.slow
def test_full_load_ignores_role_settings_within_its_connection_limit(bare: Managed) -> None:
    bare.send("2025-01-10", members=[{"member_id": "A"}, {"member_id": "B"}])
    with (bare.inbox / "2025-01-10" / "members.csv").open("a") as file:
        file.write("," * (len(FEEDS["members"].staged) - 1) + "\n")
    for name, value in ROLE_SETTINGS.items():
        bare.admin.execute(
            sql.SQL("alter role {} set {} = {}").format(
                sql.Identifier(bare.owner), sql.Identifier(name), sql.Literal(value)
            )
        )
    limit(bare, requirements.CONNECTIONS)
    with bare.pipeline(reject_share=0.5, checks=None) as pipeline:
        summary = commands.full_load(pipeline)
    assert summary.checks is not None
    assert summary.checks.failed_critical == 0
    assert [file.counts()["rows_rejected"] for file in summary.files] == [1]


@pytest.mark.parametrize("most", [1, 2, requirements.CONNECTIONS - 1])
def test_too_few_connections_are_refused_before_anything_is_done(
    bare: Managed, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FULL_SECONDS", 0.3)
    limit(bare, most)
    with pytest.raises(ServerError, match=r"A run needs \d connections at once") as caught:
        bare.pipeline().__enter__()
    assert f"of {most} in use for the role {bare.owner}" in caught.value.hint
    with connect(bare.address, "test") as there:
        assert there.execute("select to_regnamespace('ledger')").fetchone() == (None,)


@pytest.mark.slow
def test_check_without_a_connection_is_an_error_and_not_a_failure(
    bare: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bare.pipeline(checks=None) as pipeline:

        def refuse(url: str, application: str, *, autocommit: bool = True) -> Any:
            if not autocommit:
                raise ServerError("No connection is to be had.")
            return connect(url, application)

        monkeypatch.setattr(great_expectations, "connect", refuse)
        with pytest.raises(ServerError, match="No connection is to be had"):
            commands.run_checks(pipeline)
        assert pipeline.ledger.execute(
            "select status, error, error_code from ledger.stage_run"
            " order by stage_run_id desc limit 1"
        ).fetchone() == ("failed", "No connection is to be had.", "server_trouble")
        assert pipeline.ledger.execute("select count(*) from quality.check_result").fetchone() == (
            0,
        )


def test_missing_rights_are_reported_with_the_grants_to_give(bare: Managed) -> None:
    database, role = sql.Identifier("managed"), sql.Identifier(bare.owner)
    bare.admin.execute(sql.SQL("alter database {} owner to current_user").format(database))
    bare.admin.execute(sql.SQL("revoke temporary on database {} from public").format(database))
    with pytest.raises(ServerError, match="lacks rights") as caught:
        bare.pipeline().__enter__()
    for lack in ("create schemas", "create temporary tables", "create a table in schema public"):
        assert lack in caught.value.message
    bare.admin.execute(caught.value.hint.partition(": ")[2])
    with bare.pipeline() as pipeline:
        assert commands.is_empty(pipeline)
    bare.admin.execute(sql.SQL("drop owned by {}").format(role))


def test_warehouse_of_another_role_is_refused_with_the_grant_to_give(bare: Managed) -> None:
    with bare.pipeline():
        pass
    other = bare.login("bare_other")
    bare.admin.execute("grant create on database managed to bare_other")
    with pytest.raises(ServerError, match="which belongs to bare_owner") as caught:
        open_run(other, settings_of(bare), Silent(), "test").__enter__()
    assert "grant bare_owner to bare_other;" in caught.value.hint
