"""A server that DATABASE_URL names, and an owner who is no superuser: what managed servers give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import Settings
from etl.db import connection, requirements, server
from etl.db.connection import as_url, connect
from etl.errors import ServerError
from etl.pipeline import Pipeline
from etl.stages import checks_gx
from tests.feeds import write_batch
from tests.watching import Silent

# Every sign that means something in a URL, in key=value pairs or to a library on the way.
PASSWORD = "p@ss/w:rd?#%41$HOME${X}&a=b+c' \\\"ü"
OWNER = "managed_owner"
DATABASE = "managed"


@dataclass
class Managed:
    """A database whose owner is no superuser, seen by its owner and by the server's superuser."""

    parts: dict[str, Any]
    admin: psycopg.Connection[Any]
    settings: Settings

    @property
    def address(self) -> str:
        return make_conninfo("", **self.parts)

    def pipeline(self, address: str | None = None) -> Pipeline:
        settings = replace(self.settings, database_url=address or self.address)
        return Pipeline(server.ensure_running(settings), settings, Silent(), "test")

    def limit(self, connections: int) -> None:
        self.admin.execute(
            sql.SQL("alter role {} connection limit {}").format(
                sql.Identifier(OWNER), sql.Literal(connections)
            )
        )


@pytest.fixture
def managed(admin_url: str, inbox: Path, tmp_path: Path) -> Iterator[Managed]:
    """An empty database that a role owns which is no superuser, and an inbox."""
    role, database = sql.Identifier(OWNER), sql.Identifier(DATABASE)
    parts = conninfo_to_dict(admin_url) | {"user": OWNER, "password": PASSWORD, "dbname": DATABASE}
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("create role {} login nosuperuser password {}").format(role, PASSWORD)
        )
        try:
            admin.execute(sql.SQL("create database {} owner {}").format(database, role))
            settings = Settings("", inbox, tmp_path / "data", reject_share=0.05)
            yield Managed(parts, admin, settings)
        finally:
            admin.execute(sql.SQL("drop database if exists {} with (force)").format(database))
            admin.execute(sql.SQL("drop role {}").format(role))


# Addresses


@given(
    st.dictionaries(
        st.sampled_from(
            ["user", "password", "host", "port", "dbname", "service", "passfile", "options"]
        ),
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    )
)
def test_url_of_any_address_means_the_same(parts: dict[str, str]) -> None:
    address = make_conninfo("", **parts)
    assert conninfo_to_dict(as_url(address)) == parts


def forms(managed: Managed, folder: Path) -> dict[str, str]:
    """The ways that libpq takes to say where a database is."""
    parts = managed.parts
    plain = {name: value for name, value in parts.items() if name != "password"}
    passfile = folder / "pgpass"
    secret = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:{DATABASE}:{OWNER}:{secret}\n")
    passfile.chmod(0o600)
    return {
        "key=value pairs": managed.address,
        "URL": as_url(managed.address),
        "URL with all in its query": as_url(make_conninfo("", **parts, hostaddr="127.0.0.1")),
        "several hosts": make_conninfo("", **parts | {"host": "127.0.0.1,localhost"}),
        "password file": make_conninfo("", **plain, passfile=str(passfile)),
    }


def test_every_form_of_an_address_that_libpq_takes_leads_there(
    managed: Managed, tmp_path: Path
) -> None:
    for form, address in forms(managed, tmp_path).items():
        url = server.ensure_running(replace(managed.settings, database_url=address))
        assert url.startswith("postgresql://"), form
        with connect(url, "test") as there:
            found = there.execute("select current_user, current_database()").fetchone()
            assert found == (OWNER, DATABASE), form


