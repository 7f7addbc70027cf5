"""Stage: the files of a batch into their staging tables, typed, 1:1, each row with its line.

Each file streams once through COPY. Python looks at the bytes for what would break COPY
(``etl.db.records``), PostgreSQL parses and types, and what fails is set aside with its line,
column and reason. Memory is bounded by a block, whatever the file's size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from etl.batch import Batch, FeedFile
from etl.contract import Reason, Sender, Source, Type
from etl.db import encodings, records
from etl.db.keys import Keys
from etl.db.statements import equal, names, run, scalar, statement
from etl.errors import BatchError, RejectThresholdError
from etl.stages import breaches, bulk, header, landing
from etl.stages.header import Before, Header, shown

# How many reasons a message names when a file is refused.
_REASONS_SHOWN = 6
# "... at line 3 for column "dob": "x"" in the server's language: the number comes before the name.
_NOTICE = re.compile(r'(\d+)\D*?["«„“]([a-z][a-z0-9_]*)["»“”]')


@dataclass(slots=True)
class Rejected:
    """A row set aside: where, and why. The raw line is looked up when it is recorded."""

    line: int
    column: str | None
    reason: Reason


@dataclass(slots=True)
class Staged:
    """What became of one file.

    ``notes``: what a person should know of it, a sentence each. ``findings``: the same and more
    for machines, as JSON can hold it. ``contract``: the one under which it came. ``header``: the
    file's names of its columns, and ``columns`` ours. ``bad_byte``: the first for which a row was
    set aside.
    """

    file: FeedFile
    checksum: str
    status: str = "loaded"
    read: int = 0
    loaded: int = 0
    duplicate: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    latest_effective_ts: datetime | None = None
    notes: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    distinct_keys: int | None = None
    header: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)
    contract: Sender | None = None
    bad_byte: encodings.BadByte | None = None

    def counts(self) -> dict[str, int]:
        """Row counts for the ledger."""
        return {
            "rows_read": self.read,
            "rows_loaded": self.loaded,
            "rows_rejected": len(self.rejected),
            "rows_duplicate": self.duplicate,
        }


@dataclass(frozen=True, slots=True)
class _Measured:
    """What the staged rows of a load add up to."""

    rows: int
    distinct_keys: int
    totals: dict[str, Decimal]
    latest_effective_ts: datetime | None


def run_file(
    connection: psycopg.Connection[Any],
    load_id: int,
    batch: Batch,
    file: FeedFile,
    checksum: str,
    reject_share: float | None,
    on_bytes: Callable[[int], None] = lambda _: None,
    before: Mapping[str, Before] | None = None,
    corrected: Mapping[int, bytes] | None = None,
    is_rebuild: bool = False,
) -> Staged:
    """Load one file into its staging table.

    ``before``: by contract the file of the feed that came before this one. ``corrected``: records
    that take the place of those on their lines. ``is_rebuild``: nobody reads the table yet.

    Raises ``RejectThresholdError`` if more than ``reject_share`` of its rows are bad, or than its
    contract says (``None``: any may be), and
    ``BatchError`` if it cannot be read or is not what its manifest says; both carry the
    ``Staged`` so far as ``.staged`` for the record, and the caller rolls back.
    """
    staged = Staged(file, checksum)
    try:
        _run_file(
            connection,
            load_id,
            batch,
            staged,
            reject_share,
            on_bytes,
            before or {},
            corrected or {},
            is_rebuild,
        )
    except BatchError as error:
        staged.status = "refused"
        error.staged = staged
        raise
    return staged


def _run_file(
    connection: psycopg.Connection[Any],
    load_id: int,
    batch: Batch,
    staged: Staged,
    reject_share: float | None,
    on_bytes: Callable[[int], None],
    before: Mapping[str, Before],
    corrected: Mapping[int, bytes],
    is_rebuild: bool,
) -> None:
    file, checksum = staged.file, staged.checksum
    where = f"{file.path.name} of batch {batch.batch_id}"
    if file.expected.checksum and file.expected.checksum != checksum:
        raise BatchError(
            f"{where} is not the file that its manifest describes: the checksum differs.",
            "Ask the sender for the file or the manifest again; nothing was loaded.",
        )
    seen = _Seen()
    head, stream_records = header.read(batch, file, seen.through(file, on_bytes))
    contract = _under(staged, head)
    notes, staged.findings = header.drift(head, batch.as_of, before.get(contract.name))
    staged.notes += notes
    source = file.source
    if corrected:
        staged.notes.append(f"{len(corrected):,} rows taken as people corrected them")
        stream_records = records.put_in_place(stream_records, corrected)
    in_bulk = is_rebuild and bulk.is_worth(connection, source.table, file.size_bytes)
    try:
        with bulk.without_indexes(connection, source.table) if in_bulk else nullcontext():
            stream = _send(connection, load_id, staged, head, stream_records)
    except psycopg.errors.ProgramLimitExceeded as error:
        raise BatchError(
            f"{where} has a row that no table can hold: a key is too long, or its "
            f"{len(head.names):,} columns are too wide together.",
            "Ask the sender for shorter keys and for the contract's columns alone; nothing was "
            "loaded.",
        ) from error
    if not seen.ends_line and stream.is_cut():
        raise BatchError(
            f"{where} is cut short: it ends in the middle of the row on line {stream.last_line:,}.",
            "Ask the sender for the whole file again; nothing was loaded.",
        )
    if stream.trimmed:
        staged.findings["trimmed_rows"] = stream.trimmed
    _tell_bad_bytes(staged)
    # Before the rows are looked up: without statistics on this load the plan is a nested loop.
    _analyze(connection, source)
    keys_differ = stream.keys is not None and stream.keys.differ()
    _set_aside(connection, load_id, batch, contract, staged, keys_differ=keys_differ)
    staged.loaded = staged.read - len(staged.rejected) - staged.duplicate
    if reject_share is not None:
        share = reject_share if contract.reject_share is None else contract.reject_share
        _check_threshold(batch, staged, share)
    volume = contract.expected_volume
    said = breaches.of_volume(volume, staged.read, where)
    if volume is not None and said is not None:
        staged.notes.append(said)
        staged.findings["rows_expected"] = [volume.low, volume.high]
    check_expected(batch, staged)
    if not file.unchanged():
        raise BatchError(
            f"{where} changed while it was being read.",
            "Let the sender finish writing, then run again; nothing was loaded.",
        )
    index = sql.Literal(f"{source.table}_load_id_idx")
    run(connection, "stage/stage.summarize", index=index)


def _under(staged: Staged, head: Header) -> Sender:
    """Note under which contract a file comes, and its columns."""
    staged.contract = head.contract
    staged.header, staged.columns = list(head.names), head.columns
    return head.contract


def _send(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    head: Header,
    stream_records: Iterator[tuple[int, list[bytes]]],
) -> records.Stream:
    """Stream records into staging; those that cannot be taken are set aside."""
    source = staged.file.source
    stream = records.Stream(
        fields=len(head.names),
        prefix=b"%d," % load_id,
        dates=frozenset(
            at
            for at, name in enumerate(head.targets)
            if name and source.column(name).type in (Type.DATE, Type.KEY_DATE, Type.TIMESTAMP)
        ),
        keys=_keys(head),
    )
    _copy(connection, stream, stream_records, head, staged)
    staged.read = stream.read
    staged.rejected += [Rejected(line, None, reason) for line, reason in stream.rejects]
    return stream


def _keys(head: Header) -> Keys | None:
    """What tells repeated keys, where a key is one field whose bytes are its value."""
    source = head.contract.source
    if len(source.key) > 1 or landing.plan(head).is_needed:
        return None
    [key] = source.key
    return Keys(head.targets.index(key)) if source.column(key).type is Type.KEY else None


def add_rows(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    head: Header,
    rows: Mapping[int, bytes],
) -> None:
    """Stage records as rows of a file that is loaded, on the lines that they stand for."""
    _under(staged, head)
    in_order = ((line, [record]) for line, record in sorted(rows.items()))
    _send(connection, load_id, staged, head, in_order)


def settle(
    connection: psycopg.Connection[Any],
    load_id: int,
    batch: Batch,
    contract: Sender,
    staged: Staged,
) -> None:
    """Set aside what cannot stand among the rows of a file, and measure what stays."""
    _set_aside(connection, load_id, batch, contract, staged)
    index = sql.Literal(f"{contract.source.table}_load_id_idx")
    run(connection, "stage/stage.summarize", index=index)


def repeat_file(
    connection: psycopg.Connection[Any], source: Source, load_id: int, as_of: datetime, same_as: int
) -> None:
    """Load a file that was skipped after all, from the rows of the load that it is the same as."""
    values = {"load_id": load_id, "same_as": same_as, "feed": source.name, "as_of": as_of}
    run(
        connection,
        "stage/stage.repeat_rows",
        values,
        table=sql.Identifier(source.table),
        columns=names(c.name for c in source.staged),
    )
    run(connection, "stage/stage.repeat_rejects", values)
    _analyze(connection, source)
    measured = _measure(connection, source, values, keys_differ=True)
    latest = {"latest_effective_ts": measured.latest_effective_ts}
    run(connection, "stage/stage.repeat_file", {**values, **latest})


def record_rejects(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    corrected: Mapping[int, bytes] | None = None,
) -> None:
    """Write the rows set aside to quarantine, each with its raw line read from the file again.

    A row that was corrected, and is bad again, is kept as it was corrected.
    """
    if not staged.rejected:
        return
    encoding = staged.contract.parsing.encoding if staged.contract else encodings.UTF8
    raw = raw_lines(staged.file, {r.line for r in staged.rejected}, encoding)
    raw |= {line: as_text(record) for line, record in (corrected or {}).items()}
    write_rejects(connection, load_id, staged, raw)


def write_rejects(
    connection: psycopg.Connection[Any], load_id: int, staged: Staged, raw: Mapping[int, str]
) -> None:
    """Write rows set aside to quarantine, with their text by line where there is any."""
    with connection.cursor() as cursor:
        cursor.executemany(
            statement("stage/stage.reject"),
            [
                {
                    "load_id": load_id,
                    "feed": staged.file.source.name,
                    "file": staged.file.path.name,
                    "line": r.line,
                    "column_name": r.column,
                    "reason": r.reason.text,
                    "raw_line": raw.get(r.line),
                }
                for r in sorted(staged.rejected, key=lambda r: (r.line, r.column or ""))
            ],
        )


def raw_lines(file: FeedFile, wanted: set[int], encoding: str) -> dict[int, str]:
    """The records of a file that begin on the lines wanted, undecodable bytes escaped."""
    found: dict[int, str] = {}
    text = encodings.transcoded(file.blocks(), encoding)
    _, blocks = records.header_and_records(text)
    for first, block in blocks:
        line = first
        for record in block:
            if line in wanted:
                found[line] = as_text(record.removesuffix(b"\r"))
            line += record.count(b"\n") + 1
        if len(found) == len(wanted):
            break
    return found


def as_text(record: bytes) -> str:
    """A record as text that can be stored: undecodable bytes escaped, and NUL, which cannot be."""
    return record.decode("utf-8", errors="backslashreplace").replace("\0", "\\x00")


def _analyze(connection: psycopg.Connection[Any], source: Source) -> None:
    """Refresh the planner's statistics of the columns by which staged rows are looked up."""
    run(connection, "stage/stage.sample")
    run(
        connection,
        "stage/stage.analyze",
        table=sql.Identifier(source.table),
        columns=names(["load_id", *source.key, *filter(None, [source.effective])]),
    )


