"""Validate: rows that are typed but invalid leave staging; a file is compared with its contract.

What stays is measured: rows, keys, sums of money, the latest effective time. A file with too many
rejected rows, or other than its manifest says, is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.feed import Feed
from etl.contracts.reasons import Reason
from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.db.statements import Values, equal, names, rows_of, run, scalar, statement, texts
from etl.errors import BatchError, RejectThresholdError
from etl.inbox import encodings
from etl.inbox.amounts import Amounts, to_dollars
from etl.inbox.batch import Batch
from etl.inbox.copy_stream import refuse_too_many
from etl.inbox.header import shown
from etl.render import claim_status, staged_rows
from etl.render import values as values_of
from etl.stages.stage import breaches, look, odd_values, parts
from etl.stages.stage.look import Look
from etl.stages.stage.staged import NOT_COMPARED, Rejected, Staged

# How many reasons a message names when a file is refused.
_REASONS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Measured:
    """What the staged rows of a load add up to."""

    rows: int
    distinct_keys: int
    totals: dict[str, Decimal]
    latest_effective_ts: datetime | None


def set_aside(
    connection: psycopg.Connection[Any],
    load_id: int,
    batch: Batch,
    contract: SenderContract,
    staged: Staged,
    *,
    keys_differ: bool = False,
    is_printable: bool = False,
) -> None:
    """Take rows that are typed but invalid out of staging, and measure what stays.

    ``keys_differ``: it is known that each row has a key of its own. ``is_printable``: that no
    value has a character but visible ASCII.
    """
    source = contract.feed
    table = sql.Identifier(source.table)
    values = {"load_id": load_id, "as_of": batch.as_of}
    odd = odd_values.wanted(source, staged.columns, is_printable=is_printable)
    rules = breaches.rules_of(contract, staged.columns)
    orders = _orders(source)
    unordered = {kind: order.is_broken for kind, order in orders.items()}
    kinds = {**odd.kinds, **rules.kinds, **unordered}
    seen = look.look(connection, source, {**values, **rules.values}, kinds, odd.open_ends)
    odd_values.set_aside(connection, load_id, batch.as_of, source, staged, odd, seen)
    staged.rejected += [
        Rejected(line, column, Reason.BREACH)
        for line, column in breaches.set_aside(
            connection, load_id, contract, rules, seen, _where(batch, staged)
        )
    ]
    for order in (order for kind, order in orders.items() if kind in seen.seen):
        lines = run(
            connection,
            "stage/stage.set_aside_unordered",
            values,
            table=table,
            is_unordered=order.is_broken,
        )
        staged.rejected += [Rejected(line, order.column, Reason.OUT_OF_ORDER) for (line,) in lines]
    by_line = Lines(connection, values, contract, staged)
    is_as_seen = not seen.seen and contract.repeat is None
    measured = measure(
        connection, source, values, keys_differ=keys_differ, seen=seen if is_as_seen else None
    )
    by_line.count(measured.rows)
    repeated: AbstractContextManager[Iterable[tuple[Any, ...]]] = nullcontext(())
    if measured.distinct_keys < measured.rows:
        columns = [c.name for c in source.staged]
        repeated = rows_of(
            connection,
            "stage/stage.set_aside_repeated",
            values,
            table=table,
            row_columns=names(columns, "t"),
            key_list=names(source.key),
            row_key=names(source.key, "t"),
            same_key=equal(source.key, "t", "r"),
            effective=staged_rows.effective(source, None),
            effective_of_row=staged_rows.effective(source, "t"),
            amounts=names(source.money, "t"),
            feed=sql.Literal(source.name),
            key_texts=texts(source.key, "t"),
            **_reversal_parts(source),
            line_column=sql.Identifier("t", source.line) if source.line else sql.SQL("null::text"),
            equals=statement(f"render/staged_rows.is_equal_{'line' if contract.repeat else 'row'}"),
        )
    in_conflict: dict[Reason, Conflict] = {}
    any_lost = False
    taken_back = 0
    with repeated as losers:
        for line, is_equal, is_line, amounts, is_taken_back in losers:
            any_lost = True
            taken_back += is_taken_back
            if is_equal or is_taken_back:
                staged.duplicate += 1
                if len(staged.parts) > 1:
                    staged.duplicates.append((line, tuple(amounts)))
                for column, amount in zip(source.money, amounts, strict=True):
                    staged.duplicate_cents[column] += int((amount or 0) * 100)
            else:
                reason = Reason.LINE if is_line else Reason.CONFLICT
                by_line.reject(Rejected(line, source.key[0], reason))
                in_conflict.setdefault(reason, Conflict(source)).add(amounts)
                refuse_too_many(len(staged.rejected), staged.file.name)
    by_line.settle()
    kept = measure(connection, source, values) if any_lost else measured
    if taken_back:
        rows = f"{taken_back:,} row{'s are' if taken_back > 1 else ' is'}"
        staged.notes.append(f"{rows} taken back in full by another one of the same key")
    staged.notes += _conflicts(in_conflict)
    staged.kept = kept.rows
    staged.latest_effective_ts = kept.latest_effective_ts
    staged.distinct_keys = kept.distinct_keys
    staged.totals = {column: {"loaded": str(kept.totals[column])} for column in source.money}


@dataclass(frozen=True, slots=True)
class Order:
    """Two dates of a row that come in order; ``column``: the later one."""

    column: str
    is_broken: sql.Composable


def _orders(feed: Feed) -> dict[str, Order]:
    """The orders that a feed's dates keep, each with a name."""
    return {
        f"{second} before {first}": Order(
            second, values_of.is_out_of_order(first, second, feed.canceled_days)
        )
        for first, second in feed.ordered
    }


