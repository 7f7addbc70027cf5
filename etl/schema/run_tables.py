"""The ledger's tables of runs: their tries, and senders whose files wait.

Like the rest of the ledger they are no part of a build.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
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
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION

from etl.schema.ledger_tables import INSTANT, NOW


def runs(metadata: MetaData) -> None:
    """Tries of runs, and feeds of senders whose files wait."""
    _attempt(metadata)
    _held_feed(metadata)


def _attempt(metadata: MetaData) -> None:
    Table(
        "attempt",
        metadata,
        Column("attempt_id", BigInteger, Identity(always=True)),
        Column(
            "run_began_at",
            INSTANT,
            nullable=False,
            comment="When the first try of the run began, by the clock of its machine: the same "
            "for all tries of a run.",
        ),
        Column("number", Integer, nullable=False, comment="Which try of its run it is, from 1."),
        Column("command", Text, nullable=False, comment="The target of make that was run."),
        Column(
            "load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            comment="The load that was on its way when the try ended, if any.",
        ),
        Column("began_at", INSTANT, nullable=False),
        Column("ended_at", INSTANT, comment="Empty while it is at work."),
        Column(
            "error_class",
            Text,
            comment="The class of its error in docs/runbooks/exit-codes.md, or that of Python; "
            "interrupted where a later run found it without an end; empty if it ended well.",
        ),
        Column(
            "sqlstate",
            Text,
            comment="The SQLSTATE of what ended it, of a lost connection one of class 08; empty "
            "where no server and no connection was at fault.",
        ),
        Column("exit_code", Integer, comment="Its exit code, if that is known."),
        Column(
            "waited_seconds",
            DOUBLE_PRECISION,
            nullable=False,
            server_default=text("0"),
            comment="Pause after the try before it.",
        ),
        PrimaryKeyConstraint("attempt_id"),
        CheckConstraint("number > 0", name="number_positive"),
        schema="ledger",
        comment="One row per try of a run: one that a lost connection, a restart of the server or "
        "a lock ended is followed by another.",
    )


def _held_feed(metadata: MetaData) -> None:
    held = Table(
        "held_feed",
        metadata,
        Column("held_feed_id", BigInteger, Identity(always=True)),
        Column(
            "sender",
            Text,
            nullable=False,
            comment="The contract that manifests name, or that of the feed itself.",
        ),
        Column("feed", Text, nullable=False, comment="members, plans, providers and so on."),
        Column("held_since", INSTANT, nullable=False, server_default=NOW),
        Column(
            "after_load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            nullable=False,
            comment="The load that first brought the last of the refused files.",
        ),
        Column(
            "resumed_at", INSTANT, comment="When somebody let its files load again, if they did."
        ),
        Column("resumed_by", Text, comment="Who that was, by the name that their machine knows."),
        PrimaryKeyConstraint("held_feed_id"),
        CheckConstraint("(resumed_at is null) = (resumed_by is null)", name="resumed_by_somebody"),
        schema="ledger",
        comment="One row per sender, feed and stretch of time in which its files wait because "
        "several in a row were refused.",
    )
    Index(
        None,
        held.c.sender,
        held.c.feed,
        unique=True,
        postgresql_where=text("resumed_at is null"),
    )
