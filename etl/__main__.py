"""The command line: arguments to calls, errors to exit codes."""

from __future__ import annotations

from etl.cli import starting

if __name__ == "__main__":
    starting.say()

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from etl import log
from etl.cli import (
    access,
    audit,
    backup,
    dictionary,
    export,
    health,
    masked_inbox,
    nodes,
    operations,
    quarantine,
)
from etl.cli import replicas as replicas_commands
from etl.cli import senders as senders_commands
from etl.cli import server as server_commands
from etl.cli.guard import at_work, guarded
from etl.config import ROOT, Settings, settings
from etl.contracts import senders
from etl.db.connection import LIMITS
from etl.errors import BatchError, CheckFailedError, UsageError
from etl.inbox.batch import find_batches, is_empty
from etl.operations import after_run
from etl.pipeline import archive_staging as archiving
from etl.pipeline import breaker, commands, console, holds
from etl.pipeline import erase as erasing
from etl.pipeline import retention as retention_of
from etl.pipeline.load import held, pending, unfinished
from etl.pipeline.session import RunContext, open_run
from etl.pipeline.status import held_in, notices
from etl.pipeline.summary import Summary
from etl.pipeline.tries import Tries
from etl.quality import thresholds
from etl.quality.share import NIGHTS
from etl.quality.truth import Truth
from etl.server import server
from etl.server.topology import require_one_server
from etl.synthetic import marker
from etl.warehouse.tables import DIMENSIONS