class Lines:
    """The lines of a file of which each may have given several rows, as its contract declares.

    A line is rejected as a whole: what it says is one thing, and is corrected as one. Under a
    contract by which each line is one row there is nothing to do.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        values: Values,
        contract: SenderContract,
        staged: Staged,
    ) -> None:
        self._connection = connection
        self._of_load = values
        self._table = sql.Identifier(contract.feed.table)
        self._is_asked = contract.repeat is not None
        self._staged = staged
        self._in_conflict: set[int] = set()
        self._rows = self._lines = 0
        if self._is_asked:
            each_once = {r.line: r for r in reversed(staged.rejected)}
            for line in self._of_one_key(contract) - each_once.keys():
                each_once[line] = Rejected(line, contract.feed.key[0], Reason.CONFLICT)
            staged.rejected = sorted(each_once.values(), key=lambda r: r.line)
            self._take_out([r.line for r in staged.rejected])

    def _of_one_key(self, contract: SenderContract) -> set[int]:
        """Lines that give a key several times."""
        feed = contract.feed
        if contract.repeat is None or contract.repeat.number in feed.key:
            return set()
        found = run(
            self._connection,
            "stage/stage.lines_of_one_key",
            self._of_load,
            table=self._table,
            key_list=names(feed.key),
            effective=staged_rows.effective(feed, None),
        )
        return {line for (line,) in found}

    def count(self, rows: int) -> None:
        """Note how many rows and lines there are before repeated keys are looked for."""
        if not self._is_asked:
            return
        self._rows = rows
        self._lines = scalar(
            self._connection, "stage/stage.count_lines", self._of_load, table=self._table
        )

    def reject(self, rejected: Rejected) -> None:
        """Reject a row whose key another one has: with it, the rest of its line."""
        if self._is_asked:
            self._rows -= 1
            if rejected.line in self._in_conflict:
                return
            self._in_conflict.add(rejected.line)
        self._staged.rejected.append(rejected)

    def settle(self) -> None:
        """Note how many rows more than lines were staged."""
        if not self._is_asked:
            return
        self._rows -= self._take_out(list(self._in_conflict))
        self._staged.added = self._rows - (self._lines - len(self._in_conflict))

    def _take_out(self, lines: list[int]) -> int:
        if not lines:
            return 0
        values = {**self._of_load, "lines": lines}
        return run(
            self._connection, "stage/stage.take_out_rejected", values, table=self._table
        ).rowcount


def _reversal_parts(feed: Feed) -> dict[str, sql.Composable]:
    """How a row that takes back another one of its key is known, where a feed has such rows."""
    if not feed.reversible:
        no = sql.SQL("false")
        return {"is_reversal": no, "is_stated": no, "nets_to_nothing": no}
    reversal = claim_status.is_reversal("t")
    stated = sql.SQL("t.is_deleted is not true and {}")
    sums = [
        sql.SQL("coalesce(sum({}) over repeats, 0) = 0").format(sql.Identifier("t", m))
        for m in feed.money
    ]
    return {
        "is_reversal": stated.format(reversal),
        "is_stated": stated.format(sql.SQL("not {}").format(reversal)),
        "nets_to_nothing": sql.SQL(" and ").join(sums),
    }


class Conflict:
    """Rows that gave way to a later one of their key; the money that went with them, US dollars."""

    def __init__(self, feed: Feed) -> None:
        self.rows = 0
        self.sums = dict.fromkeys(feed.money, Decimal(0))

    def add(self, amounts: Iterable[Decimal | None]) -> None:
        """Count a row with its amounts, in the order of the feed's money columns."""
        self.rows += 1
        for column, amount in zip(self.sums, amounts, strict=True):
            self.sums[column] += amount or 0


def _conflicts(in_conflict: dict[Reason, Conflict]) -> list[str]:
    """How many rows gave way to a later one of their key, and how much money went with them."""
    said = []
    for reason, conflict in in_conflict.items():
        money = ", ".join(f"{column} {total:,.2f}" for column, total in conflict.sums.items())
        text = f"{conflict.rows:,} rows rejected: {reason.text}"
        said.append(f"{text} (US dollars rejected: {money})" if money else text)
    return said


