"""A terminal for a command: what it shows to somebody who types."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

from etl.config import ROOT

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>])")
_SECONDS = 60.0


def shown(command: list[str], environment: dict[str, str], typed: str, *, rows: int = 24) -> str:
    """All that a command shows on a terminal of 80 columns while this is typed, to its end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
    environment = {**environment, "TERM": "xterm", "PAGER": "cat"}
    environment = {k: v for k, v in environment.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        try:
            os.write(ours, typed.encode())
            return _ESCAPES.sub("", _read(ours)).replace("\r", "")
        finally:
            process.kill()
            os.close(ours)


def _read(terminal: int) -> str:
    found = b""
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.5)[0]:
            continue
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        found += piece
    return found.decode(errors="replace")


def own_file(folder: Path, text: str) -> dict[str, str]:
    """A home with a start file of psql, as environment."""
    (folder / ".psqlrc").write_text(text)
    return {"HOME": str(folder)}
