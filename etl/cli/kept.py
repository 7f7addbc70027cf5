"""Commands on how long rows are kept, and where: of members, old claims, settled staging."""

from __future__ import annotations

from typing import Annotated

import typer

from etl.cli.options import Why
from etl.cli.run import run_pipeline
from etl.errors import UsageError
from etl.pipeline import archive_staging as archiving
from etl.pipeline import erase as erasing
from etl.pipeline import holds
from etl.pipeline import retention as retention_of
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary

app = typer.Typer()

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
