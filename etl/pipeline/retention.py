"""Retention: what is older than the horizon is shown, goes to the archive and leaves the warehouse.

First the archive is written and read back, then one transaction deletes. Killed anywhere, the next
run does the rest: it takes the archive that is there, and cubes and checks that are due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.types.json import Jsonb

from etl.db.connection import set_search_path
from etl.db.statements import insert, run, scalar
from etl.errors import AcaError, UsageError
from etl.pipeline import commands, empty_months
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary, os_user
from etl.retention import expire
from etl.retention.expire import Going
from etl.retention.horizon import in_force
from etl.schema import layout
from etl.warehouse.tables import LIVE

if TYPE_CHECKING:
    from etl.retention.archive import Archive

# Issuers keep records for ten years (45 CFR 156.705(c) and 155.1210).
YEARS = 10
_MOST_YEARS = 100
# How many files of the inbox a run names.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Horizon:
    """The day before which rows go: ``years`` calendar years before that of ``counted_from``."""

    day: date
    years: int
    counted_from: date


def years_of(text: str) -> int:
    """How many years rows are kept; ``UsageError`` if that is no such number."""
    years = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    if not 1 <= years <= _MOST_YEARS:
        raise UsageError(
            f"YEARS is {text!r}, which is no number of years from 1 to {_MOST_YEARS}.",
            f"Issuers keep records for {YEARS} years: make retention YEARS={YEARS}",
        )
    return years


def retain(context: RunContext, years: int, why: str = "", *, confirmed: bool = False) -> Summary:
    """Show what is older than so many years; if ``confirmed``, archive and delete it.

    ``why``: the reason, for those who come after.
    """
    commands.run_stages(context, ("dims", "facts"))
    horizon = _horizon(context, years)
    going = _look(context, horizon) if horizon else []
    if horizon is None:
        context.watcher.say("Nothing to do: no batch is loaded.")
    elif not any(one.rows for one in going):
        context.watcher.say(_nothing(context, horizon))
    elif not confirmed:
        context.summary.going = going
        context.watcher.say(
            f"Before {horizon.day} lies what is shown here, {_counted(horizon)}. Nothing was "
            f"changed. To archive and delete it: make retention YEARS={years} CONFIRM=yes"
        )
    else:
        context.summary.going = going
        _let_go(context, horizon, why or f"rows are kept for {years} years")
    # Also where an earlier run was killed before it came to them.
    due = ("ledger/ledger.cubes_are_due", "ledger/ledger.checks_are_due")
    if not confirmed or not any(scalar(context.ledger, name) for name in due):
        return context.summary
    empty_months.drop(context, LIVE)
    commands.run_cubes(context, LIVE, whole=True)
    return commands.run_checks(context, LIVE)


def _horizon(context: RunContext, years: int) -> Horizon | None:
    day = scalar(context.ledger, "retention/run.day_to_count_from")
    if day is None:
        return None
    return Horizon(date(max(day.year - years, 1), 1, 1), years, day.date())


def _counted(horizon: Horizon) -> str:
    years = "1 year" if horizon.years == 1 else f"{horizon.years} years"
    return f"{years} before {horizon.counted_from.year}"


def _nothing(context: RunContext, horizon: Horizon) -> str:
    """That no row is old enough, and what has gone before."""
    before = in_force(context.ledger)
    gone = f"; those from before {before} have gone" if before else ""
    return f"Nothing to do: no row lies before {horizon.day}, {_counted(horizon)}{gone}."


def _look(context: RunContext, horizon: Horizon) -> list[Going]:
    """What would go, by feed; nothing is changed."""
    with context.work.transaction(force_rollback=True):
        set_search_path(context.work, LIVE.schemas.path)
        run(context.work, "ledger/session.work_transaction")
        return _find(context, horizon)


def _find(context: RunContext, horizon: Horizon) -> list[Going]:
    context.staging_archive.bring_back_old(context.work, horizon.day)
    expire.find_all(context.work, horizon.day)
    return [expire.measure(context.work, entry, horizon.day) for entry in expire.ALL]


def _let_go(context: RunContext, horizon: Horizon, why: str) -> None:
    """Archive what is older than the horizon and delete it, in one transaction."""
    # pyarrow takes as long to import as all the rest, and no other command needs it.
    from etl.retention import archive

    with context.run_stage("retention", f"before {horizon.day}", None, LIVE) as counts:
        layout.name_next_load(context.work)
        for entry in expire.ALL:
            run(
                context.work,
                "retention/expire.keep_writers_out",
                staging=sql.Identifier(entry.feed.table),
            )
        going = _find(context, horizon)
        taken = [folder for (folder,) in run(context.work, "retention/run.folders")]
        root = context.settings.archive
        archived = archive.write(context.work, root, horizon.day, taken)
        for entry, one in zip(expire.ALL, going, strict=True):
            gone = expire.take_out(context.work, entry, horizon.day)
            if sum(of_load.rows for of_load in gone) != one.rows:
                raise AcaError(
                    f"Of the {one.rows:,} rows of {one.feed} that were archived others would have "
                    "been deleted.",
                    "Nothing was deleted. This is a fault of the program: report it.",
                )
            counts[f"{one.feed}_archived"] = one.rows
            counts[f"{entry.table}_expired"] = one.facts
        _note(context, horizon, why, archived)
        run(context.work, "retention/run.cubes_are_stale", {"schema": LIVE.schemas.cubes})
    context.watcher.say(
        f"The rows from before {horizon.day} are in {archived.folder} and no longer in the "
        "warehouse. When they come again they count as expired."
    )
    context.staging_archive.clear(context.ledger)
    _name_files(context)


def _note(context: RunContext, horizon: Horizon, why: str, archived: Archive) -> None:
    """Enter the run and its files in the ledger."""
    values = {
        "horizon": horizon.day,
        "years": horizon.years,
        "counted_from": horizon.counted_from,
        "why": why,
        "archive_folder": archived.folder.name,
        "manifest_sha256": archived.manifest_sha256,
        "os_user": os_user(),
    }
    retention_run_id = scalar(context.work, "retention/run.note", values)
    rows = [
        {
            "retention_run_id": retention_run_id,
            "file_name": file.file_name,
            "feed": file.feed,
            "year": file.year,
            "row_count": file.rows,
            "totals": Jsonb(file.totals),
            "first_day": file.first_day,
            "last_day": file.last_day,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256,
        }
        for file in archived.files
    ]
    insert(context.work, "retention_file", rows)


def _name_files(context: RunContext) -> None:
    """Say which files of the inbox bring nothing any more: whose they are may delete them."""
    found = run(context.ledger, "retention/run.files_done_with").fetchall()
    if found:
        named = ", ".join(f"{batch}/{file}" for batch, file in found[:_NAMED])
        more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        context.summary.notes.append(
            f"Every row of these files has expired; the inbox need not keep them: {named}{more}."
        )
