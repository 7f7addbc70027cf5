"""The tables of quality: quarantine, and the checks with their results.

They contain what happened and so are no part of a build: a full load never replaces them.
"""

from __future__ import annotations

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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from etl.contracts.checks import ASPECTS, SEVERITIES
from etl.contracts.reasons import Reason
from etl.schema.ledger_tables import INSTANT, NOW, one_of


def quality(metadata: MetaData) -> None:
    """Quarantine, and the checks with their results."""
    _quarantined_row(metadata)
    _quarantined_line(metadata)
    _rejected_key(metadata)
    _correction(metadata)
    _check_definition(metadata)
    _check_threshold(metadata)
    _check_run(metadata)
    _check_result(metadata)
    _feed_profile(metadata)


def _quarantined_row(metadata: MetaData) -> None:
    """Rows that were rejected, without their text.

    A row as the file has it is personal data. It is in a table of its own, whose row security
    shows it to data stewards alone, whatever else is granted to whom; the view ``rejected_row``
    (``sql/quality``) puts it next to the rest.
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
        Column("created_at", INSTANT, nullable=False, server_default=NOW),
        Column("closed_at", INSTANT, comment="When it was dealt with; empty while it is open."),
        Column(
            "closed_by",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            comment="The load that brought the corrected row.",
        ),
        PrimaryKeyConstraint("rejected_row_id"),
        one_of("reason", (reason.text for reason in Reason)),
        schema="quality",
        comment="Quarantine: one row per rejected line of a feed and reason.",
    )
    Index(None, quarantined.c.load_id, quarantined.c.feed)


def _quarantined_line(metadata: MetaData) -> None:
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
        comment="The text of rejected rows, for data stewards alone. One row per quarantined row.",
    )


def _rejected_key(metadata: MetaData) -> None:
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
            comment="Whether the row that is valid takes all of it back; empty where it takes "
            "nothing back.",
        ),
        PrimaryKeyConstraint("load_id", "feed", "key"),
        schema="quality",
        comment="Keys that rows name which their file has and staging has not: rejected ones of "
        "snapshots, and claims that the same file reverses. One row per load, feed and key.",
    )


def _correction(metadata: MetaData) -> None:
    Table(
        "correction",
        metadata,
        Column("feed", Text, nullable=False),
        Column("xxh3_128", UUID, nullable=False, comment="Checksum of the file that it corrects."),
        Column("line", BigInteger, nullable=False, comment="Line of the file that it replaces."),
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
        Column("created_at", INSTANT, nullable=False, server_default=NOW),
        Column("created_by", Text, nullable=False, server_default=text("session_user")),
        PrimaryKeyConstraint("feed", "xxh3_128", "line", "load_id"),
        schema="quality",
        comment="Rows of the quarantine as people corrected them, for data stewards alone. A full "
        "load takes them in again. One row per file, line and load that brought it.",
    )


def _check_definition(metadata: MetaData) -> None:
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
            comment="Share of the rows checked that may fail; the wider of both thresholds counts.",
        ),
        Column("defined_at", INSTANT, nullable=False, server_default=NOW),
        Column("retired_at", INSTANT, comment="When the check was taken out; empty while it runs."),
        PrimaryKeyConstraint("check_name"),
        one_of("dimension", ASPECTS),
        one_of("severity", SEVERITIES),
        schema="quality",
        comment="The registry of the checks, written by each run. One row per check.",
    )


def _check_threshold(metadata: MetaData) -> None:
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
        Column("changed_at", INSTANT, nullable=False, server_default=NOW),
        Column("changed_by", Text, nullable=False, server_default=text("session_user")),
        PrimaryKeyConstraint("check_name"),
        ForeignKeyConstraint(["check_name"], ["quality.check_definition.check_name"]),
        one_of("severity", SEVERITIES),
        CheckConstraint("threshold >= 0", name="threshold"),
        CheckConstraint("threshold_share between 0 and 1", name="threshold_share"),
        schema="quality",
        comment="Thresholds that people changed; past results are judged by them too. "
        "One row per check.",
    )


def _check_run(metadata: MetaData) -> None:
    Table(
        "check_run",
        metadata,
        Column("check_run_id", BigInteger, Identity(always=True)),
        Column("started_at", INSTANT, nullable=False, server_default=NOW),
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
            "for a look at all that is there, or at a share of it.",
        ),
        Column(
            "is_whole",
            Boolean,
            nullable=False,
            server_default=text("true"),
            comment="Whether a look was at every row; else, of claims, at those of the months, and "
            "at those that loads brought or changed since the look before.",
        ),
        Column(
            "months",
            ARRAY(Date),
            comment="First days of the months of service of which it looked at every claim; empty "
            "for a gate.",
        ),
        Column(
            "months_in_part",
            ARRAY(Date),
            comment="First days of other months, of which it looked at some claims.",
        ),
        Column(
            "since_load_id",
            BigInteger,
            comment="The latest load that the look before saw: claims of later ones were looked "
            "at. Empty where everything was.",
        ),
        Column(
            "all_since",
            INSTANT,
            comment="Since when every claim was looked at, at this run's start.",
        ),
        PrimaryKeyConstraint("check_run_id"),
        schema="quality",
        comment="One row per run of the quality checks.",
    )


def _check_result(metadata: MetaData) -> None:
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
        Column(
            "is_by_month",
            Boolean,
            nullable=False,
            server_default=text("false"),
            comment="Whether it is of the months and loads that the run looked at, and not of all "
            "rows where is_whole says otherwise.",
        ),
        Column(
            "open_run_id",
            BigInteger,
            ForeignKey("quality.check_run.check_run_id"),
            comment="An earlier run at which it failed, at claims that were not all looked at "
            "again since.",
        ),
        PrimaryKeyConstraint("check_run_id", "check_name"),
        one_of("severity", SEVERITIES),
        CheckConstraint("jsonb_array_length(failing_keys) <= 100", name="failing_keys"),
        schema="quality",
        comment="One row per check and run.",
    )


def _feed_profile(metadata: MetaData) -> None:
    Table(
        "feed_profile",
        metadata,
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("feed", Text, nullable=False),
        Column(
            "metric", Text, nullable=False, comment="rows, null_share, mean, mean_log, share_of."
        ),
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
        comment="What the rows of a load look like, with which later loads are compared. One row "
        "per load, feed and figure.",
    )
