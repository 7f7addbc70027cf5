"""Commands of backups: make one, list them, restore one, and see that this would work."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from etl import log
from etl.config import settings
from etl.errors import UsageError
from etl.operations.backup import drill as drills
from etl.operations.backup import restore as restores
from etl.operations.backup import store
from etl.operations.backup.restore import Restored, Undone
from etl.operations.backup.store import Backup
from etl.operations.backup.take import take
from etl.pipeline.console import Terminal
from etl.pipeline.screen import Screen, table

app = typer.Typer()
_MIB = 2**20
_DAY_SECONDS = 24 * 3600


@app.command()
def backup(
    full: Annotated[bool, typer.Option(help="Not one that builds on the last.")] = False,
) -> None:
    """Make a backup: of blocks that changed since the last one, or a full one."""
    chosen, screen = settings(), Screen()
    made = take(chosen, screen.write_line, full=full)
    rows = sum(count for count, _ in made.label.tables.values())
    screen.write_line(
        f"The backup {made.name} is complete and checked: {_size(made.bytes)} in {made.folder}, "
        f"{len(made.label.tables):,} tables with {rows:,} rows."
    )
    screen.write_line("make restore-drill shows that it can be restored.")


@app.command()
def backups() -> None:
    """List the backups: age, size, what each builds on, and whether a restore has proven it."""
    chosen, screen = settings(), Screen()
    found, wrong = store.listed(chosen.backups)
    shown = table(
        f"Backups in {chosen.backups}", "backup", "kind", "age", "MiB", "builds on", "proven",
        right=("age", "MiB"),
    )  # fmt: skip
    for one in found:
        shown.add_row(
            one.name,
            one.label.kind,
            _age(one),
            f"{one.bytes / _MIB:,.1f}",
            one.label.parent or "",
            f"{one.proven_at:%Y-%m-%d %H:%M} UTC" if one.proven_at else "not yet",
        )
    if found:
        screen.print(shown)
    else:
        screen.write_line(f"There is no backup in {chosen.backups}; make backup makes one.")
    for problem in wrong.values():
        raise problem


@app.command()
def restore(
    name: Annotated[str, typer.Option("--backup", help="Which; the newest without it.")] = "",
    at: Annotated[str, typer.Option(help="The moment to go back to, UTC.")] = "",
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Delete what the last restore has replaced.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let what the last restore has replaced be live again.")
    ] = False,
) -> None:
    """Restore a backup, or the state at a moment; the database before it is kept."""
    chosen, screen = settings(), Screen()
    if (confirm or undo) and (name or at or (confirm and undo)):
        raise UsageError(
            "CONFIRM=yes deletes what the last restore has replaced, UNDO=yes goes back to it, and "
            "each goes alone.",
            "Restore first, look at what came, then: make restore CONFIRM=yes, or UNDO=yes",
        )
    if confirm:
        for folder in restores.confirm(chosen):
            screen.write_line(f"Deleted the database that was replaced: {folder}.")
        return
    log.configure(chosen.log_file)
    if undo:
        undone = restores.undo(chosen, Terminal())
        screen.write_line(
            "The database that the last restore had replaced is live again; the restored one is "
            f"kept as {undone.kept}. Run make backup next."
        )
        _show_due(screen, undone)
        return
    _show_restored(screen, restores.restore(chosen, Terminal(), name, at), at)


def _show_restored(screen: Screen, restored: Restored, at: str) -> None:
    reached = f"{restored.state_at:%Y-%m-%d %H:%M:%S} UTC"
    screen.write_line(f"The backup {restored.backup.name} is restored, as of {reached}.")
    if restored.is_short:
        screen.write_line(f"The log does not reach {at}: this is the end of it.")
    if restored.kept:
        screen.write_line(
            f"What was there before is kept as {restored.kept}; when it is no longer needed: "
            "make restore CONFIRM=yes; to go back to it: make restore UNDO=yes"
        )
    _show_due(screen, restored)


def _show_due(screen: Screen, restored: Restored | Undone) -> None:
    if restored.due:
        screen.write_line(
            f"Batches to load again: {', '.join(restored.due)}. make incremental loads them."
        )
    if restored.lost:
        screen.write_line(
            f"Batches that were loaded and are not in the inbox: {', '.join(restored.lost)}. Ask "
            "their senders for them."
        )
    if not restored.due and not restored.lost:
        screen.write_line("No batch has to be loaded again.")


@app.command("restore-drill")
def restore_drill() -> None:
    """Restore the newest backup to a second server, compare it, run the checks, and remove it."""
    chosen, screen = settings(), Screen()
    log.configure(chosen.log_file)
    drilled = drills.drill(chosen, Terminal())
    label = drilled.backup.label
    screen.write_line(
        f"The backup {drilled.backup.name} is proven: all {len(label.tables):,} tables and "
        f"{len(label.reports):,} reports came out as they were, and no critical check fails."
    )
    screen.write_line(
        f"Recovery took {drilled.rto_seconds:,.1f} s (RTO), of a state "
        f"{drilled.rpo_seconds:,.0f} s old (RPO); with the checks {drilled.seconds:,.1f} s."
    )


def _age(one: Backup) -> str:
    seconds = (datetime.now(UTC) - one.label.state_at).total_seconds()
    hours, minutes = divmod(int(seconds) // 60, 60)
    return (
        f"{hours // 24} d {hours % 24} h" if seconds >= _DAY_SECONDS else f"{hours} h {minutes} m"
    )


def _size(size: int) -> str:
    return f"{size / _MIB:,.1f} MiB"
