"""What can go wrong, each with an exit code and a message that says what to do next.

The message of an ``AcaError`` is shown to the user as it is: one sentence on what happened and
where, and ``hint``, one on what to do. No message may carry a value of a personal column.
A name, a manifest or a file can contain what a terminal would obey, what no database can store, or
what looks like something else: ``printable`` takes such characters out, here and wherever text
from outside is shown or kept in the ledger.
The exit codes are documented in docs/runbooks/exit-codes.md; a test compares the two.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from etl.contracts.refusals import Refusal

_LONGEST_NAME = 100
# Other, control; format (marks that turn the direction of text, or take no room); surrogate;
# separators of lines and paragraphs.
_UNFIT = ("Cc", "Cf", "Cs", "Zl", "Zp")


class AcaError(Exception):
    """Base of every error that a user can cause or fix.

    ``refusal``: the code that the ledger keeps of it. ``sqlstate``: the server's own, where it is
    about what the server or the way to it did: whether trying again can help is seen by it.
    ``folder``, ``load_id``: the batch that it stops and its load, where it is about one; set by
    whoever reads the batch or takes it through the stages.
    """

    exit_code = 1
    refusal = Refusal.UNFORESEEN
    sqlstate: str | None = None
    folder: str | None = None
    load_id: int | None = None

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(printable(message))
        self.message = printable(message)
        self.hint = printable(hint)


class UsageError(AcaError):
    """The command or the environment asks for something that cannot be."""

    exit_code = 2


class ServerError(AcaError):
    """PostgreSQL cannot be started, reached or used."""

    exit_code = 3
    refusal = Refusal.SERVER_TROUBLE

    def __init__(self, message: str, hint: str = "", *, sqlstate: str | None = None) -> None:
        super().__init__(message, hint)
        self.sqlstate = sqlstate


class BatchError(AcaError):
    """A batch or one of its files cannot be loaded as it is.

    ``staged``: what is known of the file, for the ledger; set by the stage that refuses it.
    """

    exit_code = 4
    staged: Any = None

    def __init__(self, refusal: Refusal, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.refusal = refusal


class RejectThresholdError(BatchError):
    """So many rows of a file are bad that the whole file is refused."""

    exit_code = 5

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(Refusal.TOO_MANY_REJECTED, message, hint)


class CheckFailedError(AcaError):
    """A check marked critical failed."""

    exit_code = 6
    refusal = Refusal.GATE_FAILED


class AlreadyRunningError(AcaError):
    """Another run uses the warehouse, or the inbox of synthetic feeds."""

    exit_code = 7


class SchemaError(AcaError):
    """The database's schema is not the one that this version of the code works on."""

    exit_code = 8


class RestoreError(AcaError):
    """A backup cannot be restored, or what was restored is not what it should be."""

    exit_code = 9


class HealthWarningError(AcaError):
    """A service level is not met, none of those that make a breach."""

    exit_code = 10


class HealthBreachError(AcaError):
    """A service level that readers rely on is not met."""

    exit_code = 11


def printable(text: str) -> str:
    """The text with every character escaped that is not there to be read; line feeds stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c == "\n" or not _is_unfit(c) else _escaped(c) for c in text)


def one_line(text: str) -> str:
    """A name from outside for a message: on one line, and no longer than a name should be."""
    cut = text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}…"
    return printable(cut).replace("\n", "\\n")


def some_of(names: Sequence[str], most: int) -> str:
    """The first few of some names for a message, and how many there are more."""
    more = f"; and {len(names) - most:,} more" if len(names) > most else ""
    return "; ".join(names[:most]) + more


def is_printable(text: str) -> bool:
    """Whether a text has nothing in it that would have to be escaped."""
    return not any(_is_unfit(c) for c in text)


def _is_unfit(character: str) -> bool:
    return unicodedata.category(character) in _UNFIT


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
