"""The one place where text is shown to a person: what it says is shown, never obeyed."""

from __future__ import annotations

import re
import sys
import textwrap
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from etl.errors import AcaError, printable

# Where nobody looks at a terminal, tables are this wide.
WIDTH = 120
_UNBOUNDED = 1000
# How wide a label is with the blank after it.
_LABEL = 9
_NARROWEST = 20
# The blanks within a command of make: after the word, and before its variables.
_COMMAND = re.compile(r"(?<=\bmake) (?=[a-z])| (?=[A-Z_]+=)")


class Screen(Console):
    """A console on which no text is markup, an emoji or a command to the terminal.

    Names of batches come from folders and manifests: ``[/x]`` is a name as good as any.
    """

    def __init__(self, *, stderr: bool = False, width: int = WIDTH) -> None:
        is_watched = (sys.stderr if stderr else sys.stdout).isatty()
        # What goes to stderr is sentences, which are broken for people only.
        super().__init__(stderr=stderr, width=None if is_watched or stderr else width)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every string passes here, also those in the cells of a table."""
        taken = {"markup": False, "emoji": False, "highlight": False, "highlighter": None}
        return super().render_str(printable(text), **{**options, **taken})

    def write_line(self, text: str, label: str = "", style: str = "") -> None:
        """A line, after a label in bold if there is one; a terminal gets it broken between words.

        Anywhere else it is one line, which programs can look through.
        """
        shown = Text("\n".join(self.lines_of(label, text)), style=style)
        if label:
            shown = Text.assemble((f"{label:<{_LABEL - 1}} ", "bold"), shown)
        self.print(shown, soft_wrap=True)

    def lines_of(self, label: str, text: str) -> list[str]:
        """The lines that a text takes after a label, which the first does not have."""
        line = printable(text)
        return broken(line, self.width, _LABEL if label else 0) if self.is_terminal else [line]

    def write_prose(self, text: str) -> None:
        """Sentences without a command to copy: a terminal gets them broken between words."""
        self.print(Text(printable(text)), soft_wrap=not self.is_terminal)

    def write_numbers(self, table: Table) -> None:
        """A table of numbers, none of which is cut short where the terminal is narrower."""
        table.width = self.measure(table, options=self.options.update(width=_UNBOUNDED)).maximum
        self.print(table, soft_wrap=True)


def broken(text: str, width: int, indent: int = 0) -> list[str]:
    """A text in lines that fit, the first after a label, those that follow indented as far.

    A command stays in one piece, and so does a path, however long.
    """
    if indent + len(text) <= width:
        return [text]
    held = _COMMAND.sub("\xa0", text)
    lines = textwrap.wrap(
        held,
        max(width - indent, _NARROWEST),
        break_long_words=False,
        break_on_hyphens=False,
        initial_indent=text[: len(text) - len(text.lstrip())],
    )
    space = " " * indent
    return [f"{space if at else ''}{line}".replace("\xa0", " ") for at, line in enumerate(lines)]


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
