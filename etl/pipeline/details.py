"""What claims consist of, in the stage of facts of a load; a full load fills it by two sessions.

Lines and diagnoses read the claims and not each other. Where a full load fills both for the first
time, each is made by a session of its own; everywhere else they are part of the stage's one
transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from etl.pipeline.by_two import by_two
from etl.pipeline.ending import Current
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Load
from etl.schema import layout
from etl.stages.facts import merge_facts
from etl.stages.facts.fact_loads import CurrentLoad
from etl.warehouse.details import DETAILS, Detail


def bring_up(
    context: RunContext,
    load: Load,
    current_load: CurrentLoad,
    feeds: Collection[str],
    current: Current,
) -> dict[str, int]:
    """Bring what claims consist of up to the feeds of a load; counts by kind.

    ``current`` says which feed is worked on, or which one failed.
    """

    def feed_of(detail: Detail) -> str:
        # Without rows of its own feed it follows the claims.
        return detail.feed.name if detail.feed.name in feeds else detail.of.feed.name

    @contextmanager
    def around(detail: Detail) -> Iterator[None]:
        current.feed = feed_of(detail)
        context.watcher.advance(1)
        with logged(context, load, detail.table):
            yield

    if _takes_two(context, load, current_load, feeds):
        current.feed = None
        return _fill_by_two(context, load, current_load, current, feed_of)
    counts = merge_facts.run_details(context.work, current_load, feeds, around)
    current.feed = None
    return counts


def _takes_two(
    context: RunContext, load: Load, current_load: CurrentLoad, feeds: Collection[str]
) -> bool:
    """Whether two sessions share the work: not on a cluster, whose nodes do already."""
    return (
        load.build.is_rebuild
        and not layout.is_cluster(context.work)
        and merge_facts.are_details_first(context.work, current_load, feeds)
    )


def _fill_by_two(
    context: RunContext,
    load: Load,
    current_load: CurrentLoad,
    current: Current,
    feed_of: Callable[[Detail], str],
) -> dict[str, int]:
    """Fill all tables, each of the two sessions the next that is left; counts by kind."""

    def fill(session: psycopg.Connection[Any], detail: Detail) -> dict[str, int]:
        with logged(context, load, detail.table):
            return merge_facts.fill_detail(session, detail, current_load)

    def note_fault(detail: Detail) -> None:
        # The other one is ended by this, and is not at fault.
        current.feed = current.feed or feed_of(detail)

    filled = by_two(
        context, load, DETAILS, fill, lambda _: context.watcher.advance(1), on_error=note_fault
    )
    return {kind: count for counts in filled for kind, count in counts.items()}


@contextmanager
def logged(context: RunContext, load: Load, table: str) -> Iterator[None]:
    """Log how long a table of facts takes."""
    started = time.monotonic()
    yield
    seconds = round(time.monotonic() - started, 3)
    context.log.info("fact_loaded", table=table, batch=load.batch_id, seconds=seconds)
