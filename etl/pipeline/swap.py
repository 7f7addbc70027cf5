"""Going live: a complete rebuild replaces the live one, and the old one goes."""

from __future__ import annotations

import random
import time
from contextlib import nullcontext
from functools import partial

import psycopg
from psycopg import sql

from etl.db.connection import set_config
from etl.db.statements import insert, run, scalar
from etl.errors import ServerError, UsageError
from etl.pipeline import erase, replica_readers
from etl.pipeline.session import RunContext
from etl.schema import build, dependents, layout, loader, revisions
from etl.schema.dependents import LOCK_PATIENCE
from etl.server.requirements import sees_other_sessions
from etl.stages.cubes import refresh
from etl.warehouse.tables import LIVE, NEXT, RETIRED, Schemas

READER_PATIENCE = 15 * 60  # seconds to wait for a long report before a rebuild goes live
RETIRED_PATIENCE = 5.0  # seconds to wait for queries that still read the build it replaced
# How long older transactions are waited for before a person is notified.
QUIET_PATIENCE = "1s"
# Seconds in which a moment is looked for at which nobody reads, most of them by keeping readers
# who come for LOCK_PATIENCE at a time.
LOCK_SECONDS = 3.0
# The same on a cluster, where each table may be waited for so long.
NODES_PATIENCE = "500ms"
# How many objects of people are named one by one.
_NAMED = 50


def prepare(context: RunContext) -> None:
    """Make room for a rebuild; say first what it would lose and what will not follow it.

    ``UsageError`` where somebody keeps something in the schemas that a rebuild makes again.
    """
    live = layout.found(context.ledger, LIVE.schemas)
    found = dependents.foreign_objects(context.ledger, live, build.made(live))
    if found:
        named = _listed([name for name, _ in found])
        raise UsageError(
            f"A full load makes the schemas {', '.join(live.names)} again, and these in "
            f"them are not of the warehouse and would be lost: {named}.",
            "Move each to a schema of your own, or drop it, then run again: "
            + " ".join(remedy for _, remedy in found[:_NAMED]),
        )
    clear_replaced(context)
    if RETIRED in build.kept_builds(context.ledger):
        build.set_aside(context.ledger)
    for text in _grouped(dependents.stuck(context.ledger, live)):
        context.watcher.say(f"Will not follow this load but go on reading what is live now: {text}")


def _grouped(found: list[dependents.Dependent]) -> list[str]:
    """Sentences about somebody's objects: those with the same remedy in one sentence."""
    names: dict[tuple[str, str], list[str]] = {}
    for dependent in found:
        names.setdefault((dependent.reason, dependent.remedy), []).append(dependent.name)
    return [f"{_listed(alike)} ({reason}): {remedy}." for (reason, remedy), alike in names.items()]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def wait_for_older_readers(context: RunContext) -> None:
    """Wait until no transaction is left whose snapshot is older than this moment.

    It would find the new tables under the live names and no rows in them, or some tables of the
    old build and some of the new: a repeatable-read report or a pg_dump would be wrong without a
    word. A session that is idle in a read-committed transaction has no snapshot.
    """
    deadline = time.monotonic() + READER_PATIENCE
    while not _is_quiet(context):
        with loader.as_login(context.ledger):
            older = run(context.ledger, "rebuild/swap.older_snapshots").fetchall()
        whom = ", ".join(f"session {pid} of {user} ({name})" for pid, user, name in older[:3])
        whom = whom or "of sessions that are not shown"
        if time.monotonic() > deadline:
            raise ServerError(
                f"The rebuild could not go live: a transaction has been open for over "
                f"{READER_PATIENCE // 60} minutes: {whom}.",
                "End that transaction (pg_stat_activity shows whose it is) and run again; "
                "readers keep what they had.",
            )
        if whom != context.rebuild.named_readers:
            context.watcher.say(
                f"The rebuild is complete; waiting for older transactions to end: {whom}."
            )
            context.rebuild.named_readers = whom
    replica_readers.wait_for_older(context)


