"""Every command that writes, killed at any moment and run again: the rows of an undisturbed run.

And one that loses its server at any moment, which begins again by itself.
"""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import psycopg
import pytest

from etl.config import Settings
from etl.contracts.reasons import Reason
from etl.db.connection import connect
from etl.errors import BatchError, CheckFailedError
from etl.pipeline import archive_staging, commands
from tests.support.corrections import BATCHES, Rows, correct, export, rewrite, send
from tests.support.databases import copy, drop, fresh_database, url_of
from tests.support.kills import Outcome, die, end_sessions, restart_server, run_command
from tests.support.lasting import Contents, contents, differing
from tests.support.retention import send_all
from tests.support.warehouse import Warehouse

STAGES = ("stage", "dims", "facts", "cubes")


@dataclass(frozen=True)
class Trial:
    """A command in a warehouse that is ready for it: its database to copy, its arguments."""

    admin_url: str
    prepared: str
    environment: dict[str, str]
    arguments: tuple[str, ...]
    checks: bool

    @contextmanager
    def warehouse(self) -> Iterator[tuple[str, Callable[..., Outcome]]]:
        """A copy of the prepared warehouse: its URL, and a way to run the command on it."""
        name = f"killed_{next(_numbers)}"
        url = url_of(self.admin_url, name)
        prepared = Path(self.environment["DATA_DIR"])
        data = prepared.with_name(name)
        if prepared.exists():
            shutil.copytree(prepared, data)

        def run(
            *moments: int, after: float | None = None, strike: Callable[[], None] = die
        ) -> Outcome:
            return run_command(
                {**self.environment, "DATABASE_URL": url, "DATA_DIR": str(data)},
                *self.arguments,
                strike_at=moments,
                strike=strike,
                kill_after=after,
                checks=self.checks,
            )

        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            copy(admin, self.prepared, name)
        try:
            yield url, run
        finally:
            # A strike may have ended every session that was open before it.
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                drop(admin, name)
            shutil.rmtree(data, ignore_errors=True)

    def undisturbed(self) -> tuple[Contents, tuple[str, ...], int | None]:
        """What the command leaves when nothing happens to it, its moments and its exit code."""
        with self.warehouse() as (url, run):
            ended = run()
            return contents(url), ended.moments, ended.code

    def killed(self, *moments: int) -> Contents:
        """What is left when it was killed at these moments, one run after the other, then run.

        A run that finds less to do may end before its moment.
        """
        with self.warehouse() as (url, run):
            for moment in moments:
                run(moment)
            assert run().code is not None
            return contents(url)

    def outlived(self, strike: Callable[[str], None], *moments: int) -> tuple[Contents, Outcome]:
        """What one run leaves that begins again after each of these moments, and how it ended.

        ``strike``: what happens at them, to the warehouse of this URL.
        """
        with self.warehouse() as (url, run):
            ended = run(*moments, strike=partial(strike, url))
            return contents(url), ended


_numbers = itertools.count()


def _loaded(warehouse: Warehouse, batches: int) -> None:
    for number in range(batches):
        send(warehouse.inbox, number, 0)
        warehouse.incremental(1)


def _incremental(warehouse: Warehouse) -> tuple[str, ...]:
    _loaded(warehouse, 2)
    for number in range(2, len(BATCHES)):
        send(warehouse.inbox, number, 0)
    return ("incremental",)


def _single_stage(stage: str, warehouse: Warehouse) -> tuple[str, ...]:
    """The stages before it are done, each in a run of its own."""
    _incremental(warehouse)
    for earlier in STAGES[: STAGES.index(stage)]:
        with warehouse.pipeline(1) as pipeline:
            commands.run_stages(pipeline, (earlier,))
    return (stage,)


def _full_load(warehouse: Warehouse) -> tuple[str, ...]:
    _loaded(warehouse, len(BATCHES))
    (path,) = export(warehouse, BATCHES[0][0], "claims")
    correct(0, path)
    warehouse.run(commands.replay_export, path)
    return ("full-load",)


def _restate(warehouse: Warehouse) -> tuple[str, ...]:
    """The history of a member was changed by hand in all its kinds."""
    _loaded(warehouse, len(BATCHES))
    with warehouse.connection.transaction():
        for statement in (
            "update warehouse.dim_member set last_name = 'wrong' where member_id in ('M2', 'M5')",
            "update warehouse.dim_member set call_count = 77 where member_id = 'M3'",
            "delete from warehouse.dim_member as d where member_id = 'M1' and current_flag "
            "and not exists (select from warehouse.fact_claim where member_sk = d.member_sk) "
            "and not exists (select from warehouse.fact_enrollment where member_sk = d.member_sk)",
        ):
            warehouse.connection.execute(statement)
    return ("restate", "--dim", "member", "--from", "2025-01-05")


