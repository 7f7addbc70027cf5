"""Which line of the server's log a moment lies on, and which backups lead there.

Each restore begins a new line, with a history that says where it left which other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from etl.errors import RestoreError
from etl.operations.backup.archive import HISTORY
from etl.operations.backup.store import Backup


def line_at(log: Path, moment: datetime, backups: Sequence[Backup] = ()) -> int:
    """The line on which the server wrote at a moment: the one last seen before it.

    A line is seen where it begins, and where a backup is of it: an undone restore goes back to the
    line from before.
    """
    seen = [(path.stat().st_mtime, int(path.stem, 16)) for path in log.glob(f"*{HISTORY}")]
    seen += [(b.label.state_at.timestamp(), b.label.timeline) for b in backups if b.label.timeline]
    return max((at, line) for at, line in [(0.0, 1), *seen] if at <= moment.timestamp())[1]


def leads_to(backup: Backup, log: Path, line: int) -> bool:
    """Whether the log of a line continues from the state of a backup."""
    if backup.label.timeline == line:
        return True
    history = log / f"{line:08X}{HISTORY}"
    if not history.exists():
        return False
    for entry in history.read_text().splitlines():
        words = entry.split()
        if words and words[0].isdecimal() and int(words[0]) == backup.label.timeline:
            return position(backup.label.end) <= position(words[1])
    return False


def position(text: str) -> int:
    """A position in the log as a number."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def latest_before(backups: list[Backup], moment: datetime, log: Path) -> tuple[Backup, int]:
    """The backup from which the log leads to a moment the shortest way, and the line there.

    Raises ``RestoreError`` where there is none.
    """
    line = line_at(log, moment, backups)
    before = [b for b in backups if b.label.state_at <= moment and leads_to(b, log, line)]
    if not before:
        raise RestoreError(
            f"No backup is from before {moment:%Y-%m-%d %H:%M:%S} UTC, and leads there.",
            "make backups lists those there are; nothing was changed.",
        )
    return before[-1], line
