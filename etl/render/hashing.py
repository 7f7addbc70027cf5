"""The attribute hash: what goes in, and how PostgreSQL makes it.

``attr_hash`` is the first 16 bytes of the SHA-256 of ``record_send(row(drivers …))``, as a uuid:
for each change driver, in declared order, the number of its type, a length of four bytes and the
value as its type is sent, or the length -1 for NULL. So the encoding is typed, length-prefixed,
and NULL differs from an empty text. Anyone who can query can make it again in SQL. Which drivers,
in which order, is named by ``hash_version``. Change detection compares the drivers themselves; the
hash is for audit.
"""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from etl.db.statements import statement
from etl.warehouse.tables import Dimension


def of_columns(dimension: Dimension, alias: str) -> sql.Composed:
    """The hash of the drivers that a row has under ``alias``, in the types of the warehouse."""
    return _hash(sql.Identifier(alias, name) for name in dimension.drivers)


def of_nothing(dimension: Dimension) -> sql.Composed:
    """The hash of a row all of whose drivers are NULL, as inferred and unknown rows are."""
    return _hash(
        sql.SQL("null::{}").format(sql.SQL(dimension.feed.column(name).type.stored))
        for name in dimension.drivers
    )


def _hash(values: Iterable[sql.Composable]) -> sql.Composed:
    return statement("render/hashing.hash", drivers=sql.SQL(", ").join(values))
