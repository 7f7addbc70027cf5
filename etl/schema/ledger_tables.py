"""The tables in which the warehouse keeps its books: the ledger of loads, and quality.

They hold what happened and so are no part of a build: a full load never replaces them.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP, UUID

from etl.contracts.checks import ASPECTS, SEVERITIES
from etl.contracts.reasons import Reason

# Constraint names follow one formula, so that a message names the table and the rule.
NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}

INSTANT = TIMESTAMP(timezone=True)


def _one_of(column: str, words: Iterable[str]) -> CheckConstraint:
    """The column holds one of these words."""
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} in ({listed})", name=column)


def ledger(metadata: MetaData) -> None:
    """Loads, their files and their stages."""
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
        Column("started_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("finished_at", INSTANT),
        Column("error", Text, comment="Why it failed, in one sentence."),
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
        PrimaryKeyConstraint("load_id"),
        CheckConstraint("kind in ('batch', 'restatement', 'replay')", name="kind"),
        CheckConstraint(
            "status in ('running', 'rebuilt', 'loaded', 'failed', 'superseded')", name="status"
        ),
        schema="ledger",
        comment="One row a batch passing through the warehouse.",
    )
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
            "status",
            Text,
            nullable=False,
            comment="loaded (its rows are in the warehouse, or in a full load under way); skipped; "
            "refused; failed (its full load never went live); superseded (a later full load took "
            "its place).",
        ),
        Column("size_bytes", BigInteger, nullable=False),
        Column("modified_ns", BigInteger, nullable=False, comment="File's mtime, nanoseconds."),
        Column("xxh3_128", UUID, nullable=False, comment="Checksum of the file's bytes."),
        Column("rows_read", BigInteger, nullable=False, server_default=text("0")),
        Column("rows_loaded", BigInteger, nullable=False, server_default=text("0")),
        Column("rows_rejected", BigInteger, nullable=False, server_default=text("0")),
        Column("rows_duplicate", BigInteger, nullable=False, server_default=text("0")),
        Column(
            "totals",
            JSONB,
            nullable=False,
            server_default=text("'{}'"),
            comment="Control totals by money column, US dollars: in_file (all that was read) = "
            "loaded + rejected + duplicate; expected where the manifest says; unread: how many "
            "amounts of rejected rows could not be read, which are in none of these.",
        ),
        Column(
            "latest_effective_ts",
            TIMESTAMP(timezone=False),
            comment="Latest instant at which a row of the file took effect, UTC.",
        ),
        Column("note", Text, comment="What a reader should know: skipped as, unknown columns."),
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
            "new_columns, lost_columns, reordered, trimmed_rows, first_bad_byte.",
        ),
        Column(
            "header",
            ARRAY(Text),
            nullable=False,
            server_default=text("'{}'"),
            comment="Names of the file's columns in its order, also those that the contract does "
            "not know; empty where it was not read.",
        ),
        Column("bytes_read", BigInteger, comment="Bytes of the file, unpacked."),
        Column("lines_read", BigInteger, comment="Lines of the file, its header among them."),
        Column("lines_blank", BigInteger, comment="Lines with nothing on them."),
        PrimaryKeyConstraint("load_id", "feed"),
        CheckConstraint("kind in ('delta', 'snapshot')", name="kind"),
        _one_of("status", ("loaded", "skipped", "refused", "failed", "superseded")),
        CheckConstraint(
            "status <> 'loaded' or rows_read = rows_loaded + rows_rejected + rows_duplicate",
            name="rows_accounted",
        ),
        CheckConstraint(
            "status <> 'loaded' or lines_read is null or lines_read > rows_read + lines_blank",
            name="lines_accounted",
        ),
        schema="ledger",
        comment="One row a load and feed: its file, or its files as parts of one.",
    )
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
        Column("rows_read", BigInteger, nullable=False, server_default=text("0")),
        Column("rows_loaded", BigInteger, nullable=False, server_default=text("0")),
        Column("rows_rejected", BigInteger, nullable=False, server_default=text("0")),
        Column("rows_duplicate", BigInteger, nullable=False, server_default=text("0")),
        PrimaryKeyConstraint("load_id", "feed", "part"),
        ForeignKeyConstraint(
            ["load_id", "feed"], ["ledger.load_file.load_id", "ledger.load_file.feed"]
        ),
        CheckConstraint(
            "rows_read = rows_loaded + rows_rejected + rows_duplicate", name="rows_accounted"
        ),
        CheckConstraint("part > 0", name="part_positive"),
        schema="ledger",
        comment="One row a load, feed and file of it.",
    )
    Table(
        "stage_run",
        metadata,
        Column("stage_run_id", BigInteger, Identity(always=True)),
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id")),
        Column(
            "stage",
            Text,
            nullable=False,
            comment="stage, dims, facts, cubes, checks, swap, restate, replay; rebuilt_cubes in a "
            "full load.",
        ),
        Column("status", Text, nullable=False, comment="running, done or failed."),
        Column("started_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("finished_at", INSTANT),
        Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
        Column("error", Text),
        PrimaryKeyConstraint("stage_run_id"),
        CheckConstraint("status in ('running', 'done', 'failed')", name="status"),
        schema="ledger",
        comment="One row a stage that ran, also where it failed.",
    )
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
        CheckConstraint("reason in ('changed', 'rebuilt', 'completed', 'restated')", name="reason"),
        CheckConstraint("facts > 0", name="facts_positive"),
        CheckConstraint("first_date <= last_date", name="dates_in_order"),
        schema="ledger",
        comment="One row a load, fact, dimension and reason for which facts were keyed anew.",
    )


def quality(metadata: MetaData) -> None:
    """Quarantine, and the checks with their results."""
    _quarantine(metadata)
    _checks(metadata)


def _quarantine(metadata: MetaData) -> None:
    """Rows set aside, and what people made of them.

    A row as the file has it is personal data. It stands in tables of its own, whose row security
    shows it to data stewards alone, whatever else is granted to whom; the view ``rejected_row``
    (``sql/quality``) puts it beside the rest.
    """
    quarantined = Table(
        "quarantined_row",
        metadata,
        Column("rejected_row_id", BigInteger, Identity(always=True)),
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("feed", Text, nullable=False),
        Column("file", Text, nullable=False),
        Column("line", BigInteger, nullable=False, comment="Line on which the row begins."),
        Column("column_name", Text, comment="The column at fault; empty for the whole row."),
        Column("reason", Text, nullable=False, comment="One of a fixed list of reasons."),
        Column("created_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("closed_at", INSTANT, comment="When it was dealt with; empty while it is open."),
        Column(
            "closed_by",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            comment="The load that brought the corrected row.",
        ),
        PrimaryKeyConstraint("rejected_row_id"),
        _one_of("reason", (reason.text for reason in Reason)),
        schema="quality",
        comment="Quarantine: one row a line of a feed that was set aside and reason.",
    )
    Index(None, quarantined.c.load_id, quarantined.c.feed)
    Table(
        "quarantined_line",
        metadata,
        Column(
            "rejected_row_id",
            BigInteger,
            ForeignKey("quality.quarantined_row.rejected_row_id"),
            nullable=False,
        ),
        Column(
            "raw_line",
            Text,
            nullable=False,
            comment="The row as the file has it, undecodable bytes escaped. Personal data: direct.",
        ),
        PrimaryKeyConstraint("rejected_row_id"),
        schema="quality",
        comment="The text of rows set aside, for data stewards alone. One row a quarantined row.",
    )
    Table(
        "rejected_key",
        metadata,
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("feed", Text, nullable=False),
        Column(
            "key", ARRAY(Text), nullable=False, comment="Values of the key's columns, in order."
        ),
        Column(
            "reversed_in_full",
            Boolean,
            comment="Whether the row that stands takes all of it back; empty where it takes "
            "nothing back.",
        ),
        PrimaryKeyConstraint("load_id", "feed", "key"),
        schema="quality",
        comment="Keys that rows name which their file has and staging has not: rejected ones of "
        "snapshots, and claims that the same file reverses. One row a load, feed and key.",
    )
    Table(
        "correction",
        metadata,
        Column("feed", Text, nullable=False),
        Column("xxh3_128", UUID, nullable=False, comment="Checksum of the file that it corrects."),
        Column("line", BigInteger, nullable=False, comment="Line of the file that it stands for."),
        Column(
            "columns", ARRAY(Text), nullable=False, comment="Columns of the record, in its order."
        ),
        Column(
            "record",
            Text,
            nullable=False,
            comment="The row as it should have been, CSV. Personal data: direct.",
        ),
        Column(
            "load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            nullable=False,
            comment="The load that brought it; of a file that was refused, the load that was.",
        ),
        Column("created_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("created_by", Text, nullable=False, server_default=text("session_user")),
        PrimaryKeyConstraint("feed", "xxh3_128", "line", "load_id"),
        schema="quality",
        comment="Rows of the quarantine as people corrected them, for data stewards alone. A full "
        "load takes them in again. One row a file, line and load that brought it.",
    )


def _checks(metadata: MetaData) -> None:
    """The registry of the checks, their thresholds, their runs and results."""
    Table(
        "check_definition",
        metadata,
        Column("check_name", Text, nullable=False),
        Column("table_name", Text, nullable=False),
        Column("column_name", Text),
        Column("dimension", Text, nullable=False, comment="Completeness, uniqueness and so on."),
        Column("severity", Text, nullable=False, comment="critical, major or minor."),
        Column(
            "answered_by", Text, nullable=False, comment="great_expectations, sql or statistics."
        ),
        Column("means", Text, nullable=False, comment="What is wrong where it fails."),
        Column("advice", Text, nullable=False, comment="What the owner does about a failure."),
        Column("unit", Text, nullable=False, comment="What measured counts: rows, days and so on."),
        Column("threshold", Double, nullable=False, comment="The most that measured may be."),
        Column(
            "threshold_share",
            Double,
            comment="Share of the rows checked that may fail; the wider of both thresholds holds.",
        ),
        Column("defined_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("retired_at", INSTANT, comment="When the check was taken out; empty while it runs."),
        PrimaryKeyConstraint("check_name"),
        _one_of("dimension", ASPECTS),
        _one_of("severity", SEVERITIES),
        schema="quality",
        comment="The registry of the checks, written by each run. One row a check.",
    )
    Table(
        "check_threshold",
        metadata,
        Column("check_name", Text, nullable=False),
        Column("threshold", Double, comment="In the place of the definition's; empty leaves it."),
        Column(
            "threshold_share", Double, comment="In the place of the definition's; empty leaves it."
        ),
        Column("severity", Text, comment="In the place of the definition's; empty leaves it."),
        Column("reason", Text, nullable=False, comment="Why it was changed."),
        Column("changed_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("changed_by", Text, nullable=False, server_default=text("session_user")),
        PrimaryKeyConstraint("check_name"),
        ForeignKeyConstraint(["check_name"], ["quality.check_definition.check_name"]),
        _one_of("severity", SEVERITIES),
        CheckConstraint("threshold >= 0", name="threshold"),
        CheckConstraint("threshold_share between 0 and 1", name="threshold_share"),
        schema="quality",
        comment="Thresholds that people changed; past results are judged by them too. "
        "One row a check.",
    )
    Table(
        "check_run",
        metadata,
        Column("check_run_id", BigInteger, Identity(always=True)),
        Column("started_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("finished_at", INSTANT),
        Column("checks", Integer, nullable=False, server_default=text("0")),
        Column("failed", Integer, nullable=False, server_default=text("0")),
        Column("failed_critical", Integer, nullable=False, server_default=text("0")),
        Column(
            "load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            comment="The latest load that it looked at.",
        ),
        Column(
            "gate",
            Text,
            comment="The stage whose transaction it ran in, on the rows of that load alone; empty "
            "for a run on all that is there.",
        ),
        PrimaryKeyConstraint("check_run_id"),
        schema="quality",
        comment="One row a run of the quality checks.",
    )
    Table(
        "check_result",
        metadata,
        Column(
            "check_run_id",
            BigInteger,
            ForeignKey("quality.check_run.check_run_id"),
            nullable=False,
        ),
        Column("check_name", Text, nullable=False),
        Column("table_name", Text, nullable=False),
        Column("column_name", Text),
        Column("dimension", Text, nullable=False, comment="Completeness, uniqueness and so on."),
        Column("severity", Text, nullable=False, comment="critical, major or minor."),
        Column(
            "passed",
            Boolean,
            nullable=False,
            comment="As judged by the run; check_judged judges by the thresholds of today.",
        ),
        Column("rows_checked", BigInteger, comment="Empty where it could not be evaluated."),
        Column("rows_failed", BigInteger, nullable=False),
        Column("message", Text, comment="What was found; never a value of a personal column."),
        Column("measured", Double, comment="What was measured, in the unit of the definition."),
        Column("threshold", Double, comment="The threshold that the run judged by."),
        Column("threshold_share", Double, comment="Likewise, as a share of the rows checked."),
        Column(
            "failing_keys",
            JSONB,
            nullable=False,
            server_default=text("'[]'"),
            comment="Up to a hundred rows that failed, by surrogate or natural key.",
        ),
        Column(
            "rows_judged",
            BigInteger,
            comment="Rows checked that have the values it looks at; empty where all have.",
        ),
        PrimaryKeyConstraint("check_run_id", "check_name"),
        _one_of("severity", SEVERITIES),
        CheckConstraint("jsonb_array_length(failing_keys) <= 100", name="failing_keys"),
        schema="quality",
        comment="One row a check and run.",
    )
    Table(
        "feed_profile",
        metadata,
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("feed", Text, nullable=False),
        Column("metric", Text, nullable=False, comment="rows, null_share, mean, share_of."),
        Column("column_name", Text, nullable=False, server_default=text("''")),
        Column(
            "member",
            Text,
            nullable=False,
            server_default=text("''"),
            comment="Of share_of: the value, one of those that the contract allows.",
        ),
        Column("measured", Double, nullable=False),
        PrimaryKeyConstraint("load_id", "feed", "metric", "column_name", "member"),
        schema="quality",
        comment="What the rows of a load look like, against which later loads are held. One row a "
        "load, feed and figure.",
    )
