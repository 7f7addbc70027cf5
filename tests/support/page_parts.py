"""What tests ask of an HTML page: well nested, its ids, what it would fetch, its tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "hr", "img", "rect", "path", "col"}
FETCHING = {"src", "srcset", "data", "poster", "action", "background", "xlink:href"}


@dataclass
class Parts:
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    styles: str = ""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts, self.open = Parts(), []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.parts.tags.append((tag, found))
        if "id" in found:
            self.parts.ids.append(found["id"])
        self.parts.fetched += [found[name] for name in FETCHING & found.keys()]
        self.parts.styles += found.get("style", "")
        if tag == "a":
            self.parts.links.append(found.get("href", ""))
        elif "href" in found:
            self.parts.fetched.append(found["href"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.parts.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("style", "script"):
            self.parts.styles += data


def read_page(text: str) -> Parts:
    """The parts of a page."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    reader.parts.wrong += [f"<{tag}> is never closed" for tag in reader.open]
    return reader.parts


def fetched_from_elsewhere(text: str) -> list[str]:
    """Whatever a browser would ask for that is not in the page itself."""
    parts = read_page(text)
    found = [address for address in parts.fetched if not address.startswith("data:")]
    found += [link for link in parts.links if re.match(r"[a-z]+:|//", link, re.IGNORECASE)]
    found += [tag for tag, _ in parts.tags if tag in ("iframe", "object", "embed", "base")]
    return found + re.findall(r"url\((?!\s*['\"]?data:)[^)]*\)|@import[^;]*", parts.styles)
