"""Commands for whoever is on call: how healthy the warehouse is, and its incidents.

``make`` begins here and not with all commands: what is called every minute has to be quick.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from etl.cli.guard import guarded
from etl.config import settings
from etl.db.connection import connect
from etl.errors import HealthBreachError, HealthWarningError, UsageError
from etl.operations import health as healths
from etl.operations import health_page, review
from etl.server import server
from etl.synthetic.marker import is_synthetic

app = typer.Typer()


@app.command()
def health(
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
) -> None:
    """Judge the service levels from outside of any run; enter incidents and send alerts."""
    chosen = settings()
    found = healths.look(chosen, datetime.now(UTC), is_synthetic=is_synthetic(chosen.inbox))
    health_page.show(found, as_json=as_json)
    if found.state == "breach":
        raise HealthBreachError(*health_page.verdict(found))
    if found.state == "warning":
        raise HealthWarningError(*health_page.verdict(found))


@app.command("incidents")
def list_incidents() -> None:
    """List incidents, with times to detect and to repair and the error budget by objective."""
    health_page.show_incidents(*healths.past(settings(), datetime.now(UTC)))


@app.command("incident-ack")
def acknowledge(
    incident: Annotated[str, typer.Option("--id", help="As make incidents lists it.")] = "",
    who: Annotated[str, typer.Option(help="Who takes it on.")] = "",
) -> None:
    """Take an incident on: no alert is repeated about it."""
    if not incident or not who.strip():
        raise UsageError(
            "Which incident is taken on, and by whom?",
            "make incidents lists them: make incident-ack ID=... WHO=jdoe",
        )
    taken = healths.acknowledge(settings(), incident, who.strip(), datetime.now(UTC))
    typer.echo(
        f"{incident} was acknowledged by {taken.acknowledged_by} at "
        f"{taken.acknowledged_at:%Y-%m-%d %H:%M} UTC."
    )


@app.command()
def pir(
    incident: Annotated[str, typer.Option("--id", help="As make incidents lists it.")] = "",
) -> None:
    """Write the review of an incident, with what the ledger knows of that time filled in."""
    chosen = settings()
    with connect(server.address(chosen), healths.SESSION) as connection:
        file = review.write(connection, incident, chosen.data / "reviews", datetime.now(UTC))
    typer.echo(f"Review: {file}")


if __name__ == "__main__":
    sys.exit(guarded(app))
