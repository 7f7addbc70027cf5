"""Which backups are kept, where a moment lies, and how databases change places."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from etl.config import BackupSettings
from etl.errors import RestoreError
from etl.operations.backup import keep, timelines
from etl.operations.backup.store import Backup, Label
from etl.server import exchange
from etl.server.home import Home

FIRST = datetime(2025, 1, 1, 6, tzinfo=UTC)


def backup(
    day: float, parent: int | None = None, *, proven: bool = False, **label: object
) -> Backup:
    at = FIRST + timedelta(days=day)
    given = {"name": str(day), "kind": "full" if parent is None else "incremental"}
    given |= {"started_at": at, "state_at": at, "finished_at": at, "database_bytes": 1}
    given |= {"major": 18, "recipients": 0, "tables": {}, "reports": {}}
    given |= {"parent": None if parent is None else str(parent), **label}
    return Backup(Path(), Label(**given), at if proven else None)


def kept(backups: list[Backup], **wanted: int) -> list[float]:
    none = {"daily": 0, "weekly": 0, "monthly": 0}
    gone = keep.to_delete(backups, BackupSettings(**none | wanted))
    return [float(one.name) for one in backups if one not in gone]


def test_newest_of_each_day_week_and_month_is_kept() -> None:
    daily = [backup(day) for day in range(70)]
    assert kept(daily, daily=3) == [67, 68, 69]
    # January 1, 2025 was a Wednesday; weeks end on Sundays, the last one is not over.
    assert kept(daily, weekly=3) == [60, 67, 69]
    assert kept(daily, monthly=12) == [30, 58, 69]


def test_of_the_last_day_all_are_kept() -> None:
    assert kept([backup(0), backup(0.2), backup(1), backup(1.1)], daily=1) == [0.2, 1, 1.1]


def test_chain_whose_beginning_cannot_be_read_goes_with_time() -> None:
    assert kept([backup(2, 1), backup(3, 2), backup(9)], daily=1) == [9]


def test_chain_goes_as_a_whole_and_the_newest_proven_backup_never() -> None:
    chains = [backup(day, None if day % 3 == 0 else day - 1) for day in range(9)]
    assert kept(chains, daily=4) == [3, 4, 5, 6, 7, 8]
    assert kept(chains, daily=1) == [6, 7, 8]
    proven = [backup(0), backup(1, 0, proven=True), backup(2, 1), *chains[3:]]
    assert kept(proven, daily=1) == [0, 1, 2, 6, 7, 8]


def test_moment_lies_on_the_line_that_was_begun_last_before_it(tmp_path: Path) -> None:
    history = tmp_path / "00000002.history"
    history.write_text("1\t0/5000000\tbefore a restore\n")
    began = (FIRST + timedelta(days=10)).timestamp()
    os.utime(history, (began, began))
    on_first = [backup(1, timeline=1, end="0/4000000"), backup(5, timeline=1, end="0/6000000")]
    backups = [*on_first, backup(12, timeline=2, end="0/7000000")]

    def found(days: float) -> tuple[str, int]:
        one, line = timelines.latest_before(backups, FIRST + timedelta(days=days), tmp_path)
        return one.name, line

    assert found(6) == ("5", 1)
    # The second line left the first one before the backup of day 5.
    assert found(11) == ("1", 2)
    assert found(13) == ("12", 2)
    with pytest.raises(RestoreError, match="No backup is from before"):
        found(0)


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_exchange_of_databases_that_was_killed_is_completed(tmp_path: Path, renames: int) -> None:
    home = Home(tmp_path, tmp_path, tmp_path, None)
    new = tmp_path / "restore" / "cluster"
    for folder, text in ((home.cluster, "old"), (new, "new")):
        folder.mkdir(parents=True)
        (folder / "which").write_text(text)
    (tmp_path / "exchange").write_text("kept-1\nrestore/cluster\n")
    for source, target in ((home.cluster, tmp_path / "kept-1"), (new, home.cluster))[:renames]:
        source.rename(target)
    exchange.complete(home)
    assert (home.cluster / "which").read_text() == "new"
    assert [(kept / "which").read_text() for kept in exchange.kept(home)] == ["old"]
    exchange.complete(home)
    assert (home.cluster / "which").read_text() == "new"
