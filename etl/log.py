"""Structured logs: one JSON object a line, to a file always, to stderr when it is no terminal.

Events have stable names and counts. Nothing that could name a person may be in a log: keys
that could carry such a value are cut before an event is written, whoever wrote it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TextIO, cast

import structlog

from etl.contracts.column import Pii
from etl.contracts.feeds import FEEDS

# A column that says something of a person, plus the whole rows and secrets that a careless call
# might pass.
REDACTED = frozenset(
    {c.name for s in FEEDS.values() for c in s.columns if c.pii is not Pii.NONE}
    | {"raw_line", "row", "value", "password", "url", "database_url"}
)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace the values of keys that may contain personal data or a secret."""
    for key in event.keys() & REDACTED:
        event[key] = "[redacted]"
    return event


class _Tee:
    """Writes a line to the log file and, if asked, to stderr.

    A log that cannot be written, such as on a full disk, is said once and ends no run: what is
    committed would stay, and the run would seem to have failed.
    """

    def __init__(self, path: Path, *, echo: bool) -> None:
        self._path = path
        self._echo = echo
        self._file: IO[str] | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            self._do_without(error)

    def write(self, text: str) -> int:
        if self._echo:
            sys.stderr.write(text)
        return len(text) if self._file is None else self._try(self._file.write, text)

    def flush(self) -> None:
        if self._echo:
            sys.stderr.flush()
        if self._file is not None:
            self._try(self._file.flush)

    def _try(self, do: Callable[..., int | None], *arguments: str) -> int:
        try:
            return do(*arguments) or 0
        except OSError as error:
            self._do_without(error)
            return 0

    def _do_without(self, error: OSError) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()
        sys.stderr.write(
            f"The log {self._path} cannot be written ({error.strerror}); the run goes on without "
            "it. The ledger says what was done.\n"
        )


def configure(path: Path) -> None:
    """Send logs to ``path``, and to stderr too when no person looks at it."""
    log = cast(TextIO, _Tee(path, echo=not sys.stderr.isatty()))  # only written to and flushed
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            redact,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(sort_keys=True, default=str),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=log),
        cache_logger_on_first_use=False,
    )


def get() -> structlog.typing.FilteringBoundLogger:
    """The logger."""
    return structlog.get_logger()