def add_up(staged: Staged, read: Amounts | None = None) -> None:
    """Sum the amounts of a file: loaded, rejected, duplicate, expired, filtered, and all of them.

    ``read``: what the file's bytes alone say, by column. ``BatchError`` if it differs.
    """
    expected = staged.file.expected.totals
    for column, total in staged.totals.items():
        rejected = staged.rejected_amounts.cents[column]
        duplicate = staged.duplicate_cents[column]
        expired, filtered = staged.expired_cents[column], staged.filtered_cents[column]
        in_file = dollars_to_cents(total["loaded"]) + rejected + duplicate + expired + filtered
        total |= {
            "in_file": to_dollars(in_file),
            "rejected": to_dollars(rejected),
            "duplicate": to_dollars(duplicate),
            "expired": to_dollars(expired),
            "filtered": to_dollars(filtered),
            "unread": staged.rejected_amounts.unread[column],
        }
        if column in expected:
            total["expected"] = str(expected[column])
        if read is not None and column in read.fields and read.cents[column] != in_file:
            raise BatchError(
                Refusal.READER_FAULT,
                f"{staged.file.name}: {column} adds up to {to_dollars(read.cents[column])} in "
                f"the file and to {to_dollars(in_file)} in what was made of it.",
                "This is a fault of the reader: keep the file and report it; nothing was loaded.",
            )


def dollars_to_cents(dollars: str) -> int:
    """An amount of the ledger in cents."""
    return int(Decimal(dollars) * 100)


def report_bad_bytes(staged: Staged) -> None:
    """Say where the first byte is for which rows were rejected, and what it looks like."""
    lines = [r.line for r in staged.rejected if r.reason is Reason.NOT_UTF8]
    if not lines or staged.contract is None:
        return
    encoding = staged.contract.parsing.encoding
    if encoding != encodings.UTF8:
        staged.notes.append(f"line {min(lines):,} is the first with bytes that are not {encoding}")
        return
    found = parts.first_bad_byte(staged.file, staged.contract)
    if found is not None:
        part, bad = found
        staged.bad_byte = bad
        staged.findings |= {"first_bad_byte": bad.offset, "encoding": bad.likely}
        staged.notes.append(f"{part.name}: {bad}" if staged.file.parts else str(bad))


def measure(
    connection: psycopg.Connection[Any],
    feed: Feed,
    values: dict[str, Any],
    *,
    keys_differ: bool = False,
    seen: Look | None = None,
) -> Measured:
    """Add up the staged rows of a load.

    ``keys_differ``: their keys need not be counted; ``seen``: what they are known to add up to.
    """
    found = seen or look.look(connection, feed, values)
    keys = found.rows
    if not keys_differ:
        keys = scalar(
            connection,
            "stage/stage.count_keys",
            values,
            table=sql.Identifier(feed.table),
            key_list=names(feed.key),
        )
    return Measured(found.rows, keys, found.totals, found.latest_effective_ts)


def judge(
    batch: Batch, contract: SenderContract, staged: Staged, reject_share: float | None
) -> None:
    """Count what stays, and compare the file with its threshold, its volume and its manifest.

    Raises ``RejectThresholdError`` and ``BatchError``.
    """
    gone = len(staged.rejected) + staged.duplicate + staged.filtered.total()
    staged.loaded = staged.read + staged.added - gone
    if staged.loaded != staged.kept:
        raise BatchError(
            Refusal.READER_FAULT,
            f"{_where(batch, staged)}: of {staged.read:,} rows {staged.loaded:,} should have "
            f"stayed, and {staged.kept:,} did.",
            "This is a fault of the reader: keep the file and report it; nothing was loaded.",
        )
    if reject_share is not None:
        share = reject_share if contract.reject_share is None else contract.reject_share
        _check_threshold(batch, staged, share)
    volume = contract.expected_volume
    said = breaches.of_volume(volume, staged.read, _where(batch, staged))
    if volume is not None and said is not None:
        staged.notes.append(said)
        staged.findings["rows_expected"] = [volume.low, volume.high]
    check_expected(batch, staged)


def _where(batch: Batch, staged: Staged) -> str:
    return f"{staged.file.name} of batch {batch.batch_id}"


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
        f"{_where(batch, staged)} was refused: {bad:,} of "
        f"{staged.read:,} rows are bad ({bad / staged.read:.1%}, limit {reject_share:.1%}); "
        + "; ".join(said)
        + "."
        + (f" As for encoding, {staged.bad_byte}." if staged.bad_byte else ""),
        "make quarantine lists the rows, and make quarantine-export writes them to correct; or "
        "fix the file, or raise REJECT_SHARE.",
    )


def check_expected(batch: Batch, staged: Staged) -> None:
    """Compare a file with what its manifest says of it; ``BatchError`` if they differ."""
    said = staged.file.expected
    where = _where(batch, staged)
    parts.check_rows(where, said, staged.rows_of_sender)
    for column in said.totals:
        found = staged.totals.get(column)
        if found is None:
            staged.notes.append("the manifest totals a column that is no amount: " + shown(column))
        elif found["unread"]:
            staged.findings.setdefault(NOT_COMPARED, []).append(column)
        else:
            parts.check_total(where, said, column, Decimal(found["in_file"]))
