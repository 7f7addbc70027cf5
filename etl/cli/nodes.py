"""Commands for the cluster in DATA_DIR: brought up, taken down, how its nodes are."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from etl.access.roles import LOADER
from etl.config import Settings, settings
from etl.pipeline.running import refuse_to_end_run
from etl.pipeline.screen import Screen, table
from etl.server import nodes, server
from etl.server.nodes import Node

app = typer.Typer()


@app.command("cluster-up")
def cluster_up() -> None:
    """Have a cluster, made, started or fixed, which commands use from now on; print its URL."""
    chosen = settings()
    # Standard output has the address alone.
    say = partial(typer.echo, err=True)
    url = nodes.up(chosen, say, LOADER)
    if not chosen.cluster and server.is_there(chosen):
        say("Commands use the cluster from now on. The embedded server's database is kept: make "
            "cluster-down leads back to it.")  # fmt: skip
    typer.echo(url)


@app.command("cluster-down")
def cluster_down(
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, delete its database.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also if that ends a run.")] = False,
) -> None:
    """Stop the cluster, unless a run is at work; commands use the embedded server again."""
    chosen = settings()
    was_there = nodes.is_there(chosen)
    may_stop(chosen, "cluster-down", force=force)
    stopped = nodes.give_up(chosen)
    if confirm:
        nodes.remove(chosen)
    said = "The cluster was stopped" if stopped else "The cluster was not running"
    if not was_there:
        typer.echo("There is no cluster.")
    elif confirm:
        typer.echo(f"{said}, and its database was deleted.")
    else:
        typer.echo(f"{said}. Its database is kept: make cluster-up starts it again, make "
                   "cluster-down CONFIRM=yes deletes it.")  # fmt: skip


def may_stop(chosen: Settings, command: str, *, force: bool) -> None:
    """Raise ``AlreadyRunningError`` while a run is at work on the cluster."""
    url = nodes.running_url(chosen)
    if url is not None and not force:
        refuse_to_end_run(url, command=command)


@app.command("cluster-status")
def cluster_status() -> None:
    """List the nodes of the cluster: whether each runs and is used, its port, shards and size."""
    chosen, screen = settings(), Screen()
    if not nodes.is_there(chosen):
        screen.write_line("There is no cluster: make cluster-up makes one.")
        return
    found = nodes.look(chosen)
    right = ("port", "shards", "MiB")
    shown = table("Nodes", "node", "state", *right, right=right)
    for node in found:
        port = "" if node.port is None else str(node.port)
        shards = "" if node.shards is None else f"{node.shards:,}"
        shown.add_row(node.name, _state(node), port, shards, f"{node.size_bytes / 2**20:,.1f}")
    screen.print(shown)
    if any(node.port is None or not node.is_active for node in found):
        screen.write_line("make cluster-up starts and fixes what does not run.")
    if not chosen.cluster:
        screen.write_line("Commands do not use it: make cluster-up changes that.")


def _state(node: Node) -> str:
    if node.port is None:
        return "not running" if node.version else "not made"
    return "in use" if node.is_active else "not in use"
