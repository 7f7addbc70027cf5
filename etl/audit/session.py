"""A transaction on the tables of audit, after which the last rows of chains are written down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from etl.audit.heads import Heads
from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import SchemaError, ServerError
from etl.schema import loader


@contextmanager
def writing(url: str, data: Path) -> Iterator[tuple[psycopg.Connection[Any], Heads]]:
    """One transaction at a time; ``SchemaError`` where there are no tables of audit yet."""
    with connect(url, "aca-warehouse audit") as connection:
        if not scalar(connection, "audit/looks.is_there"):
            raise SchemaError("This database has no record of looks.", "Run make migrate first.")
        loader.become(connection, url)
        heads = Heads(data, connection.info.dbname)
        try:
            with connection.transaction():
                run(connection, "audit/looks.lock")
                yield connection, heads
        except psycopg.errors.InsufficientPrivilege as error:
            raise ServerError(
                "This login may not write the record of looks.", "Run it as the owner."
            ) from error
        heads.write(connection)
