"""Sphinx's settings. The build reads these pages and nothing else: no network, no code imported."""

from __future__ import annotations

from pygments.lexers.special import TextLexer
from sphinx.highlighting import lexers

project = "ACA warehouse"
language = "en"

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# Diagrams stay readable as text: nothing in the lock draws them.
lexers["mermaid"] = TextLexer()

html_theme = "furo"
html_title = project
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
