"""Which backups are kept: the newest of each of the last days, weeks and months."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from etl.config import BackupSettings
from etl.operations.backup.store import Backup

# Of the last day none goes: somebody may be about to choose between them.
_ALL_OF = timedelta(days=1)


def to_delete(backups: list[Backup], wanted: BackupSettings) -> list[Backup]:
    """The backups to delete, whole chains only, from those there are, the oldest first.

    A chain stays while any of it is wanted, and the newest backup that is proven always does.
    """
    kept = {backup.name for backup in _wanted(backups, wanted)}
    kept |= {backup.name for backup in [b for b in backups if b.proven_at][-1:]}
    roots: dict[str, str] = {}
    for backup in backups:
        # A parent is older; one that cannot be read is not among them.
        parent = backup.label.parent
        roots[backup.name] = roots.get(parent, parent) if parent else backup.name
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
        *(one for one in backups if backups[-1].label.state_at - one.label.state_at < _ALL_OF),
    ]


def _day(day: date) -> tuple[int, ...]:
    return (day.toordinal(),)


def _newest_of(
    backups: list[Backup], count: int, period: Callable[[date], tuple[int, ...]]
) -> list[Backup]:
    """The newest backup of each of the last periods that have one."""
    newest = {period(backup.label.state_at.date()): backup for backup in backups}
    return [newest[key] for key in sorted(newest)[-count:]] if count else []
