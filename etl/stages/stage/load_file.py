"""Stage: the files of a batch into their staging tables, typed, 1:1, each row with its line.

Each file streams once through COPY. Python looks at the bytes for what would break COPY
(``etl.inbox.csv_records``), PostgreSQL parses and types, and what fails is rejected with its line,
column and reason. Memory is bounded by a block and 32 MB of hashes, whatever the file's size.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from etl.access.erasure import Door
from etl.contracts.feed import Feed
from etl.contracts.reasons import Reason
from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.contracts.types import Type
from etl.db.connection import set_config
from etl.db.copy_writer import ListeningWriter
from etl.db.statements import names, run, statement
from etl.errors import BatchError
from etl.inbox import header, value_forms, values_of_file
from etl.inbox.amounts import Amounts, MoneyField
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.copy_stream import LINE_END, Fields, Stream
from etl.inbox.distinct_keys import keys_of
from etl.inbox.file_form import Commas
from etl.inbox.header import Header, PreviousFile
from etl.render.values import refusal
from etl.stages.stage import (
    erased,
    landing,
    load_ranges,
    parts,
    rejects,
    skipped_rows,
    unchanged_rows,
    validate,
)
from etl.stages.stage.load_ranges import Into
from etl.stages.stage.skipped_rows import Skipped
from etl.stages.stage.staged import FIRST_LINE, Rejected, Staged

# What an empty value in quotes says, as an option of COPY.
_EMPTY_QUOTES = {"nothing": "force_null *", "text": "null ''"}


def run_file(
    connection: psycopg.Connection[Any],
    load_id: int,
    batch: Batch,
    file: FeedFile,
    checksum: str,
    reject_share: float | None,
    on_bytes: Callable[[int], None] = lambda _: None,
    before: Mapping[str, PreviousFile] | None = None,
    corrected: Mapping[int, bytes] | None = None,
    is_rebuild: bool = False,
    door: Door | None = None,
) -> Staged:
    """Load one file into its staging table.

    ``before``: by contract the file of the feed that came before this one. ``corrected``: records
    that replace those on their lines. ``is_rebuild``: nobody reads the table yet. ``door``: who was
    erased.

    Raises ``RejectThresholdError`` if more than ``reject_share`` of its rows are bad, or than its
    contract says (``None``: any may be), and
    ``BatchError`` if it cannot be read or is not what its manifest says; both carry the
    ``Staged`` so far as ``.staged`` for the record, and the caller rolls back.
    """
    staged = Staged(file, checksum, load_id=load_id, door=door or Door())
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
    before: Mapping[str, PreviousFile],
    corrected: Mapping[int, bytes],
    is_rebuild: bool,
) -> None:
    file = staged.file
    where = f"{file.name} of batch {batch.batch_id}"
    parts.check_checksums(batch, staged)
    reading = parts.Reading(batch, staged, on_bytes, corrected)
    head = reading.head
    contract = _under(staged, head)
    _check_parts(staged, contract, where)
    notes, staged.findings = header.drift(head, batch.as_of, before.get(contract.name))
    if head.of_file:
        staged.findings[header.OF_FILE] = values_of_file.as_findings(head.of_file)
    staged.notes += notes
    feed = file.feed
    if corrected:
        staged.notes.append(f"{len(corrected):,} rows taken as people corrected them")
    try:
        with load_ranges.opened(
            connection, feed, load_id, file.size_bytes, is_rebuild=is_rebuild
        ) as into:
            stream = _send(connection, load_id, staged, head, reading.records(), into, reading)
    except psycopg.errors.ProgramLimitExceeded as error:
        raise BatchError(
            Refusal.TOO_LARGE,
            f"{where} has a row that does not fit into a table: a key is too long, or its "
            f"{len(head.names):,} columns are too wide together.",
            "Ask the sender for shorter keys and for the contract's columns alone; nothing was "
            "loaded.",
        ) from error
    except psycopg.errors.InvalidRegularExpression as error:
        raise BatchError(
            Refusal.CONTRACT_BROKEN,
            f"{where} cannot be read: its contract {contract.name} has a pattern that PostgreSQL "
            f"does not know ({error.diag.message_primary}).",
            "Correct the pattern in etl/contracts/senders, then run again; nothing was loaded.",
        ) from error
    if stream.trimmed:
        staged.findings["trimmed_rows"] = stream.trimmed
    if reading.lines_around:
        staged.findings["lines_around_rows"] = reading.lines_around
    _account_for(staged, reading, stream)
    validate.report_bad_bytes(staged)
    # Before the rows are looked up: without statistics on this load the plan is a nested loop.
    _analyze(connection, feed, load_id)
    any_erased = erased.erase_rows(connection, feed, load_id, staged.door) > 0
    keys_differ = (
        not any_erased
        and not stream.deferred.rows
        and stream.keys is not None
        and stream.keys.differ()
    )
    validate.set_aside(
        connection,
        load_id,
        batch,
        contract,
        staged,
        keys_differ=keys_differ,
        is_printable=stream.is_printable,
    )
    rejects.look_up(connection, staged, head, corrected)
    validate.add_up(staged, _amounts_of_bytes(stream))
    validate.judge(batch, contract, staged, reject_share)
    if keys_differ and stream.fingerprints is not None:
        unchanged_rows.record(connection, load_id, staged, head, stream.fingerprints)
    parts.count(connection, load_id, batch, staged)
    if not file.unchanged():
        raise BatchError(
            Refusal.CHANGED_FILE,
            f"{where} changed while it was being read.",
            "Let the sender finish writing, then run again; nothing was loaded.",
        )
    _summarize(connection, feed, load_id)


def _check_parts(staged: Staged, contract: SenderContract, where: str) -> None:
    """Refuse parts whose lines give several rows: of which part a row is counted is not known."""
    if contract.repeat is not None and staged.file.parts:
        raise BatchError(
            Refusal.CONTRACT_BROKEN,
            f"{where} comes in {len(staged.file.parts):,} parts, and under its contract "
            f"{contract.name} a row of the file gives several.",
            "Send the parts in batches of their own, or as one file; nothing was loaded.",
        )


def _under(staged: Staged, head: Header) -> SenderContract:
    """Note under which contract a file comes, and its columns."""
    staged.contract = head.contract
    staged.header, staged.columns = head.names_to_keep, head.columns
    return head.contract


def _send(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    head: Header,
    stream_records: Iterator[tuple[int, list[bytes]]],
    into: Into,
    reading: parts.Reading | None = None,
) -> Stream:
    """Stream records into staging; those that cannot be taken are rejected.

    ``reading``: where they come from, if that is a file.
    """
    plan = landing.plan(head)
    feed = head.contract.feed
    keys = None if plan.is_needed else keys_of(feed, plan.fields, plan.direct)
    commas = reading.commas() if reading is not None and plan.direct is not None else None
    stream = Stream(
        _fields(head, plan, commas, is_computed=reading is not None and staged.file.is_workbook),
        b"%d," % load_id,
        keys,
        staged.file.name,
        unchanged_rows.fingerprints_of(staged) if keys else None,
    )
    if reading is not None:
        reading.stream = stream
    _copy(connection, stream, stream_records, head, plan, staged, into)
    staged.read = stream.read
    staged.rejected += [
        Rejected(line, None if at is None else head.targets[at], reason)
        for line, reason, at in stream.rejects
    ]
    return stream


def _fields(
    head: Header,
    plan: landing.Landing,
    commas: Commas | None = None,
    *,
    is_computed: bool = False,
) -> Fields:
    """What is known of the file's fields: the stream judges those that COPY is to type.

    ``is_computed``: their values may be errors of formulas.
    """
    feed = head.contract.feed
    forms_of = {}
    for at, (name, target) in enumerate(zip(plan.fields, head.targets, strict=True)):
        is_judged = name == target and plan.direct is None
        form = value_forms.form_of(feed.column(name).type) if is_judged else None
        if form is not None:
            forms_of[at] = form
    return Fields(
        head.names,
        head.key_fields,
        forms_of,
        {
            column: MoneyField((at,), value_forms.cents)
            for column in feed.money
            for at in head.fields(column)
            if at in forms_of
        },
        tuple(at for at, form in forms_of.items() if form.type is Type.KEY_DATE),
        head.marker_field,
        head.required_fields,
        feed.name,
        tuple(head.contract.targets),
        tuple(at for at in range(len(head.names)) if is_computed and head.columns_at(at)),
        tuple(word.lower() for word in head.contract.parsing.null_words),
        plan.direct,
        commas,
    )


def _amounts_of_bytes(stream: Stream) -> Amounts:
    """What the bytes alone say of the amounts, those of which they say it of all rows."""
    if stream.fields.direct is None:
        return stream.amounts
    if stream.deferred.rows or stream.rejects:
        return Amounts({})
    fields = {c: MoneyField((), value_forms.cents) for c in stream.amounts.cents}
    return Amounts(fields, stream.amounts.cents)


def add_rows(
    connection: psycopg.Connection[Any],
    load_id: int,
    staged: Staged,
    head: Header,
    rows: Mapping[int, bytes],
) -> None:
    """Stage records as rows of a file that is loaded, on the lines that they correct."""
    _under(staged, head)
    in_order = ((line, [record]) for line, record in sorted(rows.items()))
    _send(connection, load_id, staged, head, in_order, Into(staged.file.feed.table))


def settle(
    connection: psycopg.Connection[Any],
    load_id: int,
    batch: Batch,
    contract: SenderContract,
    staged: Staged,
) -> None:
    """Reject rows of a file that are invalid among the others, and measure what stays."""
    validate.set_aside(connection, load_id, batch, contract, staged)
    _summarize(connection, contract.feed, load_id)


def repeat_file(
    connection: psycopg.Connection[Any], feed: Feed, load_id: int, as_of: datetime, same_as: int
) -> None:
    """Load a file that was skipped after all, from the rows of the load that it is the same as."""
    values = {"load_id": load_id, "same_as": same_as, "feed": feed.name, "as_of": as_of}
    with load_ranges.opened(connection, feed, load_id, size_bytes=0, is_rebuild=False) as into:
        run(
            connection,
            "stage/stage.repeat_rows",
            values,
            table=sql.Identifier(feed.table),
            target=sql.Identifier(into.table),
            columns=names(c.name for c in feed.staged),
        )
    run(connection, "stage/stage.repeat_rejects", values)
    run(connection, "stage/snapshot.repeat_keys", values)
    _analyze(connection, feed, load_id)
    measured = validate.measure(connection, feed, values, keys_differ=True)
    latest = {"latest_effective_ts": measured.latest_effective_ts}
    run(connection, "stage/stage.repeat_file", {**values, **latest})
    run(connection, "stage/stage.repeat_parts", values)


def _summarize(connection: psycopg.Connection[Any], feed: Feed, load_id: int) -> None:
    """Let the index on loads know of the rows that came."""
    index = sql.Literal(f"{load_ranges.table_of(connection, feed, load_id)}_load_id_idx")
    run(connection, "stage/stage.summarize", index=index)


def _analyze(connection: psycopg.Connection[Any], feed: Feed, load_id: int) -> None:
    """Refresh the planner's statistics of the columns by which a load's rows are looked up."""
    run(connection, "stage/stage.sample")
    run(
        connection,
        "stage/stage.analyze",
        table=sql.Identifier(load_ranges.table_of(connection, feed, load_id)),
        columns=names(["load_id", *feed.key, *filter(None, [feed.effective])]),
    )


def _account_for(staged: Staged, reading: parts.Reading, stream: Stream) -> None:
    """Compare the counts of a file as read with the results; ``BatchError`` if they differ."""
    staged.bytes_read, staged.lines_read = reading.bytes, reading.lines
    staged.lines_blank = stream.blank
    accounted = reading.lines_accounted
    if reading.lines != accounted or stream.read != stream.passed_on + len(stream.rejects):
        raise BatchError(
            Refusal.READER_FAULT,
            f"{staged.file.name} has {reading.lines:,} lines, of which {accounted:,} were counted "
            f"as header, rows, empty lines and what is around them, and {stream.read:,} rows, of "
            f"which {stream.passed_on:,} were passed on and {len(stream.rejects):,} rejected.",
            "This is a fault of the reader: keep the file and report it; nothing was loaded.",
        )


def _copy(
    connection: psycopg.Connection[Any],
    stream: Stream,
    stream_records: Iterator[tuple[int, list[bytes]]],
    head: Header,
    plan: landing.Landing,
    staged: Staged,
    into: Into,
) -> None:
    """Send the records by a plan, and those that are deferred as text."""
    skipped: list[Skipped] = []

    def pieces() -> Iterator[bytes]:
        for piece in stream.send(stream_records):
            yield piece
            stream.refuse_if_hopeless(len(skipped))

    order = head.contract.parsing.date_order if plan.direct is not None else "ymd"
    with nullcontext() if order == "ymd" else _days_in_order(connection, order):
        taken = _copy_in(connection, head, plan, pieces(), skipped, into)
    _check_taken(staged, stream.sent, taken, len(skipped))
    for sent_line, column, shown in skipped:
        line = stream.line_of(sent_line)
        staged.rejected.append(_mistyped(staged.file.feed, line, column, shown))
    _count_filtered(staged, stream)
    if plan.is_needed:
        _from_landing(connection, head, plan, staged, into)
    if stream.deferred.rows:
        as_text = landing.plan_as_text(head)
        taken = _copy_in(connection, head, as_text, stream.deferred.take(), [], into)
        _check_taken(staged, stream.deferred.rows, taken, 0)
        _from_landing(connection, head, as_text, staged, into)


def _copy_in(
    connection: psycopg.Connection[Any],
    head: Header,
    plan: landing.Landing,
    pieces: Iterator[bytes],
    skipped: list[Skipped],
    into: Into,
) -> int:
    """Send records to where a plan wants them, and note those skipped; how many were taken."""
    if plan.is_needed:
        landing.create(connection, head, plan)
    read = skipped_rows.reader(connection)

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        if found := read(diagnostic.message_primary or ""):
            skipped.append(found)

    connection.add_notice_handler(note)
    try:
        statement_in = statement(
            "stage/stage.copy_in",
            table=sql.Identifier("landing" if plan.is_needed else into.table),
            columns=names(plan.fields),
            frozen=sql.Literal(into.is_frozen and not plan.is_needed),
            empty_quotes=sql.SQL(_EMPTY_QUOTES[head.contract.parsing.empty_quotes]),
        )
        cursor = connection.cursor()
        with cursor.copy(statement_in, writer=ListeningWriter(cursor)) as copy:
            copy.write(LINE_END)
            for piece in pieces:
                copy.write(piece)
    finally:
        connection.remove_notice_handler(note)
    return cursor.rowcount


def _check_taken(staged: Staged, sent: int, taken: int, skipped: int) -> None:
    """``BatchError`` if the server took and rejected another number of rows than it was sent."""
    if sent != taken + skipped:
        raise BatchError(
            Refusal.READER_FAULT,
            f"{staged.file.name}: of {sent:,} rows sent the server took "
            f"{taken:,} and rejected {skipped:,}.",
            "It split rows otherwise than the file means: keep the file and report it; "
            "nothing was loaded.",
        )


@contextmanager
def _days_in_order(connection: psycopg.Connection[Any], order: str) -> Iterator[None]:
    """Let the server read dates whose year is last in this order of day and month."""
    set_config(connection, "datestyle", f"ISO, {order}", is_local=True)
    yield
    # After an error it is reset with its transaction.
    set_config(connection, "datestyle", "ISO, YMD", is_local=True)


def _count_filtered(staged: Staged, stream: Stream) -> None:
    """Count the rows that the stream left out since the contract does not mean them."""
    firsts = [part.first_line for part in staged.parts]
    for found in stream.filtered:
        part = max(bisect_right(firsts, found.line), 1)
        amounts = (found.cents.get(column) for column in staged.file.feed.money)
        dollars = (None if cents is None else Decimal(cents) / 100 for cents in amounts)
        staged.filter(part, found.rows, dollars)


def _from_landing(
    connection: psycopg.Connection[Any],
    head: Header,
    plan: landing.Landing,
    staged: Staged,
    into: Into,
) -> None:
    """Move what landed into staging, without what the contract does not mean or cannot be read."""
    feed = head.contract.feed
    firsts = [part.first_line for part in staged.parts] or [FIRST_LINE]
    for filtered in landing.count_filtered(connection, head, plan, firsts):
        staged.filter(filtered.part, filtered.rows, filtered.amounts)
    refused: dict[int, Rejected] = {}
    for line, column, shown in landing.move(connection, head, plan, into.table):
        # Of the rows that one row of the file gave, one is enough to say why it is rejected.
        refused.setdefault(line, Rejected(line, column, refusal(feed.column(column), shown)))
    staged.rejected += refused.values()


def _mistyped(feed: Feed, line: int, column: str | None, shown: str | None) -> Rejected:
    declared = {c.name: c for c in feed.staged}.get(column or "")
    # A column that only the file knows is text: no bytes but these can be refused in it.
    return Rejected(line, column, refusal(declared, shown) if declared else Reason.NOT_UTF8)
