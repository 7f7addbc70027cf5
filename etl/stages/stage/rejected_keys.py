"""Keys that rejected rows name: a snapshot that names a key does not end it, readable or not.

Only keys are read here, from rows that are in quarantine. Of a row with other than its header's
number of fields nothing says which value is which, so that a text counts as a key in the first
field alone, and a plan year or a number in any field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import Any

import psycopg

from etl.contracts.types import NULL_WORDS, Type
from etl.db.statements import statement
from etl.inbox import csv_records
from etl.inbox.copy_stream import fault_of
from etl.inbox.header import Header
from etl.stages.stage import raw_values

# A key of staging: visible ASCII with blanks inside, no longer than the type lets it be.
_KEY = re.compile(r"[!-~](?:[ -~]{0,62}[!-~])?")
_DIGITS = {
    Type.KEY_YEAR: re.compile(r"[12][0-9]{3}"),
    Type.KEY_NUMBER: re.compile(r"(?=[0-9]{1,6}$)0*[1-9][0-9]*"),
}
_NO_KEYS = frozenset(word.lower() for word in NULL_WORDS)


def keys_of(record: str, head: Header) -> set[tuple[str, ...]]:
    """The keys that a rejected record may be of; none where none can be read."""
    raw = record.encode()
    feed = head.contract.feed
    is_whole = fault_of(raw, len(head.names)) is None
    if is_whole:
        values = [v.decode() for v in csv_records.values_of(csv_records.trimmed(raw))]
    else:
        values = [value.strip(' \t\r"') for value in record.split(",")]
    parts = []
    for key in feed.key:
        digits = _DIGITS.get(feed.column(key).type)
        places: Iterable[int] = head.fields(key)[:1]
        if not is_whole:
            places = range(len(values)) if digits else [at for at in places if at == 0]
        form = digits or _KEY
        found = {values[at] for at in places if form.fullmatch(values[at])}
        # Staging has the number, however many zeros are before it.
        parts.append({str(int(value)) for value in found} if digits else found)
    return _known(product(*parts))


def _known(keys: Iterable[tuple[str, ...]]) -> set[tuple[str, ...]]:
    """Keys without words for a missing value in them."""
    return {key for key in keys if not _NO_KEYS & {part.lower() for part in key}}


def record_keys(
    connection: psycopg.Connection[Any], load_id: int, head: Header, records: Iterable[str]
) -> int:
    """Write down the keys that rejected records of a snapshot name; how many name none."""
    texts = list(records)
    found = [keys_of(record, head) for record in texts]
    if any(not head.fields(key) for key in head.contract.feed.key):
        made = raw_values.values_of(connection, head, head.contract.feed.key, texts)
        found = [_known(product(*parts)) for parts in made]
    feed = head.contract.feed.name
    entries = [
        {"load_id": load_id, "feed": feed, "key": list(key)} for key in sorted(set().union(*found))
    ]
    with connection.cursor() as cursor:
        cursor.executemany(statement("stage/snapshot.name_key"), entries)
    return sum(not keys for keys in found)
