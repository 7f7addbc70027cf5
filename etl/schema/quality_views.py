"""The views on quarantine and check results: ``sql/quality/views.sql``, kept up to date.

They hold nothing, so they are no part of the migrations: a run makes them and makes them anew when
their text has changed, which the mark in a view's comment tells.
"""

from __future__ import annotations

import re
from typing import Any, LiteralString, cast

import psycopg
import xxhash
from psycopg import sql

from etl.db.connection import set_search_path
from etl.db.statements import read_file, run, statement
from etl.errors import SchemaError

_FILE = "quality/views"


def ensure(connection: psycopg.Connection[Any]) -> None:
    """Make the views if they are not there as defined; who could read them still can.

    Raises ``SchemaError`` if a changed view cannot be replaced because others read from it.
    """
    wanted = {name: _comment(text) for name, text in read_file(_FILE).items()}
    if dict(run(connection, "quality/build.held_comments").fetchall()) == wanted:
        return
    with connection.transaction():
        set_search_path(connection, ["ledger", "quality"])
        grants = run(connection, "quality/build.grants", {"views": list(wanted)}).fetchall()
        for name in reversed(wanted):
            try:
                run(connection, "quality/build.drop_view", view=_view(name))
            except psycopg.errors.DependentObjectsStillExist as error:
                raise SchemaError(
                    f"The definition of quality.{name} has changed, and other views read from it.",
                    "Drop those views, run make migrate, then create them again.",
                ) from error
        for name, comment in wanted.items():
            run(
                connection,
                "quality/build.create_view",
                view=_view(name),
                definition=statement(f"{_FILE}.{name}"),
            )
            run(
                connection,
                "quality/build.comment_on_view",
                view=_view(name),
                comment=sql.Literal(comment),
            )
        stewards = run(connection, "quality/build.grants_to_stewards").fetchall()
        for (grant,) in [*grants, *stewards]:
            connection.execute(sql.SQL(cast(LiteralString, grant)))


def _view(name: str) -> sql.Identifier:
    return sql.Identifier("quality", name)


def _comment(text: str) -> str:
    """What the file says of a view, and a mark of its text."""
    said = re.match(r"(?:-- [^\n]*\n)+", text)
    assert said is not None  # a test holds that every statement says what it does
    words = " ".join(line.removeprefix("-- ") for line in said.group().splitlines())
    return f"{words} Definition {xxhash.xxh3_64_hexdigest(text.encode())}."
