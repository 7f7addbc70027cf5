"""What analysts notice of the warehouse at work: errors, half states, waits for locks, slowness.

Twenty connections ask what analysts ask, the documented reports (``etl.docs.report_queries``) and
lookups by key, while a full load, an incremental and a refresh of the cubes run, each as a process
of its own. Then a hundred connections run the documented reports while a batch loads. A witness
asks in one statement how much each layer contains and of which loads; every answer has to be a
state that was complete. Waits for locks are read from ``pg_locks``, which says when a wait began.
"""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import psycopg
from measuring import measured_run, next_day, show_table
from psycopg.rows import dict_row

from etl.db.connection import connect, set_config
from etl.db.statements import run, scalar
from etl.docs import report_queries
from etl.synthetic.core.span import first_of_next_month
from etl.warehouse.tables import LIVE

MOST_WAIT = 0.25  # seconds that an analyst may wait for a lock
FEW, MANY = 20, 100  # connections
LEAST = 30.0  # seconds that a phase lasts at least: a short command is run again until then
# Seconds that somebody reads an answer before asking again, on average: of the twenty, who look
# keys up, and of the hundred, who read reports. Loops without a pause would measure how the cores
# are shared out among them, and nothing else.
PAUSE_OF_FEW, PAUSE_OF_MANY = 2.0, 30.0
LOOKUPS_A_REPORT = 4
SAMPLED = 0.02  # seconds between two looks for waits
WITNESSED = 0.1  # seconds between two looks at the state
KEYS = 500

APPLICATION = "aca-warehouse analyst"
LOOKUPS = (
    "lookup_claim",
    "lookup_member",
    "lookup_claims_of_member",
    "lookup_days_of_member",
    "ask_month",
)
LAYERS = ("dims", "facts", "cubes")
NOTHING, FULL_LOAD = "nothing else", "full load"

State = tuple[str, ...]
Ask = Callable[[psycopg.Connection[Any], random.Random], str]


@dataclass
class Phase:
    """What was seen while one thing ran; times in seconds.

    ``seconds``: how long it ran. ``asked``: how long each answer took, by question. ``states``: how
    many the witness saw; ``halves``: those of them that were never complete. ``waits``: the longest
    that each wait for a lock was seen to last, by session and beginning. ``unseen``: the longest
    time between two looks for waits.
    """

    name: str
    connections: int
    seconds: float = 0.0
    asked: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    states: int = 0
    halves: list[str] = field(default_factory=list)
    waits: dict[tuple[Any, ...], tuple[float, str]] = field(default_factory=dict)
    unseen: float = 0.0

    @property
    def worst_wait(self) -> tuple[float, str]:
        """Seconds of the longest wait for a lock, and for what; zero without one."""
        return max(self.waits.values(), default=(0.0, ""))

    def wrong(self) -> Iterator[str]:
        """What must not be, in sentences."""
        for said in (*self.halves, *sorted(set(self.errors))):
            yield f"{said} ({self.errors.count(said) or 1} times)"
        wait, lock = self.worst_wait
        if wait > MOST_WAIT:
            yield f"{wait * 1000:,.0f} ms of waiting for {lock}"

    def report(self) -> dict[str, Any]:
        """What is written down of the phase; times in milliseconds, but for ``seconds``."""
        reports = [s for name, all_ in self.asked.items() if name not in LOOKUPS for s in all_]
        lookups = [s for name in LOOKUPS for s in self.asked.get(name, ())]
        slowest = max(((max(s), name) for name, s in self.asked.items()), default=(0.0, ""))
        wait, lock = self.worst_wait
        return {
            "connections": self.connections,
            "seconds": round(self.seconds, 2),
            "lookups": _spread(lookups),
            "reports": _spread(reports),
            "by_question": {name: _spread(s) for name, s in sorted(self.asked.items())},
            "slowest": [slowest[1], round(slowest[0] * 1000, 1)],
            "states_seen": self.states,
            "half_states": self.halves,
            "lock_waits": len(self.waits),
            "worst_lock_wait_ms": round(wait * 1000, 1),
            "worst_lock_wait_for": lock,
            "longest_between_looks_ms": round(self.unseen * 1000, 1),
            "errors": self.errors,
        }


def measure(url: str, folder: Path) -> dict[str, Any]:
    """Analysts on a loaded warehouse while it works; ``folder`` has its inbox and truth.

    The answer has a ``wrong``, empty where nobody saw an error, a half state or a long wait.
    """
    inbox = folder / "inbox"
    asks = mixed(_keys(url))

    def command(name: str) -> Callable[[], Any]:
        return lambda: measured_run(url, inbox, name)

    another_day = partial(next_day, folder)
    phases = [Phase(NOTHING, FEW), Phase(FULL_LOAD, FEW), Phase("incremental", FEW)]
    phases += [Phase("cubes", FEW), Phase("incremental, reports alone", MANY)]
    idle, full, day, cubes, many = phases
    with connect(url, "aca-warehouse bench") as witness, watched(url) as watch:
        with at_work(url, FEW, asks, PAUSE_OF_FEW) as analysts:
            seen = Seen(witness, watch, analysts)
            seen.during(idle, lambda: time.sleep(LEAST))
            seen.during(full, command("full-load"))
            seen.during(day, command("incremental"), before=another_day)
            seen.during(cubes, command("cubes"))
        with at_work(url, MANY, reports_in_turn(), PAUSE_OF_MANY) as analysts:
            Seen(witness, watch, analysts).during(many, command("incremental"), before=another_day)
    return {
        "phases": {phase.name: phase.report() for phase in phases},
        "wrong": [f"{phase.name}: {said}" for phase in phases for said in phase.wrong()],
    }


