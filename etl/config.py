"""The only reader of the environment. Everything else is handed a ``Settings``.

Values come from the process environment, then from ``.env`` at the root of the checkout. Every
variable read here is documented in ``.env.example``; a test compares the two. A secret ``NAME`` may
be in a file instead, which ``NAME_FILE`` names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
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
    outside the database (embedded server, logs, archive, synthetic inbox and its truth); ignored
    by git.
    ``reject_share``: a file with a larger share of bad rows is refused whole (0 to 1).
    ``debug``: show tracebacks.
    ``allow_plaintext``: ``database_url`` may lead to another machine without a verified TLS
    connection.
    """

    # Not in what a traceback or a log shows of the settings: it can contain a password.
    database_url: str = field(repr=False)
    inbox: Path
    data: Path
    reject_share: float
    debug: bool = False
    names_inbox: bool = False
    allow_plaintext: bool = False

    @property
    def truth(self) -> Path:
        """Where the generator writes what each synthetic batch really contains."""
        return self.data / "truth"

    @property
    def archive(self) -> Path:
        """Where rows go whose retention is over; nobody but its owner may enter."""
        return self.data / "archive"

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


def _yes(name: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise UsageError(
            f"{name} is {text!r}, neither yes nor no.", f"Write {name}=yes, or leave it out."
        )
    return text == "yes"


def _secret(read: Callable[[str, str], str], name: str) -> str:
    """A secret from the variable ``name`` or from the file that ``name_FILE`` names, else empty."""
    text, file = read(name, ""), read(f"{name}_FILE", "")
    if text and file:
        raise UsageError(
            f"Both {name} and {name}_FILE are given.",
            "Leave one of them empty, in the environment and in .env.",
        )
    return _file_secret(name, ROOT / file) if file else text


def _file_secret(name: str, file: Path) -> str:
    """The one line of a file that nobody but its owner may read.

    No message repeats what the file contains.
    """
    where = f"{name}_FILE names {file}, which"
    try:
        secret = _read_private(where, file).rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(
            f"{where} cannot be read: {reason}.", "Name a file that you may read."
        ) from None
    if not secret.strip():
        raise UsageError(f"{where} is empty.", "Write the secret into it, on one line.")
    if secret.splitlines() != [secret] or "\0" in secret:
        raise UsageError(
            f"{where} contains more than one line of text.", "Write the secret on one line."
        )
    return secret


def _read_private(where: str, file: Path) -> str:
    # Without waiting: nobody may ever write to a named pipe.
    with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK), encoding="utf-8") as opened:
        mode = os.fstat(opened.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise UsageError(f"{where} is no file.", "Name a file with the secret in it.")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(
                f"{where} other users may read or change (mode {mode & 0o777:04o}).",
                f"Take their rights away: chmod 600 {file}",
            )
        return opened.read()


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    values = {**dotenv_values(ROOT / ".env"), **os.environ}

    def read(name: str, default: str) -> str:
        return (values.get(name) or "").strip() or default

    data = (ROOT / read("DATA_DIR", "data")).resolve()
    return Settings(
        database_url=_secret(read, "DATABASE_URL"),
        inbox=(ROOT / read("INBOX", str(data / "inbox"))).resolve(),
        data=data,
        reject_share=_share("REJECT_SHARE", read("REJECT_SHARE", "0.05")),
        names_inbox=bool(read("INBOX", "")),
        debug=read("DEBUG", "0").lower() in ("1", "true", "yes", "on"),
        allow_plaintext=_yes("ALLOW_PLAINTEXT", read("ALLOW_PLAINTEXT", "no")),
    )
