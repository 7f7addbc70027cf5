"""Pages of the documentation that are generated from declarations, or parts of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path


def write(page: Path, text: str, *, check: bool = False) -> bool:
    """Write the page; with ``check`` only say whether it is what it should be."""
    if check:
        return page.exists() and page.read_text(encoding="utf-8") == text
    page.write_text(text, encoding="utf-8")
    return True


def write_below(page: Path, mark: str, text: str, *, check: bool = False) -> bool:
    """Likewise the part of a page below a line; what is above it is written by hand and stays."""
    by_hand, found, _ = page.read_text(encoding="utf-8").partition(mark)
    if not found:
        raise ValueError(f"{page} lacks the line {mark}")
    return write(page, f"{by_hand}{mark}\n{text}", check=check)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    cells = ((text.replace("|", "\\|") for text in row) for row in (columns, *rows))
    lines = [f"| {' | '.join(row)} |" for row in cells]
    lines.insert(1, "|" + "---|" * len(columns))
    return "\n".join(lines) + "\n"
