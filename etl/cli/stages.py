"""Commands that do a part of a load: the schema, one stage, one dimension again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from etl.cli.run import run_pipeline
from etl.errors import UsageError
from etl.pipeline import commands
from etl.pipeline.session import RunContext
from etl.pipeline.status import notices
from etl.pipeline.summary import Summary
from etl.warehouse.tables import DIMENSIONS

app = typer.Typer()


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
def migrate() -> None:
    """Bring the schema to the newest migration."""
    run_pipeline("migrate", _migrate)
    typer.echo("The schema is at the newest migration.")


def _migrate(context: RunContext) -> Summary:
    commands.tidy(context)
    for notice in notices(context.url, context.settings.archive):
        context.watcher.say(notice)
    return context.summary