class _Seen:
    """What a file's bytes were as they went past; ``ends_line``: whether the last is a line's."""

    ends_line = False

    def through(self, file: FeedFile, on_bytes: Callable[[int], None]) -> Iterator[bytes]:
        for block in file.blocks():
            on_bytes(len(block))
            self.ends_line = block.rstrip(b"\0").endswith((b"\n", b"\r"))
            yield block


def _copy(
    connection: psycopg.Connection[Any],
    stream: records.Stream,
    stream_records: Iterator[tuple[int, list[bytes]]],
    head: Header,
    staged: Staged,
) -> None:
    source = staged.file.source
    plan = landing.plan(head)
    if plan.is_needed:
        landing.create(connection, head, plan)
    into = sql.Identifier("landing" if plan.is_needed else source.table)
    skipped: list[tuple[int, str | None]] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        found = _NOTICE.search(diagnostic.message_primary or "")
        if found:
            skipped.append((int(found.group(1)), found.group(2)))

    connection.add_notice_handler(note)
    try:
        with connection.cursor().copy(
            statement("stage/stage.copy_in", table=into, columns=names(plan.fields))
        ) as copy:
            for piece in stream.send(stream_records):
                copy.write(piece)
    finally:
        connection.remove_notice_handler(note)
    for sent_line, column in skipped:
        staged.rejected.append(_mistyped(source, stream.line_of(sent_line), column))
    if plan.is_needed:
        for line, column in landing.move(connection, head, plan):
            staged.rejected.append(Rejected(line, column, source.column(column).type.refusal))


