"""The command that writes the data dictionary of a warehouse."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etl.config import settings
from etl.pipeline.console import Terminal
from etl.server import server

app = typer.Typer()


@app.command("dictionary")
def dictionary(
    to: Annotated[
        str, typer.Option(help="Folder to write into; by default DATA_DIR/dictionary.")
    ] = "",
) -> None:
    """Write the data dictionary: pages with lineage, and files for dbt and catalogs."""
    # Reading SQL is only needed here.
    from etl.dictionary.write import write_dictionary

    chosen = settings()
    folder = Path(to).resolve() if to else chosen.data / "dictionary"
    terminal = Terminal()
    begun: list[str] = []

    def on_relation(name: str, total: int) -> None:
        if not begun:
            terminal.begin("dictionary", "relations", total)
            begun.append(name)
        terminal.advance(1)

    try:
        page = write_dictionary(server.ensure_running(chosen), folder, on_relation)
    finally:
        terminal.end()
    typer.echo(
        f"Dictionary: {page}\nCatalogs:   {folder}/sources.yml (dbt), datapackage.json "
        "(Frictionless), openlineage.json (OpenLineage)"
    )
