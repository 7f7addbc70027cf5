"""Replicas of the embedded server: made, started, fixed, left behind, and who reads on them."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from etl.config import Settings
from etl.errors import UsageError
from etl.server import cluster, replica, replicas, server
from etl.server.home import Home, locate
from tests.support.backups import Site, site
from tests.support.processes import Ended

FOLDERS, FILES = ("cluster", "log"), ("password", "port", "wanted", "server.log")


def silent(_: str) -> None:
    """For what nobody reads here."""


def place(here: Site, number: int = 1) -> Home:
    return replica.place(locate(here.settings), number)


def ask(url: str, query: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


def up(here: Site, count: int = 1) -> list[str]:
    said: list[str] = []
    replicas.up(here.settings, range(1, count + 1), said.append)
    return said


def address(here: Site, number: int = 1) -> str:
    return replicas.address(here.settings, number, silent)


def command(here: Site, *arguments: str) -> Ended:
    return here.start(*arguments).ended()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def follows(here: Site, number: int = 1) -> bool:
    """Whether a replica has what is written now."""
    table = f"public.seen_{time.monotonic_ns()}"
    here.ask(f"create table {table} ()")
    url = address(here, number)
    wait_until(lambda: ask(url, f"select to_regclass('{table}') is not null"))
    return True


def postmaster(home: Home) -> psutil.Process:
    found = cluster.postmaster(home)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def here(server_folder: Path) -> Iterator[Site]:
    """A warehouse of one member with a replica, which tests leave as they found it."""
    with site(server_folder) as made:
        made.load("2025-01-10", "M1")
        up(made)
        yield made


# What it is like


def test_address_is_one_line_and_leads_to_a_server_that_only_reads(here: Site) -> None:
    said = command(here, "db-url", "--replica", "1")
    assert (said.returncode, said.stderr, said.stdout.count("\n")) == (0, "", 1)
    url = said.stdout.strip()
    assert url != here.url
    assert ask(url, "select pg_is_in_recovery()") is True
    assert follows(here)
    for refused in ("create table public.mine ()", "create temporary table mine ()"):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            ask(url, refused)


def test_files_are_for_the_servers_user_only_and_no_setting_has_the_password(here: Site) -> None:
    home = place(here)
    modes = {name: (home.base / name).stat().st_mode & 0o777 for name in (*FOLDERS, *FILES)}
    assert modes == dict.fromkeys(FOLDERS, 0o700) | dict.fromkeys(FILES, 0o600)
    assert {file.stat().st_mode & 0o777 for file in home.session_log.iterdir()} == {0o600}
    password = (here.settings.data / "postgres" / "password").read_text()
    settings = (home.cluster / "warehouse.conf").read_text()
    assert "passfile" in settings
    assert password not in settings


def test_status_says_how_far_it_is(here: Site) -> None:
    follows(here)
    wait_until(lambda: "0 bytes and 0.0 s behind" in command(here, "status").stdout)


def test_login_of_a_role_reads_there_and_leaves_its_record_once(here: Site) -> None:
    said = command(here, "db-url", "--replica", "1", "--role", "phi")
    assert (said.returncode, said.stdout.count("\n")) == (0, 1)
    ask(said.stdout.strip(), "select count(*) from warehouse.dim_member")
    looks = (
        "select count(*) from audit.look where relation_name = 'warehouse.dim_member'"
        " and person = 'aca_try_phi' and kind = 'look'"
    )

    def is_brought() -> bool:
        assert command(here, "audit").returncode == 0
        return bool(here.ask(looks))

    wait_until(is_brought)
    assert is_brought()
    assert here.ask(looks) == 1
    counted = "warehouse.dim_member\n  aca_try_phi                            1 calls"

    # A replica that cancels this, since it has to follow the server, is counted the next time.
    def is_counted() -> bool:
        return counted in command(here, "usage").stdout

    wait_until(is_counted)
    assert is_counted()


# Started, stopped, fixed


def test_killed_replica_is_fixed_and_keeps_its_port(here: Site) -> None:
    url = address(here)
    postmaster(place(here)).kill()
    wait_until(lambda: cluster.postmaster(place(here)) is None)
    assert "1, not running" in command(here, "status").stdout
    said: list[str] = []
    assert replicas.address(here.settings, 1, said.append) == url
    assert len(said) == 1
    assert "was started" in said[0]
    assert follows(here)


def test_replica_starts_despite_a_pid_file_that_names_another_process(here: Site) -> None:
    home = place(here)
    content = (home.cluster / "postmaster.pid").read_text().splitlines()
    replicas.stop(here.settings)
    identity = {"user": home.owner.uid, "group": home.owner.gid} if home.owner else {}
    other = subprocess.Popen(["sleep", "600"], cwd="/", **identity)
    try:
        home.write(home.cluster / "postmaster.pid", "\n".join([str(other.pid), *content[1:], ""]))
        assert follows(here)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_replica_answers_while_its_server_is_down_and_follows_it_again(here: Site) -> None:
    live = locate(here.settings)
    port = cluster.running_port(live)
    postmaster(live).kill()
    wait_until(lambda: cluster.postmaster(live) is None)
    assert ask(address(here), "select 1") == 1
    assert cluster.postmaster(live) is None, "asking a replica has started its server"
    assert "its server does not answer" in command(here, "status").stdout
    assert server.ensure_running(here.settings).endswith(f":{port}/aca_warehouse")
    assert follows(here)


def test_replica_follows_its_server_to_another_port(here: Site) -> None:
    live = locate(here.settings)
    port = cluster.running_port(live)
    assert port is not None
    postmaster(live).send_signal(signal.SIGINT)
    wait_until(lambda: cluster.postmaster(live) is None)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", port))
        squatter.listen()
        assert f":{port}/" not in here.url
    assert follows(here)


def test_down_stops_it_and_whatever_starts_the_server_starts_it(here: Site) -> None:
    url = address(here)
    said = command(here, "down").stdout
    assert "Replica 1 was stopped" in said
    assert cluster.postmaster(place(here)) is None
    assert server.ensure_running(here.settings)
    assert cluster.running_port(place(here)) is not None
    command(here, "down")
    assert "Replica" in command(here, "up").stdout
    assert address(here) == url
    assert follows(here)


def test_two_at_once_make_a_second_one_together(here: Site) -> None:
    both = [here.start("replica-up", "--n", "2") for _ in range(2)]
    said = [process.ended() for process in both]
    assert [one.returncode for one in said] == [0, 0]
    lines = sorted(line for one in said for line in one.stdout.splitlines() if "Replica 2" in line)
    assert ["was made" in line for line in lines] == [False, True]
    assert follows(here, 2)
    assert replicas.down(here.settings, [2]) == [2]
    assert replicas.wanted_in(here.settings) == [1]
    assert follows(here, 1)


# Made again


def test_copy_that_was_killed_is_made_again_and_nothing_of_it_stays(here: Site) -> None:
    base = place(here, 2).base
    for _ in range(5):  # on a busy machine the moment can be missed
        first = here.start("replica-up", "--n", "2")
        while first.poll() is None and not list(base.glob("new-*/cluster/PG_VERSION")):
            time.sleep(0.002)
        first.kill()
        first.wait()
        if not (base / "cluster").exists():
            break
        replicas.down(here.settings, [2])
    assert list(base.glob("new-*"))
    assert "was made" in up(here, 2)[1]
    assert not list(base.glob("new-*"))
    assert follows(here, 2)
    replicas.down(here.settings, [2])


def test_replica_that_fell_too_far_behind_is_made_again_and_says_so(here: Site) -> None:
    here.ask("alter system set max_slot_wal_keep_size = '1MB'")
    here.ask("select pg_reload_conf()")
    replicas.stop(here.settings)
    lost = "select wal_status = 'lost' from pg_replication_slots where slot_name = 'aca_replica_1'"

    def is_lost() -> Any:
        here.ask("select pg_switch_wal() from pg_logical_emit_message(true, 'test', 'test')")
        here.ask("checkpoint")
        return here.ask(lost)

    wait_until(is_lost)
    here.ask("alter system reset max_slot_wal_keep_size")
    here.ask("select pg_reload_conf()")
    assert "fell too far behind: make replica-up" in command(here, "status").stdout
    assert up(here)[0].startswith("Replica 1 fell too far behind and was made again")
    assert follows(here)


def test_dead_replica_makes_its_server_keep_no_more_than_a_share_of_the_disk(here: Site) -> None:
    setting = "select setting::bigint * 1024 * 1024 from pg_settings where name = "
    kept = here.ask(f"{setting} 'max_slot_wal_keep_size'")
    free = psutil.disk_usage(str(locate(here.settings).base)).free
    assert 0 < kept <= max(free * 0.3, 1 << 30)
    assert here.ask("show idle_replication_slot_timeout") == "1d"


def test_database_in_the_place_of_another_has_its_replica_made_again(here: Site) -> None:
    live = locate(here.settings)
    server.stop(here.settings)
    other = live.base / "other"
    other.mkdir()
    other.chmod(0o755)
    subprocess.run(["cp", "-a", live.cluster, other / "cluster"], check=True)
    kept = server.take_place(here.settings, other / "cluster")
    assert kept is not None
    assert not place(here).cluster.exists()
    said: list[str] = []
    server.ensure_running(here.settings)
    replicas.bring_back(here.settings, said.append)
    assert "Replica 1 was made" in said[0]
    assert follows(here)
    other.rmdir()


@pytest.mark.slow
def test_replica_that_is_promoted_by_hand_is_the_server_and_has_a_replica(here: Site) -> None:
    """The runbook's steps."""
    here.ask("create table public.kept as select 42 as answer")
    assert follows(here)
    command(here, "down", "--force")
    live = locate(here.settings)
    live.cluster.rename(live.base / "kept-20260101T000000")
    place(here).cluster.rename(live.cluster)
    unpromoted = command(here, "up")
    assert unpromoted.returncode == 3
    assert "was not promoted" in unpromoted.stderr
    here.ask("select pg_promote()")
    assert "Replica 1 was made" in command(here, "up").stdout
    assert here.ask("select answer from public.kept") == 42
    assert follows(here)


