"""What was refused stays visible until it is settled; what people decided about it is kept.

Revision: 0012, after 0011.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True)
CLOCK = sa.text("clock_timestamp()")


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "refused_batch",
        sa.Column("refused_batch_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("folder", sa.Text, nullable=False, comment="The batch's folder in the inbox."),
        sa.Column(
            "load_id",
            sa.BigInteger,
            sa.ForeignKey("ledger.load.load_id", name="refused_batch_load_id_fkey"),
            comment="The load that failed or was stopped; empty where the folder was refused "
            "before one began.",
        ),
        sa.Column("reason", sa.Text, nullable=False, comment="Why, in one sentence."),
        sa.Column("advice", sa.Text, nullable=False, comment="What to do about it."),
        sa.Column("refused_at", INSTANT, nullable=False, server_default=CLOCK, comment="At first."),
        sa.Column("tried_at", INSTANT, nullable=False, server_default=CLOCK, comment="At last."),
        sa.Column(
            "settled_at",
            INSTANT,
            comment="When it was seen to be loaded, or gone from the inbox; empty until then.",
        ),
        sa.PrimaryKeyConstraint("refused_batch_id", name="refused_batch_pkey"),
        schema="ledger",
        comment="Batches that were refused, or stopped at a gate, also those that left no load. "
        "One row a batch and stretch of time.",
    )
    op.create_index(
        "refused_batch_folder_idx",
        "refused_batch",
        ["folder"],
        unique=True,
        schema="ledger",
        postgresql_where=sa.text("settled_at is null"),
    )
    op.create_table(
        "decision",
        sa.Column("decision_id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column(
            "kind",
            sa.Text,
            nullable=False,
            comment="confirm_snapshot (its file may end many keys) or forget_file (a full load "
            "may do without the file, which is gone from the inbox).",
        ),
        sa.Column("batch_id", sa.Text, nullable=False),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column(
            "xxh3_128", postgresql.UUID, nullable=False, comment="Checksum of the file's bytes."
        ),
        sa.Column(
            "load_id",
            sa.BigInteger,
            sa.ForeignKey("ledger.load.load_id", name="decision_load_id_fkey"),
            nullable=False,
            comment="The load that was let through, or is forgotten.",
        ),
        sa.Column("says", sa.Text, nullable=False, comment="What was known when it was decided."),
        sa.Column("decided_at", INSTANT, nullable=False, server_default=CLOCK),
        sa.Column("decided_by", sa.Text, nullable=False, server_default=sa.text("session_user")),
        sa.Column(
            "os_user", sa.Text, nullable=False, comment="Who ran the command, on its machine."
        ),
        sa.PrimaryKeyConstraint("decision_id", name="decision_pkey"),
        sa.CheckConstraint(
            "kind in ('confirm_snapshot', 'forget_file')", name="decision_kind_check"
        ),
        schema="ledger",
        comment="What people decided where the warehouse refuses by itself. One row a decision "
        "and file.",
    )


def downgrade() -> None:
    """Take both away."""
    for table in ("decision", "refused_batch"):
        op.drop_table(table, schema="ledger")
