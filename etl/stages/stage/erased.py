"""Rows of members who were erased, as they come in: in staging and in quarantine.

A file names them as before. Their rows get the tokens that the warehouse has of them before
anything looks at them, so that keys repeat, count and join as they did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import psycopg

from etl.access import erasure_lines, erasure_rows
from etl.access.erasure import Door
from etl.contracts.feed import Feed
from etl.inbox.header import Header
from etl.stages.stage import raw_values

# So many texts are looked at together.
_AT_ONCE = 1_000


def erase_rows(connection: psycopg.Connection[Any], feed: Feed, load_id: int, door: Door) -> int:
    """Erase what a load brought to staging of members who were erased; how many rows."""
    relation = erasure_rows.of_feed(feed)
    if door.tokens is None or relation.number is None:
        return 0
    numbers = erasure_rows.numbers_of(connection, relation, load_id)
    members = {number: token for number in numbers if (token := door.token_of(number))}
    if not members:
        return 0
    with erasure_rows.named(connection, members):
        erasure_rows.collect_values(connection, door.tokens, [relation], load_id)
        count = erasure_rows.tokenize(connection, relation, load_id)
        stripped = door.stripped & set(members.values())
        erasure_rows.strip(connection, relation, stripped, load_id)
    return count


def erased_texts(
    connection: psycopg.Connection[Any],
    feed: Feed,
    head: Header | None,
    door: Door,
    texts: Iterable[tuple[int, str]],
) -> Iterator[tuple[int, str]]:
    """Texts of rows by line, without the members who were erased, else as they are."""
    if door.tokens is None:
        yield from texts
        return
    in_order = iter(texts)
    while some := list(islice(in_order, _AT_ONCE)):
        numbers = raw_values.made_numbers(connection, head, [text for _, text in some])
        for (line, text), made in zip(some, numbers, strict=True):
            yield (
                line,
                erasure_lines.erased_text(
                    text, feed, head, door.tokens, door.token_of, door.people, made
                ),
            )
