"""TLS between a run and its server, psql over it, and the container's certificate and rules."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from etl.config import ROOT, Settings
from etl.db.connection import connect
from etl.errors import ServerError
from etl.server import psql, server
from tests.support.feeds import write_batch
from tests.support.managed import Managed, odd_password
from tests.support.tls import PREPARE, prepare, verified_address

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A folder with an authority's certificate, and a server's with its key."""
    folder = tmp_path / "tls"
    folder.mkdir()
    done = prepare(folder, pwd.getpwuid(os.geteuid()).pw_name)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def verified(bare: Managed, tmp_path: Path) -> Iterator[Managed]:
    """A warehouse whose address leads through TLS."""
    with verified_address(bare.address, tmp_path) as address:
        yield replace(bare, url=address, address=address)


# Runs


@pytest.mark.slow
def test_full_load_over_verified_tls_with_the_address_in_a_file(
    verified: Managed, tmp_path: Path
) -> None:
    write_batch(verified.inbox, "2025-01-10", members=[{"member_id": "A"}])
    secret = tmp_path / "address"
    secret.write_text(f"{verified.address}\n")
    secret.chmod(0o600)
    ended = verified.command("full-load", DATABASE_URL="", DATABASE_URL_FILE=str(secret))
    assert ended.returncode == 0, ended.stderr
    with connect(verified.address, "test") as there:
        assert there.pgconn.ssl_in_use
        assert there.execute("select count(*) from warehouse.dim_member").fetchone() == (2,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"host": "127.0.0.2"}, "does not match host name"),
        ({"sslrootcert": "/nowhere/ca.crt"}, "root certificate file"),
        ({"sslmode": "disable"}, "closed the connection"),
    ],
    ids=["another name", "no authority", "no TLS"],
)
def test_server_that_cannot_be_verified_is_one_sentence(
    verified: Managed, change: dict[str, str], said: str
) -> None:
    # To 127.0.0.1 in each case, whatever name the certificate is compared with.
    address = make_conninfo(verified.address, hostaddr="127.0.0.1", **change)
    with pytest.raises(ServerError, match=said) as caught:
        server.ensure_running(Settings(address, verified.inbox, verified.data, 0.05))
    assert odd_password() not in caught.value.message


# psql


def program(folder: Path, name: str, script: str) -> Path:
    """A folder with a program psql that is a script of the shell."""
    there = folder / name
    there.mkdir()
    (there / "psql").write_text(f"#!/bin/sh\n{script}\n")
    (there / "psql").chmod(0o755)
    return there


def fake(version: str, built: str = "") -> str:
    return (
        f'case "$*" in --version) echo "psql (PostgreSQL) {version}" ;;\n'
        f"*sslmode=require*) echo '{built}' >&2; exit 2 ;;\n"
        '*) echo "$0" "$@"; echo "with $PGPASSWORD" ;; esac'
    )


@pytest.mark.slow
def test_psql_over_tls_is_the_first_on_the_path_that_can(verified: Managed, tmp_path: Path) -> None:
    path = [
        tmp_path / "missing",
        program(tmp_path, "old", fake("13.22")),
        program(tmp_path, "odd", "exit 1"),
        program(tmp_path, "bare", fake("18.1", 'sslmode value "require" invalid: not compiled in')),
        program(tmp_path, "good", fake("14.0 (Debian 14.0-1)")),
        program(tmp_path, "later", fake("18.1")),
    ]
    said = verified.command("psql", "-Atc", "select 1", PATH=os.pathsep.join(map(str, path)))
    assert said.returncode == 0, said.stderr
    arguments, environment = said.stdout.splitlines()
    assert arguments.startswith(f"{tmp_path}/good/psql ")
    assert arguments.endswith(" -Atc select 1")
    assert "sslmode=verify-full" in arguments
    assert odd_password() not in arguments
    assert environment == f"with {odd_password()}"


@pytest.mark.slow
def test_psql_over_tls_says_what_to_install_where_there_is_none(
    verified: Managed, tmp_path: Path
) -> None:
    path = program(tmp_path, "old", fake("13.22"))
    said = verified.command("psql", PATH=str(path))
    assert said.returncode == 3
    assert "the packaged psql cannot speak" in said.stderr.replace("\n", " ")
    assert "apt-get install postgresql-client" in said.stderr.replace("\n", " ")
    assert said.stdout == ""


def test_psql_without_tls_is_the_packaged_one(bare: Managed, tmp_path: Path) -> None:
    path = program(tmp_path, "good", fake("18.1"))
    said = bare.command("psql", "-Atc", "show server_version_num", PATH=f"{path}:/usr/bin:/bin")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith("18")


def test_psql_of_this_machine_goes_over_tls(verified: Managed) -> None:
    try:
        psql.program_with_tls()
    except ServerError:
        pytest.skip("there is no psql with TLS on this machine")
    said = verified.command("psql", "-At", "-c", "select current_user", "-c", "\\conninfo")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"{verified.owner}\n")
    assert "TLS" in said.stdout


def test_no_secret_of_an_address_is_among_the_arguments_of_psql() -> None:
    names = ("password", "sslpassword", "scram_client_key", "scram_server_key")
    secrets = dict.fromkeys((*names, "oauth_client_secret"), odd_password())
    address, environment = psql.without_secrets(make_conninfo("host=localhost user=u", **secrets))
    assert conninfo_to_dict(address) == {"host": "localhost", "user": "u"}
    assert environment["PGPASSWORD"] == odd_password()


# The container


