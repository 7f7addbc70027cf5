"""What can go wrong, each with an exit code and a message that says what to do next.

The message of an ``AcaError`` is shown to the user as it is: one sentence on what happened and
where, and ``hint``, one on what to do. No message may carry a value of a personal column.
The exit codes are documented in docs/runbooks/exit-codes.md; a test compares the two.
"""

from __future__ import annotations

from typing import Any


class AcaError(Exception):
    """Base of every error that a user can cause or mend.

    ``folder``, ``load_id``: the batch that it stops and its load, where it is about one; set by
    whoever reads the batch or takes it through the stages.
    """

    exit_code = 1
    folder: str | None = None
    load_id: int | None = None

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AcaError):
    """The command or the environment asks for something that cannot be."""

    exit_code = 2


class ServerError(AcaError):
    """PostgreSQL cannot be started, reached or used."""

    exit_code = 3


class BatchError(AcaError):
    """A batch or one of its files cannot be loaded as it is.

    ``staged``: what is known of the file, for the ledger; set by the stage that refuses it.
    """

    exit_code = 4
    staged: Any = None


class RejectThresholdError(BatchError):
    """So many rows of a file are bad that the whole file is refused."""

    exit_code = 5


class CheckFailedError(AcaError):
    """A check marked critical failed."""

    exit_code = 6


class AlreadyRunningError(AcaError):
    """Another run holds the warehouse, or the inbox of synthetic feeds."""

    exit_code = 7


class SchemaError(AcaError):
    """The database's schema is not the one that this version of the code works on."""

    exit_code = 8
