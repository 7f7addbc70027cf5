"""The site as it is built: every link leads somewhere, every diagram is a picture, no network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from etl.config import ROOT

pytestmark = pytest.mark.slow

DOCS = ROOT / "docs"
# What a browser fetches by itself when it opens a page.
FETCHED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src")}


@dataclass
class Page(HTMLParser):
    """Where a page can be entered, where it leads, and what it loads."""

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    pictures: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        self.loads += [given[a] for t, a in FETCHED if t == tag and a in given]
        self.pictures += given.get("class") == "diagram"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    """The pages by their files, as ``make docs`` builds them."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-q", "-W", str(DOCS), str(folder)]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return {path: Page(path) for path in folder.rglob("*.html")}


def test_every_link_leads_to_a_page_and_a_place_on_it(site: dict[Path, Page]) -> None:
    followed, broken = 0, []
    for page in site.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = page.path if not parts.path else (page.path.parent / unquote(parts.path))
            target = target.resolve()
            to = site.get(target)
            ok = target.exists() and (not parts.fragment or not to or parts.fragment in to.ids)
            broken += [] if ok else [f"{page.path.name}: {link}"]
            followed += 1
    assert followed > 1000
    assert not broken


def test_every_page_is_reached_from_the_first(site: dict[Path, Page]) -> None:
    first = next(
        path for path in site if path.name == "index.html" and path.parent.name[:4] == "site"
    )
    reached, todo = set(), [first]
    while todo:
        path = todo.pop()
        if path in site and path not in reached:
            reached.add(path)
            todo += [(path.parent / urlsplit(link).path).resolve() for link in site[path].links]
    made_by_sphinx = {"search.html", "genindex.html"}
    assert {path.name for path in set(site) - reached} <= made_by_sphinx


def test_every_diagram_is_a_picture(site: dict[Path, Page]) -> None:
    sources = [*DOCS.rglob("*.md"), ROOT / "README.md"]
    written = sum(source.read_text(encoding="utf-8").count("```mermaid") for source in sources)
    assert sum(page.pictures for page in site.values()) == written > 3


def test_no_page_asks_the_network_for_anything(site: dict[Path, Page]) -> None:
    outside = [a for page in site.values() for a in page.loads if urlsplit(a).netloc]
    assert not outside
