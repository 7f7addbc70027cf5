"""The ledger's tables of operations: backups, and drills of restoring them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from etl.schema.ledger_tables import INSTANT, one_of


def backups(metadata: MetaData) -> None:
    """Backups, and drills of restoring them."""
    _backup(metadata)
    _drill(metadata)


def _backup(metadata: MetaData) -> None:
    Table(
        "backup",
        metadata,
        Column("backup_id", BigInteger, Identity(always=True)),
        Column(
            "kind",
            Text,
            nullable=False,
            comment="full, incremental (blocks that changed since its parent) or dump (of a server "
            "that is not the embedded one).",
        ),
        Column("started_at", INSTANT, nullable=False),
        Column("finished_at", INSTANT, nullable=False, comment="When it was complete and checked."),
        Column("path", Text, nullable=False, comment="Its folder below BACKUP_DIR."),
        Column("bytes", BigInteger, nullable=False, comment="Of its files."),
        Column(
            "parent_backup_id",
            BigInteger,
            ForeignKey("ledger.backup.backup_id"),
            comment="The backup that an incremental one builds on.",
        ),
        Column(
            "proven_at",
            INSTANT,
            comment="When a drill or restore last found every table as it was; empty: never.",
        ),
        Column("deleted_at", INSTANT, comment="When it was first missed; empty while it is there."),
        PrimaryKeyConstraint("backup_id"),
        UniqueConstraint("path"),
        one_of("kind", ("full", "incremental", "dump")),
        CheckConstraint("started_at <= finished_at", name="moments_in_order"),
        schema="ledger",
        comment="One row per backup. The files in BACKUP_DIR are what counts; this is their copy.",
    )


def _drill(metadata: MetaData) -> None:
    Table(
        "drill",
        metadata,
        Column("drill_id", BigInteger, Identity(always=True)),
        Column("backup_id", BigInteger, ForeignKey("ledger.backup.backup_id"), nullable=False),
        Column("started_at", INSTANT, nullable=False),
        Column("finished_at", INSTANT, nullable=False),
        Column("succeeded", Boolean, nullable=False),
        Column(
            "rto_seconds",
            Numeric(12, 3),
            nullable=False,
            comment="Recovery time: seconds from its start until the copy was restored and "
            "compared, or failed to be.",
        ),
        Column(
            "rpo_seconds",
            Numeric(12, 3),
            nullable=False,
            comment="Recovery point: seconds by which the restored state was older than its start.",
        ),
        Column("message", Text, nullable=False, comment="What came of it, in one sentence."),
        PrimaryKeyConstraint("drill_id"),
        schema="ledger",
        comment="One row per drill: the newest backup restored to a second server and compared.",
    )
