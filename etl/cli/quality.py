"""A command on what checks are judged by."""

from __future__ import annotations

from typing import Annotated

import typer

from etl.cli.options import Why
from etl.cli.run import run_pipeline
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary
from etl.quality import thresholds

app = typer.Typer()


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
