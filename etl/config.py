"""The only reader of the environment. Everything else is handed a ``Settings``.

Values come from the process environment, then from ``.env`` at the root of the checkout. Every
variable read here is documented in ``.env.example``; a test compares the two.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dotenv import dotenv_values

from etl.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run needs to know of its surroundings.

    ``database_url``: libpq URL of the server to use; empty means the embedded server.
    ``inbox``: folder of batches; ``names_inbox``: it was named by a person, and so has to be there.
    ``data``: folder for everything that the warehouse keeps
    outside the database (embedded server, logs, synthetic inbox and its truth); ignored by git.
    ``reject_share``: a file with a larger share of bad rows is refused whole (0 to 1).
    ``debug``: show tracebacks.
    """

    database_url: str
    inbox: Path
    data: Path
    reject_share: float
    debug: bool = False
    names_inbox: bool = False

    @property
    def truth(self) -> Path:
        """Where the generator writes what each synthetic batch really contains."""
        return self.data / "truth"

    @property
    def log_file(self) -> Path:
        """Structured log of every run, one JSON object a line."""
        return self.data / "logs" / "etl.jsonl"


def _share(name: str, text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"{name} is {text!r}, which is no share.", f"Set {name} between 0 and 1.")
    return share


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    values = {**dotenv_values(ROOT / ".env"), **os.environ}

    def read(name: str, default: str) -> str:
        return (values.get(name) or "").strip() or default

    data = (ROOT / read("DATA_DIR", "data")).resolve()
    return Settings(
        database_url=read("DATABASE_URL", ""),
        inbox=(ROOT / read("INBOX", str(data / "inbox"))).resolve(),
        data=data,
        reject_share=_share("REJECT_SHARE", read("REJECT_SHARE", "0.05")),
        names_inbox=bool(read("INBOX", "")),
        debug=read("DEBUG", "0").lower() in ("1", "true", "yes", "on"),
    )
