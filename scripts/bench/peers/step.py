"""One step of a peer: a file of members brought into its history, in a process of its own.

``members_peers`` starts a peer's module as a program, with the step in its arguments and the
database in the environment. The module writes what it did into ``step.json`` of its folder, since
peers write to stdout as they like.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPORT = "step.json"


@dataclass(frozen=True, slots=True)
class Step:
    """What a peer needs to know.

    ``variant``: which of the ways that the module knows. ``file``: CSV of all members, with a
    header. ``folder``: the peer's own, kept between its steps. ``as_of``: when the file became
    true. ``url``: libpq URL of the database.
    """

    variant: str
    file: Path
    folder: Path
    as_of: datetime
    is_first: bool
    url: str


def take(load: Callable[[Step], str]) -> None:
    """Run ``load``, which returns the table of the history, and write its seconds.

    Called after the peer's packages are imported, so that start-up is measured apart.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("variant")
    parser.add_argument("file", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("as_of", type=datetime.fromisoformat)
    parser.add_argument("--first", action="store_true")
    given = parser.parse_args()
    url = os.environ["DATABASE_URL"]
    step = Step(given.variant, given.file, given.folder, given.as_of, given.first, url)
    started = time.perf_counter()
    table = load(step)
    report = {"seconds": time.perf_counter() - started, "table": table}
    (step.folder / REPORT).write_text(json.dumps(report), encoding="utf-8")
