"""The ledger's tables on what was refused, and on what people decided about it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import UUID

from etl.schema.ledger_tables import INSTANT

NOW = text("clock_timestamp()")


def refusals(metadata: MetaData) -> None:
    """Batches that were refused, and decisions that let something happen all the same."""
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
        Column("advice", Text, nullable=False, comment="What to do about it."),
        Column("refused_at", INSTANT, nullable=False, server_default=NOW, comment="At first."),
        Column("tried_at", INSTANT, nullable=False, server_default=NOW, comment="At last."),
        Column(
            "settled_at",
            INSTANT,
            comment="When it was seen to be loaded, or gone from the inbox; empty until then.",
        ),
        PrimaryKeyConstraint("refused_batch_id"),
        schema="ledger",
        comment="Batches that were refused, or stopped at a gate, also those that left no load. "
        "One row a batch and stretch of time.",
    )
    Index(None, refused.c.folder, unique=True, postgresql_where=text("settled_at is null"))
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
        CheckConstraint("kind in ('confirm_snapshot', 'forget_file', 'allow_future')", name="kind"),
        schema="ledger",
        comment="What people decided where the warehouse refuses by itself. One row a decision "
        "and file.",
    )
