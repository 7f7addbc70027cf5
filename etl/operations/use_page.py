"""Who reads what, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import psycopg

from etl.operations import use
from etl.schema.deprecated import deprecated
from etl.warehouse.tables import CUBES, LIVE

DAYS = 90
MOST_DAYS = 36_500


def lines(
    connection: psycopg.Connection[Any],
    days: int,
    replicas: Sequence[psycopg.Connection[Any]] = (),
) -> Iterator[str]:
    """Count what was read until now; then each relation with its readers, and what has none.

    ``replicas``: sessions on them.
    """
    missed = use.collect(connection, replicas)
    since = use.first_day(connection)
    if since is None:
        yield "Nobody but the loader has read anything since reads are counted."
        return
    outdated = deprecated()
    yield f"Reads of {days} days, by the login that read (counted since {since}):"
    found = use.used(connection, days)
    for (schema, relation), readers in groupby(found, key=lambda u: (u.schema, u.relation)):
        said = outdated.get((schema, relation))
        yield f"\n{schema}.{relation}{f'  {said}' if said else ''}"
        for reader in readers:
            yield (
                f"  {reader.role:<30} {reader.calls:>9,} calls {reader.rows:>13,} rows "
                f"{reader.seconds:>10,.1f} s  last {reader.last_day}"
            )
    read = {(u.schema, u.relation) for u in found}
    places = [(LIVE.schemas.cubes, cube) for cube in CUBES]
    unread = [place for place in {**dict.fromkeys(places), **outdated} if place not in read]
    if unread:
        yield "\nNot read: " + ", ".join(".".join(place) for place in unread)
    if missed:
        yield f"\n{missed} new statements could not be planned and are not counted."
