"""How a stage or a run ended: in words and as a code, for the ledger."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from etl.contracts.refusals import Refusal
from etl.db import trouble
from etl.errors import AcaError
from etl.pipeline.stopping import Stopped


class RolledBack(Exception):
    """A change turned out to be none, or was not wanted: its transaction is rolled back."""


@dataclass(slots=True)
class Current:
    """The load that a stage is working on: its batch's folder, and one feed of it if any."""

    folder: str
    load_id: int
    feed: str | None = None


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


def about_batch(error: BaseException | None, current: Current | None) -> BaseException | None:
    """What stopped the run, as far as a batch may be at fault: no signal and no lost server."""
    is_unforeseen = isinstance(error, Exception) and not isinstance(
        error, AcaError | psycopg.OperationalError | psycopg.InterfaceError
    )
    if not is_unforeseen or current is None:
        return error
    said = AcaError(
        f"Something unforeseen stopped it: {type(error).__name__}.",
        "Run again with DEBUG=1 for the traceback.",
    )
    said.folder, said.load_id = current.folder, current.load_id
    return said
