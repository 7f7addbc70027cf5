"""What tests ask of an HTML page: well nested, its ids, what it would fetch, its tables."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

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


def ensure_sound(text: str, scripts: int) -> None:
    """See that a page is well nested, has an outline, leads to its own parts, fetches nothing."""
    parts = read_page(text)
    names = [tag for tag, _ in parts.tags]
    assert parts.wrong == []
    assert len(parts.ids) == len(set(parts.ids))
    assert {link[1:] for link in parts.links if link[:1] == "#"} <= set(parts.ids)
    assert {tag.get("aria-labelledby") for _, tag in parts.tags} - {None} <= set(parts.ids)
    assert fetched_from_elsewhere(text) == []
    assert names.count("script") == scripts
    levels = [int(tag[1]) for tag in names if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def contrast(ink: str, ground: str) -> float:
    """The contrast of two colors such as #1b1f24, 1 to 21 (WCAG 2)."""
    dark, bright = sorted(map(_luminance, (ink, ground)))
    return (bright + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