def _mistyped(source: Source, line: int, column: str | None) -> Rejected:
    declared = {c.name: c for c in source.staged}.get(column or "")
    # A column that only the file knows is text: no bytes but these can be refused in it.
    return Rejected(line, column, declared.type.refusal if declared else Reason.NOT_UTF8)


def _set_aside(
    connection: psycopg.Connection[Any],
    load_id: int,
    batch: Batch,
    contract: Sender,
    staged: Staged,
    *,
    keys_differ: bool = False,
) -> None:
    """Take rows that are typed but cannot stand out of staging, and measure what stays.

    ``keys_differ``: it is known that each row has a key of its own.
    """
    source = contract.source
    table = sql.Identifier(source.table)
    values = {"load_id": load_id, "as_of": batch.as_of}
    where = f"{staged.file.path.name} of batch {batch.batch_id}"
    staged.rejected += [
        Rejected(line, column, Reason.BREACH)
        for line, column in breaches.set_aside(connection, load_id, contract, staged.columns, where)
    ]
    for first, second in source.ordered:
        lines = run(
            connection,
            "stage/stage.set_aside_unordered",
            values,
            table=table,
            first=sql.Identifier(first),
            second=sql.Identifier(second),
        )
        staged.rejected += [Rejected(line, second, Reason.OUT_OF_ORDER) for (line,) in lines]
    measured = _measure(connection, source, values, keys_differ=keys_differ)
    losers = []
    if measured.distinct_keys < measured.rows:
        columns = [c.name for c in source.staged]
        losers = run(
            connection,
            "stage/stage.set_aside_repeated",
            values,
            table=table,
            row_columns=names(columns, "t"),
            key_list=names(source.key),
            row_key=names(source.key, "t"),
            same_key=equal(source.key, "t", "r"),
            effective=_effective(source, None),
            effective_of_row=_effective(source, "t"),
        ).fetchall()
    kept = _measure(connection, source, values) if losers else measured
    staged.duplicate = sum(is_equal for _, is_equal in losers)
    staged.rejected += [
        Rejected(line, source.key[0], Reason.CONFLICT) for line, is_equal in losers if not is_equal
    ]
    staged.latest_effective_ts = kept.latest_effective_ts
    staged.distinct_keys = kept.distinct_keys
    for column in source.money:
        staged.totals[column] = {
            "in_file": str(measured.totals[column]),
            "loaded": str(kept.totals[column]),
        }
        if column in staged.file.expected.totals:
            staged.totals[column]["expected"] = str(staged.file.expected.totals[column])


