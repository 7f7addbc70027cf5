"""The command that writes the inbox once more with invented people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etl.config import settings
from etl.errors import BatchError, UsageError
from etl.masked_inbox import copy
from etl.pipeline import console

app = typer.Typer()


@app.command("masked-inbox")
def masked_inbox(
    to: Annotated[str, typer.Option(help="Folder to write to, new or empty.")] = "",
) -> None:
    """Write the inbox once more with invented people; no database is read."""
    if not to:
        raise UsageError(
            "Which folder is meant?", "Name one that is new or empty: make masked-inbox TO=folder"
        )
    copied = copy.make(settings().inbox, Path(to))
    console.show_masked_copy(copied)
    if copied.left_out:
        first = copied.left_out[0]
        raise BatchError(
            first.refusal,
            f"{len(copied.left_out):,} of the inbox's batches cannot be loaded and were left out.",
            first.hint,
        )