def judge(result: dict[str, Any]) -> None:
    """``SystemExit`` where an analyst saw an error or half a state, or waited for too long."""
    if result["wrong"]:
        raise SystemExit("Analysts noticed: " + "; ".join(result["wrong"]))


def show(result: dict[str, Any]) -> None:
    """Print what was seen, a row per phase; milliseconds but for the first column of numbers."""
    show_table(
        "Analysts while the warehouse works; milliseconds, the first column seconds",
        (
            *("while", "seconds", "connections", "answers", "lookup p50", "p95", "report p50"),
            *("p95", "most", "lock wait", "errors"),
        ),
        (_cells(name, phase) for name, phase in result["phases"].items()),
        width=120,  # enough for all columns where nobody sits at a terminal, too
    )


def _cells(name: str, phase: dict[str, Any]) -> tuple[str, ...]:
    lookups, reports = phase["lookups"], phase["reports"]
    return (
        name,
        f"{phase['seconds']:.1f}",
        str(phase["connections"]),
        f"{lookups['answers'] + reports['answers']:,}",
        *(f"{of[point]:,.0f}" for of in (lookups, reports) for point in ("p50", "p95")),
        f"{phase['slowest'][1]:,.0f}",
        f"{phase['worst_lock_wait_ms']:,.0f}",
        f"{len(phase['errors']):,}",
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """Who looks: a connection that bears witness, somebody who looks for waits, and analysts."""

    witness: psycopg.Connection[Any]
    watch: Watch
    analysts: Sequence[Analyst]

    def during(
        self, phase: Phase, work: Callable[[], Any], before: Callable[[], None] | None = None
    ) -> None:
        """Let the work be done while everybody asks, often enough to fill the phase.

        What comes ``before`` each time is not measured.
        """
        while phase.seconds < LEAST:
            if before:
                before()
            self._once(phase, work)

    def _once(self, phase: Phase, work: Callable[[], Any]) -> None:
        old = self._state(phase)
        states = {old}
        done = threading.Event()

        def bear_witness() -> None:
            while not done.wait(WITNESSED):
                try:
                    states.add(self._state(phase))
                except psycopg.Error as error:
                    phase.errors.append(f"the witness: {_said(error)}")
                    return

        witnessing = threading.Thread(target=bear_witness, name="witness")
        self._set_phase(phase)
        witnessing.start()
        started = time.perf_counter()
        try:
            work()
        finally:
            phase.seconds += time.perf_counter() - started
            self._set_phase(None)
            done.set()
            witnessing.join()
        new = self._state(phase)
        states.add(new)
        phase.states += len(states)
        phase.halves += _halves(states, old, new, at_once=phase.name == FULL_LOAD)

    def _set_phase(self, phase: Phase | None) -> None:
        self.watch.phase = phase
        for analyst in self.analysts:
            analyst.phase = phase

    def _state(self, phase: Phase) -> State:
        """What each layer contains, in one snapshot; a fault within it is an error of the phase."""
        cursor = run(self.witness, "bench/analysts.state")
        cursor.row_factory = dict_row
        (seen,) = cursor.fetchall()
        if seen["orphans"]:
            phase.errors.append(f"{seen['orphans']:,} facts point at no version")
        if not seen["days"] == seen["tiers"] == seen["specialties"]:
            phase.errors.append("the cubes differ among themselves")
        return seen["dims"], seen["facts"], f"{seen['days']} {seen['high_cost']}"


class Analyst(threading.Thread):
    """One connection that asks, reads the answer, waits a little, and asks again."""

    def __init__(self, url: str, number: int, asks: Sequence[Ask], pause: float) -> None:
        super().__init__(name=f"analyst {number}", daemon=True)
        self.connection = connect(url, APPLICATION)
        path = ", ".join(LIVE.schemas.readers_path)
        set_config(self.connection, "search_path", path, is_local=False)
        self.phase: Phase | None = None
        self.ended = threading.Event()
        self.random = random.Random(number)
        self.asks = asks
        self.pause = pause

    def run(self) -> None:
        """Ask until the end, all questions in an order of one's own, then in another."""
        while not self.ended.is_set():
            for ask in self.random.sample(self.asks, len(self.asks)):
                # First of all, or everybody would ask at once at the beginning.
                if self.ended.wait(self.random.uniform(0, 2 * self.pause)):
                    return
                phase, started = self.phase, time.perf_counter()
                try:
                    name = ask(self.connection, self.random)
                except psycopg.Error as error:
                    if self.ended.is_set():
                        return
                    if phase:
                        phase.errors.append(_said(error))
                    if self.connection.broken:
                        return
                else:
                    if phase:
                        phase.asked[name].append(time.perf_counter() - started)


class Watch(threading.Thread):
    """Looks every few milliseconds whether an analyst waits for a lock."""

    def __init__(self, url: str) -> None:
        super().__init__(name="watch", daemon=True)
        self.connection = connect(url, "aca-warehouse bench")
        self.phase: Phase | None = None
        self.ended = threading.Event()
        self.values = {"application": APPLICATION}

    def run(self) -> None:
        """Look until the end. A wait that is over before the next look is not seen."""
        looked = time.perf_counter()
        while not self.ended.wait(SAMPLED):
            waiting = scalar(self.connection, "bench/analysts.waiting", self.values)
            now = time.perf_counter()
            if phase := self.phase:
                phase.unseen = max(phase.unseen, now - looked)
            looked = now
            if not (waiting and phase):
                continue
            for pid, began, seconds, lock, behind in run(
                self.connection, "bench/analysts.waits", self.values
            ):
                # Looked at again, the same wait has lasted longer.
                phase.waits[pid, began] = (seconds, f"{lock}, behind {behind}")


@contextmanager
def at_work(url: str, count: int, asks: Sequence[Ask], pause: float) -> Iterator[list[Analyst]]:
    """So many analysts, each with a connection of its own; at the end nobody asks any more."""
    analysts = [Analyst(url, number, asks, pause) for number in range(count)]
    for analyst in analysts:
        analyst.start()
    try:
        yield analysts
    finally:
        for analyst in analysts:
            analyst.ended.set()
        with connect(url, "aca-warehouse bench") as connection:
            while any(analyst.is_alive() for analyst in analysts):
                # All at once: one by one they would ask on while the others are stopped.
                run(connection, "bench/analysts.cancel", {"application": APPLICATION})
                analysts[-1].join(timeout=0.5)
                time.sleep(0.1)
        for analyst in analysts:
            analyst.connection.close()


@contextmanager
def watched(url: str) -> Iterator[Watch]:
    """Somebody who looks for waits, until the end."""
    watch = Watch(url)
    watch.start()
    try:
        yield watch
    finally:
        watch.ended.set()
        watch.join()
        watch.connection.close()


def mixed(keys: Sequence[dict[str, Any]]) -> list[Ask]:
    """The documented reports once, and lookups by key some times as often."""
    reports = reports_in_turn()
    lookups = [_lookup(name, keys) for name in LOOKUPS]
    share = LOOKUPS_A_REPORT * len(reports) // len(lookups)
    return [*reports, *(lookups * share)]


def reports_in_turn() -> list[Ask]:
    """The documented reports, each as it is on the page."""

    def asking(report: report_queries.Report) -> Ask:
        def ask(connection: psycopg.Connection[Any], _: random.Random) -> str:
            report.ask(connection)
            return report.name

        return ask

    return [asking(report) for report in report_queries.reports().values()]


def _lookup(name: str, keys: Sequence[dict[str, Any]]) -> Ask:
    def ask(connection: psycopg.Connection[Any], drawn: random.Random) -> str:
        run(connection, f"bench/analysts.{name}", drawn.choice(keys)).fetchall()
        return name

    return ask


def _keys(url: str) -> list[dict[str, Any]]:
    """Claims and members to look up, with the month around the claim."""
    with connect(url, "aca-warehouse bench") as connection:
        rows = run(connection, "bench/analysts.keys", {"count": KEYS}).fetchall()
    found = []
    for claim_id, service_date, member_id in rows:
        month = service_date.replace(day=1)
        found.append(
            {
                "claim_id": claim_id,
                "member_id": member_id,
                "service_date": service_date,
                "month": month,
                "next_month": first_of_next_month(month),
            }
        )
    return found


def _halves(states: set[State], old: State, new: State, *, at_once: bool) -> Iterator[str]:
    """States that were never complete, in sentences.

    A rebuild takes the live place all at once. Otherwise dimensions, facts and cubes follow one
    after the other, each whole.
    """
    steps = (0, len(LAYERS)) if at_once else range(len(LAYERS) + 1)
    for state in states - {new[:step] + old[step:] for step in steps}:
        odd = [
            layer
            for layer, seen, *whole in zip(LAYERS, state, old, new, strict=True)
            if seen not in whole
        ]
        yield f"half a state: {', '.join(odd) or 'layers that do not belong together'}"


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """How many answers, and milliseconds within which half, 95 % and all of them came."""
    points = quantiles(seconds, n=20, method="inclusive") if len(seconds) > 1 else [*seconds] * 19
    in_ms = [round(1000 * s, 1) for s in points] or [0.0] * 19
    most = round(1000 * max(seconds, default=0.0), 1)
    return {"answers": len(seconds), "p50": in_ms[9], "p95": in_ms[18], "most": most}


def _said(error: psycopg.Error) -> str:
    """What kind of error it is, and its first line."""
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}"
