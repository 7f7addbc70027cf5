"""An incident drill: faults that nights are made of, one after the other, and what notices each.

This is how "20 million new rows a day, cost tripled, 4 minutes became 45, outputs wrong" begins. A
fault that nothing notices fails the drill: then a check or an objective is missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from psycopg import sql

from etl.config import Settings
from etl.db.statements import run, scalar
from etl.errors import CheckFailedError
from etl.operations import drill_files as files
from etl.operations.alerts import Alert
from etl.operations.drill_place import Place, place_in
from etl.operations.incidents import Incident
from etl.operations.objectives import OBJECTIVES

MEMBERS = 500
# So many quiet days have to come before a day can be judged by them, weekends apart.
QUIET_DAYS = 14
# What a night runs, in order.
_NIGHT = ("incremental", "dq-check")
_RUNBOOKS = {objective.name: objective.runbook for objective in OBJECTIVES}
_INDEX, _TABLE = "fact_claim_member_sk_idx", "dim_plan"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    ``cause`` makes it happen; what it returns repairs it, where that is done at all: rows that
    came stay, and a later day is judged next to all days.
    """

    name: str
    cause: Callable[[Place], Callable[[], None] | None]


@dataclass(frozen=True, slots=True)
class Noticed:
    """What noticed a fault, after how many seconds; ``incidents``: those that it began, if any."""

    fault: str
    by: str
    seconds: float
    incidents: list[Incident]

    @property
    def lines(self) -> tuple[str, ...]:
        """What the drill says of it."""
        if not self.incidents:
            return (f"{self.fault}: UNNOTICED after {self.seconds:.0f} s",)
        runbooks = {_RUNBOOKS[incident.objective]: None for incident in self.incidents}
        return (
            f"{self.fault}: noticed after {self.seconds:.0f} s",
            f"  by       {self.by}",
            *(f"  alert    {Alert('begun', incident).text}" for incident in self.incidents),
            *(f"  runbook  docs/runbooks/{runbook}.md" for runbook in runbooks),
        )


def drill(settings: Settings, members: int = MEMBERS) -> Iterator[str]:
    """Let each fault happen and see what notices it; lines for a person.

    Raises ``CheckFailedError`` where a fault went unnoticed.
    """
    with place_in(settings) as place:
        yield f"A warehouse of {members:,} members and {QUIET_DAYS} quiet days, of its own."
        _prepare(place, members)
        unnoticed = []
        for fault in FAULTS:
            noticed = _happen(place, fault)
            yield from ("", *noticed.lines)
            if not noticed.incidents:
                unnoticed.append(fault.name)
    if unnoticed:
        raise CheckFailedError(
            f"{len(unnoticed)} of {len(FAULTS)} faults went unnoticed: {', '.join(unnoticed)}.",
            "Add a check or an objective that notices them: docs/operations/incident-drill.md.",
        )
    yield f"\nAll {len(FAULTS)} faults were noticed."


def _prepare(place: Place, members: int) -> None:
    """Load a first batch and quiet days, and look once, so that only what is new is noticed."""
    place.seed("--members", str(members))
    place.require(place.run("full-load"))
    place.seed("--days", str(QUIET_DAYS))
    place.require(place.run("incremental"))
    place.run("dq-check")
    place.new_incidents()


def _happen(place: Place, fault: Fault) -> Noticed:
    """Cause a fault, let a night follow until somebody is alerted, and repair it."""
    started = time.monotonic()
    repair = fault.cause(place)
    by, incidents = "make health", place.new_incidents()
    for command in () if incidents else _NIGHT:
        done = place.run(command)
        by = f"make health, which {done.command} ends with"
        if done.code:
            by = f"{done.command}, exit code {done.code}: {done.sentence}"
        incidents = place.new_incidents()
        if incidents:
            break
    noticed = Noticed(fault.name, by, time.monotonic() - started, incidents)
    if repair is not None:
        repair()
        place.require(place.run("incremental"))
        place.new_incidents()
    return noticed


def _many_rows(place: Place) -> None:
    files.rewrite(place.next_batch(), "claims", files.many_times("claim_id", 20))


def _fan_out(place: Place) -> None:
    first = place.batches()[0]
    files.rewrite(place.next_batch(), "enrollments", files.covered_twice, source=first)


def _slipped_formats(place: Place) -> Callable[[], None]:
    batch = place.next_batch()
    kept = {name: (batch / name).read_bytes() for name in ("claims.csv", "members.csv")}
    files.rewrite(batch, "claims", files.days_first("service_date"))
    files.rewrite(batch, "members", files.decimal_commas("fpl_ratio"))

    def repair() -> None:
        for name, content in kept.items():
            (batch / name).write_bytes(content)

    return repair


def _amounts_too_big(place: Place) -> None:
    files.rewrite(place.next_batch(), "claims", files.too_big("claims", 100))


def _lost_statistics_and_index(place: Place) -> Callable[[], None]:
    place.next_batch()
    with place.session() as session:
        definition = scalar(session, "operations/drill.index_definition", {"index": _INDEX})
        run(session, "operations/drill.drop_index", index=sql.Identifier(_INDEX))
        run(session, "operations/drill.lose_statistics", {"table": _TABLE})

    def repair() -> None:
        with place.session() as session:
            run(session, "operations/drill.make_index", definition=sql.Literal(definition))
            run(session, "operations/drill.analyze", table=sql.Identifier(_TABLE))

    return repair


def _server_killed(place: Place) -> Callable[[], None]:
    place.next_batch()
    place.kill_server()

    def repair() -> None:
        place.require(place.run("up"))

    return repair


def _quota_reached(place: Place) -> Callable[[], None]:
    place.next_batch()
    with place.session() as session:
        for step in ("fill_disk", "refuse_files"):
            run(session, f"operations/drill.{step}")

    def repair() -> None:
        with place.session() as session:
            run(session, "operations/drill.free_disk")

    return repair


FAULTS = (
    Fault("Two slipped formats", _slipped_formats),
    Fault("A feed 20 times as large", _many_rows),
    Fault("Amounts 100 times too big in well-formed rows", _amounts_too_big),
    Fault("Statistics lost and an index gone", _lost_statistics_and_index),
    Fault("Server killed", _server_killed),
    Fault("Disk quota reached", _quota_reached),
    Fault("Keys that fan out", _fan_out),
)