def _tell_bad_bytes(staged: Staged) -> None:
    """Say where the first byte is for which rows were set aside, and what it looks like."""
    lines = [r.line for r in staged.rejected if r.reason is Reason.NOT_UTF8]
    if not lines or staged.contract is None:
        return
    encoding = staged.contract.parsing.encoding
    if encoding != encodings.UTF8:
        staged.notes.append(f"line {min(lines):,} is the first with bytes that are not {encoding}")
        return
    staged.bad_byte = bad = encodings.first_bad_byte(staged.file.blocks())
    if bad is not None:
        staged.findings |= {"first_bad_byte": bad.offset, "encoding": bad.likely}
        staged.notes.append(str(bad))


def _effective(source: Source, prefix: str | None) -> sql.Composable:
    as_of = sql.SQL("%(as_of)s::timestamptz at time zone 'UTC'")
    if source.effective is None:
        return as_of
    column = sql.Identifier(*filter(None, [prefix, source.effective]))
    return sql.SQL("coalesce({} at time zone 'UTC', {})").format(column, as_of)


def _measure(
    connection: psycopg.Connection[Any],
    source: Source,
    values: dict[str, Any],
    *,
    keys_differ: bool = False,
) -> _Measured:
    table = sql.Identifier(source.table)
    parts = [
        sql.SQL("{}, coalesce(sum({}), 0)::text").format(sql.Literal(m), sql.Identifier(m))
        for m in source.money
    ]
    row = run(
        connection,
        "stage/stage.measure",
        values,
        table=table,
        totals=sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(parts)),
        effective=_effective(source, None),
    ).fetchone()
    assert row is not None  # an aggregate always gives a row
    rows, totals, latest = row
    amounts = {column: Decimal(said) for column, said in totals.items()}
    keys = rows
    if not keys_differ:
        keys = scalar(
            connection,
            "stage/stage.count_keys",
            values,
            table=table,
            key_list=names(source.key),
        )
    return _Measured(rows, keys, amounts, latest)


