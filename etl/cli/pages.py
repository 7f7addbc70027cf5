"""Commands that write pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etl.config import ROOT, settings
from etl.pipeline import console
from etl.server import server

app = typer.Typer()


@app.command("report")
def report(
    to: Annotated[
        str, typer.Option(help="Folder to write into; by default DATA_DIR/reports.")
    ] = "",
    as_known: Annotated[
        str, typer.Option("--as-known", help="Number of the load after which it is as known.")
    ] = "",
) -> None:
    """Write a page on the business from the marts: members, cost, where the money goes."""
    from etl.reports.business import SECTIONS, write_business

    chosen = settings()
    folder = Path(to).resolve() if to else chosen.data / "reports"
    url = server.ensure_running(chosen)
    with console.step_bar("report", len(SECTIONS)) as step:
        page = write_business(url, folder, as_known, step)
    typer.echo(f"Report: {page}")


@app.command()
def docs(
    check: Annotated[bool, typer.Option(help="Only say whether it is stale.")] = False,
) -> None:
    """Write the generated pages of the documentation, such as the data dictionary."""
    from etl.dictionary import lineage_page
    from etl.docs import data_dictionary, measures_page
    from etl.operations import alert_rules, pages
    from etl.quality import checks_page

    written = {
        data_dictionary.PAGE: data_dictionary.write,
        measures_page.PAGE: measures_page.write,
        lineage_page.PAGE: lineage_page.write,
        checks_page.PAGE: checks_page.write,
        pages.METRICS_PAGE: pages.write_metrics,
        pages.LEVELS_PAGE: pages.write_levels,
        alert_rules.FILE: alert_rules.write,
    }
    terminal = console.Terminal()
    for page, write in written.items():
        with terminal.showing("docs", page.name):
            is_current = write(check=check)
        if not is_current:
            typer.echo(f"{page.relative_to(ROOT)} is stale: run make docs.", err=True)
            raise typer.Exit(1)
