"""Rejects: rejected rows go to quarantine with their text, and their amounts are added up.

Both are read from the file once more, so that what is said of a rejected row is what the file
says, whoever rejected it: the reader, the server's types, or a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import psycopg

from etl.contracts.feed import Feed
from etl.contracts.sender import Parsing, SenderContract
from etl.db.statements import statement
from etl.inbox import csv_records, header, value_forms
from etl.inbox.amounts import Amounts, MoneyField, Reader
from etl.inbox.batch import FeedFile
from etl.inbox.copy_stream import NO_ROWS, fault_of, values_despite
from etl.inbox.header import Header
from etl.render import parsing
from etl.stages.stage import erased, parts, raw_values, rejected_keys
from etl.stages.stage.staged import Rejected, Staged

# So much text is kept in memory between the look at rejected rows and their record.
_MOST_TEXT = 16 << 20
# So many entries are written at a time.
_AT_ONCE = 5_000
_SIGNS_AT_ONCE = 8 << 20


def look_up(
    connection: psycopg.Connection[Any],
    staged: Staged,
    head: Header,
    corrected: Mapping[int, bytes],
) -> None:
    """Add up the amounts of the rejected rows, and keep their texts as far as memory allows."""
    sums = Amounts(money_fields(head))
    no_rows = {r.line for r in staged.rejected if r.reason in NO_ROWS}

    def noted() -> Iterator[bytes]:
        size = 0
        for line, record in _rejected_records(staged, corrected):
            size += len(record)
            if size <= _MOST_TEXT:
                staged.texts[line] = as_text(record)
            if line not in no_rows:
                yield record

    add_amounts(connection, sums, noted(), head)
    staged.rejected_amounts = sums


def add_amounts(
    connection: psycopg.Connection[Any],
    sums: Amounts,
    records: Iterable[bytes | None],
    head: Header,
) -> None:
    """Add the amounts of rejected records, of fields and those that the contract makes."""
    money = head.contract.feed.money
    made = [c for c in money if c in head.columns and c not in sums.fields]
    for some in _at_once(records):
        for record in some:
            sums.add(None if record is None else values_of(record, head))
        if made:
            for amounts in raw_values.amounts_of(connection, head, made, map(_whole(head), some)):
                for column, cents in zip(made, amounts, strict=True):
                    sums.cents[column] += cents or 0
                    sums.unread[column] += cents is None


def _whole(head: Header) -> Callable[[bytes | None], str | None]:
    """What gives the text of a record, nothing where its fields cannot be distinguished."""

    def text(record: bytes | None) -> str | None:
        if record is None or fault_of(record, len(head.names)) is not None:
            return None
        return record.decode()

    return text


def _at_once(records: Iterable[bytes | None]) -> Iterator[list[bytes | None]]:
    """Records in lists that memory has room for."""
    some: list[bytes | None] = []
    size = 0
    for record in records:
        some.append(record)
        size += len(record or b"")
        if len(some) >= _AT_ONCE or size >= _SIGNS_AT_ONCE:
            yield some
            some, size = [], 0
    yield some


def money_fields(head: Header) -> dict[str, MoneyField]:
    """The positions of a file's amounts, and the form in which its sender writes them."""
    contract = head.contract
    return {
        column: MoneyField(tuple(positions), _reader(contract.feed, column, contract.parsing))
        for column in contract.feed.money
        if (positions := head.fields(column))
    }


def _reader(feed: Feed, column: str, written: Parsing) -> Reader:
    declared = feed.column(column)
    if parsing.is_plain(declared, written):
        return value_forms.cents
    return parsing.cents_reader(declared, written)


def values_of(record: bytes, head: Header) -> list[bytes] | None:
    """The values of a record of the file; ``None`` where its fields cannot be distinguished."""
    fields = len(head.names)
    if fault := fault_of(record, fields):
        return values_despite(record, fields, fault)
    return csv_records.values_of(csv_records.trimmed(record))


