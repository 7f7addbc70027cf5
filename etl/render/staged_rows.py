"""What a row of staging says, as SQL, for whoever reads staging: stages and checks alike."""

from __future__ import annotations

from psycopg import sql

from etl.contracts.column import IS_DELETED
from etl.contracts.feed import Feed
from etl.db.statements import statement, texts


def effective(
    feed: Feed, row: str | None = "s", as_of: sql.Composable | None = None
) -> sql.Composable:
    """Since when a row is true, as a UTC timestamp; ``row``: its alias, if it has one.

    ``as_of``: when its batch became true, where that is not the current one (``%(as_of)s``).
    """
    as_of = as_of or statement("render/staged_rows.as_of")
    if feed.effective is None:
        return as_of
    column = sql.Identifier(*filter(None, [row, feed.effective]))
    return statement("render/staged_rows.effective", effective=column, as_of=as_of)


def marked(feed: Feed) -> sql.Composable:
    """Whether a row ``s`` is a delete marker."""
    return sql.Identifier("s", IS_DELETED.name) if feed.deletable else sql.SQL("false")


def stored(feed: Feed, column: str) -> sql.Composed:
    """A value of a row ``s`` in the type in which the warehouse stores it."""
    stored_type = sql.SQL(feed.column(column).type.stored)
    return sql.SQL("{}::{}").format(sql.Identifier("s", column), stored_type)


def is_named(feed: Feed, row: str, snapshot: str | None = None) -> sql.Composed:
    """Whether a rejected row of a load names the key of a row, which it then does not lack.

    ``snapshot``: the alias of the load, where that is not the current one (``%(load_id)s``).
    """
    return statement(
        "render/staged_rows.is_named",
        load=sql.Identifier(snapshot, "load_id") if snapshot else sql.Placeholder("load_id"),
        feed=sql.Literal(feed.name),
        key=texts(feed.key, row),
    )