def test_replica_that_is_taken_down_leaves_its_log_and_no_slot(here: Site) -> None:
    said = command(here, "replica-down")
    assert said.stdout == "Replica 1 was stopped and deleted.\n"
    home = place(here)
    assert cluster.postmaster(home) is None
    assert not home.cluster.exists()
    assert list(home.session_log.glob("*.json"))
    assert home.session_log in server.session_logs(here.settings)
    assert here.ask("select count(*) from pg_replication_slots") == 0
    assert "Replica" not in command(here, "status").stdout
    refused = command(here, "db-url", "--replica", "1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "There is no replica 1." in refused.stderr
    up(here)


# What cannot be


@pytest.mark.parametrize(
    "arguments",
    [("replica-up",), ("replica-down",), ("db-url", "--replica", "1"), ("psql", "--replica", "1")],
)
def test_server_that_is_given_has_no_replicas_of_ours(
    arguments: tuple[str, ...], server_settings: Settings, admin_url: str, tmp_path: Path
) -> None:
    given = Site(replace(server_settings, data=tmp_path))
    ended = given.start(*arguments, DATABASE_URL=admin_url).ended()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "DATABASE_URL names another" in ended.stderr


@pytest.mark.parametrize("number", ["0", "5", "-1", "one", "\uff11", ""])
def test_number_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(UsageError, match="no number of a replica"):
        replicas.number_of(number)
