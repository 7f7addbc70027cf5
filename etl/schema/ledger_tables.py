"""The ledger's tables: loads, what was refused, what people decided.

They contain what happened and so are no part of a build: a full load never replaces them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, JSONB, TIMESTAMP, UUID

from etl.contracts.refusals import Refusal

# Constraint names follow one formula, so that a message names the table and the rule.
NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}

INSTANT = TIMESTAMP(timezone=True)
NOW = text("clock_timestamp()")


def one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """The column contains one of these words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} in ({listed})", name=column)


_ACCOUNTED = (
    "rows_read + rows_added = "
    "rows_loaded + rows_rejected + rows_duplicate + rows_expired + rows_filtered"
)
_CODE = "{}; docs/runbooks/a-batch-was-refused.md says what to do about each."


def _error() -> tuple[Column, ...]:
    return (
        Column("error", Text, comment="Why it failed, in one sentence."),
        Column("error_code", Text, comment=_CODE.format("Why it failed, as a code")),
    )


def _error_rules() -> tuple[CheckConstraint, ...]:
    return (
        one_of("error_code", Refusal),
        CheckConstraint("(error is null) = (error_code is null)", name="error_has_code"),
    )


def _rows() -> list[Column]:
    """What became of a file's rows."""
    names = ("rows_read", "rows_loaded", "rows_rejected", "rows_duplicate", "rows_expired")
    comments = {
        "rows_filtered": "Rows that the sender's contract does not mean.",
        "rows_added": "Rows beyond the first that one row of the file gave.",
    }
    return [
        Column(n, BigInteger, nullable=False, server_default=text("0"), comment=comments.get(n))
        for n in (*names, *comments)
    ]


def ledger(metadata: MetaData) -> None:
    """Loads, their files and stages; what was refused, and what people decided about it."""
    _load(metadata)
    _load_file(metadata)
    _load_file_part(metadata)
    _stage_run(metadata)
    _cube_refresh(metadata)
    _fact_rekey(metadata)
    _refused_batch(metadata)
    _decision(metadata)


def _load(metadata: MetaData) -> None:
    Table(
        "load",
        metadata,
        Column("load_id", BigInteger, Identity(always=True), comment="The load."),
        Column(
            "batch_id",
            Text,
            nullable=False,
            comment="The manifest's batch_id, else the folder's name.",
        ),
        Column(
            "as_of", INSTANT, nullable=False, comment="When the batch's facts became true, UTC."
        ),
        Column(
            "status",
            Text,
            nullable=False,
            comment="running; rebuilt (complete, not live yet); loaded; failed; "
            "superseded (a later rebuild took its place).",
        ),
        Column("is_rebuild", Boolean, nullable=False, comment="Part of a full load."),
        Column("started_at", INSTANT, nullable=False, server_default=NOW),
        Column("finished_at", INSTANT),
        *_error(),
        Column(
            "build_id",
            BigInteger,
            nullable=False,
            server_default=text("0"),
            comment="The build that it is part of: the first load of the rebuild that began it; "
            "0 before any rebuild.",
        ),
        Column(
            "live_at",
            INSTANT,
            comment="When what it brought could first be read; empty if that was never, or was "
            "before rows were kept as they had been.",
        ),
        Column(
            "kind",
            Text,
            nullable=False,
            server_default=text("'batch'"),
            comment="batch (files of the inbox), restatement (a dimension made again from "
            "staging) or replay (corrected rows of the quarantine).",
        ),
        Column("subject", Text, comment="The dimension table that a restatement made again."),
        PrimaryKeyConstraint("load_id"),
        one_of("kind", ("batch", "restatement", "replay")),
        CheckConstraint("subject is null or kind = 'restatement'", name="subject"),
        one_of("status", ("running", "rebuilt", "loaded", "failed", "superseded")),
        *_error_rules(),
        schema="ledger",
        comment="One row per batch passing through the warehouse.",
    )


