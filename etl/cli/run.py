"""A run of the pipeline, as every command that works on the warehouse begins one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from etl import log
from etl.cli.guard import at_work
from etl.config import Settings, settings
from etl.contracts import senders
from etl.db.connection import LIMITS
from etl.errors import BatchError, CheckFailedError
from etl.operations import after_run
from etl.pipeline import console
from etl.pipeline.session import RunContext, open_run
from etl.pipeline.summary import Summary
from etl.pipeline.tries import Tries
from etl.server import server
from etl.server.topology import require_one_server
from etl.synthetic.marker import is_synthetic, now

# What was tried on a cluster and leaves the rows of one server there; all else is refused.
_ON_CLUSTER = frozenset(
    (
        *("full-load", "incremental", "stage", "dims", "facts", "cubes", "dq-check", "restate"),
        *("quarantine-replay", "migrate", "hold", "dq-threshold", "sender-resume", "erase"),
        *("retention", "archive-staging"),
    )
)


def run_pipeline(command: str, work: Callable[[RunContext], Summary]) -> None:
    """Run some of the pipeline on the configured server and say what happened.

    What something transient ended is tried again; a server that is down by then is started, but not
    where a person stopped it.
    """
    at_work.set(command)
    chosen = settings()
    log.configure(chosen.log_file)
    senders.ensure_sound()
    terminal = console.Terminal()
    LIMITS.lock_seconds, LIMITS.idle_seconds = chosen.lock_minutes * 60, chosen.idle_minutes * 60
    tries = Tries(command, chosen.retry_minutes, terminal.say)
    try:
        tries.keep_trying(lambda: _run_once(tries, chosen, terminal, work))
    finally:
        after_run.judge(chosen, lambda: is_synthetic(chosen.inbox))


def require_tried(command: str, url: str) -> None:
    """Raise ``ServerError`` where the database is a cluster, on which the command was not tried."""
    if command not in _ON_CLUSTER:
        require_one_server(
            url,
            f"The database is a cluster of Citus, on which make {command} was not tried yet.",
            "make cluster-down leads back to the embedded server; docs/cluster.md says what works "
            "on a cluster. Nothing was changed.",
        )


def _run_once(
    tries: Tries,
    chosen: Settings,
    terminal: console.Terminal,
    work: Callable[[RunContext], Summary],
) -> None:
    said = terminal.said
    with terminal.showing("server", "PostgreSQL is started, or reached"):
        url = server.ensure_running(chosen, only_if_wanted=tries.current.number > 1)
    require_tried(tries.command, url)
    opening = open_run(url, chosen, terminal, tries.command, lambda: now(chosen.inbox), tries)
    with ExitStack() as opened:
        with terminal.showing("schema", "tables, views and roles"):
            context = opened.enter_context(opening)
        try:
            work(context)
            after_run.note(context)
        except (BatchError, CheckFailedError):
            after_run.note(context)
            # Of what was refused nothing came; the rest did.
            if context.summary.seconds:
                console.show_summary(context.summary)
            raise
        if context.summary.seconds or context.summary.going:
            console.show_summary(context.summary)
        elif tries.command != "migrate" and terminal.said == said:
            context.watcher.say("Nothing to do: no load is due for this.")
