"""Write synthetic feeds into the inbox: the first batch, or the days after it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from etl.config import settings
from etl.errors import AcaError, UsageError
from etl.synthetic.feeds.output import MANIFEST
from etl.synthetic.generate import DEFAULT_MEMBERS, DEFAULT_SEED, DEFAULT_YEARS, generate, simulate


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
    truth: Annotated[
        Path | None,
        typer.Option(help="Folder for what each batch really contains; by default DATA_DIR/truth."),
    ] = None,
    gzip: Annotated[bool, typer.Option("--gzip", help="Write .csv.gz files.")] = False,
    increment: Annotated[
        bool, typer.Option("--increment", help="Write the batch after the newest one instead.")
    ] = False,
    days: Annotated[
        int | None, typer.Option(help="Write the batches of so many days after the newest one.")
    ] = None,
    dirty: Annotated[
        str, typer.Option(help="Defects to put in: a share such as 0.01, or names of defects.")
    ] = "",
) -> None:
    """Write synthetic feeds: members, plans, providers, enrollments and claims.

    The same arguments give the same bytes on any machine. With --increment or --days the next
    batches follow from the arguments that the first one was made with.
    """
    try:
        if increment and days is not None:
            raise UsageError(
                "--increment and --days were both given.", "--increment is the same as --days 1."
            )
        target, truth_folder = inbox or settings().inbox, truth or settings().truth
        began = time.monotonic()
        if increment or days is not None:
            folders = simulate(target, 1 if days is None else days, dirty=dirty, truth=truth_folder)
        else:
            folders = [
                generate(
                    target,
                    members=members,
                    years=years,
                    seed=seed,
                    first_year=first_year,
                    gzip=gzip,
                    dirty=dirty,
                    truth=truth_folder,
                )
            ]
    except AcaError as error:
        typer.echo(f"{error.message} {error.hint}".strip(), err=True)
        raise typer.Exit(error.exit_code) from error
    seconds = time.monotonic() - began
    rows = [_rows(folder) for folder in folders]
    named = ", ".join(
        f"{sum(r.get(name, 0) for r in rows):,} {name}"
        for name in dict.fromkeys(n for r in rows for n in r)
    )
    which = str(folders[0]) if len(folders) == 1 else f"{folders[0]} to {folders[-1].name}"
    typer.echo(f"{which}: {named} in {seconds:.1f} s")


def _rows(folder: Path) -> dict[str, int]:
    """Rows of a batch by feed, as its manifest gives them."""
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return {name.split(".")[0]: said["rows"] for name, said in files.items()}


if __name__ == "__main__":
    typer.run(main)
