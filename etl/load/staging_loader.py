"""``python -m etl.load.staging_loader``: load batches into staging, nothing more.

Without arguments it stages what is pending in the inbox, as ``make stage`` does; with a batch,
or a batch and files of it, just those.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from etl.cli.guard import guarded
from etl.cli.run import run_pipeline
from etl.config import settings
from etl.errors import UsageError
from etl.inbox.batch import read_batch
from etl.pipeline import commands
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def load(
    batch: Annotated[
        Path | None,
        typer.Argument(help="A batch folder, or its name in the inbox. Default: all pending."),
    ] = None,
    feed: Annotated[
        list[str] | None,
        typer.Option(help="Only this feed of the batch (members, plans, ...); may be repeated."),
    ] = None,
) -> None:
    """Stream the files of a batch into their staging tables, typed, each row with its line."""

    def work(context: RunContext) -> Summary:
        if batch is None:
            return commands.run_stages(context, ("stage",))
        folder = batch if batch.is_dir() else settings().inbox / batch
        if not folder.is_dir():
            raise UsageError(
                f"There is no batch {batch} in {settings().inbox}.",
                "Name a folder of the inbox, or give the path of a batch folder.",
            )
        found = read_batch(folder.resolve())
        files = [f for f in found.files if not feed or f.feed.name in feed]
        if not files:
            raise UsageError(
                f"Batch {found.batch_id} has no file to load.",
                "See that its files are named members.csv, plans.csv and so on, or as .csv.gz, "
                ".csv.zip or .xlsx.",
            )
        return commands.stage_files(context, found, files)

    run_pipeline("stage", work)


if __name__ == "__main__":
    sys.exit(guarded(app))
