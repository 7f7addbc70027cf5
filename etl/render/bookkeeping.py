"""The tables in which the warehouse keeps its books: the ledger of loads, and quality.

They hold what happened and so are no part of a build: a full load never replaces them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
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

# Constraint names follow one formula, so that a message names the table and the rule.
NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
}

INSTANT = TIMESTAMP(timezone=True)


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
        PrimaryKeyConstraint("load_id"),
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
        Column("file_name", Text, nullable=False, comment="File inside the batch folder."),
        Column("kind", Text, nullable=False, comment="delta or snapshot."),
        Column("status", Text, nullable=False, comment="loaded, skipped or refused."),
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
            comment="Control totals by money column, US dollars: in_file, loaded (without "
            "repeated rows), and expected where the manifest says.",
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
        PrimaryKeyConstraint("load_id", "feed"),
        CheckConstraint("kind in ('delta', 'snapshot')", name="kind"),
        CheckConstraint("status in ('loaded', 'skipped', 'refused')", name="status"),
        CheckConstraint(
            "status <> 'loaded' or rows_read = rows_loaded + rows_rejected + rows_duplicate",
            name="rows_accounted",
        ),
        schema="ledger",
        comment="One row a load and file.",
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
            comment="stage, dims, facts, cubes, checks, swap, restate; rebuilt_cubes in a full "
            "load.",
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
            "began), spliced (a late, repeated or returning row remade a history), completed (a "
            "key that facts named first got its history), restated.",
        ),
        Column("facts", BigInteger, nullable=False, comment="How many facts."),
        Column("first_date", Date, nullable=False, comment="Earliest date of these facts."),
        Column("last_date", Date, nullable=False, comment="Latest date of these facts."),
        PrimaryKeyConstraint("fact_rekey_id"),
        CheckConstraint("reason in ('changed', 'spliced', 'completed', 'restated')", name="reason"),
        CheckConstraint("facts > 0", name="facts_positive"),
        CheckConstraint("first_date <= last_date", name="dates_in_order"),
        schema="ledger",
        comment="One row a load, fact, dimension and reason for which facts were keyed anew.",
    )


def quality(metadata: MetaData) -> None:
    """Quarantine, and the checks with their results."""
    rejected = Table(
        "rejected_row",
        metadata,
        Column("rejected_row_id", BigInteger, Identity(always=True)),
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("feed", Text, nullable=False),
        Column("file", Text, nullable=False),
        Column("line", BigInteger, nullable=False, comment="Line on which the row begins."),
        Column("column_name", Text, comment="The column at fault; empty for the whole row."),
        Column("reason", Text, nullable=False, comment="One of a fixed list of reasons."),
        Column(
            "raw_line",
            Text,
            comment="The row as the file has it, undecodable bytes escaped. Personal data: direct.",
        ),
        Column("created_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        PrimaryKeyConstraint("rejected_row_id"),
        schema="quality",
        comment="Quarantine: one row a line of a feed that was set aside.",
    )
    Index(None, rejected.c.load_id, rejected.c.feed)
    Table(
        "check_run",
        metadata,
        Column("check_run_id", BigInteger, Identity(always=True)),
        Column("started_at", INSTANT, nullable=False, server_default=text("clock_timestamp()")),
        Column("finished_at", INSTANT),
        Column("checks", Integer, nullable=False, server_default=text("0")),
        Column("failed", Integer, nullable=False, server_default=text("0")),
        Column("failed_critical", Integer, nullable=False, server_default=text("0")),
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
        Column("passed", Boolean, nullable=False),
        Column("rows_checked", BigInteger),
        Column("rows_failed", BigInteger, nullable=False),
        Column("message", Text, comment="What was found; never a value of a personal column."),
        PrimaryKeyConstraint("check_run_id", "check_name"),
        CheckConstraint("severity in ('critical', 'major', 'minor')", name="severity"),
        schema="quality",
        comment="One row a check and run.",
    )