def _is_quiet(context: RunContext) -> bool:
    """Whether all transactions with an older snapshot ended within a short wait for each."""
    run(context.ledger, "rebuild/swap.make_boundary")
    set_config(context.ledger, "lock_timeout", QUIET_PATIENCE, is_local=False)
    try:
        with context.watch.silenced():
            run(context.ledger, "rebuild/swap.await_older_snapshots")
    except psycopg.errors.LockNotAvailable:
        return False
    else:
        return True
    finally:
        try:
            run(context.ledger, "rebuild/swap.drop_boundary")
        except psycopg.errors.LockNotAvailable:
            context.log.info("boundary_kept")  # a pg_dump that began meanwhile reads it
        run(context.ledger, "db/session.usual_patience")


def swap(context: RunContext) -> None:
    """Put the rebuild live; where somebody is in the midst of reading, wait and try again."""
    deadline = time.monotonic() + READER_PATIENCE
    while True:
        try:
            with context.run_stage("swap", "swap", None, LIVE):
                set_config(context.work, "lock_timeout", LOCK_PATIENCE)
                found = dependents.views(context.work, LIVE.schemas)
                added = dependents.additions(context.work, LIVE.schemas, NEXT.schemas)
                build.swap(context.work)
                _let_reports_end(context)
                with loader.as_login(context.work):
                    dependents.follow(context.work, found)
                run(context.work, "ledger/ledger.go_live", {"rebuilt": context.rebuild.load_ids})
                run(context.work, "ledger/ledger.supersede_files")
                run(context.work, "retention/staging_archive.return_all")
                refresh.go_live(context.work)
                insert(context.work, "decision", context.rebuild.decisions)
                moved = {
                    "old": list(context.rebuild.replays),
                    "new": list(context.rebuild.replays.values()),
                }
                run(context.work, "quarantine/quarantine.hand_over", moved)
                erase.go_live(context)
            replica_readers.note_live(context)
            if added:
                context.summary.notes.append(
                    f"Not carried over, so make it again where it is needed: {_listed(added)}."
                )
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                raise ServerError(
                    "The rebuild could not go live: reports on the warehouse, or a view on it, are "
                    "in use without a break.",
                    "End the transactions that read it (pg_stat_activity) and run again; "
                    "readers keep what they had.",
                ) from None
            wait_for_older_readers(context)


def _let_reports_end(context: RunContext) -> None:
    """Let no report read one table before the swap and another after it.

    Best is a moment at which nobody reads: the tables are locked from it to the commit, which is
    next. It is looked for without keeping anybody, then by keeping those who come for a moment.
    Where somebody reads all the time, the transactions that could be such reports are waited for.
    ``LockNotAvailable`` where they go on for long, and on a cluster without such a moment: names
    change there on one node after the other, and who reads without a lock would find no table.
    Locks are repeated on replicas, where they would wait for readers and keep others: where there
    are some, none are taken.
    """
    retired = {"schemas": list(RETIRED.names)}
    rows = run(context.work, "rebuild/swap.tables", retired).fetchall()
    views = run(context.work, "rebuild/swap.materialized_views", retired).fetchall()
    if not rows:
        return
    if replica_readers.are_there(context):
        _require_no_report(context)
        return
    is_on_nodes = layout.found(context.work, RETIRED).has_history
    # Workers are asked for locks too, and a connection to one does not outlive a statement that is
    # ended in between: there each lock has the patience. Nor does another role see the new names.
    limit, usual = ("lock_timeout", LOCK_PATIENCE) if is_on_nodes else ("statement_timeout", "0")
    rights = nullcontext if is_on_nodes else partial(loader.as_login, context.work)
    deadline = time.monotonic() + LOCK_SECONDS
    patience = "10ms"
    while time.monotonic() < deadline:
        # Readers who have locked one table and wait for another would block us that long; in one of
        # the possible orders, the tables that nobody has locked come first.
        tables = sql.SQL(", ").join(sql.Identifier(*row) for row in random.sample(rows, len(rows)))
        try:
            # Somebody may have put a table of theirs among them.
            with context.work.transaction(), rights():
                set_config(context.work, limit, patience)
                run(context.work, "rebuild/swap.lock_tables", tables=tables)
                for schema, view, owner in views:
                    run(
                        context.work,
                        "rebuild/swap.lock_materialized_view",
                        view=sql.Identifier(schema, view),
                        owner=sql.Identifier(owner),
                    )
                set_config(context.work, limit, usual)
            return
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable):
            is_late = time.monotonic() > deadline - LOCK_SECONDS * 0.8
            if is_late:
                patience = NODES_PATIENCE if is_on_nodes else LOCK_PATIENCE
            time.sleep(0.2 if is_late else 0.02)
    if is_on_nodes:
        raise psycopg.errors.LockNotAvailable
    _require_no_report(context)