@pytest.mark.parametrize(
    "address",
    [
        "warehouse",
        "host=127.0.0.1 colour=red",
        "service=nowhere_to_be_found",
        "host=127.0.0.1 port=abc",
        "host=127.0.0.1,localhost port=1,2,3",
        "host=127.0.0.1 port=1 sslmode=perhaps",
        "postgresql://127.0.0.1:1,127.0.0.1:2/warehouse",
        "postgresql://u@127.0.0.1:1/warehouse?nonsense=1",
        "host=127.0.0.1 port=1 password='\udcff'",
    ],
)
def test_address_that_libpq_does_not_take_is_one_sentence(managed: Managed, address: str) -> None:
    with pytest.raises(ServerError, match="DATABASE_URL") as caught:
        server.ensure_running(replace(managed.settings, database_url=address))
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_database_that_cannot_hold_every_name_is_refused(managed: Managed) -> None:
    database = sql.Identifier(DATABASE)
    managed.admin.execute(sql.SQL("drop database {}").format(database))
    managed.admin.execute(
        sql.SQL("create database {} owner {} encoding 'LATIN1' locale 'C' template template0")
        .format(database, sql.Identifier(OWNER))
    )  # fmt: skip
    with pytest.raises(ServerError, match="keeps text as LATIN1"):
        server.ensure_running(replace(managed.settings, database_url=managed.address))


def test_files_are_read_as_utf_8_whatever_the_address_says(managed: Managed) -> None:
    with connect(f"{managed.address} client_encoding=latin1", "test") as there:
        assert there.execute("show client_encoding").fetchone() == ("UTF8",)


# Connections and rights


def test_full_load_needs_no_more_connections_than_it_says(managed: Managed) -> None:
    write_batch(managed.settings.inbox, "2025-01-10", members=[{"member_id": "A"}])
    managed.limit(requirements.CONNECTIONS)
    with managed.pipeline() as pipeline:
        summary = pipeline.full_load()
    assert summary.checks is not None
    assert summary.checks.failed_critical == 0


@pytest.mark.parametrize("limit", range(1, requirements.CONNECTIONS))
def test_too_few_connections_are_said_before_anything_is_done(
    managed: Managed, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "FULL_SECONDS", 0.3)
    managed.limit(limit)
    with pytest.raises(ServerError, match="A run needs 4 connections at once") as caught:
        managed.pipeline().__enter__()
    assert f"of {limit} in use for the role {OWNER}" in caught.value.hint
    with connect(managed.address, "test") as there:
        assert there.execute("select to_regnamespace('ledger')").fetchone() == (None,)


def test_check_that_cannot_be_asked_is_no_failed_check(
    managed: Managed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with managed.pipeline() as pipeline:

        def refuse(url: str, application: str, *, autocommit: bool = True) -> Any:
            if not autocommit:
                raise ServerError("No connection is to be had.")
            return connect(url, application)

        monkeypatch.setattr(checks_gx, "connect", refuse)
        with pytest.raises(ServerError, match="No connection is to be had"):
            pipeline.run_checks()
        assert pipeline.ledger.execute(
            "select status, error from ledger.stage_run order by stage_run_id desc limit 1"
        ).fetchone() == ("failed", "No connection is to be had.")
        assert pipeline.ledger.execute("select count(*) from quality.check_result").fetchone() == (
            0,
        )


def test_rights_that_are_lacking_come_with_the_grants_that_help(managed: Managed) -> None:
    database, role = sql.Identifier(DATABASE), sql.Identifier(OWNER)
    managed.admin.execute(sql.SQL("alter database {} owner to current_user").format(database))
    managed.admin.execute(sql.SQL("revoke temporary on database {} from public").format(database))
    with pytest.raises(ServerError, match="lacks rights") as caught:
        managed.pipeline().__enter__()
    for lack in ("to create schemas", "to create temporary tables", "a table in schema public"):
        assert lack in caught.value.message
    grants = caught.value.hint.partition(": ")[2]
    with psycopg.connect(
        make_conninfo(managed.admin.info.dsn, password=managed.admin.info.password, dbname=DATABASE)
    ) as there:
        there.execute(grants)
    with managed.pipeline() as pipeline:
        assert pipeline.is_empty()
    managed.admin.execute(sql.SQL("revoke all on database {} from {}").format(database, role))
