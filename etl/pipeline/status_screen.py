"""What ``make status`` shows: what needs somebody first, on a terminal no more than fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from etl.config import Settings
from etl.contracts.checks import CRITICAL
from etl.inbox.refused import WAITING, HeldBatch
from etl.pipeline import screen
from etl.pipeline.latest import Latest
from etl.pipeline.screen import Screen
from etl.pipeline.status import Overview
from etl.server import server

# How many batches, checks and stages are named where nothing but patience limits them.
_MOST_HELD, _MOST_CHECKS, _MOST_STAGES = 20, 8, 10
# On a terminal, batches and what fails take so many lines of it at most; each batch takes several.
_HELD_SHARE = 0.35
_FEWEST_CHECKS = 2
# The title and the header of the stages, and the prompt below.
_AROUND_STAGES = 3

Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found apart from the warehouse itself.

    ``notices``: what whoever runs it should know. ``incidents``: those that are open, in a phrase
    each. ``assumed``: how many loaded files, and bytes of them, are taken as unchanged unread.
    ``replicas``: how each is, in a phrase.
    """

    notices: Sequence[str] = ()
    incidents: Sequence[str] = ()
    assumed: tuple[int, int] = (0, 0)
    replicas: Sequence[str] = ()


def show_status(
    status: server.Status,
    chosen: Settings,
    seen: Overview,
    look: Look | None = None,
    *,
    is_whole: bool = False,
) -> None:
    """What is not loaded, how the warehouse is, where everything is, and what to do next.

    ``is_whole``: all of it, however long.
    """
    found = look or Look()
    console = Screen()
    room = console.height if console.is_terminal and not is_whole else None
    held = _held(console, seen.held, room, is_whole=is_whole)
    lines = [
        ("Server", _server(status)),
        *(("Replica", text) for text in found.replicas),
        *seen.latest.lines,
        *_failing(seen.latest, room, is_whole=is_whole),
        *(("Incident", text) for text in found.incidents),
        *(("Running", text) for text in seen.running),
        *_places(status, chosen, seen),
        *(("Note", notice) for notice in found.notices),
        *_assumed(*found.assumed),
        ("Next", _next(status, seen, found)),
    ]
    for label, said in [*held, *lines]:
        console.write_line(said, label)
    used = sum(_height(console, line) for line in [*held, *lines])
    most = len(seen.stages) if is_whole else _MOST_STAGES
    if room is not None:
        most = min(most, room - used - _AROUND_STAGES)
    if seen.stages and most > 0:
        console.print(_stages(seen, most))


def _height(console: Screen, line: Line) -> int:
    return len(console.lines_of(*line))


def _server(status: server.Status) -> str:
    kind = status.kind if status.embedded else "server of DATABASE_URL"
    if not status.running:
        return f"{kind}, " + (
            "not running (make up)" if status.embedded else f"not reached. {status.trouble}"
        )
    size = "" if status.size_bytes is None else f", {status.size_bytes / 2**20:,.0f} MiB"
    return f"{kind}, PostgreSQL {status.version}, running on port {status.port}{size}"


def _held(
    console: Screen, held: Sequence[HeldBatch], room: int | None, *, is_whole: bool
) -> list[Line]:
    """Batches that are not in the warehouse, each with the reason and what to do."""
    lines: list[Line] = []
    height, shown = 0, 0
    for batch in held:
        since = f", since {batch.since:%Y-%m-%d %H:%M} UTC" if batch.since else ""
        code = f" ({batch.code})" if batch.code else ""
        of_batch = [
            (batch.state.capitalize(), f"{batch.title}{since}: {batch.reason}"),
            (" ", f"{batch.advice}{code}"),
        ]
        height += sum(_height(console, line) for line in of_batch)
        is_full = shown >= _MOST_HELD or (room is not None and height > room * _HELD_SHARE)
        if shown and is_full and not is_whole:
            break
        lines += of_batch
        shown += 1
    if shown < len(held):
        lines.append((" ", f"and {_more(held[shown:])}: make status ALL=yes"))
    return [*lines, ("", "")] if lines and room is None else lines


def _more(rest: Sequence[HeldBatch]) -> str:
    waiting = sum(batch.state == WAITING for batch in rest)
    said = f"{len(rest):,} more {'batch' if len(rest) == 1 else 'batches'}"
    return f"{said}, {waiting:,} of them waiting" if waiting else said


def _failing(latest: Latest, room: int | None, *, is_whole: bool) -> list[Line]:
    failing = latest.checks.failing if latest.checks else ()
    most = _MOST_CHECKS if room is None else _FEWEST_CHECKS
    shown = failing if is_whole else failing[:most]
    lines = [
        (" ", f"{severity}: {name}, {rows:,} {'row' if rows == 1 else 'rows'}")
        for name, severity, rows in shown
    ]
    if len(failing) > len(shown):
        lines.append((" ", f"and {len(failing) - len(shown):,} more: make dq-report"))
    return lines


def _places(status: server.Status, chosen: Settings, seen: Overview) -> list[Line]:
    lines = [("Data", str(status.data))] if status.data is not None else []
    lines += [("Inbox", str(chosen.inbox)), ("Log", str(chosen.log_file))]
    if seen.horizon is not None:
        gone = f"rows from before {seen.horizon} are in {chosen.archive} and expire if they come"
        lines.append(("Archive", f"{gone} again"))
    files, rows, size_bytes = seen.archived
    if files:
        said = f"{rows:,} rows in {files:,} files ({size_bytes / 2**20:,.1f} MiB) in"
        lines.append(("Staging", f"{said} {chosen.staging_archive}"))
    if seen.loader:
        lines.append(("Owner", seen.loader))
    return lines


def _assumed(files: int, size_bytes: int) -> list[Line]:
    """What is taken for granted of files that are loaded."""
    if not files:
        return []
    size = f"{size_bytes / 2**20:,.0f} MiB"
    said = f"{files:,} loaded files ({size}) are unchanged: so are their names, sizes and times."
    return [("Assumed", said), (" ", "make incremental RECHECK=yes compares their bytes.")]


def _next(status: server.Status, seen: Overview, found: Look) -> str:
    """The one thing to do first."""
    if not status.running:
        if status.embedded:
            return "make up starts the server; make full-load does all that is needed"
        return "start the server, or correct DATABASE_URL; then make status again"
    if seen.running:
        return "wait for the run to end; make status shows how far it is"
    if any(batch.needs_somebody for batch in seen.held):
        return "do what is said of the first batch, then make incremental"
    if found.incidents:
        return "make incidents lists what is open; make incident-ack takes it on"
    if seen.latest.load is None:
        return "make full-load"
    if seen.held:
        return "make incremental loads what waits"
    failing = seen.latest.checks.failing if seen.latest.checks else ()
    if any(severity == CRITICAL for _, severity, _ in failing):
        return "make dq-report shows what fails and what to do"
    if seen.latest.checks is None or seen.latest.checks.loads_since:
        return "make dq-check runs all checks on what came since"
    return "make psql to query; there is nothing to do"


def _stages(seen: Overview, most: int) -> screen.Table:
    columns = ("begun, UTC", "stage", "batch", "status", "seconds")
    table = screen.table("Latest stages", *columns, right=("seconds",))
    for begun, stage, batch, state, seconds in seen.stages[:most]:
        took = "" if seconds is None else f"{seconds:.1f}"
        table.add_row(f"{begun:%Y-%m-%d %H:%M:%S}", stage, batch or "", state, took)
    for column in table.columns:
        column.no_wrap = True
    return table
