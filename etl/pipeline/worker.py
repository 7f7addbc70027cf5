"""Sessions that do the work of stages, and the transactions in which they do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from etl.db.connection import PREFIX, connect, set_search_path
from etl.db.statements import run
from etl.schema import layout
from etl.stages import tables
from etl.warehouse.tables import Build

# What such a session calls itself; the next run ends one that is left over.
WORKER = f"{PREFIX} work"


def begin(url: str) -> psycopg.Connection[Any]:
    """Open a session that does the work of stages."""
    session = connect(url, WORKER)
    run(session, "ledger/session.work_session")
    return session


@contextmanager
def transaction(
    session: psycopg.Connection[Any], load_id: int | None, build: Build
) -> Iterator[None]:
    """A transaction with the settings of a stage."""
    # What earlier ones changed must not count for this one when statistics are renewed.
    run(session, "ledger/session.settle_counts")
    with session.transaction():
        set_search_path(session, build.schemas.path)
        run(session, "ledger/session.work_transaction")
        if load_id is not None:
            layout.name_load(session, load_id)
        yield


@contextmanager
def part(session: psycopg.Connection[Any], load_id: int, build: Build) -> Iterator[None]:
    """The transaction of one part of a stage that two sessions share."""
    with transaction(session, load_id, build):
        run(session, "ledger/session.one_of_two")
        run(session, "ledger/session.part_transaction")
        yield
        tables.renew_statistics(session, build.schemas.names)
