"""What became of one file of a batch: its counts, the rows rejected, what a person should know."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from psycopg.types.json import Jsonb

from etl.access.erasure import Door
from etl.contracts.reasons import Reason
from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.inbox import encodings
from etl.inbox.amounts import Amounts
from etl.inbox.batch import FeedFile
from etl.inbox.copy_stream import NO_ROWS


@dataclass(slots=True)
class Rejected:
    """A rejected row: where, and why. The raw line is looked up when it is recorded."""

    line: int
    column: str | None
    reason: Reason


# Finding: the amounts whose total the manifest has and that rejected rows keep from comparing.
NOT_COMPARED = "totals_not_compared"
# The line of the first row of a file: its header is line 1.
FIRST_LINE = 2


@dataclass(slots=True)
class PartRead:
    """What became of one file of a feed; ``first_line``: of its rows, among those of all files."""

    file: FeedFile
    first_line: int
    read: int = 0
    loaded: int = 0
    rejected: int = 0
    duplicate: int = 0
    filtered: int = 0
    added: int = 0


@dataclass(slots=True)
class Staged:
    """What became of one file.

    ``bytes_read``, ``lines_read``, ``lines_blank``: of the file unpacked, its header among the
    lines. ``kept``: rows of it in staging. ``duplicate_cents``: of its duplicates, by money
    column; ``expired_cents`` of its rows from before the horizon, ``filtered_cents`` of those that
    its contract does not mean, ``filtered`` how many these are by number of part, and
    ``filtered_of_part`` their cents by number and column. ``added``: rows beyond the first that
    rows of the file gave.
    ``rejected_amounts``: of its rejected rows. ``texts``: of these by line, as far as they
    are kept in memory. ``parts``: the files that were read, in order. ``duplicates``: line and
    amounts of duplicate rows where there is more than one file. ``nameless``: rejected rows of a
    snapshot whose key cannot be read, once they are in quarantine. ``load_id``: the load that
    brought it. ``door``: who was erased.
    ``notes``: what a person should know of it, a sentence each. ``findings``: the same and more
    for machines, as JSON. ``contract``: the one under which it came. ``header``: the
    file's names of its columns, and ``columns`` ours. ``bad_byte``: the first for which a row was
    rejected. ``refusal``: why the whole file was refused.
    """

    file: FeedFile
    checksum: str
    status: str = "loaded"
    refusal: Refusal | None = None
    read: int = 0
    loaded: int = 0
    duplicate: int = 0
    expired: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    totals: dict[str, dict[str, Any]] = field(default_factory=dict)
    latest_effective_ts: datetime | None = None
    notes: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    distinct_keys: int | None = None
    header: list[str] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)
    contract: SenderContract | None = None
    bad_byte: encodings.BadByte | None = None
    kept: int = 0
    bytes_read: int | None = None
    lines_read: int | None = None
    lines_blank: int | None = None
    duplicate_cents: Counter[str] = field(default_factory=Counter)
    rejected_amounts: Amounts = field(default_factory=lambda: Amounts({}))
    expired_cents: Counter[str] = field(default_factory=Counter)
    filtered: Counter[int] = field(default_factory=Counter)
    filtered_cents: Counter[str] = field(default_factory=Counter)
    filtered_of_part: Counter[tuple[int, str]] = field(default_factory=Counter)
    added: int = 0
    texts: dict[int, str] = field(default_factory=dict)
    parts: list[PartRead] = field(default_factory=list)
    duplicates: list[tuple[int, tuple[Decimal | None, ...]]] = field(default_factory=list)
    nameless: int = 0
    load_id: int | None = None
    door: Door = field(default_factory=Door)

    @property
    def rows_of_sender(self) -> int:
        """Rows as the sender counts them: without headers and totals among them."""
        return self.read - sum(r.reason in NO_ROWS for r in self.rejected)

    def remarks(self) -> list[str]:
        """What to say of the file while it loads: its notes, and what corrected rows may change."""
        columns = ", ".join(self.findings.get(NOT_COMPARED, []))
        return self.notes + (
            [f"manifest totals of {columns} not compared: amounts of rejected rows cannot be read"]
            if columns
            else []
        )

    def file_of(self, line: int) -> str:
        """Name of the file that a line of them all is in."""
        found = bisect_right(self.parts, line, key=lambda part: part.first_line)
        file = self.parts[found - 1].file if found else self.file
        return file.names

    def counts(self) -> dict[str, int]:
        """Row counts for the ledger."""
        return {
            "rows_read": self.read,
            "rows_loaded": self.loaded,
            "rows_rejected": len(self.rejected),
            "rows_duplicate": self.duplicate,
            "rows_expired": self.expired,
            "rows_filtered": self.filtered.total(),
            "rows_added": self.added,
        }

    def filter(self, part: int, rows: int, amounts: Iterable[Decimal | None]) -> None:
        """Count rows of a part that the contract does not mean, with their US dollars."""
        self.filtered[part] += rows
        for column, amount in zip(self.file.feed.money, amounts, strict=True):
            cents = int((amount or 0) * 100)
            self.filtered_cents[column] += cents
            self.filtered_of_part[part, column] += cents

    def expire(self, rows: int, totals: Mapping[str, Decimal]) -> None:
        """Count loaded rows, with these US dollars by money column, as expired."""
        self.loaded -= rows
        self.expired += rows
        for column, amount in totals.items():
            total = self.totals[column]
            total["loaded"] = str(Decimal(total["loaded"]) - amount)
            total["expired"] = str(Decimal(total["expired"]) + amount)

    def ledger_values(self, load_id: int) -> dict[str, Any]:
        """The file's row in ``ledger.load_file``."""
        return {
            "load_id": load_id,
            "feed": self.file.feed.name,
            "file_name": self.file.names,
            "kind": self.file.expected.kind,
            "sender": self.file.expected.contract,
            "status": self.status,
            "refusal_code": self.refusal,
            "size_bytes": self.file.size_bytes,
            "modified_ns": self.file.modified_ns,
            "xxh3_128": self.checksum,
            **self.counts(),
            "bytes_read": self.bytes_read,
            "lines_read": self.lines_read,
            "lines_blank": self.lines_blank,
            "totals": Jsonb(self.totals),
            "latest_effective_ts": self.latest_effective_ts,
            "notes": Jsonb(self.notes),
            "columns": self.columns,
            "distinct_keys": self.distinct_keys,
            "header": self.header,
            "contract": self.contract.name if self.contract else None,
            "findings": Jsonb(self.findings),
        }
