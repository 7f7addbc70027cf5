"""The versions of a load are found by an index, and those that end have room in the limited copy.

Revision: 0147, after 0146.
"""

from __future__ import annotations

from alembic import op

revision = "0147"
down_revision = "0146"
branch_labels = None
depends_on = None

_DIMENSIONS = ("dim_member", "dim_plan", "dim_provider")


def upgrade() -> None:
    """Apply the change."""
    for table in _DIMENSIONS:
        index = op.f(f"{table}_load_id_idx")
        op.create_index(index, table, ["load_id"], unique=False, schema="warehouse")
    op.execute("alter table warehouse.dim_member_limited set (fillfactor = 90)")


def downgrade() -> None:
    """Take the change back."""
    op.execute("alter table warehouse.dim_member_limited reset (fillfactor)")
    for table in reversed(_DIMENSIONS):
        op.drop_index(op.f(f"{table}_load_id_idx"), table_name=table, schema="warehouse")
