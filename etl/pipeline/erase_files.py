"""Files under ``DATA_DIR`` that name members: those who were erased become tokens there as well.

Only the list of tokens is needed, so that the next run does what a killed one left.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from etl.access.erasure import Door
from etl.access.erasure_lines import erased_values, identifiers_of
from etl.access.roles import named
from etl.contracts.column import Identifier
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.senders import contracts_of
from etl.inbox import header
from etl.inbox.header import Header
from etl.quarantine.correction_csv import OWN
from etl.server.home import write_private
from etl.stages.stage import raw_values

# What may be the number of a member on a page.
_WORD = re.compile(r"[^\s<>\"'`&,;:|=(){}\[\]\\/]+")


def erase(connection: psycopg.Connection[Any], data: Path, door: Door) -> Iterator[Path]:
    """Erase in exports of the quarantine and in pages on quality; the files that changed."""
    for path in sorted((data / "quarantine").rglob("*.csv")):
        yield from _replace(path, _erased_export(connection, path, door))
    for path in sorted((data / "quality").rglob("*.*")):
        if path.suffix in (".html", ".json"):
            yield from _replace(path, _erased_page(path, door))


def remove_exports(exports: Path) -> Iterator[Path]:
    """Remove the exports that say who a person is, to be made again; their folders.

    Nothing writes a row of Parquet, Excel or DuckDB again in its place.
    """
    for manifest in sorted(exports.glob("*/manifest.json")):
        role = named(json.loads(manifest.read_text(encoding="utf-8"))["role"])
        if role is None or role.is_identified:
            shutil.rmtree(manifest.parent)
            yield manifest.parent


def _replace(path: Path, text: str | None) -> Iterator[Path]:
    if text is not None:
        write_private(path, text)
        yield path


def _erased_page(path: Path, door: Door) -> str | None:
    text = path.read_text(encoding="utf-8")
    found = {word: token for word in set(_WORD.findall(text)) if (token := door.token_of(word))}
    if not found:
        return None
    return _WORD.sub(lambda word: found.get(word[0], word[0]), text)


def _erased_export(connection: psycopg.Connection[Any], path: Path, door: Door) -> str | None:
    """An export with the rows of members who were erased erased; ``None`` if it has none."""
    feed = FEEDS.get(re.split(r"[-.]", path.name)[0])
    with path.open(encoding="utf-8-sig", newline="") as file:
        separator = max(",;\t", key=file.readline().count)
        file.seek(0)
        rows = list(csv.reader(file, delimiter=separator))
    if feed is None or not rows or door.tokens is None:
        return None
    head, identifiers = _identifiers(feed, [name.strip().lower() for name in rows[0]])
    records = [_record_of(row, rows[0], head) for row in rows[1:]]
    numbers = raw_values.made_numbers(connection, head, records)
    is_changed = False
    for n, row in enumerate(rows[1:], start=1):
        erased = _erased_row(row, identifiers, door, numbers[n - 1])
        if erased is not None:
            rows[n], is_changed = erased, True
    if not is_changed:
        return None
    written = io.StringIO()
    written.write("\ufeff")
    csv.writer(written, delimiter=separator).writerows(rows)
    return written.getvalue()


def _record_of(row: list[str], names: list[str], head: Header) -> str:
    """A row of an export as its file had it."""
    given = {name.strip().lower(): value for name, value in zip(names, row, strict=False)}
    written = io.StringIO()
    values = [given.get(name, "") for name in head.names]
    csv.writer(written, lineterminator="").writerow(values)
    return written.getvalue()


def _erased_row(
    row: list[str], identifiers: list[Identifier], door: Door, made: list[str]
) -> list[str] | None:
    """A row of an export without a member who was erased; ``None`` if it is of nobody erased."""
    assert door.tokens is not None  # somebody was erased
    own = len(OWN)
    broken = any(row[len(identifiers) :]) or len(row) < len(identifiers)
    if not broken:
        return erased_values(row, identifiers, door.tokens, door.token_of, door.people, made)
    tokens = [token for value in row[own:] if (token := door.token_of(value.strip()))]
    # Which of its values is a name, nobody can say.
    return [*row[:own], tokens[0], *[""] * (len(row) - own - 1)] if tokens else None


def _identifiers(feed: Feed, names: list[str]) -> tuple[Header, list[Identifier]]:
    """Which identifier each column of an export is, by the contract that knows the most of them.

    Without the spare columns of rows with too many fields, which come last.
    """
    of_file = [name for name in names if name not in OWN and not name.startswith("_field_")]
    heads = [header.of_names(feed, c.name, of_file) for c in contracts_of(feed)]
    best = max(heads, key=lambda head: len(head.names) - len(head.extra))
    kinds = dict(zip(of_file, identifiers_of(best), strict=True))
    of_names = (name for name in names if not name.startswith("_field_"))
    return best, [kinds.get(name, Identifier.NONE) for name in of_names]
