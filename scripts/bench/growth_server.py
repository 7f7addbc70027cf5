"""What the server spends while a command runs: processor time and memory, as /proc says."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

_TICKS = os.sysconf("SC_CLK_TCK")
# Seconds between two looks at the memory.
_PAUSE = 0.5


class Meter:
    """Measures the server of which a session's process is known, until it is left.

    ``cpu``: seconds of its processes, ended ones included; ``peak_mb``: the most memory that they
    had together apart from what they share. Both are 0 where the server is on another machine.
    ``began``: when it was begun.
    """

    def __init__(self, session_pid: int) -> None:
        self.server = _parent(session_pid)
        self.cpu = 0.0
        self.peak_mb = 0
        self.began = datetime.now(UTC)
        self._seen: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Meter:
        self._before = self.read()
        self._seen.append((time.time(), self._before))
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watch.join()
        self._seen.append((time.time(), self.read()))
        self.cpu = round(self._seen[-1][1] - self._before, 2)

    def read(self) -> float:
        """Seconds of its processes until now."""
        return _cpu(self.server)

    def between(self, began: datetime, ended: datetime) -> float:
        """Seconds of its processes from one moment to another, by the looks around each."""
        return self._at(ended.timestamp()) - self._at(began.timestamp())

    def _at(self, moment: float) -> float:
        """Seconds of its processes until a moment."""
        before = max((seen for seen in self._seen if seen[0] <= moment), default=self._seen[0])
        after = min((seen for seen in self._seen if seen[0] > moment), default=self._seen[-1])
        if after[0] <= before[0]:
            return before[1]
        share = (moment - before[0]) / (after[0] - before[0])
        return before[1] + share * (after[1] - before[1])

    def _look(self) -> None:
        while not self._over.wait(_PAUSE):
            own = sum(_own_kb(pid) for pid in _children(self.server))
            self.peak_mb = max(self.peak_mb, round(own / 1024))
            self._seen.append((time.time(), self.read()))


def _stat(pid: int) -> list[str]:
    """The fields of a process after its name; none where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _children(server: int) -> list[int]:
    found = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    return [pid for pid in found if server and _parent(pid) == server]


def _cpu(server: int) -> float:
    """Seconds of the server's processes: those that ended, and those that are there."""
    ended = sum(map(int, _stat(server)[11:15] or ()))
    return (ended + sum(sum(map(int, _stat(p)[11:13])) for p in _children(server))) / _TICKS


def _own_kb(pid: int) -> int:
    """Memory of a process that it shares with none, in KiB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in status.splitlines() if line[:8] == "RssAnon:")
