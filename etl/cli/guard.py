"""Errors of a command to one sentence and an exit code.

What it imports is loaded in a tenth of a second: commands that are called every minute begin here.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from etl.config import settings
from etl.db import trouble
from etl.errors import AcaError
from etl.pipeline import stopping
from etl.pipeline.screen import show_error

# What a run leaves that was stopped, and what the next one does, by command.
_ROLLED_BACK = "The current stage was rolled back; what was committed stays."
_GOES_ON = f"{_ROLLED_BACK} Run again: it continues from the last stage that was done."
_AFTERWARDS = {
    "full-load": "Until a full load is done readers keep what they had. Run again: it begins "
    "again from the first batch.",
    **dict.fromkeys(("incremental", "stage", "dims", "facts", "cubes"), _GOES_ON),
    "restate": f"{_ROLLED_BACK} Run again: it says first what is still to change.",
    "quarantine-replay": f"{_ROLLED_BACK} Run again: no row comes in twice.",
    "retention": f"{_ROLLED_BACK} Run again: what was archived is found, and what is left goes.",
    "archive-staging": f"{_ROLLED_BACK} Run again: the partitions that are left go.",
    "erase": f"{_ROLLED_BACK} Run again: what was erased is completed first.",
    "dq-check": "Rows of the warehouse were not changed. Run again: all the checks run.",
}
# Which command this process is at.
at_work = ContextVar("at_work", default="")


def guarded(call: Callable[[], Any]) -> int:
    """Run a command; every error a user can cause ends in one sentence and its exit code.

    A signal that asks for the end gives 128 and its number, as a shell counts.
    """
    try:
        stopping.listen()
        call()
    except AcaError as error:
        show_error(error)
        return _code(error, error.exit_code)
    except (KeyboardInterrupt, SystemExit) as error:
        code = error.code if isinstance(error, SystemExit) else stopping.INTERRUPTED
        stopped = stopping.stopped()
        if stopped is not None:
            show_error(AcaError(f"The run was {stopped}.", _afterwards()))
            return 128 + stopped.number
        if code == stopping.INTERRUPTED:
            show_error(AcaError("Interrupted.", _afterwards()))
        elif isinstance(code, str):
            show_error(AcaError(code))
            return AcaError.exit_code
        return code if isinstance(code, int) else 0
    except Exception as error:
        explained = trouble.explain(error)
        if explained is not None:
            show_error(explained)
            return _code(error, explained.exit_code)
        # The text of a driver's error can contain values of rows, so only its kind is shown.
        place = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}"
        message = f"Something unforeseen stopped the run: {said}."
        show_error(AcaError(message, f"{_afterwards()} DEBUG=1 shows the traceback."))
        return _code(error, 1)
    return 0


def _afterwards() -> str:
    """What the command that was stopped left, and what it does when it is run again."""
    return _AFTERWARDS.get(at_work.get(), "Run it again.")


def _code(error: BaseException, code: int) -> int:
    with suppress(AcaError):
        if settings().debug:
            traceback.print_exception(error)
    return code
