"""Enrollments and claims can be taken back by delete markers, which need say nothing but their key.

Revision: 0006, after 0005.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

MARKER = "Delete marker: true says that the key is gone from the row's effective time on."
END = (
    "Last day of coverage; empty means to the end of the plan year, and a day before the start, by "
    "at most 366, that the coverage was canceled from its start."
)
DATES = {"enrollments_raw": "start_date", "claims_raw": "service_date"}


def upgrade() -> None:
    """Give both feeds the marker; a marker may lack the date."""
    op.execute("alter domain staging.key_date drop not null")
    for table, day in DATES.items():
        op.alter_column(table, day, nullable=True, schema="staging")
        op.add_column(
            table, sa.Column("is_deleted", sa.Boolean(), comment=MARKER), schema="staging"
        )
    op.execute(f"comment on column staging.enrollments_raw.end_date is '{END}'".replace("''", "'"))


def downgrade() -> None:
    """Take the change back."""
    for table, day in DATES.items():
        op.drop_column(table, "is_deleted", schema="staging")
        op.alter_column(table, day, nullable=False, schema="staging")
    op.execute("alter domain staging.key_date set not null")
