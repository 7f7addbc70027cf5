"""Checks of staging: against the ledger, and the clauses of contracts on what a load brought."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.checks import CRITICAL, MAJOR
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.db.statements import Parts
from etl.quality.checks.clauses import clauses
from etl.quality.checks.sql import EVERYTHING, SqlCheck, rules
from etl.render.expectations import Suite, looked_at, suites

_REBUILD = (
    "Something other than a load changed rows of staging or of the ledger: make full-load takes "
    "the files in again."
)
_OF_LOAD = sql.SQL("load_id = {}").format(sql.Placeholder("load_id"))


def staging_checks() -> tuple[SqlCheck, ...]:
    """What staging holds against what the ledger says of the files."""
    return (
        *(_against_ledger(feed, EVERYTHING) for feed in FEEDS.values()),
        *(_skipped(feed) for feed in FEEDS.values()),
        *(_lines(feed) for feed in FEEDS.values() if feed.line),
    )


def stage_gate() -> tuple[SqlCheck, ...]:
    """What is asked of a load before it is staged: its files recounted, and every clause."""
    return (
        *(_against_ledger(feed, _OF_LOAD) for feed in FEEDS.values()),
        *(_lines(feed) for feed in FEEDS.values() if feed.line),
        *(_clauses(suite, FEEDS[suite.feed]) for suite in suites() if suite.feed is not None),
    )


def _against_ledger(source: Feed, scope: Parts) -> SqlCheck:
    told = [
        (
            "rows_as_in_file",
            "consistency",
            CRITICAL,
            "staging holds other rows than were loaded",
            _REBUILD,
        ),
        (
            "load_known",
            "integrity",
            CRITICAL,
            "the row's load is not one of this build",
            _REBUILD,
        ),
        (
            "file_accounted",
            "consistency",
            CRITICAL,
            "rows read are not those loaded, rejected and duplicate",
            "The ledger was changed by hand, or the loader miscounts: make full-load; if it "
            "stays, the code is wrong.",
        ),
    ]
    if source.money:
        told.append(
            (
                "totals_as_in_file",
                "consistency",
                CRITICAL,
                "a control total differs between manifest, file and staging",
                "If the manifest's total is not the file's, ask the sender for the file again; "
                "else rows of staging were changed by hand: make full-load.",
            )
        )
    return SqlCheck(
        "checks/staging.against_ledger",
        {
            "staging": sql.Identifier(source.table),
            "totals": sql.SQL(", ").join(
                sql.SQL("{}, coalesce(sum({}), 0)").format(sql.Literal(m), sql.Identifier(m))
                for m in source.money
            ),
            "scope": scope,
        },
        rules(source.table, *told),
        feed=source.name,
    )


def _skipped(source: Feed) -> SqlCheck:
    told = (
        "skipped_is_held",
        "completeness",
        CRITICAL,
        "a file was skipped as loaded before, and the build holds no load of its bytes",
        _REBUILD,
    )
    return SqlCheck("checks/staging.skipped_held", {}, rules(source.table, told), feed=source.name)


def _lines(source: Feed) -> SqlCheck:
    told = (
        "no_lines",
        "completeness",
        MAJOR,
        "rows share a claim id and are lines of the claim, of which the last one alone is loaded",
        "Claim lines are not supported yet: ask the sender for one row a claim with the sums of "
        "its lines. The note in ledger.load_file says how much money is set aside.",
    )
    return SqlCheck(
        "checks/staging.lines_set_aside",
        {},
        rules(source.table, told),
        feed=source.name,
        values={"reason": Reason.LINE.text},
    )


def _clauses(suite: Suite, source: Feed) -> SqlCheck:
    """The expectations of a feed, asked of the rows of a load alone, all in one scan of these."""
    return SqlCheck(
        "checks/clauses.counted",
        clauses(suite, suite.expectations, sql.SQL("{} and {}").format(_OF_LOAD, looked_at(suite))),
        {e.check.name: e.check for e in suite.expectations},
        feed=source.name,
    )
