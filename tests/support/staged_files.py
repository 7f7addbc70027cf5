"""What the stage makes of one file, in a transaction that is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts import senders
from etl.contracts.feed import Feed
from etl.contracts.sender import SenderContract
from etl.db.connection import set_search_path
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.manifest import Expected
from etl.stages.stage import load_file
from etl.stages.stage.staged import Staged
from etl.warehouse.tables import LIVE
from tests.support.warehouse import Warehouse

AS_OF = datetime(2025, 3, 1, tzinfo=UTC)
LOAD_ID = 7


@contextmanager
def declared(contract: SenderContract) -> Iterator[None]:
    senders.SENDERS[contract.name] = contract
    try:
        yield
    finally:
        del senders.SENDERS[contract.name]


@contextmanager
def staged_of(
    warehouse: Warehouse, contract: SenderContract, text: str, folder: Path
) -> Iterator[Staged]:
    """What the stage makes of a file of a contract."""
    path = folder / contract.feed.file_name
    path.write_text(text, encoding="utf-8")
    size = path.stat().st_size
    expected = Expected("delta", contract=contract.name)
    file = FeedFile(contract.feed, path, expected, size, path.stat().st_mtime_ns)
    batch = Batch("2025-03-01", AS_OF, (file,))
    with declared(contract), warehouse.connection.transaction(force_rollback=True):
        set_search_path(warehouse.connection, LIVE.schemas.path)
        yield load_file.run_file(warehouse.connection, LOAD_ID, batch, file, "", None)


def rows_of(connection: psycopg.Connection[Any], feed: Feed) -> list[tuple[Any, ...]]:
    """The staged rows of the file, each with its line before its columns."""
    columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in feed.staged)
    query = sql.SQL("select source_line, {} from staging.{} where load_id = {}").format(
        columns, sql.Identifier(feed.table), sql.Literal(LOAD_ID)
    )
    return sorted(connection.execute(query).fetchall(), key=str)
