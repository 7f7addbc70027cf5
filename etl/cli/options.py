"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Why = Annotated[str, typer.Option(help="The reason, for those who come after.")]