def _replay(warehouse: Warehouse, number: int, feed: str) -> tuple[str, ...]:
    _loaded(warehouse, len(BATCHES))
    (path,) = export(warehouse, BATCHES[number][0], feed)
    correct(number, path)
    return ("quarantine-replay", "--file", str(path))


def _replay_members(warehouse: Warehouse) -> tuple[str, ...]:
    return _replay(warehouse, 1, "members")


def _replay_claims(warehouse: Warehouse) -> tuple[str, ...]:
    return _replay(warehouse, 0, "claims")


def _replay_bad_again(warehouse: Warehouse) -> tuple[str, ...]:
    """One row is right now, one bad in another way, and one is said to be right as it is."""
    _, _, path = _replay_claims(warehouse)

    def changed(row: Rows) -> Rows:
        if row["_reason"] == Reason.NOT_A_DATE.text:
            return row | {"service_date": "never"}
        if row["_reason"] == Reason.NOT_AN_AMOUNT.text:
            return row | {"paid_amount": "2.105", "_as_is": "yes"}
        return row

    rewrite(Path(path), changed)
    return ("quarantine-replay", "--file", path)


def _replay_refused(warehouse: Warehouse) -> tuple[str, ...]:
    """The file of a batch was refused as a whole."""
    _loaded(warehouse, 1)
    send(warehouse.inbox, 1, 0)
    with pytest.raises(BatchError):
        warehouse.incremental(0)
    (path,) = export(warehouse, BATCHES[1][0], "members")
    correct(1, path)
    return ("quarantine-replay", "--file", str(path))


def _threshold(warehouse: Warehouse) -> tuple[str, ...]:
    _loaded(warehouse, 1)
    return ("dq-threshold", "--check", "claims_raw.status.one_of", "--count", "5", "--why", "x")


def _retention(warehouse: Warehouse) -> tuple[str, ...]:
    send_all(warehouse)
    return ("retention", "--years", "1", "--confirm")


def _settled(warehouse: Warehouse) -> None:
    """All partitions of staging but the last are full."""
    send_all(warehouse)
    restart = "alter table ledger.load alter column load_id restart with 40"
    warehouse.connection.execute(restart)
    warehouse.send("2025-04-01", claims=[{"claim_id": "LAST", "service_date": "2025-03-01"}])
    warehouse.incremental(1)


def _archive_staging(warehouse: Warehouse) -> tuple[str, ...]:
    _settled(warehouse)
    return ("archive-staging", "--before", "2100-01-01", "--confirm")


def _late_of_archived(warehouse: Warehouse) -> tuple[str, ...]:
    """A late batch names claims that are in files."""
    _settled(warehouse)
    warehouse.run(archive_staging.archive, date(2100, 1, 1), confirmed=True)
    warehouse.send("2023-07-01", claims=[{"claim_id": "OLD", "service_date": "2023-01-15"}])
    return ("incremental",)


PREPARATIONS: dict[str, Callable[[Warehouse], tuple[str, ...]]] = {
    "incremental": _incremental,
    **{stage: partial(_single_stage, stage) for stage in STAGES},
    "full_load": _full_load,
    "restate": _restate,
    "replay_members": _replay_members,
    "replay_claims": _replay_claims,
    "replay_bad_again": _replay_bad_again,
    "replay_refused": _replay_refused,
    "threshold": _threshold,
    "retention": _retention,
    "archive_staging": _archive_staging,
    "late_of_archived": _late_of_archived,
}


@pytest.fixture
def trial(
    request: pytest.FixtureRequest, admin_url: str, template: str, tmp_path: Path
) -> Iterator[Trial]:
    """The trial whose preparation the test names."""
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with fresh_database(admin_url, template) as url:
        with connect(url, "test") as connection:
            warehouse = Warehouse(url, inbox, tmp_path / "data", connection)
            arguments = PREPARATIONS[request.param](warehouse)
            environment = warehouse.environment(REJECT_SHARE="1", RETRY_MINUTES="20")
        checks = request.node.get_closest_marker("slow") is not None
        database = url.rpartition("/")[2]
        yield Trial(admin_url, database, environment, arguments, checks)


