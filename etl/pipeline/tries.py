"""Tries: a run that something transient ended begins again, as the next run would.

What is transient ``etl.db.trouble`` declares. Each stage is one transaction and the ledger says
which are done, so a further try needs nothing of the one before it but that its sessions are out of
the way. Every try has a row in ``ledger.attempt``: one that could not reach the database gets it
from the next that does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential, wait_random

from etl import log
from etl.db import trouble
from etl.db.statements import run, scalar
from etl.errors import AcaError
from etl.pipeline.summary import Summary

# Seconds: pauses double up to the longest; the random part keeps two runs that were in each
# other's way from being so again.
_FIRST_PAUSE, _LONGEST_PAUSE, _RANDOM_PART = 1.0, 60.0, 2.0


def _exit_code(error: BaseException | None) -> int | None:
    """That of a try, where it is known before the command line has seen its error."""
    if isinstance(error, AcaError):
        return error.exit_code
    return None if error else 0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Try:
    """One try of a run; ``load_id``: what it was loading when it ended, if anything.

    ``attempt_id``: of its row in the ledger; ``None`` until the database can be reached.
    ``is_written``: the row says how it ended.
    """

    number: int = 1
    waited_seconds: float = 0.0
    began_at: datetime = field(default_factory=_now)
    ended_at: datetime | None = None
    load_id: int | None = None
    error: BaseException | None = None
    attempt_id: int | None = None
    is_written: bool = False

    def end(self, error: BaseException | None, load_id: int | None = None) -> None:
        """It is over, if it was not before."""
        if self.ended_at is None:
            self.ended_at, self.error, self.load_id = _now(), error, load_id

    def ledger_values(self) -> dict[str, Any]:
        """Its row in ``ledger.attempt``: never the text of an error, which can quote a value."""
        shown = trouble.shown(self.error)
        return {
            "attempt_id": self.attempt_id,
            "number": self.number,
            "began_at": self.began_at,
            "ended_at": self.ended_at,
            "waited_seconds": self.waited_seconds,
            "load_id": self.load_id,
            "error_class": None if shown is None else type(shown).__name__,
            "sqlstate": trouble.state_of(self.error),
            "exit_code": _exit_code(shown),
        }


class Tries:
    """The tries of one run. ``summary``: what they did together, as far as that lasts."""

    def __init__(
        self, command: str, minutes: float = 0.0, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """A run is tried again for so many minutes from its first failure; ``say`` to a person."""
        self.command = command
        self.summary = Summary(command)
        self.current = Try()
        self._run_began_at = self.current.began_at
        self._seconds = minutes * 60
        self._say = say
        self._deadline: float | None = None
        self._unwritten: list[Try] = []
        self._sessions: list[int] = []  # their process ids on the server

    def keep_trying(self, work: Callable[[], None]) -> None:
        """Work until a try ends well, or in something permanent, or there is no more time."""
        Retrying(
            retry=retry_if_exception(trouble.is_transient),
            wait=wait_exponential(_FIRST_PAUSE, _LONGEST_PAUSE) + wait_random(0, _RANDOM_PART),
            stop=self._is_over,
            before_sleep=self._announce,
            reraise=True,
        )(self._try, work)

    def _try(self, work: Callable[[], None]) -> None:
        if self.current.ended_at is not None:
            waited = (_now() - self.current.ended_at).total_seconds()
            self.current = Try(self.current.number + 1, waited)
        try:
            work()
        except BaseException as error:
            self.current.end(error)
            if not self.current.is_written:
                self._unwritten.append(self.current)
            raise

    def _is_over(self, state: RetryCallState) -> bool:
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._seconds
        return now + state.upcoming_sleep > self._deadline

    def _announce(self, state: RetryCallState) -> None:
        left = 0.0 if self._deadline is None else self._deadline - time.monotonic()
        why = str(trouble.shown(self.current.error)).rstrip(".")
        self._say(
            f"Try {self.current.number} of make {self.command} ended: {why}; the next one begins "
            f"in {state.upcoming_sleep:.0f} s, the last one by "
            f"{_now() + timedelta(seconds=left):%H:%M} UTC."
        )
        log.get().warning(
            "try_ended",
            command=self.command,
            number=self.current.number,
            sqlstate=trouble.state_of(self.current.error),
            pause=round(state.upcoming_sleep, 1),
        )

    def note_progress(self) -> None:
        """What was done lasts, and no later try does it again: there is time for more of them."""
        self._deadline = None

    def meet(self, ledger: psycopg.Connection[Any], application: str) -> None:
        """End what the server still has of earlier tries, and note the session of this one.

        A connection that broke on the way leaves a session that has the lock of the run.
        """
        values = {"sessions": self._sessions, "application": application}
        run(ledger, "ledger/attempt.end_sessions", values)
        self._sessions.append(scalar(ledger, "ledger/attempt.session"))

    def enter(self, ledger: psycopg.Connection[Any]) -> None:
        """Enter how earlier tries ended, and that this one began."""
        for one in self._unwritten:
            self._write(ledger, one)
        self._unwritten.clear()
        run(ledger, "ledger/attempt.close_interrupted")
        self._write(ledger, self.current)

    def leave(
        self, ledger: psycopg.Connection[Any], error: BaseException | None, load_id: int | None
    ) -> None:
        """Enter how the current try ends."""
        self.current.end(error, load_id)
        self._write(ledger, self.current)

    def _write(self, ledger: psycopg.Connection[Any], one: Try) -> None:
        values = one.ledger_values()
        if one.attempt_id is None:
            values |= {"command": self.command, "run_began_at": self._run_began_at}
            one.attempt_id = scalar(ledger, "ledger/attempt.enter", values)
        else:
            run(ledger, "ledger/attempt.leave", values)
        one.is_written = one.ended_at is not None
