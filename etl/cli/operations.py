"""Commands for those who run the warehouse."""

from __future__ import annotations

from typing import Annotated

import typer

from etl.config import settings
from etl.db.connection import connect, set_search_path
from etl.operations.plan_diff import plan_diff as lines_of_plan_diff
from etl.server import server
from etl.warehouse.tables import LIVE

SESSION = "aca-warehouse operations"

app = typer.Typer()


@app.command("plan-diff")
def plan_diff(
    since: Annotated[str, typer.Option(help="A load's number, or a date (UTC).")] = "",
) -> None:
    """Show node by node how the plans of the documented reports changed since a load."""
    with connect(server.ensure_running(settings()), SESSION) as connection:
        set_search_path(connection, LIVE.schemas.path, is_local=False)
        for line in lines_of_plan_diff(connection, since):
            typer.echo(line)