def compose() -> dict:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("given", ["", "variablefile"])
def test_container_needs_one_password(tmp_path: Path, given: str) -> None:
    done = prepare(tmp_path, "root", PASSWORD_GIVEN=given)
    assert done.returncode == 2
    assert "Set one of POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (None, 0o600, "cannot be read"),
        ("", 0o600, "is empty"),
        (" \n", 0o600, "is empty"),
        ("a word", 0o604, "others may read"),
        ("a word", 0o440, "others may read"),
        ("a word\n", 0o600, ""),
        ("a word", 0o400, ""),
    ],
)
def test_container_needs_a_file_of_its_password_that_nobody_else_may_read(
    tmp_path: Path, content: str | None, mode: int, said: str
) -> None:
    file, tls = tmp_path / "given", tmp_path / "tls"
    tls.mkdir()
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    owner = pwd.getpwuid(os.geteuid()).pw_name
    done = prepare(tls, owner, PASSWORD_GIVEN="file", PASSWORD_FILE=str(file))
    assert done.returncode == (2 if said else 0)
    assert said in done.stderr
    assert (tls / "server.crt").exists() is not bool(said)


def test_container_has_a_key_for_the_server_alone_and_none_of_the_authority(
    certificates: Path,
) -> None:
    modes = {file.name: file.stat().st_mode & 0o777 for file in certificates.iterdir()}
    assert modes == {"ca.crt": 0o644, "server.crt": 0o644, "server.key": 0o600}


def test_container_keeps_its_certificate_and_makes_one_again_where_making_it_was_cut_short(
    certificates: Path,
) -> None:
    owner = pwd.getpwuid(os.geteuid()).pw_name
    before = (certificates / "ca.crt").read_bytes()
    prepare(certificates, owner)
    assert (certificates / "ca.crt").read_bytes() == before
    (certificates / "server.crt").unlink()
    (certificates / "new").mkdir()
    assert prepare(certificates, owner).returncode == 0
    assert (certificates / "ca.crt").read_bytes() != before
    assert not (certificates / "new").exists()


def server_programs() -> Path:
    """The programs of a PostgreSQL on this machine that is built with OpenSSL, unlike ours."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql-18").glob("bin")]
    if found := shutil.which("pg_config"):
        shown = subprocess.run([found, "--bindir"], capture_output=True, text=True, check=True)
        folders.insert(0, Path(shown.stdout.strip()))
    for folder in folders:
        if (folder / "postgres").exists() and b"--with-openssl" in subprocess.run(
            [folder / "pg_config", "--configure"], capture_output=True
        ).stdout.replace(b"--with-ssl=openssl", b"--with-openssl"):
            return folder
    pytest.skip("there is no PostgreSQL server with OpenSSL on this machine")


@contextmanager
def as_in_the_container(folder: Path, password: str) -> Iterator[int]:
    """A server with the container's certificate, rules and settings of TLS; its port."""
    programs = server_programs()
    user = pwd.getpwnam("nobody") if AS_ROOT else pwd.getpwuid(os.geteuid())
    identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if AS_ROOT else {}

    def run(*command: str | Path) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/", **identity)

    os.chown(folder, user.pw_uid, user.pw_gid)
    (folder / "tls").mkdir()
    done = prepare(folder / "tls", user.pw_name)
    assert done.returncode == 0, done.stderr
    (folder / "password").write_text(password)
    (folder / "pg_hba.conf").write_text(compose()["configs"]["pg_hba"]["content"])
    auth = ["--auth=scram-sha-256", "--username=aca_owner", f"--pwfile={folder}/password"]
    run(programs / "initdb", "--encoding=UTF8", "--locale=C", *auth, f"--pgdata={folder}/cluster")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wanted = [f for f in compose()["services"]["postgres"]["command"] if "ssl" in f or "hba" in f]
    assert len(wanted) == 4
    placed = [flag.replace("=/tls/", f"={folder}/tls/") for flag in wanted]
    placed = [flag.replace("=/etc/", f"={folder}/") for flag in placed]
    process = subprocess.Popen(
        [
            *(programs / "postgres", "-D", folder / "cluster", *placed, f"-cport={port}"),
            *("-clisten_addresses=127.0.0.1", "-cunix_socket_directories="),
        ],
        stderr=(folder / "log").open("w"),
        cwd="/",
        **identity,
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="aca-tls-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def patiently(ask: Callable[[], psycopg.Connection]) -> psycopg.Connection:
    """A connection, once the server is up."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return ask()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def test_container_lets_in_over_verified_tls_with_the_password_and_nobody_else(
    folder: Path,
) -> None:
    with as_in_the_container(folder, odd_password()) as port:
        parts = {"port": str(port), "user": "aca_owner", "dbname": "postgres"}
        verified = {"sslmode": "verify-full", "sslrootcert": f"{folder}/tls/ca.crt"}
        good = make_conninfo("host=localhost", **parts, **verified, password=odd_password())
        with patiently(lambda: psycopg.connect(good)) as there:
            encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
            assert there.execute(encrypted).fetchone() == (True,)
            rules = there.execute("select type, auth_method, error from pg_hba_file_rules")
            assert set(rules) == {
                ("local", "scram-sha-256", None),
                ("hostssl", "scram-sha-256", None),
            }
            kept = there.execute("select left(rolpassword, 14) from pg_authid where rolcanlogin")
            assert kept.fetchall() == [("SCRAM-SHA-256$",)]
        for change, said in (
            ({"sslmode": "disable"}, "no encryption"),
            ({"password": "wrong"}, "password authentication failed"),
            ({"host": "127.0.0.2", "hostaddr": "127.0.0.1"}, "does not match host name"),
            ({"sslrootcert": str(PREPARE)}, "root certificate file|certificate verify failed"),
        ):
            with pytest.raises(psycopg.OperationalError, match=said):
                psycopg.connect(make_conninfo(good, **change)).close()
