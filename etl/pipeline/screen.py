"""The one place where text is shown to a person: what it says is shown, never obeyed."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl.errors import AcaError, printable

# Where nobody looks at a terminal, tables are this wide.
WIDTH = 120
_UNBOUNDED = 1000


class Screen(Console):
    """A console on which no text is markup, an emoji or a command to the terminal.

    Names of batches come from folders and manifests: ``[/x]`` is a name as good as any.
    """

    def __init__(self, *, stderr: bool = False, width: int = WIDTH) -> None:
        is_watched = (sys.stderr if stderr else sys.stdout).isatty()
        # What goes to stderr is sentences, which are never broken.
        super().__init__(stderr=stderr, width=None if is_watched or stderr else width)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string passes here, also those in the cells of a table."""
        taken = {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(printable(text), **{**options, **taken})

    def write_line(self, text: str, label: str = "", style: str = "") -> None:
        """A line that is not broken, after a label in bold if there is one."""
        shown = Text(printable(text), style=style)
        if label:
            shown = Text.assemble((f"{label:<8} ", "bold"), shown)
        self.print(shown, soft_wrap=True)

    def write_prose(self, text: str) -> None:
        """Sentences without a command to copy: a terminal gets them broken between words."""
        self.print(Text(printable(text)), soft_wrap=not self.is_terminal)

    def write_numbers(self, table: Table) -> None:
        """A table of numbers, none of which is cut short where the terminal is narrower."""
        table.width = self.measure(table, options=self.options.update(width=_UNBOUNDED)).maximum
        self.print(table, soft_wrap=True)


def table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    """An empty table; ``right``: the columns of numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left")
    return made


def show_error(error: AcaError) -> None:
    """One sentence on what happened and one on what to do."""
    console = Screen(stderr=True)
    console.write_line(f"Error: {error.message}", style="red")
    if error.hint:
        console.write_line(error.hint)
