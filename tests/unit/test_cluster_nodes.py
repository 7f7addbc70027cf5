"""A cluster without Citus at hand: what is refused, what nodes are set to, containers."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from etl import config
from etl.config import ROOT, Settings
from etl.errors import ServerError, UsageError
from etl.server import citus, nodes, replicas, server
from etl.server.home import packaged_programs
from etl.server.tuning import GIB, MIB, node_settings, server_settings
from tests.support.processes import Command

NODES = ("coordinator", "worker-1", "worker-2")


def made(folder: Path, says: str = "postgres (PostgreSQL) 18.6", library: str = "") -> Path:
    """Programs that do no more than say their version."""
    bin_folder = folder / "pg" / "bin"
    bin_folder.mkdir(parents=True)
    for name in ("postgres", "initdb", "pg_ctl"):
        (bin_folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (bin_folder / name).chmod(0o755)
    (folder / "pg" / "lib").mkdir()
    if library:
        (folder / "pg" / "lib" / library).touch()
    return bin_folder


@pytest.fixture
def chosen(tmp_path: Path) -> Settings:
    return Settings("", tmp_path / "inbox", tmp_path / "data", 0.05)


def has_library() -> bool:
    return any((packaged_programs().parent / "lib").glob("citus.*"))


# Programs


@pytest.mark.parametrize("library", ["citus.so", "citus.dylib"])
def test_programs_with_the_library_are_taken(
    library: str, chosen: Settings, tmp_path: Path
) -> None:
    programs = made(tmp_path, library=library)
    assert citus.programs(replace(chosen, citus_programs=programs)) == programs


def test_library_that_is_not_there_names_the_packages_and_the_profile(
    chosen: Settings, tmp_path: Path
) -> None:
    with pytest.raises(ServerError, match=r"The library of Citus is not in .*pg/lib") as refused:
        citus.programs(replace(chosen, citus_programs=made(tmp_path, library="citus_columnar.so")))
    assert "postgresql-18-citus-14.x" in refused.value.hint
    assert "docker compose --profile cluster up" in refused.value.hint


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ("postgres (PostgreSQL) 17.4", "are PostgreSQL 17; a cluster runs 18"),
        ("postgres (PostgreSQL) 180", "are PostgreSQL 180"),
        ("", "no PostgreSQL that says its version"),
    ],
)
def test_programs_of_another_version_are_refused(
    says: str, words: str, chosen: Settings, tmp_path: Path
) -> None:
    programs = made(tmp_path, says, library="citus.so")
    with pytest.raises(ServerError, match=words):
        citus.programs(replace(chosen, citus_programs=programs))


def test_folder_that_has_no_programs_is_a_wrong_setting(chosen: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        citus.programs(replace(chosen, citus_programs=tmp_path / "nowhere"))
    programs = made(tmp_path, library="citus.so")
    (programs / "initdb").unlink()
    with pytest.raises(UsageError, match="has no initdb"):
        citus.programs(replace(chosen, citus_programs=programs))


def test_programs_for_another_machine_are_refused(chosen: Settings, tmp_path: Path) -> None:
    programs = made(tmp_path, library="citus.so")
    (programs / "postgres").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(UsageError, match="cannot be run"):
        citus.programs(replace(chosen, citus_programs=programs))


def command(chosen: Settings, *arguments: str, **environment: str) -> tuple[int, str, str]:
    given = {"DATABASE_URL": "", "DATABASE_URL_FILE": "", "CITUS_PROGRAMS": "", **environment}
    places = {"INBOX": str(chosen.inbox), "DATA_DIR": str(chosen.data)}
    ended = Command(*arguments, environment={**os.environ, **given, **places}).ended()
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.skipif(has_library(), reason="the packaged programs have the library of Citus")
def test_cluster_up_without_the_library_ends_with_3_and_changes_nothing(chosen: Settings) -> None:
    code, said, error = command(chosen, "cluster-up")
    assert (code, said) == (3, "")
    assert "The library of Citus is not in" in error
    assert not (chosen.data / "cluster" / "wanted").exists()
    assert not nodes.is_there(chosen)


def test_cluster_up_with_a_wrong_setting_ends_with_2(chosen: Settings) -> None:
    code, said, error = command(chosen, "cluster-up", CITUS_PROGRAMS=str(chosen.data))
    assert (code, said) == (2, "")
    assert "CITUS_PROGRAMS names" in error


def test_cluster_up_next_to_a_server_that_is_given_is_refused(chosen: Settings) -> None:
    with pytest.raises(UsageError, match="DATABASE_URL names a server"):
        nodes.up(replace(chosen, database_url="postgresql://localhost/x"), print)


def test_without_a_cluster_status_and_down_say_so(chosen: Settings) -> None:
    code, said, error = command(chosen, "cluster-status")
    assert (code, said, error) == (0, "There is no cluster: make cluster-up makes one.\n", "")
    assert command(chosen, "cluster-down") == (0, "There is no cluster.\n", "")


# Which server is used


@pytest.mark.parametrize(
    ("is_marked", "address", "is_cluster"),
    [(True, "", True), (False, "", False), (True, "postgresql://localhost/x", False)],
)
def test_cluster_that_is_wanted_is_used_unless_a_server_is_given(
    is_marked: bool,
    address: str,
    is_cluster: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("DATA_DIR", str(tmp_path)), ("DATABASE_URL", address)):
        monkeypatch.setenv(name, value)
    if is_marked:
        (tmp_path / "cluster").mkdir()
        (tmp_path / "cluster" / "wanted").touch()
    found = config.settings.__wrapped__()
    assert found.cluster is is_cluster
    assert found.is_embedded is not (is_marked or bool(address))


def test_wanted_cluster_that_does_not_run_is_not_mistaken_for_the_embedded_server(
    chosen: Settings,
) -> None:
    wanted = replace(chosen, cluster=True)
    with pytest.raises(ServerError, match=r"The cluster does not run\."):
        server.address(wanted)
    found = server.status(wanted)
    assert (found.kind, found.running, found.size_bytes) == ("cluster", False, 0)
    with pytest.raises(UsageError, match="commands use the cluster"):
        replicas.up(wanted, [1], print)
    assert replicas.wanted_in(wanted) == []


def test_clean_data_does_not_delete_the_other_database(chosen: Settings) -> None:
    chosen.cluster_mark.parent.mkdir(parents=True)
    chosen.cluster_mark.touch()
    code, _, error = command(chosen, "clean-data", "--confirm")
    assert code == 2
    assert "The cluster is used" in error
    assert chosen.cluster_mark.exists()


def test_password_that_is_lost_is_not_made_up_again(chosen: Settings) -> None:
    (chosen.data / "cluster" / "worker-2" / "cluster").mkdir(parents=True)
    with pytest.raises(ServerError, match="The password of the cluster is gone"):
        nodes.let_logins_in(replace(chosen, cluster=True))
    assert not (chosen.data / "cluster" / "password").exists()


# Settings


@pytest.mark.parametrize("memory", [2 * GIB, 24 * GIB])
def test_nodes_share_memory_cores_and_room_for_the_log(memory: int) -> None:
    alone, shared = server_settings(memory, 6), node_settings(memory, 6, None, 3)
    assert shared == {
        **server_settings(memory // 3, 2),
        "min_wal_size": f"{GIB // 3 // MIB}MB",
        "max_wal_size": f"{4 * GIB // 3 // MIB}MB",
    }
    assert int(shared["max_parallel_workers"]) < int(alone["max_parallel_workers"])


def test_citus_is_the_first_library_and_sends_nobody_anything() -> None:
    found = citus.settings_of_node(3, is_worker=False)
    assert found["shared_preload_libraries"] == "citus,pg_stat_statements"
    assert found["citus.enable_statistics_collection"] == "off"


def test_tasks_on_a_worker_begin_no_further_processes() -> None:
    coordinator, worker = (
        citus.settings_of_node(3, is_worker=is_worker) for is_worker in (False, True)
    )
    assert worker == {**coordinator, "max_parallel_workers_per_gather": "0"} != coordinator


@pytest.mark.parametrize(("cores", "parts"), [(2, "8"), (4, "16"), (16, "32")])
def test_each_core_of_two_workers_has_two_parts_of_claims(cores: int, parts: str) -> None:
    found = citus.with_citus(server_settings(8 * GIB, cores), is_worker=False)
    assert found["citus.shard_count"] == parts
    sessions = int(found["citus.max_adaptive_executor_pool_size"])
    assert 2 * 2 * sessions == int(parts)
    # Fifty analysts, and some sessions of the warehouse's own.
    kept = int(found["citus.max_cached_conns_per_worker"])
    assert kept <= sessions
    assert 50 * kept < int(found["max_connections"])


# Containers


def services() -> dict[str, dict]:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text)["services"]


def flags(service: dict) -> dict[str, str]:
    return dict(flag.removeprefix("-c").split("=", 1) for flag in service["command"][1:])


def test_containers_of_a_cluster_start_with_the_profile_alone() -> None:
    profiles = {name: service.get("profiles") for name, service in services().items()}
    assert {name for name, given in profiles.items() if given} == {*NODES, "join"}
    assert {tuple(given) for given in profiles.values() if given} == {("cluster",)}
    images = {services()[name]["image"] for name in (*NODES, "join")}
    assert images == {"citusdata/citus:14.1.0"}


def test_only_the_coordinator_is_reached_from_outside_and_from_this_machine_alone() -> None:
    ports = {name: services()[name]["ports"] for name in (*NODES, "join")}
    assert ports == {
        "coordinator": ["127.0.0.1:${CLUSTER_PORT:-5433}:5432"],
        "worker-1": [],
        "worker-2": [],
        "join": [],
    }


def test_each_node_keeps_its_data_in_a_volume_of_its_own() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    volumes = yaml.safe_load(text)["volumes"]
    kept = [services()[name]["volumes"][0].split(":") for name in NODES]
    assert kept == [[name, "/var/lib/postgresql"] for name in NODES]
    assert set(NODES) <= set(volumes)


@pytest.mark.parametrize("name", NODES)
def test_containers_have_the_settings_of_a_node(name: str) -> None:
    service = services()[name]
    given = flags(service)
    shown = {setting: value for setting, value in given.items() if not setting.startswith("ssl")}
    assert shown.pop("hba_file") == service["configs"][0]["target"]
    memory = int(service["mem_limit"].removesuffix("g")) * GIB
    shared = int(service["shm_size"].removesuffix("g")) * GIB
    settings = server_settings(memory, int(service["cpus"]), shared)
    assert shown == citus.with_citus(settings, is_worker=name != "coordinator")
    assert given["ssl"] == "on"
    assert service["environment"]["POSTGRES_USER"] == "aca_owner"
    # One of the two, as with the other server.
    assert service["environment"].items() >= {
        (name, value)
        for name, value in services()["postgres"]["environment"].items()
        if name != "POSTGRES_INITDB_ARGS"
    }


@pytest.mark.parametrize("from_file", [True, False])
def test_container_of_a_node_keeps_the_password_where_only_its_server_reads_it(
    from_file: bool, tmp_path: Path
) -> None:
    """Libpq reads a colon and a backslash of the file as its own signs."""
    known = "a:b\\c d"
    for stand_in in ("docker-entrypoint.sh", "chown"):
        program = tmp_path / stand_in
        program.write_text(f'#!/bin/sh\necho "{stand_in} $@"\n')
        program.chmod(0o755)
    (tmp_path / "file").write_text(f"{known}\n")
    of_file, of_variable = (
        ("POSTGRES_PASSWORD_FILE", tmp_path / "file"),
        ("POSTGRES_PASSWORD", known),
    )
    name, value = of_file if from_file else of_variable
    file = tmp_path / "nodes.pgpass"
    done = subprocess.run(
        ["sh", ROOT / "scripts/compose/node.sh", "postgres", "-cssl=on"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "PGPASSFILE": str(file), name: value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"chown postgres {file}\ndocker-entrypoint.sh postgres -cssl=on\n"
    assert file.read_text() == "*:*:*:*:a\\:b\\\\c d\n"
    assert file.stat().st_mode & 0o777 == 0o600
