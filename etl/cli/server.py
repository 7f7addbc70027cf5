"""Commands on the server: started, stopped, deleted, and how the warehouse on it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from etl.cli.nodes import may_stop as may_stop_cluster
from etl.config import settings
from etl.errors import UsageError
from etl.operations.health import past
from etl.pipeline.running import refuse_to_end_run
from etl.pipeline.status import Overview, assumed_unchanged, notices, overview
from etl.pipeline.status_screen import Look, show_status
from etl.server import nodes, replicas, server
from etl.synthetic.marker import now

app = typer.Typer()


@app.command()
def up() -> None:
    """Start the embedded server, or see that the configured one answers."""
    server.ensure_running(settings())
    replicas.bring_back(settings(), typer.echo)
    status(whole=False)


Force = Annotated[bool, typer.Option("--force", help="Also if that ends a run.")]


@app.command()
def down(force: Force = False) -> None:
    """Stop the servers of our own, unless a run is at work on one."""
    _may_stop("down", force=force)
    for name in nodes.stop(settings()):
        typer.echo(f"Node {name} of the cluster was stopped; make up brings it back.")
    for number in replicas.stop(settings()):
        typer.echo(f"Replica {number} was stopped; make up brings it back.")
    stopped = server.stop(settings())
    typer.echo("The server was stopped." if stopped else "The server was not running.")


@app.command("clean-data")
def clean_data(
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, delete it.")] = False,
    force: Force = False,
) -> None:
    """Stop the embedded server and delete its database, unless a run is at work on it."""
    if not confirm:
        raise UsageError(
            "This deletes the database of the embedded server.",
            "If that is what you want: make clean-data CONFIRM=yes",
        )
    if settings().cluster:
        raise UsageError(
            "The cluster is used, and this would delete the database of the embedded server.",
            "make cluster-down CONFIRM=yes deletes that of the cluster; after make cluster-down "
            "this deletes the other. Nothing was deleted.",
        )
    _may_stop("clean-data CONFIRM=yes", force=force)
    server.remove(settings())


def _may_stop(command: str, *, force: bool) -> None:
    may_stop_cluster(settings(), command, force=force)
    url = server.running_url(settings())
    if url is not None and not force:
        refuse_to_end_run(url, command=command)


@app.command()
def status(
    whole: Annotated[bool, typer.Option("--all", help="All of it, however long.")] = False,
) -> None:
    """Say what is not loaded and why, how the warehouse is, and what to do next."""
    chosen = settings()
    found = server.status(chosen)
    url = server.ensure_running(chosen) if found.running else None
    seen = (
        overview(url, chosen.inbox, now(chosen.inbox), is_named=chosen.names_inbox)
        if url
        else Overview()
    )
    open_now = [i for i in past(chosen, datetime.now(UTC))[0] if i.is_open]
    look = Look(
        notices(url, chosen.archive) if url else (),
        [f"{i.incident_id}, {i.severity}: make incidents" for i in open_now],
        assumed_unchanged(url, chosen.inbox) if url else (0, 0),
        list(map(replicas.describe, replicas.look(chosen))),
    )
    show_status(found, chosen, seen, look, is_whole=whole)
