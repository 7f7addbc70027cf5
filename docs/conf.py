"""Sphinx's settings. The build reads these pages and nothing else: no network, no code of ours."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from docutils import nodes
from mermaidx.engines.v8_engine import Engine

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "ACA warehouse"
language = "en"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]

# A large diagram takes seconds; this ends one that never would.
MILLISECONDS_A_DIAGRAM = 120_000


@cache
def engine() -> Engine:
    """Mermaid itself, in an engine that starts once."""
    started = Engine(render_timeout_ms=MILLISECONDS_A_DIAGRAM)
    started.start()
    return started


def draw_diagrams(_app: Sphinx, page: nodes.document) -> None:
    """Put a picture where a page has a diagram in Mermaid; one with a mistake ends the build."""
    blocks = [b for b in page.findall(nodes.literal_block) if b.get("language") == "mermaid"]
    for number, block in enumerate(blocks):
        picture = engine().render_svg(block.astext(), "neutral", None, None)
        # Each picture has styles for its own id: two of a page may not share it.
        picture = picture.replace("my-svg", f"diagram-{number}")
        block.replace_self(nodes.raw("", f'<div class="diagram">{picture}</div>', format="html"))


def close_engine(_app: Sphinx, _error: Exception | None) -> None:
    """End the engine with the build."""
    engine().close()


def setup(app: Sphinx) -> None:
    """Let Sphinx call what is above."""
    app.connect("doctree-read", draw_diagrams)
    app.connect("build-finished", close_engine)