def _load_file(metadata: MetaData) -> None:
    Table(
        "load_file",
        metadata,
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("feed", Text, nullable=False, comment="members, plans, providers and so on."),
        Column(
            "file_name",
            Text,
            nullable=False,
            comment="File inside the batch folder; of several parts all, in order.",
        ),
        Column("kind", Text, nullable=False, comment="delta or snapshot."),
        Column(
            "sender",
            Text,
            comment="The contract that the manifest names; empty for the feed's own.",
        ),
        Column(
            "status",
            Text,
            nullable=False,
            comment="loaded (its rows are in the warehouse, or in a full load under way); skipped; "
            "refused; failed (its full load never went live); superseded (a later full load took "
            "its place).",
        ),
        Column("refusal_code", Text, comment=_CODE.format("Why the file was refused, as a code")),
        Column("size_bytes", BigInteger, nullable=False),
        Column("modified_ns", BigInteger, nullable=False, comment="File's mtime, nanoseconds."),
        Column("xxh3_128", UUID, nullable=False, comment="Checksum of the file's bytes."),
        *_rows(),
        Column(
            "totals",
            JSONB,
            nullable=False,
            server_default=text("'{}'"),
            comment="Control totals by money column, US dollars: in_file (all that was read) = "
            "loaded + rejected + duplicate + expired (none if that is missing); expected where the "
            "manifest says; unread: how many amounts of rejected rows could not be read, which are "
            "in none of these.",
        ),
        Column(
            "latest_effective_ts",
            TIMESTAMP(timezone=False),
            comment="Latest instant at which a row of the file took effect, UTC.",
        ),
        Column(
            "notes",
            JSONB,
            nullable=False,
            server_default=text("'[]'"),
            comment="What a reader should know, a list of sentences: skipped as, unknown columns.",
        ),
        Column(
            "columns",
            ARRAY(Text),
            nullable=False,
            server_default=text("'{}'"),
            comment="Columns of the contract that the file has. One that it lacks is not said, "
            "which differs from empty.",
        ),
        Column(
            "distinct_keys",
            BigInteger,
            comment="Keys that its loaded rows name: fewer than rows_loaded if one is repeated.",
        ),
        Column(
            "contract",
            Text,
            comment="Name of the sender's contract by which it was read; empty for the feed's own.",
        ),
        Column(
            "findings",
            JSONB,
            nullable=False,
            server_default=text("'{}'"),
            comment="What was noticed of the file: byte_order_mark, crlf, extra_columns, "
            "new_columns, lost_columns, reordered, trimmed_rows, first_bad_byte, "
            "totals_not_compared (amounts of rejected rows cannot be read).",
        ),
        Column(
            "header",
            ARRAY(Text),
            nullable=False,
            server_default=text("'{}'"),
            comment="Names of the file's columns in its order, also those that the contract does "
            "not know; where some of these may be values, their places instead. Empty where it "
            "was not read.",
        ),
        Column("bytes_read", BigInteger, comment="Bytes of the file, unpacked."),
        Column(
            "lines_read",
            BigInteger,
            comment="Lines of the file, its header among them.",
        ),
        Column("lines_blank", BigInteger, comment="Lines with nothing on them."),
        Column(
            "expired_lines",
            INT8MULTIRANGE,
            nullable=False,
            server_default=text("'{}'"),
            comment="source_line of the rows that expired: a full load takes out the same.",
        ),
        PrimaryKeyConstraint("load_id", "feed"),
        one_of("kind", ("delta", "snapshot")),
        one_of("status", ("loaded", "skipped", "refused", "failed", "superseded")),
        one_of("refusal_code", Refusal),
        CheckConstraint(
            "(status = 'refused') = (refusal_code is not null)", name="refused_has_code"
        ),
        CheckConstraint(
            f"status <> 'loaded' or {_ACCOUNTED}",
            name="rows_accounted",
        ),
        CheckConstraint(
            "status <> 'loaded' or lines_read is null or lines_read >= rows_read + lines_blank",
            name="lines_accounted",
        ),
        schema="ledger",
        comment="One row per load and feed: its file, or its files as parts of one.",
    )


def _load_file_part(metadata: MetaData) -> None:
    Table(
        "load_file_part",
        metadata,
        Column("load_id", BigInteger, nullable=False),
        Column("feed", Text, nullable=False),
        Column("part", Integer, nullable=False, comment="1 for the first or only file."),
        Column("file_name", Text, nullable=False, comment="File inside the batch folder."),
        Column("size_bytes", BigInteger, nullable=False),
        Column("modified_ns", BigInteger, nullable=False, comment="File's mtime, nanoseconds."),
        Column(
            "changed_ns",
            BigInteger,
            comment="When the file system saw the file change last (ctime), nanoseconds: as long "
            "as that is the same, so are the bytes. Empty if it was not noted.",
        ),
        Column("xxh3_128", UUID, nullable=False, comment="Checksum of the file's bytes."),
        Column(
            "first_line",
            BigInteger,
            comment="source_line of the file's first row, which is on its line 2: line = "
            "source_line - first_line + 2. Empty if it was not read.",
        ),
        *_rows(),
        PrimaryKeyConstraint("load_id", "feed", "part"),
        ForeignKeyConstraint(
            ["load_id", "feed"], ["ledger.load_file.load_id", "ledger.load_file.feed"]
        ),
        CheckConstraint(_ACCOUNTED, name="rows_accounted"),
        CheckConstraint("part > 0", name="part_positive"),
        schema="ledger",
        comment="One row per load, feed and file of it.",
    )


def _stage_run(metadata: MetaData) -> None:
    Table(
        "stage_run",
        metadata,
        Column("stage_run_id", BigInteger, Identity(always=True)),
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id")),
        Column(
            "stage",
            Text,
            nullable=False,
            comment="stage, dims, facts, codes, cubes, checks, swap, take_out, restate, replay, "
            "retention, archive_staging or erase.",
        ),
        Column("is_rebuild", Boolean, nullable=False, comment="Part of a full load."),
        Column(
            "status",
            Text,
            nullable=False,
            comment="running, done, failed, or rolled_back: it could not be done, or was only "
            "shown, and nothing changed.",
        ),
        Column("started_at", INSTANT, nullable=False, server_default=NOW),
        Column("finished_at", INSTANT),
        Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
        *_error(),
        PrimaryKeyConstraint("stage_run_id"),
        one_of("status", ("running", "done", "failed", "rolled_back")),
        *_error_rules(),
        schema="ledger",
        comment="One row per stage that ran, also where it failed.",
    )