def record_rejects(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    corrected: Mapping[int, bytes],
) -> None:
    """Write the rejected rows to quarantine, each with its text.

    A row that was corrected, and is bad again, is kept as it was corrected.
    """
    if not staged.rejected:
        return
    if len(staged.texts) == len({r.line for r in staged.rejected}):
        texts: Iterable[tuple[int, str]] = sorted(staged.texts.items())
    else:
        texts = ((n, as_text(record)) for n, record in _rejected_records(staged, corrected))
    write_rejects(connection, load_id, staged, texts)


def write_rejects(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    texts: Iterable[tuple[int, str]],
) -> None:
    """Write rejected rows to quarantine; ``texts``: of each line, in order, where there is any."""
    rows = sorted(staged.rejected, key=lambda r: (r.line, r.column or ""))
    head = _header(staged)
    feed, door = staged.file.feed, staged.door
    in_order = iter(erased.erased_texts(connection, feed, head, door, texts))
    line, text = next(in_order, (0, None))
    entries: list[dict[str, Any]] = []
    signs = 0
    records: list[str] = []
    names_keys = staged.file.expected.kind == "snapshot" and staged.contract is not None
    with connection.cursor() as cursor:
        for wanted, of_line in groupby(rows, key=lambda r: r.line):
            while 0 < line < wanted:
                line, text = next(in_order, (0, None))
            raw = text if line == wanted else None
            found = list(of_line)
            entries += [_entry(load_id, staged, rejected, raw) for rejected in found]
            signs += len(raw or "") * len(found)
            if names_keys and not any(rejected.reason in NO_ROWS for rejected in found):
                records.append(raw or "")
            if len(entries) >= _AT_ONCE or signs >= _SIGNS_AT_ONCE:
                cursor.executemany(statement("stage/stage.reject"), entries)
                entries.clear()
                _name_keys(connection, load_id, staged, records)
                signs = 0
        cursor.executemany(statement("stage/stage.reject"), entries)
        _name_keys(connection, load_id, staged, records)


def _name_keys(
    connection: psycopg.Connection[Any], load_id: int, staged: Staged, records: list[str]
) -> None:
    """Write down which keys rejected rows of a snapshot name; ``records`` is empty after that."""
    head = _header(staged)
    if records and head is not None:
        staged.nameless += rejected_keys.record_keys(connection, load_id, head, records)
        records.clear()


def _header(staged: Staged) -> Header | None:
    """The header of a file, if its contract is known."""
    if staged.contract is None:
        return None
    return header.of_names(staged.file.feed, staged.contract.name, staged.header, staged.findings)


def _entry(load_id: int, staged: Staged, rejected: Rejected, text: str | None) -> dict[str, Any]:
    return {
        "load_id": load_id,
        "feed": staged.file.feed.name,
        "file": staged.file_of(rejected.line),
        "line": rejected.line,
        "column_name": rejected.column,
        "reason": rejected.reason.text,
        "raw_line": text,
    }


def _rejected_records(
    staged: Staged, corrected: Mapping[int, bytes]
) -> Iterator[tuple[int, bytes]]:
    """The rejected records in the order of the file, read again."""
    wanted = {r.line for r in staged.rejected}
    # Without a contract its rows were never read.
    if wanted and staged.contract is not None:
        for line, record in records_on(staged.file, wanted, staged.contract):
            yield line, corrected.get(line, record)


def records_on(
    file: FeedFile, wanted: set[int], contract: SenderContract
) -> Iterator[tuple[int, bytes]]:
    """The records on some lines of a file, read again, in its order."""
    left = len(wanted)
    for first, block in parts.read_again(file, contract):
        line = first
        for record in block:
            if line in wanted:
                yield line, record.removesuffix(b"\r")
                left -= 1
            line += record.count(b"\n") + 1
        if not left:
            break


def as_text(record: bytes) -> str:
    """A record as text that can be stored: undecodable bytes escaped, and NUL, which cannot be."""
    return record.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")
