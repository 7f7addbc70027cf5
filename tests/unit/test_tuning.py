"""Server settings follow the machine, and a container's limits count as the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.server import tuning
from etl.server.tuning import GIB, MIB, server_settings


def mib(text: str) -> int:
    return int(text.removesuffix("MB"))


@pytest.mark.parametrize("memory", [GIB // 2, 2 * GIB, 8 * GIB, 24 * GIB, 512 * GIB])
def test_memory_is_never_promised_twice(memory: int) -> None:
    settings = server_settings(memory, cores=4)
    fixed = mib(settings["shared_buffers"]) + mib(settings["maintenance_work_mem"])
    assert fixed <= max(memory // MIB // 2, 192)
    assert mib(settings["shared_buffers"]) <= 2048
    # A few sorts at once must fit in what is left.
    assert mib(settings["work_mem"]) * 8 <= max(memory // MIB // 4, 64)


@pytest.mark.parametrize("cores", [1, 2, 4, 64])
def test_parallel_workers_have_processes_to_run_in(cores: int) -> None:
    settings = {
        k: v
        for k, v in server_settings(8 * GIB, cores).items()
        if "workers" in k or "processes" in k
    }
    counts = {name: int(value) for name, value in settings.items()}
    assert counts["max_parallel_workers"] < counts["max_worker_processes"]
    assert counts["max_parallel_workers_per_gather"] <= counts["max_parallel_workers"]
    assert counts["max_parallel_maintenance_workers"] <= counts["max_parallel_workers"]


def test_small_shared_memory_is_left_alone() -> None:
    assert server_settings(8 * GIB, 2, 64 * MIB)["dynamic_shared_memory_type"] == "mmap"
    assert "dynamic_shared_memory_type" not in server_settings(8 * GIB, 2, 8 * GIB)


def test_container_limits_replace_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(f"{512 * MIB}\n")
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setattr(tuning, "CGROUP", tmp_path)
    assert tuning.memory_bytes() == 512 * MIB
    assert tuning.core_count() == 1


def test_without_a_limit_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "cpu.max").write_text("max 100000\n")
    monkeypatch.setattr(tuning, "CGROUP", tmp_path)
    assert tuning.memory_bytes() == tuning.psutil.virtual_memory().total
    assert tuning.core_count() >= 1