def _require_no_report(context: RunContext) -> None:
    if not _no_report_goes_on(context):
        raise psycopg.errors.LockNotAvailable


def _no_report_goes_on(context: RunContext) -> bool:
    """Whether no transaction of more than one statement has read or is about to.

    Without the right to see other sessions: whether all that have a snapshot ended in a moment.
    """
    if not sees_other_sessions(context.ledger):
        return _is_quiet(context)
    with loader.as_login(context.ledger):
        is_read = scalar(context.ledger, "rebuild/swap.reports_go_on")
    return not (is_read or replica_readers.report_goes_on(context))


def notes(connection: psycopg.Connection) -> list[str]:
    """What still reads a build that was replaced, or lies in one, with what helps."""
    said = []
    if old := revisions.kept_old(connection):
        said.append(
            f"The warehouse of an earlier version is kept in the schemas {', '.join(old)}: drop "
            "them when nobody needs them."
        )
    for replaced in build.kept_builds(connection):
        found = dependents.stuck(connection, replaced, is_replaced=True)
        said += [f"Reads the warehouse as it was before a full load: {d}" for d in _grouped(found)]
        for name, remedy in dependents.foreign_objects(connection, replaced, build.made(replaced)):
            said.append(f"{name} was put into the warehouse while it was rebuilt: {remedy}")
    return said


def clear_replaced(context: RunContext) -> None:
    """Let views follow that may by now, and drop what nobody needs of builds that were replaced."""
    for replaced in build.kept_builds(context.ledger):
        try:
            if dependents.may_follow(context.ledger, replaced):
                with context.ledger.transaction():
                    set_config(context.ledger, "lock_timeout", LOCK_PATIENCE)
                    found = build.views_of(context.ledger, replaced)
                    with loader.as_login(context.ledger):
                        dependents.follow(context.ledger, found)
        except psycopg.errors.LockNotAvailable:
            context.log.info("view_in_use")  # it follows at the next run
        _drop(context, replaced)


def _drop(context: RunContext, replaced: Schemas) -> None:
    """Drop a build that was replaced, or of one that somebody needs the rest."""
    if not replica_readers.have_left(context, RETIRED_PATIENCE):
        context.log.info("retired_kept")  # the next run drops it
        return
    made = build.made(replaced)
    if build.blockers(context.ledger, replaced) or dependents.foreign_objects(
        context.ledger, replaced, made
    ):
        dependents.prune(context.ledger, replaced, made)
        return
    # A query that was being planned at the swap may yet ask for parts of tables that it has begun
    # to lock. So no table is kept while another is waited for, but for a moment; then once more.
    deadline = time.monotonic() + RETIRED_PATIENCE
    while True:
        try:
            with context.ledger.transaction():
                set_config(context.ledger, "lock_timeout", LOCK_PATIENCE)
                build.drop(context.ledger, replaced)
            return
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > deadline:
                # A long query still reads the old tables; a later run clears them away.
                context.log.info("retired_kept")
                return
            time.sleep(0.2)
