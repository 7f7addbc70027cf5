"""Commands for those who run the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import psycopg
import typer

from etl.config import settings
from etl.db.connection import connect, set_search_path
from etl.errors import UsageError
from etl.operations import deprecation, incident_drill, use_page
from etl.operations.plan_diff import plan_diff as lines_of_plan_diff
from etl.server import replicas, server
from etl.warehouse.tables import LIVE

SESSION = "aca-warehouse operations"

app = typer.Typer()


@app.command("plan-diff")
def plan_diff(
    since: Annotated[str, typer.Option(help="A load's number, or a date (UTC).")] = "",
) -> None:
    """Show node by node how the plans of the documented reports changed since a load."""
    with _session() as connection:
        for line in lines_of_plan_diff(connection, since):
            typer.echo(line)


@app.command("usage")
def usage(
    days: Annotated[str, typer.Option(help="How many days back.")] = str(use_page.DAYS),
) -> None:
    """Show who reads which table, view and cube, and what nobody reads."""
    if not days.isascii() or not days.isdigit() or not 0 < int(days) <= use_page.MOST_DAYS:
        raise UsageError(
            f"{days!r} is no number of days.",
            f"Name one from 1 to {use_page.MOST_DAYS:,}: make usage DAYS={use_page.DAYS}",
        )
    with _session() as connection, replicas.sessions(settings()) as readers:
        for line in use_page.lines(connection, int(days), readers):
            typer.echo(line)


@app.command("deprecate-drop")
def deprecate_drop(
    cube: Annotated[str, typer.Option(help="Name of the cube.")] = "",
) -> None:
    """Drop a deprecated cube that the code no longer makes and nobody reads."""
    with _session() as connection, replicas.sessions(settings()) as readers:
        for line in deprecation.drop(connection, cube, readers):
            typer.echo(line)


@app.command("incident-drill")
def drill(
    members: Annotated[int, typer.Option(help="Members of its warehouse.")] = (
        incident_drill.MEMBERS
    ),
) -> None:
    """Let faults happen in a warehouse of its own; fails if one of them goes unnoticed."""
    for line in incident_drill.drill(settings(), members):
        typer.echo(line)


@contextmanager
def _session() -> Iterator[psycopg.Connection[Any]]:
    """A session that finds the tables of the ledger without a schema."""
    with connect(server.ensure_running(settings()), SESSION) as connection:
        set_search_path(connection, LIVE.schemas.path, is_local=False)
        yield connection
