"""The ledger's tables of archived staging: which rows are in which file, and in none any more."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from etl.schema.ledger_tables import INSTANT, NOW


def staging_archive(metadata: MetaData) -> None:
    """Files of archived staging, and what each has of which load."""
    _staging_archive(metadata)
    _staging_archive_load(metadata)


def _staging_archive(metadata: MetaData) -> None:
    Table(
        "staging_archive",
        metadata,
        Column("archive_id", BigInteger, Identity(always=True)),
        Column("feed", Text, nullable=False, comment="Whose staged rows it has."),
        Column(
            "partition_name",
            Text,
            nullable=False,
            comment="The partition of staging that the rows were in, and come back to.",
        ),
        Column(
            "file_name", Text, nullable=False, comment="File under staging-archive in DATA_DIR."
        ),
        Column(
            "state",
            Text,
            nullable=False,
            server_default=text("'writing'"),
            comment="writing: the rows are in staging, and the file need not be whole. archived: "
            "they are in the file alone. returned: they are in staging again, or a full load took "
            "their files in again. removed: so is the file.",
        ),
        Column("row_count", BigInteger, comment="Rows of the file."),
        Column("first_day", Date, comment="Earliest day of service; empty if no row has one."),
        Column("last_day", Date, comment="Latest such day."),
        Column("size_bytes", BigInteger, comment="Of the file."),
        Column("sha256", Text, comment="SHA-256 of the file's bytes."),
        Column("ran_at", INSTANT, nullable=False, server_default=NOW),
        Column("returned_at", INSTANT, comment="When the rows were in staging again."),
        Column("os_user", Text, nullable=False, comment="Who ran the command, on its machine."),
        PrimaryKeyConstraint("archive_id"),
        UniqueConstraint("file_name"),
        CheckConstraint(
            "state in ('writing', 'archived', 'returned', 'removed')", name="state_known"
        ),
        CheckConstraint(
            "state = 'writing' or (row_count > 0 and size_bytes > 0 and sha256 is not null)",
            name="written_if_archived",
        ),
        CheckConstraint(
            "(state in ('returned', 'removed')) = (returned_at is not null)", name="returned_at"
        ),
        CheckConstraint("first_day <= last_day", name="days_in_order"),
        schema="ledger",
        comment="Partitions of staging that were archived. One row per file.",
    )


def _staging_archive_load(metadata: MetaData) -> None:
    Table(
        "staging_archive_load",
        metadata,
        Column(
            "archive_id",
            BigInteger,
            ForeignKey("ledger.staging_archive.archive_id"),
            nullable=False,
        ),
        Column(
            "load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            nullable=False,
            comment="The load that brought the rows.",
        ),
        Column("row_count", BigInteger, nullable=False, comment="Rows of it in the file."),
        Column(
            "totals", JSONB, nullable=False, comment="Sums by money column, US dollars, as text."
        ),
        PrimaryKeyConstraint("archive_id", "load_id"),
        CheckConstraint("row_count > 0", name="rows_positive"),
        schema="ledger",
        comment="What files of archived staging have of each load. One row per file and load.",
    )
