"""Which backups are kept: the newest of each of the last days, weeks and months."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from etl.config import BackupSettings
from etl.operations.backup.store import Backup, chain_of


def to_delete(backups: list[Backup], wanted: BackupSettings) -> list[Backup]:
    """The backups to delete, whole chains only, from those there are, the oldest first.

    A chain stays while any of it is wanted, and the newest backup that is proven always does.
    """
    kept = {backup.name for backup in _wanted(backups, wanted)}
    kept |= {backup.name for backup in [b for b in backups if b.proven_at][-1:]}
    roots = {backup.name: chain_of(backup, backups)[0].name for backup in backups}
    kept_roots = {roots[name] for name in kept}
    return [backup for backup in backups if roots[backup.name] not in kept_roots]


def reach_of_log(backups: list[Backup], wanted: BackupSettings) -> list[Backup]:
    """The backups from which the log has to lead on: those of the last days."""
    return _newest_of(backups, max(wanted.daily, 1), _day)


def _wanted(backups: list[Backup], wanted: BackupSettings) -> list[Backup]:
    def month(day: date) -> tuple[int, ...]:
        return day.year, day.month

    def week(day: date) -> tuple[int, ...]:
        return tuple(day.isocalendar())[:2]

    return [
        *_newest_of(backups, wanted.daily, _day),
        *_newest_of(backups, wanted.weekly, week),
        *_newest_of(backups, wanted.monthly, month),
        *backups[-1:],
    ]


def _day(day: date) -> tuple[int, ...]:
    return (day.toordinal(),)


def _newest_of(
    backups: list[Backup], count: int, period: Callable[[date], tuple[int, ...]]
) -> list[Backup]:
    """The newest backup of each of the last periods that have one."""
    newest = {period(backup.label.state_at.date()): backup for backup in backups}
    return [newest[key] for key in sorted(newest)[-count:]] if count else []