app = typer.Typer(
    help="The ACA warehouse: load batches from the inbox into PostgreSQL, stage to cubes.",
    invoke_without_command=True,
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(audit.app)
app.add_typer(backup.app)
app.add_typer(access.app)
app.add_typer(dictionary.app)
app.add_typer(export.app)
app.add_typer(health.app)
app.add_typer(masked_inbox.app)
app.add_typer(nodes.app)
app.add_typer(operations.app)
app.add_typer(quarantine.app)
app.add_typer(replicas_commands.app)
app.add_typer(senders_commands.app)
app.add_typer(server_commands.app)


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
        after_run.judge(chosen, lambda: marker.is_synthetic(chosen.inbox))


def _run_once(
    tries: Tries,
    chosen: Settings,
    terminal: console.Terminal,
    work: Callable[[RunContext], Summary],
) -> None:
    said = terminal.said
    with terminal.showing("server", "PostgreSQL is started, or reached"):
        url = server.ensure_running(chosen, only_if_wanted=tries.current.number > 1)
    require_one_server(
        url,
        "The database is a cluster of Citus, and this version lays tables out on one server only.",
        "make cluster-down leads back to the embedded server; or correct DATABASE_URL. Nothing was "
        "changed.",
    )
    opening = open_run(
        url, chosen, terminal, tries.command, lambda: marker.now(chosen.inbox), tries
    )
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


def _seed_if_empty(chosen: Settings, context: RunContext) -> None:
    if is_empty(chosen.inbox):
        from etl.synthetic.generate import generate

        context.watcher.say(f"The inbox {chosen.inbox} is empty: making synthetic feeds.")
        generate(chosen.inbox, truth=chosen.truth)


def _full_load(
    context: RunContext, confirmed: Sequence[str] = (), *, forget: bool = False
) -> Summary:
    # Where something is loaded, an empty inbox means that its files are gone.
    if commands.is_empty(context):
        context.lookout().look(context.ledger)
        _seed_if_empty(context.settings, context)
    commands.confirm_snapshots(context, confirmed)
    return commands.full_load(context, forget=forget)


def _incremental(context: RunContext, confirmed: Sequence[str], made: list[Path]) -> Summary:
    """``made``: batches that earlier tries of the run made; one is enough."""
    commands.confirm_snapshots(context, confirmed)
    inbox = context.settings.inbox
    is_idle = not pending(context) and not unfinished(context) and not made
    if is_idle and not context.problems.errors:
        if marker.is_synthetic(inbox):
            from etl.synthetic.generate import increment

            batch = increment(inbox, truth=context.settings.truth)
            made.append(batch)
            context.watcher.say(
                "Nothing was pending in the synthetic inbox: made the next day's batch, "
                f"{batch.name}."
            )
        else:
            why = "every batch of it is loaded" if find_batches(inbox) else "it contains no batch"
            if held(context):
                why = "what is not loaded is held"
            context.watcher.say(f"Nothing to load from the inbox {inbox}: {why}.")
    return commands.incremental(context)


def _whole(context: RunContext) -> Summary:
    if commands.is_empty(context):
        return _full_load(context)
    at_work.set("incremental")
    return commands.incremental(context)


def _truth(chosen: Settings) -> Truth | None:
    """What the feeds of the inbox really contain, where the generator made them."""
    # Only checks need it, and a day does without its packages.
    from etl.synthetic.evaluate.truth_folder import TruthFolder

    return TruthFolder(chosen.truth) if marker.is_synthetic(chosen.inbox) else None


def _migrate(context: RunContext) -> Summary:
    commands.tidy(context)
    for notice in notices(context.url, context.settings.archive):
        context.watcher.say(notice)
    return context.summary


@app.callback()
def main(context: typer.Context) -> None:
    """Run the whole pipeline, extract to cubes, or one of the commands below.

    Without a command: a full load if nothing is loaded yet, else every batch not yet loaded.
    """
    if context.invoked_subcommand is None:
        run_pipeline("full-load", _whole)


Why = Annotated[str, typer.Option(help="The reason, for those who come after.")]
AllowFuture = Annotated[
    list[str] | None,
    typer.Option(help="Batch that may lie far in the future; may be repeated."),
]
Confirmed = Annotated[
    list[str] | None,
    typer.Option(
        "--confirm-snapshot",
        help="Batch whose snapshot may end as many keys as it lacks; may be repeated.",
    ),
]


@app.command("full-load")
def full_load(
    confirmed: Confirmed = None,
    allow_future: AllowFuture = None,
    forget: Annotated[
        bool, typer.Option(help="Go on without files that are loaded and no longer there.")
    ] = False,
) -> None:
    """Rebuild everything from every batch of the inbox; makes synthetic feeds if it is empty."""

    def work(context: RunContext) -> Summary:
        commands.allow_future(context, allow_future or ())
        return _full_load(context, confirmed or (), forget=forget)

    run_pipeline("full-load", work)


@app.command()
def incremental(
    confirmed: Confirmed = None,
    allow_future: AllowFuture = None,
    recheck: Annotated[
        bool, typer.Option(help="Compare every file by its bytes, unchanged as it may look.")
    ] = False,
) -> None:
    """Load every batch of the inbox that is not loaded yet."""
    made: list[Path] = []

    def work(context: RunContext) -> Summary:
        context.choices.recheck = recheck
        commands.allow_future(context, allow_future or ())
        return _incremental(context, confirmed or (), made)

    run_pipeline("incremental", work)


@app.command()
def stage() -> None:
    """Load pending files into staging."""
    run_pipeline("stage", lambda context: commands.run_stages(context, ("stage",)))


@app.command()
def dims() -> None:
    """Bring the dimensions up to date with staging."""
    run_pipeline("dims", lambda context: commands.run_stages(context, ("dims",)))


@app.command()
def facts() -> None:
    """Bring the facts up to date with the dimensions."""
    run_pipeline("facts", lambda context: commands.run_stages(context, ("facts",)))


@app.command()
def cubes() -> None:
    """Build the whole cubes again; only rows that differ are written."""
    run_pipeline("cubes", lambda context: commands.run_cubes(context, whole=True))


@app.command()
def restate(
    dim: Annotated[str, typer.Option(help="Which dimension: member, plan or provider.")] = "",
    since: Annotated[
        str, typer.Option("--from", help="Day from which on its history is made again.")
    ] = "1900-01-01",
    show: Annotated[bool, typer.Option(help="Only show what would change.")] = False,
) -> None:
    """Rebuild a dimension's history from staging; shows first what would change."""
    if dim not in DIMENSIONS:
        raise UsageError(
            f"There is no dimension {dim!r} to restate." if dim else "Which dimension is meant?",
            f"Name one of {', '.join(DIMENSIONS)}: make restate DIM=member FROM=2025-01-01",
        )
    try:
        first = datetime.fromisoformat(since)
        if first.tzinfo is not None:
            first = first.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise UsageError(
            f"{since!r} is no day to restate from.", "Write it as 2025-01-01 (UTC)."
        ) from None

    run_pipeline(
        "restate", lambda context: commands.restate(context, DIMENSIONS[dim], first, show=show)
    )


@app.command()
def retention(
    years: Annotated[str, typer.Option(help="How many calendar years rows are kept.")] = str(
        retention_of.YEARS
    ),
    why: Why = "",
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, archive and delete.")] = False,
) -> None:
    """Show claims and enrollments that are older; archive and delete them once confirmed."""
    kept = retention_of.years_of(years)
    run_pipeline(
        "retention", lambda context: retention_of.retain(context, kept, why, confirmed=confirm)
    )


@app.command("archive-staging")
def archive_staging(
    before: Annotated[
        str, typer.Option(help="Day (UTC): partitions go that have batches from before it alone.")
    ] = "",
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, archive them.")] = False,
    back: Annotated[bool, typer.Option("--back", help="Bring all archived rows back.")] = False,
) -> None:
    """Show settled partitions of staging; once confirmed, let them leave the database for files."""
    if back and (before or confirm):
        raise UsageError(
            "BACK=yes brings rows back, and BEFORE= or CONFIRM= archives them.",
            "Name one of the two: make archive-staging BACK=yes",
        )
    day = None if back else archiving.day_of(before)

    def work(context: RunContext) -> Summary:
        if day is None:
            return archiving.bring_back(context)
        return archiving.archive(context, day, confirmed=confirm)

    run_pipeline("archive-staging", work)


@app.command("quarantine-replay")
def quarantine_replay(
    file: Annotated[str, typer.Option(help="The corrected export.")] = "",
) -> None:
    """Load corrected rows as if they had been right at first, and close their entries."""
    if not file:
        raise UsageError(
            "Which file is meant?",
            "Name the export that you corrected: make quarantine-replay FILE=.../claims.csv",
        )
    run_pipeline("quarantine-replay", lambda context: commands.replay_export(context, Path(file)))


Member = Annotated[str, typer.Option(help="Number of the member, as its feed writes it.")]


@app.command("erase")
def erase(
    member: Member = "",
    why: Why = "",
    show: Annotated[bool, typer.Option(help="Only show what would change.")] = False,
) -> None:
    """Make a member's number and direct values tokens everywhere, also in all later files."""
    run_pipeline("erase", lambda context: erasing.erase(context, member, why, show=show))


@app.command("hold")
def hold(
    member: Member = "",
    why: Why = "",
    release: Annotated[bool, typer.Option(help="End the hold.")] = False,
) -> None:
    """Put a member under legal hold: nothing of theirs is erased or expires until it ends."""
    run_pipeline("hold", lambda context: holds.hold(context, member, why, release=release))


@app.command("sender-resume")
def sender_resume(
    sender: Annotated[str, typer.Option(help="Whose files are held, as make status says.")] = "",
    feed: Annotated[str, typer.Option(help="Only this feed.")] = "",
) -> None:
    """Let held files of a sender load again."""
    run_pipeline("sender-resume", lambda context: breaker.resume(context, sender, feed))


@app.command("dq-check")
def dq_check(
    everything: Annotated[
        bool, typer.Option("--all", help="Look at every claim, and not at a share of the months.")
    ] = False,
) -> None:
    """Run every quality check; of very many claims on what changed and a share of the months.

    Each month has its turn within 30 runs. Synthetic feeds are also compared with their truth.
    """
    nights = None if everything else NIGHTS

    def work(context: RunContext) -> Summary:
        return commands.dq_check(context, _truth(context.settings), nights)

    run_pipeline("dq-check", work)


@app.command("dq-report")
def dq_report(
    to: Annotated[
        str, typer.Option(help="Folder to write into; by default DATA_DIR/quality.")
    ] = "",
) -> None:
    """Write a page on the results of the quality checks, with data docs next to it."""
    from etl.quality.report import STEPS, write_report

    chosen = settings()
    folder = Path(to).resolve() if to else chosen.data / "quality"
    url = server.ensure_running(chosen)
    held = held_in(chosen.inbox, marker.now(chosen.inbox), is_named=chosen.names_inbox)
    with console.step_bar("dq-report", len(STEPS)) as step:
        page, docs = write_report(url, folder, _truth(chosen), held, step)
    typer.echo(f"Report:    {page}\nData docs: {docs}")


@app.command("report")
def report(
    to: Annotated[
        str, typer.Option(help="Folder to write into; by default DATA_DIR/reports.")
    ] = "",
    as_known: Annotated[
        str, typer.Option("--as-known", help="Number of the load after which it is as known.")
    ] = "",
) -> None:
    """Write a page on the business from the marts: members, cost, where the money goes."""
    from etl.reports.business import SECTIONS, write_business

    chosen = settings()
    folder = Path(to).resolve() if to else chosen.data / "reports"
    url = server.ensure_running(chosen)
    with console.step_bar("report", len(SECTIONS)) as step:
        page = write_business(url, folder, as_known, step)
    typer.echo(f"Report: {page}")


@app.command("dq-threshold")
def dq_threshold(
    check: Annotated[str, typer.Option(help="Name of the check.")] = "",
    count: Annotated[
        float | None, typer.Option(help="The most that may be measured, in the check's unit.")
    ] = None,
    share: Annotated[
        float | None, typer.Option(help="Share of the rows checked that may fail, 0 to 1.")
    ] = None,
    severity: Annotated[str | None, typer.Option(help="critical, major or minor.")] = None,
    why: Why = "",
    reset: Annotated[bool, typer.Option(help="Back to what the code says.")] = False,
) -> None:
    """Change what a check is judged by; past results are judged again without running it."""
    wanted = thresholds.Wanted(check, count, share, severity, why, reset)
    wanted.validate()

    def work(context: RunContext) -> Summary:
        context.watcher.say(thresholds.change(context.ledger, wanted))
        return context.summary

    run_pipeline("dq-threshold", work)


@app.command()
def migrate() -> None:
    """Bring the schema to the newest migration."""
    run_pipeline("migrate", _migrate)
    typer.echo("The schema is at the newest migration.")


@app.command()
def docs(
    check: Annotated[bool, typer.Option(help="Only say whether it is stale.")] = False,
) -> None:
    """Write the generated pages of the documentation, such as the data dictionary."""
    from etl.dictionary import lineage_page
    from etl.docs import data_dictionary, measures_page
    from etl.operations import alert_rules, pages
    from etl.quality import checks_page

    written = {
        data_dictionary.PAGE: data_dictionary.write,
        measures_page.PAGE: measures_page.write,
        lineage_page.PAGE: lineage_page.write,
        checks_page.PAGE: checks_page.write,
        pages.METRICS_PAGE: pages.write_metrics,
        pages.LEVELS_PAGE: pages.write_levels,
        alert_rules.FILE: alert_rules.write,
    }
    terminal = console.Terminal()
    for page, write in written.items():
        with terminal.showing("docs", page.name):
            is_current = write(check=check)
        if not is_current:
            typer.echo(f"{page.relative_to(ROOT)} is stale: run make docs.", err=True)
            raise typer.Exit(1)


if __name__ == "__main__":
    starting.take_back()
    sys.exit(guarded(lambda: app(standalone_mode=True)))
