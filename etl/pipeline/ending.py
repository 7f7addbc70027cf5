"""How a stage ended: in words and as a code, for the ledger."""

from __future__ import annotations

from etl.contracts.refusals import Refusal
from etl.db import trouble
from etl.errors import AcaError
from etl.pipeline.stopping import Stopped


class RolledBack(Exception):
    """A change turned out to be none, or was not wanted: its transaction is rolled back."""


def words(error: BaseException) -> str:
    """What the ledger says of the end of a stage: never the text of a driver, which can quote."""
    if isinstance(error, AcaError | RolledBack | Stopped):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped by SIGINT"
    explained = trouble.explain(error)
    return explained.message if explained else type(error).__name__


def code_of(error: BaseException) -> Refusal:
    """What the ledger keeps of the end of a stage next to the words."""
    if isinstance(error, AcaError):
        return error.refusal
    if isinstance(error, KeyboardInterrupt):
        return Refusal.INTERRUPTED
    explained = trouble.explain(error)
    return explained.refusal if explained else Refusal.UNFORESEEN
