"""Snapshots: what one says by its silence, counted before anything follows from it.

A snapshot contains every key there is, so a key that it lacks is gone. A file that was cut short
looks the same. Keys are counted in staging, where all that a feed brought lies, so that a
batch out of order is judged by what came before it in the order of batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.db.statements import equal, names, run, scalar
from etl.render import staged_rows

# Coverage ends with the year, and snapshots are monthly: by March the members who left are gone.
_LAST_MONTH_OF_NEW_YEAR = 2


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot that ends more keys than its feed declares for most of the year.

    ``batch_id``: its batch. ``held``: keys that were there before it; ``ending``: those of them
    that it lacks. ``share``: how many it may end. ``nameless``: where it ends no more, its rejected
    rows whose key cannot be read, which may be those of keys that it seems to lack. ``is_usual``:
    it ends so many only as the first of a year, which nobody has to confirm.
    """

    batch_id: str
    feed: Feed
    file_name: str
    checksum: UUID
    held: int
    ending: int
    share: float
    nameless: int = 0
    is_usual: bool = False

    def __str__(self) -> str:
        return f"{self.file_name} lacks {self.ending:,} of {self.held:,} keys"


def over_limit(
    connection: psycopg.Connection[Any], build: Mapping[str, Any], nameless: Mapping[str, int]
) -> list[Snapshot]:
    """The snapshots that end more than may end now that a load is staged, one a feed.

    Those are among them that may since they are the first of a year: so much is to be said of.

    Its own, and those that came before it although they come after it in the order of batches:
    they end what it brings. ``build``: load_id, batch_id and as_of of the load; the
    values of its build. ``nameless``: by feed, rejected rows of the load that name no key.
    """
    found = []
    of_load = run(connection, "stage/snapshot.snapshots_of_load", dict(build))
    for feed, file_name, checksum in of_load:
        values = {**build, "feed": feed}
        unnamed = nameless.get(feed, 0)
        found.append(_judged(connection, values, file_name, checksum, unnamed))
    for feed, file_name, checksum, *load in run(
        connection, "stage/snapshot.snapshots_after", dict(build)
    ):
        later = dict(zip(("load_id", "batch_id", "as_of"), load, strict=True))
        found.append(_judged(connection, {**build, **later, "feed": feed}, file_name, checksum))
    return [snapshot for snapshot in found if snapshot is not None]


def _judged(
    connection: psycopg.Connection[Any],
    values: dict[str, Any],
    file_name: str,
    checksum: UUID,
    nameless: int = 0,
) -> Snapshot | None:
    """A snapshot, if it ends more keys than it may: any, where rejected rows may be theirs."""
    feed = FEEDS[values["feed"]]
    before = run(connection, "stage/snapshot.loads_before", values).fetchone()
    if before is None or before[0] is None:
        return None
    values["loads"], most_keys, first_as_of = before
    as_of = values["as_of"]
    is_new_year = first_as_of.year != as_of.year and as_of.month <= _LAST_MONTH_OF_NEW_YEAR
    limit = feed.snapshot_limit
    most_ending = scalar(connection, "stage/snapshot.other_rows_before", values, **_parts(feed))
    if most_ending is not None and not nameless and not limit.refuses(most_ending, most_keys):
        return None
    held, ending = _bounds(connection, feed, values, most_keys)
    if (nameless and ending) or limit.refuses(ending, held):
        held, ending = count_ending(connection, feed, values, counts_named=True)
    is_over = limit.refuses(ending, held, is_new_year=is_new_year)
    if not limit.refuses(ending, held) and not (nameless and ending):
        return None
    share = limit.share_of(is_new_year=is_new_year)
    found = Snapshot(values["batch_id"], feed, file_name, checksum, held, ending, share)
    if is_over:
        return found
    return replace(found, nameless=nameless, is_usual=not nameless)


def _bounds(
    connection: psycopg.Connection[Any], feed: Feed, values: dict[str, Any], most_keys: int
) -> tuple[int, int]:
    """No more keys than were there, and no fewer than end: far cheaper than to count them.

    At least as many were there as the largest load has, but for those that were deleted, and at
    most as many end as rows are missing.
    """
    missing, deleted = run(
        connection, "stage/snapshot.count_missing", values, **_parts(feed)
    ).fetchone() or (0, 0)
    return max(most_keys - deleted, 0), missing


def count_ending(
    connection: psycopg.Connection[Any],
    feed: Feed,
    values: dict[str, Any],
    held_schema: str | None = None,
    *,
    also_marked: bool = False,
    counts_named: bool = False,
) -> tuple[int, int]:
    """How many keys are there after ``loads``, in their order, and how many ``load_id`` lacks.

    ``held_schema``: where the rows of ``loads`` are, if that is another build. ``counts_named``:
    it does not lack a key that one of its rejected rows names.
    """
    place = (feed.table,) if held_schema is None else (held_schema, feed.table)
    held, ending = run(
        connection,
        "stage/snapshot.count_ending",
        values,
        held_table=sql.Identifier(*place),
        is_named=staged_rows.is_named(feed, "h") if counts_named else sql.SQL("false"),
        **{**_parts(feed), **({"marked": sql.SQL("false")} if also_marked else {})},
    ).fetchone() or (0, 0)
    return held, ending


def _parts(feed: Feed) -> dict[str, sql.Composable]:
    return {
        "table": sql.Identifier(feed.table),
        "keys_of_row": names(feed.key, "s"),
        "first_key": sql.Identifier(feed.key[0]),
        "key_p_h": equal(feed.key, "p", "h"),
        "key_p_s": equal(feed.key, "p", "s"),
        "marked": _taken_back(feed),
    }


def _taken_back(feed: Feed) -> sql.Composable:
    """Whether a row of staging says that its thing is gone, or never was."""
    ways = [staged_rows.marked(feed)]
    if feed.canceled_days:
        ways += [
            sql.SQL("{} < {}").format(sql.Identifier("s", last), sql.Identifier("s", first))
            for first, last in feed.ordered
        ]
    return sql.SQL("({})").format(sql.SQL(" or ").join(ways))
