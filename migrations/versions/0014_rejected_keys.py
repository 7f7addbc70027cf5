"""Keys of rows that are not in staging are kept: what a snapshot names, what a file reverses.

Revision: 0014, after 0013.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "rejected_key",
        sa.Column(
            "load_id",
            sa.BigInteger,
            sa.ForeignKey("ledger.load.load_id", name="rejected_key_load_id_fkey"),
            nullable=False,
        ),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column(
            "key",
            postgresql.ARRAY(sa.Text),
            nullable=False,
            comment="Values of the key's columns, in order.",
        ),
        sa.Column(
            "reversed_in_full",
            sa.Boolean,
            comment="Whether the row that stands takes all of it back; empty where it takes "
            "nothing back.",
        ),
        sa.PrimaryKeyConstraint("load_id", "feed", "key", name="rejected_key_pkey"),
        schema="quality",
        comment="Keys that rows name which their file has and staging has not: rejected ones of "
        "snapshots, and claims that the same file reverses. One row a load, feed and key.",
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_table("rejected_key", schema="quality")
