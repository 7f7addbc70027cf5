"""The extension Citus: programs of PostgreSQL that have it, and what a node is set to.

Citus is found on the machine and never shipped: it has another license, the AGPL.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from etl.config import Settings
from etl.errors import ServerError, UsageError
from etl.server.cluster import HOST, MAJOR
from etl.server.home import packaged_programs
from etl.server.tuning import core_count, memory_bytes, node_settings, shared_memory_bytes

PACKAGES = f"postgresql-{MAJOR}-citus-14.x"
_WORKERS = 2
# What a folder of programs needs to make and run a server.
_NEEDED = ("postgres", "initdb", "pg_ctl")
_LIBRARY = "citus.*"  # citus.so, on macOS citus.dylib


def programs(settings: Settings) -> Path:
    """The folder of programs of PostgreSQL 18 that have the library.

    Raises ``UsageError`` where CITUS_PROGRAMS names none, ``ServerError`` where they are of another
    version or lack the library.
    """
    folder = settings.citus_programs or packaged_programs()
    _require_programs(folder)
    _require_version(folder)
    if not any((folder.parent / "lib").glob(_LIBRARY)):
        raise ServerError(
            f"The library of Citus is not in {folder.parent / 'lib'}, so these programs of "
            "PostgreSQL cannot run a cluster.",
            f"Install the vendor's package {PACKAGES} and name its programs, such as "
            f"CITUS_PROGRAMS=/usr/lib/postgresql/{MAJOR}/bin; or use the containers: "
            "docker compose --profile cluster up (docs/cluster.md).",
        )
    return folder


def _require_programs(folder: Path) -> None:
    lacking = [name for name in _NEEDED if not (folder / name).is_file()]
    if lacking:
        what = f"has no {lacking[0]}" if folder.is_dir() else "is no folder"
        raise UsageError(
            f"CITUS_PROGRAMS names {folder}, which {what}.",
            f"Name the folder bin of a PostgreSQL {MAJOR} with Citus, such as "
            f"/usr/lib/postgresql/{MAJOR}/bin, or leave it empty.",
        )


def _require_version(folder: Path) -> None:
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False, cwd="/"
        ).stdout
    except OSError as error:
        raise UsageError(
            f"CITUS_PROGRAMS names {folder}, whose programs cannot be run: {error.strerror}.",
            "Name programs that are for this machine, and that you may run.",
        ) from error
    found = re.search(r"\d+", said)
    if found is None or int(found[0]) != MAJOR:
        version = f"PostgreSQL {found[0]}" if found else "no PostgreSQL that says its version"
        raise ServerError(
            f"The programs in {folder} are {version}; a cluster runs {MAJOR}.",
            f"Install {PACKAGES} and name its programs in CITUS_PROGRAMS.",
        )


def settings_of_node(nodes: int, *, is_worker: bool) -> dict[str, str]:
    """Settings of one of several nodes that share this machine."""
    settings = node_settings(memory_bytes(), core_count(), shared_memory_bytes(), nodes)
    # Where a node logs in to itself, as it does to move shards, by the secret of the nodes.
    return {**with_citus(settings, is_worker=is_worker), "citus.local_hostname": HOST}


def with_citus(settings: dict[str, str], *, is_worker: bool) -> dict[str, str]:
    """Settings of a server, and what a node of a cluster needs besides."""
    if is_worker:
        # A query reaches a worker as a task for each part of a table, which keep its cores busy.
        # Processes that each of them would begin cost more than they bring.
        settings = {**settings, "max_parallel_workers_per_gather": "0"}
    libraries = f"citus,{settings['shared_preload_libraries']}"  # Citus has to be the first
    return {
        **settings,
        "shared_preload_libraries": libraries,
        # Programs with TLS make a certificate when the extension is made; others have none.
        "citus.node_conninfo": "sslmode=prefer",
        # It would send the vendor how many nodes there are and how large the tables.
        "citus.enable_statistics_collection": "off",
        # So soon workers hear from the coordinator that a node has gone to another port.
        "citus.metadata_sync_interval": "5s",
        # Of claims each core of two workers has two parts: more of them cost more time to plan and
        # to make than they save, fewer would leave cores idle. Tables that are there keep theirs.
        "citus.shard_count": str(_WORKERS * 2 * int(settings["max_parallel_workers"])),
        # A session of the coordinator opens so many to a worker and keeps two of them for its next
        # query: more do not end sooner on so many cores, and to open them for each query is most of
        # what a query on few claims costs. All that fifty analysts keep fit into max_connections.
        "citus.max_adaptive_executor_pool_size": settings["max_parallel_workers"],
        "citus.max_cached_conns_per_worker": "2",
        # Passwords of people stay on the coordinator (etl.server.nodes.let_logins_in).
        "citus.enable_alter_role_propagation": "off",
    }
