"""The command line: arguments to calls, errors to exit codes."""

from __future__ import annotations

from etl.cli import starting

if __name__ == "__main__":
    starting.say()

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from etl.cli import (
    access,
    audit,
    backup,
    dictionary,
    export,
    health,
    kept,
    masked_inbox,
    nodes,
    operations,
    pages,
    quality,
    quarantine,
    replicas,
    senders,
    server,
    stages,
)
from etl.cli.guard import at_work, guarded
from etl.cli.run import run_pipeline
from etl.config import Settings, settings
from etl.inbox.batch import find_batches, is_empty
from etl.pipeline import commands, console
from etl.pipeline.load import held, pending, unfinished
from etl.pipeline.session import RunContext
from etl.pipeline.status import held_in
from etl.pipeline.summary import Summary
from etl.quality.share import NIGHTS
from etl.quality.truth import Truth
from etl.server.server import ensure_running
from etl.synthetic import marker

app = typer.Typer(
    help="The ACA warehouse: load batches from the inbox into PostgreSQL, stage to cubes.",
    invoke_without_command=True,
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for subject in (
    stages,
    quality,
    pages,
    kept,
    audit,
    backup,
    access,
    dictionary,
    export,
    health,
    masked_inbox,
    nodes,
    operations,
    quarantine,
    replicas,
    senders,
    server,
):
    app.add_typer(subject.app)


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


@app.callback()
def main(context: typer.Context) -> None:
    """Run the whole pipeline, extract to cubes, or one of the commands below.

    Without a command: a full load if nothing is loaded yet, else every batch not yet loaded.
    """
    if context.invoked_subcommand is None:
        run_pipeline("full-load", _whole)


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
    url = ensure_running(chosen)
    held = held_in(chosen.inbox, marker.now(chosen.inbox), is_named=chosen.names_inbox)
    with console.step_bar("dq-report", len(STEPS)) as step:
        page, docs = write_report(url, folder, _truth(chosen), held, step)
    typer.echo(f"Report:    {page}\nData docs: {docs}")


if __name__ == "__main__":
    starting.take_back()
    sys.exit(guarded(lambda: app(standalone_mode=True)))
