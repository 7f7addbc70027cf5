"""Commands of the quarantine: look at it, write its rows to be corrected, load them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etl.cli.run import run_pipeline
from etl.config import settings
from etl.errors import UsageError
from etl.pipeline import commands, console
from etl.quarantine import export
from etl.server import server

app = typer.Typer()


@app.command("quarantine")
def quarantine_open() -> None:
    """List the rejected rows that are open, by file and reason."""
    console.show_quarantine(export.open_rows(server.ensure_running(settings())))


@app.command("quarantine-export")
def quarantine_export(
    batch: Annotated[str, typer.Option(help="Which batch, as make quarantine lists it.")] = "",
    feed: Annotated[str, typer.Option(help="Only this feed of it.")] = "",
    to: Annotated[str, typer.Option(help="Folder to write to, else one under DATA_DIR.")] = "",
) -> None:
    """Write the open rows of a batch as CSV to correct, a file a feed."""
    chosen = settings()
    folder = Path(to) if to else export.folder_of(chosen.data, batch)
    written = export.export(server.ensure_running(chosen), folder, batch, feed or None)
    console.show_exports(written)


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
