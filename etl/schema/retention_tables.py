"""The ledger's tables of retention: when which rows went to the archive, and into which files."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from etl.schema.ledger_tables import INSTANT, NOW


def retention(metadata: MetaData) -> None:
    """Runs of retention, and the files that they wrote."""
    _retention_run(metadata)
    _retention_file(metadata)


def _retention_run(metadata: MetaData) -> None:
    Table(
        "retention_run",
        metadata,
        Column("retention_run_id", BigInteger, Identity(always=True)),
        Column(
            "horizon",
            Date,
            nullable=False,
            comment="Claims of days of service before it, and coverage that ended before it, went. "
            "The latest horizon is valid for every later load.",
        ),
        Column("years", Integer, nullable=False, comment="How many calendar years are kept."),
        Column(
            "counted_from",
            Date,
            nullable=False,
            comment="The day from whose year they were counted back.",
        ),
        Column("why", Text, nullable=False, comment="The reason."),
        Column(
            "archive_folder",
            Text,
            nullable=False,
            comment="Folder under archive in DATA_DIR with the rows.",
        ),
        Column(
            "manifest_sha256",
            Text,
            nullable=False,
            comment="SHA-256 of the folder's manifest.json.",
        ),
        Column("ran_at", INSTANT, nullable=False, server_default=NOW),
        Column("ran_by", Text, nullable=False, server_default=text("session_user")),
        Column("os_user", Text, nullable=False, comment="Who ran the command, on its machine."),
        PrimaryKeyConstraint("retention_run_id"),
        CheckConstraint("years > 0", name="years_positive"),
        CheckConstraint("horizon <= counted_from", name="days_in_order"),
        schema="ledger",
        comment="Runs that archived old rows and deleted them. One row per run.",
    )


def _retention_file(metadata: MetaData) -> None:
    Table(
        "retention_file",
        metadata,
        Column(
            "retention_run_id",
            BigInteger,
            ForeignKey("ledger.retention_run.retention_run_id"),
            nullable=False,
        ),
        Column("file_name", Text, nullable=False, comment="File inside the archive's folder."),
        Column("feed", Text, nullable=False, comment="claims or enrollments."),
        Column("year", Integer, nullable=False, comment="Year of the days of its rows."),
        Column(
            "row_count", BigInteger, nullable=False, comment="Rows, as the feed's files had them."
        ),
        Column(
            "totals", JSONB, nullable=False, comment="Sums by money column, US dollars, as text."
        ),
        Column(
            "first_day",
            Date,
            nullable=False,
            comment="Earliest day of service, or last day of coverage.",
        ),
        Column("last_day", Date, nullable=False, comment="Latest such day."),
        Column("size_bytes", BigInteger, nullable=False),
        Column("sha256", Text, nullable=False, comment="SHA-256 of the file's bytes."),
        PrimaryKeyConstraint("retention_run_id", "file_name"),
        CheckConstraint("row_count > 0", name="rows_positive"),
        CheckConstraint("first_day <= last_day", name="days_in_order"),
        schema="ledger",
        comment="Files of the archive. One row per run, feed and year.",
    )