def _own_stage(moments: tuple[str, ...]) -> tuple[int, int]:
    """The first statement and the commit of the first transaction that does much."""
    begins = 0
    for number, moment in enumerate(moments):
        if moment == "before commit" and number - begins > 25:
            return begins, number
        if moment == "after commit":
            begins = number + 1
    raise AssertionError("the command does little")


@pytest.mark.parametrize("trial", ["restate", "replay_bad_again", "retention"], indirect=True)
@pytest.mark.slow
def test_command_killed_in_its_stage_and_run_again_gives_the_same_rows(trial: Trial) -> None:
    wanted, moments, code = trial.undisturbed()
    # A restatement leaves what was damaged before its first day, and the checks say so.
    assert code in (0, CheckFailedError.exit_code)
    first, commit = _own_stage(moments)
    assert differing(trial.killed((first + commit) // 2, commit), wanted) == {}
    assert differing(trial.killed(commit + 1), wanted) == {}


@pytest.mark.slow
@pytest.mark.parametrize("trial", list(PREPARATIONS), indirect=True)
def test_writing_command_killed_anywhere_and_run_again_gives_the_same_rows(trial: Trial) -> None:
    wanted, moments, _ = trial.undisturbed()
    assert differing(trial.undisturbed()[0], wanted) == {}
    draw = random.Random(len(moments))
    ends = [number for number, moment in enumerate(moments) if "commit" in moment]
    chosen = {moments.index(moment) for moment in moments} | {len(moments) - 1}
    chosen |= set(draw.sample(ends, min(3, len(ends))))
    chosen |= set(draw.sample(range(len(moments)), 4))
    for moment in sorted(chosen):
        found = differing(trial.killed(moment), wanted)
        assert found == {}, (moment, moments[moment])
    for _ in range(2):
        twice = [draw.randrange(len(moments) * 2 // 3) for _ in range(2)]
        assert differing(trial.killed(*twice), wanted) == {}, twice


@pytest.mark.slow
@pytest.mark.parametrize("trial", ["incremental", "full_load", "restate"], indirect=True)
def test_run_killed_at_any_time_and_run_again_gives_the_same_rows(trial: Trial) -> None:
    """Killed after some seconds, also in the middle of a statement."""
    began = time.monotonic()
    wanted, _, _ = trial.undisturbed()
    seconds = time.monotonic() - began
    draw = random.Random(7)
    for _ in range(5):
        delay = draw.uniform(0, seconds)
        with trial.warehouse() as (url, run):
            run(after=delay)
            run()
            assert differing(contents(url), wanted) == {}, delay


@pytest.mark.slow
@pytest.mark.parametrize("trial", ["incremental"], indirect=True)
def test_run_whose_sessions_end_begins_again_by_itself_and_gives_the_same_rows(
    trial: Trial,
) -> None:
    wanted, moments, _ = trial.undisturbed()
    sent = [number for number, moment in enumerate(moments) if moment == "commit sent"]
    found, ended = trial.outlived(end_sessions, len(moments) // 3, sent[len(sent) // 2])
    assert differing(found, wanted) == {}
    assert ended.code == 0
    assert ended.said.count("Try ") == 2, ended.said


@pytest.fixture
def durable(admin_url: str) -> Iterator[None]:
    """What the tests' server has committed lasts when it is killed, as on every other server."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute("alter system set synchronous_commit = on")
        admin.execute("select pg_reload_conf()")
    yield
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute("alter system set synchronous_commit = off")
        admin.execute("select pg_reload_conf()")


@pytest.mark.slow
@pytest.mark.usefixtures("durable")
@pytest.mark.parametrize("trial", ["incremental", "full_load"], indirect=True)
def test_run_whose_server_is_restarted_at_any_moment_gives_the_same_rows(
    trial: Trial, server_settings: Settings
) -> None:
    wanted, moments, code = trial.undisturbed()
    restart = partial(restart_server, server_settings)
    tries = 0
    for moment in sorted(random.Random(18).sample(range(len(moments)), 10)):
        found, ended = trial.outlived(restart, moment)
        assert ended.code == code, (moment, ended.said)
        assert differing(found, wanted) == {}, (moment, moments[moment])
        tries += 1 + ended.said.count("Try ")
    # What is only noted at the end of a run is left to the next one.
    assert 15 < tries <= 20
