"""The cluster in DATA_DIR with Citus: made, started, fixed, and who reads on it.

Without the library of Citus these tests are skipped (docs/testing.md).
"""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from etl.access.roles import LOADER
from etl.db.passwords import set_password
from etl.errors import ServerError
from etl.schema import build
from etl.server import cluster, nodes, server
from etl.synthetic.generate import generate
from tests.support import citus
from tests.support.processes import Command

pytestmark = pytest.mark.cluster

ROWS = 1_000


@dataclass
class Place(citus.Cluster):
    """A cluster with a table whose rows lie on its workers."""

    def is_whole(self) -> bool:
        return self.ask("select count(*) from spread") == ROWS and self.known() == self.ports()

    def known(self) -> set[int]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            used = connection.execute("select nodeport from pg_dist_node where isactive")
            return {port for (port,) in used}

    def ports(self) -> set[int | None]:
        return {cluster.running_port(self.node(name)) for name in nodes.NODES}


@pytest.fixture(scope="module")
def here(server_folder: Path) -> Iterator[Place]:
    with citus.cluster_in(server_folder, "aca cluster's ") as found:
        made = Place(found.settings, found.environment)
        nodes.up(made.settings, lambda _: None)
        made.ask("create table spread (key bigint primary key)")
        made.ask("select create_distributed_table('spread', 'key')")
        made.ask(f"insert into spread select generate_series(1, {ROWS})")
        # What a warehouse has on workers must not keep nodes from coming back.
        with psycopg.connect(made.url, autocommit=True) as connection:
            build.create(connection)
        yield made


def test_address_is_one_line_and_leads_to_a_coordinator_with_two_workers(here: Place) -> None:
    said = here.command("cluster-up")
    assert (said.returncode, said.stdout) == (0, f"{here.url}\n")
    assert said.stderr.count("runs already") == 3
    assert here.ask("select count(*) from citus_get_active_worker_nodes()") == 2
    lies_on = "select count(distinct nodeport) from citus_shards where table_name::text = 'spread'"
    assert here.ask(lies_on) == 2
    assert here.is_whole()


def test_secret_and_folders_are_for_the_servers_user_only(here: Place) -> None:
    base = here.node("coordinator").base.parent
    assert (base / "nodes.pgpass").stat().st_mode & 0o777 == 0o600
    assert (here.settings.data / "cluster" / "password").stat().st_mode & 0o777 == 0o600
    assert {(base / name).stat().st_mode & 0o777 for name in nodes.NODES} == {0o700}
    secret = (here.settings.data / "cluster" / "password").read_text()
    for name in nodes.NODES:
        assert secret not in (here.node(name).cluster / "warehouse.conf").read_text()
        rules = (here.node(name).cluster / "pg_hba.conf").read_text().splitlines()
        methods = {line.split()[-1] for line in rules if line and not line.startswith("#")}
        assert methods == {"scram-sha-256"}


def test_statuses_list_the_nodes_and_say_which_server_is_used(here: Place) -> None:
    said = here.command("cluster-status").stdout
    assert [said.count(word) for word in (*nodes.NODES, "in use")] == [1, 1, 1, 3]
    assert "cluster, PostgreSQL 18, running on port" in here.command("status").stdout
    assert here.command("db-url").stdout == f"{here.url}\n"


@pytest.mark.parametrize("name", nodes.NODES)
def test_killed_node_is_fixed_by_the_next_command(name: str, here: Place) -> None:
    here.kill(name)
    assert "not running" in here.command("cluster-status").stdout
    said = here.command("cluster-up")
    assert said.returncode == 0
    assert f"Node {name} was started" in said.stderr
    assert here.is_whole()


def test_transaction_that_a_killed_node_left_prepared_is_ended(here: Place) -> None:
    password = str(conninfo_to_dict(here.url)["password"])
    url = cluster.url_of(password, port(here, "worker-1"))
    with psycopg.connect(url, autocommit=True) as worker:
        worker.execute("begin; create table left_over ()")
        worker.execute("prepare transaction 'citus_0_999999_1_0'")
    here.kill("coordinator")
    assert here.is_whole()
    with psycopg.connect(url, autocommit=True) as worker:
        assert worker.execute("select count(*) from pg_prepared_xacts").fetchone() == (0,)


def port(here: Place, name: str) -> int:
    found = cluster.running_port(here.node(name))
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["coordinator", "worker-2"])
def test_node_whose_port_is_taken_moves_and_the_others_find_it(name: str, here: Place) -> None:
    before = port(here, name)
    nodes.stop(here.settings)
    with socket.socket() as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", before))
        squatter.listen()
        assert here.is_whole()
    assert port(here, name) != before


def test_node_starts_despite_a_pid_file_of_nobody(here: Place) -> None:
    nodes.stop(here.settings)
    home = here.node("worker-1")
    home.write(home.cluster / "postmaster.pid", "1\n/nowhere\n0\n1\n\n\n0\nready\n")
    assert here.is_whole()


