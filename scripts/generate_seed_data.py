"""Write synthetic feeds into the inbox: the first batch, or the next day's with --increment."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from etl.config import settings
from etl.errors import AcaError
from etl.seed import generate, increment
from etl.seed.generate import DEFAULT_MEMBERS, DEFAULT_SEED, DEFAULT_YEARS
from etl.seed.output import MANIFEST


def main(
    members: Annotated[int, typer.Option(help="Members in the first batch.")] = DEFAULT_MEMBERS,
    years: Annotated[int, typer.Option(help="Plan years.")] = DEFAULT_YEARS,
    first_year: Annotated[
        int | None, typer.Option(help="First plan year; by default the last one is 2025.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed number.")] = DEFAULT_SEED,
    inbox: Annotated[
        Path | None, typer.Option(help="Folder of batches; by default INBOX of the settings.")
    ] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="Write .csv.gz files.")] = False,
    next_day: Annotated[
        bool, typer.Option("--increment", help="Write the batch after the newest one instead.")
    ] = False,
) -> None:
    """Write synthetic feeds: members, plans, providers, enrollments and claims.

    The same arguments give the same bytes on any machine. With --increment the next day's batch
    follows from the arguments that the first one was made with.
    """
    began = time.monotonic()
    try:
        target = inbox or settings().inbox
        if next_day:
            folder = increment(target)
        else:
            folder = generate(
                target, members=members, years=years, seed=seed, first_year=first_year, gzip=gzip
            )
    except AcaError as error:
        typer.echo(f"{error.message} {error.hint}".strip(), err=True)
        raise typer.Exit(error.exit_code) from error
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    counts = ", ".join(f"{said['rows']:,} {name.split('.')[0]}" for name, said in files.items())
    typer.echo(f"{folder}: {counts} in {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    typer.run(main)