def _cube_refresh(metadata: MetaData) -> None:
    Table(
        "cube_refresh",
        metadata,
        Column("schema_name", Text, nullable=False, comment="The schema of its build."),
        Column("cube_name", Text, nullable=False),
        Column(
            "definition_hash",
            Text,
            nullable=False,
            comment="Of the definition that it was made by; where that changes it is made again.",
        ),
        Column(
            "load_id",
            BigInteger,
            comment="The load that it is made through: it contains what that load and those before "
            "it brought. Empty where no load says what it was made of.",
        ),
        Column("made_at", INSTANT, nullable=False, server_default=NOW),
        PrimaryKeyConstraint("schema_name", "cube_name"),
        schema="ledger",
        comment="One row per cube: by which definition and through which load it is made.",
    )


def _fact_rekey(metadata: MetaData) -> None:
    Table(
        "fact_rekey",
        metadata,
        Column("fact_rekey_id", BigInteger, Identity(always=True)),
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("fact", Text, nullable=False, comment="The fact table."),
        Column("dimension", Text, nullable=False, comment="The dimension table."),
        Column(
            "reason",
            Text,
            nullable=False,
            comment="Why other versions are in force on the facts' dates: changed (a version "
            "began), rebuilt (a late, repeated or returning row rebuilt a history), completed (a "
            "key that facts named first got its history), restated.",
        ),
        Column("facts", BigInteger, nullable=False, comment="How many facts."),
        Column("first_date", Date, nullable=False, comment="Earliest date of these facts."),
        Column("last_date", Date, nullable=False, comment="Latest date of these facts."),
        PrimaryKeyConstraint("fact_rekey_id"),
        one_of("reason", ("changed", "rebuilt", "completed", "restated")),
        CheckConstraint("facts > 0", name="facts_positive"),
        CheckConstraint("first_date <= last_date", name="dates_in_order"),
        schema="ledger",
        comment="One row per load, fact, dimension and reason for which facts were keyed again.",
    )


def _refused_batch(metadata: MetaData) -> None:
    refused = Table(
        "refused_batch",
        metadata,
        Column("refused_batch_id", BigInteger, Identity(always=True)),
        Column("folder", Text, nullable=False, comment="The batch's folder in the inbox."),
        Column(
            "load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            comment="The load that failed or was stopped; empty where the folder was refused "
            "before one began.",
        ),
        Column("reason", Text, nullable=False, comment="Why, in one sentence."),
        Column("refusal_code", Text, nullable=False, comment=_CODE.format("Why, as a code")),
        Column("advice", Text, nullable=False, comment="What to do about it."),
        Column("refused_at", INSTANT, nullable=False, server_default=NOW, comment="At first."),
        Column("tried_at", INSTANT, nullable=False, server_default=NOW, comment="At last."),
        Column(
            "settled_at",
            INSTANT,
            comment="When it was seen to be loaded, or gone from the inbox; empty until then.",
        ),
        PrimaryKeyConstraint("refused_batch_id"),
        one_of("refusal_code", Refusal),
        schema="ledger",
        comment="Batches that were refused, or stopped at a gate, also those that left no load. "
        "One row per batch and stretch of time.",
    )
    Index(None, refused.c.folder, unique=True, postgresql_where=text("settled_at is null"))


def _decision(metadata: MetaData) -> None:
    Table(
        "decision",
        metadata,
        Column("decision_id", BigInteger, Identity(always=True)),
        Column(
            "kind",
            Text,
            nullable=False,
            comment="confirm_snapshot (its file may end many keys), forget_file (a full load may "
            "do without the file, which is gone from the inbox) or allow_future (its batch may lie "
            "far in the future).",
        ),
        Column("batch_id", Text, nullable=False),
        Column("feed", Text, nullable=False),
        Column("xxh3_128", UUID, nullable=False, comment="Checksum of the file's bytes."),
        Column(
            "load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            nullable=False,
            comment="The load that was let through, or is forgotten.",
        ),
        Column("says", Text, nullable=False, comment="What was known when it was decided."),
        Column("decided_at", INSTANT, nullable=False, server_default=NOW),
        Column("decided_by", Text, nullable=False, server_default=text("session_user")),
        Column("os_user", Text, nullable=False, comment="Who ran the command, on its machine."),
        PrimaryKeyConstraint("decision_id"),
        one_of("kind", ("confirm_snapshot", "forget_file", "allow_future")),
        schema="ledger",
        comment="What people decided where the warehouse refuses by itself. One row per decision "
        "and file.",
    )
