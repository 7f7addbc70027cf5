"""Server settings derived from the memory and cores of the machine.

Chosen for loading in bulk while analysts read, and kept modest enough for a laptop. Durability
(fsync, full_page_writes, synchronous_commit, checksums) stays as PostgreSQL ships it: on.
"""

from __future__ import annotations

import os
from pathlib import Path

import psutil

MIB = 1024**2
GIB = 1024**3
CGROUP = Path("/sys/fs/cgroup")


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or less where a container is limited."""
    limits = [psutil.virtual_memory().total]
    for text in _cgroup_values("memory.max", "memory/memory.limit_in_bytes"):
        if text.isdigit():
            limits.append(int(text))
    return min(limits)


def core_count() -> int:
    """Cores this process may use, at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    limits = [cores or 1]
    for text in _cgroup_values("cpu.max"):
        quota, _, period = text.partition(" ")
        if quota.isdigit() and period.isdigit():
            limits.append(int(quota) // int(period))
    return max(1, min(limits))


def shared_memory_bytes() -> int | None:
    """Size of /dev/shm, None where the system has none."""
    try:
        return psutil.disk_usage("/dev/shm").total
    except OSError:
        return None


def server_settings(memory: int, cores: int, shared_memory: int | None = None) -> dict[str, str]:
    """Name and value of every setting that differs from PostgreSQL's own default.

    ``memory`` and ``shared_memory`` (the size of /dev/shm) are in bytes.
    """
    workers = max(2, min(cores, 8))
    settings = {
        "max_connections": "150",
        "shared_buffers": _mib(memory // 8, 128 * MIB, 2 * GIB),
        "effective_cache_size": _mib(memory * 5 // 8, 256 * MIB),
        # A worker, a sort and a hash can each take this much, times fifty analysts.
        "work_mem": _mib(memory // 256, 8 * MIB, 64 * MIB),
        "maintenance_work_mem": _mib(memory // 16, 64 * MIB, GIB),
        "wal_buffers": "16MB",
        "min_wal_size": "1GB",
        "max_wal_size": "4GB",
        "wal_compression": "off",  # on makes loading 55 % slower
        "checkpoint_timeout": "15min",
        # Which blocks changed, for incremental backups (etl/operations/backup).
        "summarize_wal": "on",
        "random_page_cost": "1.1",
        # A month of lines is joined to the claims of that month: a range of days is not passed on
        # from one side of a join to the other (sql/mart/claim_line.sql).
        "enable_partitionwise_join": "on",
        "max_worker_processes": str(workers + 6),
        "max_parallel_workers": str(workers),
        "max_parallel_workers_per_gather": str(max(2, workers // 2)),
        "max_parallel_maintenance_workers": str(max(2, workers // 2)),
        # Who reads what: `make usage` (etl/operations/use.py). A client may read by a cursor or by
        # COPY, so statements within statements count too. Others can have a password in them.
        "shared_preload_libraries": "pg_stat_statements",
        "pg_stat_statements.track": "all",
        "pg_stat_statements.track_utility": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        # One JSON object a line: `make audit` reads from it who looked at whom (etl/audit).
        "logging_collector": "on",
        "log_destination": "jsonlog",
        "log_filename": "server-%Y-%m-%d_%H%M%S.log",
        "log_file_mode": "0600",
        "log_rotation_age": "1d",
        "log_rotation_size": "100MB",
        # The text of an error, its statement and its context can contain a member's data. They go
        # to the client that caused them; the server's log keeps to what concerns the server.
        "log_min_messages": "log",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
    }
    if shared_memory is not None and shared_memory < GIB:
        # Parallel queries would run out of /dev/shm, which is 64 MB in a container by default.
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings


def node_settings(memory: int, cores: int, shared_memory: int | None, nodes: int) -> dict[str, str]:
    """The settings of each of several servers that share a machine, ``nodes`` in number."""
    shared = shared_memory // nodes if shared_memory is not None else None
    return {
        **server_settings(memory // nodes, max(1, cores // nodes), shared),
        "min_wal_size": _mib(GIB // nodes, 0),
        "max_wal_size": _mib(4 * GIB // nodes, 0),
    }


def _mib(size: int, least: int, most: int | None = None) -> str:
    size = max(size, least) if most is None else min(max(size, least), most)
    return f"{size // MIB}MB"


def _cgroup_values(name: str, legacy: str | None = None) -> list[str]:
    """The limit ``name`` of this process's control group and of every group around it."""
    try:
        line = Path("/proc/self/cgroup").read_text().splitlines()[-1]
    except (OSError, IndexError):
        return []
    group = CGROUP / line.rpartition(":")[2].lstrip("/")
    files = [folder / name for folder in (group, *group.parents) if folder.is_relative_to(CGROUP)]
    if legacy:
        files.append(CGROUP / legacy)
    values = []
    for file in files:
        try:
            values.append(file.read_text().strip())
        except OSError:
            continue
    return values