def _check_threshold(batch: Batch, staged: Staged, reject_share: float) -> None:
    bad = len(staged.rejected)
    if bad == 0 or bad <= reject_share * staged.read:
        return
    reasons = Counter(
        r.reason.text + (f" in {r.column}" if r.column else "") for r in staged.rejected
    ).most_common()
    said = [f"{n:,} x {reason}" for reason, n in reasons[:_REASONS_SHOWN]]
    if rest := sum(n for _, n in reasons[_REASONS_SHOWN:]):
        said.append(f"{rest:,} for other reasons")
    raise RejectThresholdError(
        f"{staged.file.path.name} of batch {batch.batch_id} was refused: {bad:,} of "
        f"{staged.read:,} rows are bad ({bad / staged.read:.1%}, limit {reject_share:.1%}); "
        + "; ".join(said)
        + "."
        + (f" As for encoding, {staged.bad_byte}." if staged.bad_byte else ""),
        "make quarantine lists the rows, and make quarantine-export writes them to correct; or "
        "mend the file, or raise REJECT_SHARE.",
    )


def check_expected(batch: Batch, staged: Staged) -> None:
    """Hold a file against what its manifest says of it; ``BatchError`` if they differ."""
    said = staged.file.expected
    where = f"{staged.file.path.name} of batch {batch.batch_id}"
    hint = "Ask the sender for the file or the manifest again; nothing was loaded."
    if said.rows is not None and said.rows != staged.read:
        raise BatchError(
            f"{where} holds {staged.read:,} rows where its manifest says {said.rows:,}.", hint
        )
    # Amounts on rows that were set aside cannot be summed, so totals compare only without them.
    if said.totals and any(r.reason is not Reason.CONFLICT for r in staged.rejected):
        staged.notes.append("manifest totals not compared: rows were set aside")
        return
    for column, amount in said.totals.items():
        found = staged.totals.get(column)
        if found is None:
            staged.notes.append("the manifest totals a column that is no amount: " + shown(column))
        elif Decimal(found["in_file"]) != amount:
            raise BatchError(
                f"{where}: {column} adds up to {found['in_file']} where its manifest says "
                f"{amount}.",
                hint,
            )


def ledger_values(load_id: int, staged: Staged) -> dict[str, Any]:
    """The file's row in ``ledger.load_file``."""
    return {
        "load_id": load_id,
        "feed": staged.file.source.name,
        "file_name": staged.file.path.name,
        "kind": staged.file.expected.kind,
        "status": staged.status,
        "size_bytes": staged.file.size_bytes,
        "modified_ns": staged.file.modified_ns,
        "xxh3_128": staged.checksum,
        **staged.counts(),
        "totals": Jsonb(staged.totals),
        "latest_effective_ts": staged.latest_effective_ts,
        "note": "; ".join(staged.notes) or None,
        "columns": staged.columns,
        "distinct_keys": staged.distinct_keys,
        "header": staged.header,
        "contract": staged.contract.name if staged.contract else None,
        "findings": Jsonb(staged.findings),
    }
