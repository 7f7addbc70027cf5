"""rows of the past are in schema internal.

Revision: 0127, after 0126.
"""

from __future__ import annotations

from alembic import op

revision = '0127'
down_revision = '0126'
branch_labels = None
depends_on = None

# They move with their rows, keys and indexes.
_TABLES = (
    'dim_plan_past',
    'dim_provider_past',
    'dim_member_past',
    'fact_enrollment_past',
    'fact_claim_past',
    'fact_claim_state',
    'fact_claim_line_past',
    'bridge_claim_diagnosis_past',
)


def upgrade() -> None:
    """Apply the change."""
    for table in _TABLES:
        op.execute(f'alter table warehouse.{table} set schema internal')


def downgrade() -> None:
    """Take the change back."""
    for table in _TABLES:
        op.execute(f'alter table internal.{table} set schema warehouse')
