"""What every page has: one frame, one style, and the way that numbers are written.

A page is one file. It needs no network and forbids itself to fetch anything. Its texts come from
feeds, folders and people, so templates escape every one of them.
"""

from __future__ import annotations

import time
from pathlib import Path

import jinja2

from etl.errors import printable
from etl.reports.text import day, instant, number, plural, share, span


def environment(folder: str) -> jinja2.Environment:
    """Templates of a folder of ``etl``, and of the frame that they extend."""
    loaders = [jinja2.PackageLoader("etl", name) for name in (folder, "reports/frame")]
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (share, number, instant, day, span, plural)
    made.filters.update({f.__name__: f for f in filters}, plain=printable)
    return made


def write_private(path: Path, text: str) -> None:
    """Write a page whole or not at all, for the owner's eyes. Raises ``OSError``."""
    draft = path.with_name(f".{path.name}.{time.monotonic_ns()}")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
