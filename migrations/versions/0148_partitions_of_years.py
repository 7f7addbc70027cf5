"""Tables of claims are partitioned by year before the last three years; a full load makes these.

Revision: 0148, after 0147.
"""

from __future__ import annotations

from alembic import op

revision = "0148"
down_revision = "0147"
branch_labels = None
depends_on = None

_TABLES = {
    "fact_claim": "Claims, one row per claim in its latest state. Amounts in US dollars.",
    "fact_claim_line": "Service lines of claims, one row per claim and line number. A claim that came without lines has line 1 with its own procedure and amounts. Amounts in US dollars.",
    "bridge_claim_diagnosis": "Diagnoses of claims, one row per claim and position. A claim that came without diagnoses has position 1 with its own diagnosis.",
}
_BEFORE = "Partitioned by month of service_date."
_AFTER = "Partitioned by service_date: by month, and by year before the last three years."


def upgrade() -> None:
    """Apply the change."""
    _describe(_BEFORE, _AFTER)


def downgrade() -> None:
    """Take the change back."""
    _describe(_AFTER, _BEFORE)


def _describe(before: str, after: str) -> None:
    for table, description in _TABLES.items():
        op.create_table_comment(
            table,
            f"{description} {after}",
            existing_comment=f"{description} {before}",
            schema="warehouse",
        )
