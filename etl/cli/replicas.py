"""Commands for replicas, which only read: brought up, taken down."""

from __future__ import annotations

from typing import Annotated

import typer

from etl.config import settings
from etl.server import replicas

app = typer.Typer()


@app.command("replica-up")
def replica_up(
    count: Annotated[str, typer.Option("--n", help="So many, numbered from 1.")] = "1",
) -> None:
    """Have so many replicas of the embedded server: made, started or fixed."""
    replicas.up(settings(), range(1, replicas.number_of(count) + 1), typer.echo)


@app.command("replica-down")
def replica_down(
    number: Annotated[str, typer.Option("--n", help="Which; all of them without it.")] = "",
) -> None:
    """Stop replicas and delete them; their server keeps nothing for them any more."""
    chosen = [replicas.number_of(number)] if number else []
    gone = replicas.down(settings(), chosen)
    for one in gone:
        typer.echo(f"Replica {one} was stopped and deleted.")
    if not gone:
        typer.echo("There was no replica.")
