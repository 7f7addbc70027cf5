"""Results of checks say how many of the rows they could judge.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows without the values that a check looks at are told from those that it judged."""
    op.add_column(
        "check_result",
        sa.Column(
            "rows_judged",
            sa.BigInteger(),
            comment="Rows checked that have the values it looks at; empty where all have.",
        ),
        schema="quality",
    )


def downgrade() -> None:
    """Take the change back."""
    op.drop_column("check_result", "rows_judged", schema="quality")