def test_reader_reads_what_lies_on_workers_and_cannot_enter_one(here: Place) -> None:
    login = {"user": "ann", "password": secrets.token_hex(8)}
    here.ask("create role ann login")
    with psycopg.connect(here.url, autocommit=True) as connection:
        set_password(connection, "ann", login["password"])
        connection.execute("grant select on spread to ann")
    nodes.let_logins_in(here.settings)
    assert here.ask("select count(*) from spread", **login) == ROWS
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        here.ask("select 1", port=port(here, "worker-1"), **login)


def test_loader_acts_on_every_node_though_nobody_else_knows_its_password(here: Place) -> None:
    assert here.command("cluster-up").returncode == 0
    here.ask(f"grant select on spread to {LOADER}")
    with psycopg.connect(here.url, autocommit=True) as connection:
        connection.execute(f"set role {LOADER}")
        assert connection.execute("select count(*) from spread").fetchone() == (ROWS,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        here.ask("select 1", user=LOADER, password=secrets.token_hex(8))


def test_two_at_once_bring_it_up_together(here: Place) -> None:
    nodes.stop(here.settings)
    both = [here.start("cluster-up") for _ in range(2)]
    said = [process.ended() for process in both]
    assert [one.returncode for one in said] == [0, 0]
    assert sorted(one.stderr.count("was started") for one in said) == [0, 3]
    assert here.is_whole()


def test_worker_that_is_lost_is_not_replaced_by_an_empty_one(here: Place) -> None:
    nodes.stop(here.settings)
    place = here.node("worker-2")
    kept = place.base / "kept"
    place.cluster.rename(kept)
    with pytest.raises(ServerError, match="The node worker-2 of the cluster is new"):
        server.ensure_running(here.settings)
    nodes.stop(here.settings)
    shutil.rmtree(place.cluster)
    kept.rename(place.cluster)
    assert here.is_whole()


def test_backups_are_refused(here: Place) -> None:
    for arguments in (("backup",), ("restore",), ("restore-drill",), ("restore", "--undo")):
        ended = here.command(*arguments)
        assert ended.returncode == 3
        assert "docs/runbooks/cluster.md" in ended.stderr


def test_down_stops_the_nodes_and_up_brings_them_back(here: Place) -> None:
    said = here.command("down").stdout
    assert said.count("of the cluster was stopped") == 3
    assert here.ports() == {None}
    assert here.command("up").returncode == 0
    assert here.is_whole()


def test_cluster_down_keeps_the_database_and_leads_back_to_the_embedded_server(here: Place) -> None:
    said = here.command("cluster-down")
    assert said.returncode == 0
    assert "Its database is kept" in said.stdout
    assert not here.settings.cluster_mark.exists()
    assert "embedded server" in here.command("status").stdout
    here.command("cluster-up")
    assert here.is_whole()


@pytest.mark.slow
def test_commands_load_on_a_cluster(here: Place) -> None:
    here.command("cluster-up")
    generate(here.settings.inbox, members=40, years=1, truth=here.settings.truth)
    for arguments in (
        *(("full-load",), ("incremental",), ("incremental",)),
        *(("dq-check", "--all"), ("full-load",), ("migrate",), ("status",)),
        ("hold", "--member", "M00000001", "--why", "case 1"),
        ("hold", "--member", "M00000001", "--release"),
        ("dq-threshold", "--check", "fact_claim.amounts_in_order", "--count=2", "--why=known"),
        *(("retention",), ("archive-staging", "--before", "2025-01-01")),
        ("erase", "--member", "M00000001", "--why", "asked"),
    ):
        ended = here.start(*arguments).ended(timeout=900)
        assert ended.returncode == 0, (arguments, ended.stderr)
    assert here.ask("select count(*) from ledger.load where status = 'loaded'") == 3
    assert here.ask("select count(*) from warehouse.fact_claim") > 0
    lies_on = (
        "select count(distinct nodeport) from citus_shards "
        "where table_name = 'warehouse.fact_claim'::regclass"
    )
    assert here.ask(lies_on) == 2


def test_half_made_cluster_is_completed_and_a_deleted_one_is_gone(here: Place) -> None:
    other = replace(here.settings, data=here.settings.data.parent / "other")
    environment = {**here.environment, "DATA_DIR": str(other.data)}
    first = Command("cluster-up", environment=environment)
    half = replace(here, settings=other, environment=environment)
    citus.wait_until(lambda: half.node("worker-1").base.exists())
    first.kill()
    first.wait()
    try:
        ended = half.command("cluster-up")
        assert ended.returncode == 0
        assert half.known() == half.ports()
    finally:
        said = half.command("cluster-down", "--confirm").stdout
    assert "its database was deleted" in said
    assert not (other.data / "cluster").exists()
