"""A headless browser for tests of pages: opens files, with the network denied.

Chromium's own switches suffice; a driver would be one more thing to keep. Tests that need it are
skipped where there is none, except where changes are checked (``CI=true``): there they fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import zlib
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars", "--allow-file-access-from-files"),
    # A page gets nothing that it requests from elsewhere.
    *("--proxy-server=127.0.0.1:9", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
# Loads a page into frames of these widths, and says by how much it is wider than each. A window
# cannot be as narrow as a phone.
FRAMES = """<!DOCTYPE html><body style="margin:0">
{frames}
<script>
onload = () => {{
  document.title = [...document.querySelectorAll("iframe")].map((frame) => {{
    const root = frame.contentDocument.documentElement;
    return `${{root.clientWidth}}: ${{root.scrollWidth - root.clientWidth}}`;
  }}).join(", ");
}};
</script>"""
FRAME = '<iframe src="{page}" style="border:0;width:{width}px;height:2000px"></iframe>'


@dataclass(frozen=True)
class Browser:
    program: str

    def run(self, *switches: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            return subprocess.run(
                [self.program, *SWITCHES, f"--user-data-dir={profile}", *switches],
                capture_output=True,
                text=True,
                timeout=120,
                stdin=subprocess.DEVNULL,
            )

    def dom(self, page: Path) -> tuple[str, list[str]]:
        """The page after its scripts ran, and the messages of its console."""
        done = self.run("--enable-logging=stderr", "--dump-dom", page.as_uri())
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line]

    def excess_widths(self, page: Path, *widths: int) -> dict[int, int]:
        """By how many pixels the page is wider than windows of these widths."""
        frames = "".join(FRAME.format(page=page.name, width=width) for width in widths)
        around = page.with_name(f"frames-of-{page.name}")
        around.write_text(FRAMES.format(frames=frames), encoding="utf-8")
        try:
            text, said = self.dom(around)
        finally:
            around.unlink()
        found = dict(re.findall(r"(\d+): (-?\d+)", re.findall(r"<title>(.*?)</title>", text)[0]))
        assert found.keys() == set(map(str, widths)), said
        return {width: int(found[str(width)]) for width in widths}

    def lines_of_picture(self, page: Path, picture: Path) -> int:
        """How many different lines of pixels a picture of the page has; a blank one has few."""
        done = self.run(f"--screenshot={picture}", "--window-size=1280,1000", page.as_uri())
        assert picture.exists(), done.stderr[-2000:]
        return different_lines(picture.read_bytes())


def different_lines(png: bytes) -> int:
    """Of an uninterlaced PNG, lines as they are encoded."""
    at, packed, tall = 8, b"", int.from_bytes(png[20:24])
    while at < len(png):
        size, kind = int.from_bytes(png[at : at + 4]), png[at + 4 : at + 8]
        packed += png[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    pixels = zlib.decompress(packed)
    line = len(pixels) // tall
    return len({pixels[n : n + line] for n in range(0, len(pixels), line)})


def find_browser() -> Browser:
    """The browser of this machine; skips the test, or fails it where changes are checked."""
    for name in filter(None, (os.environ.get("CHROME"), *NAMES)):
        if program := shutil.which(name):
            return Browser(program)
    said = "no Chromium was found; install one or name it in CHROME"
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{said} (scripts/ci_browser.sh installs it)")
    pytest.skip(said)


def text_of(html: str) -> str:
    """The text of a page without its tags."""
    return " ".join(
        unescape(re.sub(r"<(style|script)\b.*?</\1>|<[^>]+>", " ", html, flags=re.S)).split()
    )
