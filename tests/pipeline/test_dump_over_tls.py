"""A dump of a server that is reached by TLS, which the packaged programs cannot speak."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import Settings
from etl.db.connection import connect
from etl.operations.backup import drill, restore, store
from etl.server.home import packaged_programs
from tests.support.managed import Managed, odd_password
from tests.support.tls import programs_with_tls, verified_address
from tests.support.watching import Silent

# Stands in for a program that speaks TLS: notes how it was called, and lets the packaged one do
# the work on the server behind TLS.
STAND_IN = """#!/bin/sh
name=$(basename "$0")
case "$*" in
    --version) echo "$name (PostgreSQL) {version}"; exit ;;
    *sslmode=require*) exit 2 ;;
esac
{{ echo "$name" "$@"; echo "password $PGPASSWORD"; }} >> '{noted}'
for argument do
    shift
    case "$argument" in --dbname=*) argument='--dbname={plain}' ;; esac
    set -- "$@" "$argument"
done
exec '{packaged}'/"$name" "$@"
"""


def programs(folder: Path, version: str, noted: Path, plain: str) -> str:
    """A folder with programs of a version that note how they were called."""
    folder.mkdir()
    for name in ("psql", "pg_dump", "pg_dumpall"):
        text = STAND_IN.format(
            version=version, noted=noted, plain=plain, packaged=packaged_programs()
        )
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.slow
def test_dump_over_verified_tls_is_made_by_programs_of_the_servers_version(
    managed: Managed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed.send("2025-01-01", members=[{"member_id": "M1"}])
    managed.incremental()
    noted = tmp_path / "noted"
    address = conninfo_to_dict(managed.address)
    del address["password"]
    plain = make_conninfo("", **address)
    assert odd_password() not in plain
    older = programs(tmp_path / "older", "17.9", noted, plain)
    same = programs(tmp_path / "same", "18.1 (Debian 18.1-1)", noted, plain)
    with verified_address(managed.address, tmp_path) as address:
        settings = Settings(address, managed.inbox, managed.data, 0.05)
        given = {"DATABASE_URL": address, "BACKUP_DIR": str(settings.backups)}

        said = managed.command("backup", PATH=f"{older}:/bin", **given)
        assert said.returncode == 3
        sentence = " ".join(said.stderr.split())
        assert "no pg_dump of version 18 on the path" in sentence
        assert "apt-get install postgresql-client-18" in sentence
        assert store.listed(settings.backups) == ([], {})
        assert [file.name for file in settings.backups.iterdir()] == ["lock"]
        assert not noted.exists()

        said = managed.command("backup", PATH=os.pathsep.join((older, same, "/bin")), **given)
        assert said.returncode == 0, said.stderr
        calls = noted.read_text().splitlines()
        assert [call.split()[0] for call in calls[::2]] == ["pg_dump", "pg_dumpall"]
        assert all("sslmode=verify-full" in call for call in calls[::2])
        assert all(odd_password() not in call for call in calls[::2])
        assert set(calls[1::2]) == {f"password {odd_password()}"}

        [backup] = store.listed(settings.backups)[0]
        assert backup.label.kind == "dump"
        assert drill.drill(settings, Silent()).backup.name == backup.name


@pytest.mark.slow
def test_real_programs_dump_over_verified_tls_and_the_dump_is_restored(
    managed: Managed, tmp_path: Path
) -> None:
    managed.send("2025-01-01", members=[{"member_id": "M1"}])
    managed.incremental()
    managed.admin.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(managed.owner)))
    path = os.pathsep.join((str(programs_with_tls(tmp_path / "tls programs")), "/bin"))
    with verified_address(managed.address, tmp_path) as address:
        settings = Settings(address, managed.inbox, managed.data, 0.05)
        given = {"DATABASE_URL": address, "BACKUP_DIR": str(settings.backups), "PATH": path}
        said = managed.command("backup", **given)
        assert said.returncode == 0, said.stderr
        [backup] = store.listed(settings.backups)[0]
        assert backup.label.kind == "dump"

        said = managed.command("restore-drill", **given)
        assert said.returncode == 0, said.stderr
        managed.send("2025-01-02", members=[{"member_id": "M2"}])
        managed.incremental()
        managed.admin.close()
        said = managed.command("restore", **given)
        assert said.returncode == 0, said.stderr
        assert "2025-01-02" in said.stdout
        # The authority's certificate is what is verified: with another one nothing is sent.
        other = make_conninfo(address, sslrootcert=str(tmp_path / "tls" / "server.crt"))
        said = managed.command("backup", **given | {"DATABASE_URL": other})
        assert said.returncode == 3
    members = "select member_id from warehouse.dim_member where member_sk > 0"
    with connect(managed.address, "test") as connection:
        assert connection.execute(members).fetchall() == [("M1",)]
    restore.confirm(replace(settings, database_url=managed.address))
