"""What the server of the tests wrote to its log."""

from __future__ import annotations

import json
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.config import Settings
from etl.server.home import locate


def log_of(server_settings: Settings, server: psycopg.Connection[Any]) -> str:
    """What the server logged until now, as it was before JSON escaped it."""
    home = locate(server_settings)
    mark = f"the end of {uuid.uuid4()}"
    server.execute(sql.SQL("select {}").format(sql.Literal(mark)))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        lines = [line for file in home.session_log.iterdir() for line in whole_lines(file)]
        events = "\n".join(str(json.loads(line)) for line in lines)
        texts = "\n".join(str(json.loads(line).get("message", "")) for line in lines)
        if mark in texts:
            return f"{home.log.read_text(errors='replace')}\n{events}\n{texts}"
        time.sleep(0.05)
    raise AssertionError("the statements of this test are not logged")


def whole_lines(file: Path) -> list[str]:
    """The lines of a log that are written to their end; the server begins a text file too."""
    text = file.read_text(errors="replace") if file.suffix == ".json" else ""
    return text.splitlines()[: text.count("\n")]
