"""Cubes that follow what changed: rows of the past are found by the load that changed them.

Revision: 0004, after 0003.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEPT = ("dim_plan", "dim_provider", "dim_member", "fact_enrollment", "fact_claim")


def upgrade() -> None:
    """Index the tables of the past by load: rows of a load lie together, so a few pages do."""
    for table in KEPT:
        op.create_index(
            f"{table}_past_known_to_load_id_idx",
            f"{table}_past",
            ["known_to_load_id"],
            schema="warehouse",
            postgresql_using="brin",
        )


def downgrade() -> None:
    """Take the change back."""
    for table in KEPT:
        op.drop_index(f"{table}_past_known_to_load_id_idx", schema="warehouse")
