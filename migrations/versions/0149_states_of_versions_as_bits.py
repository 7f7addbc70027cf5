"""Which versions of members are of which state, as bits by surrogate key.

Revision: 0149, after 0148.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0149"
down_revision = "0148"
branch_labels = None
depends_on = None

_FILL = """
    insert into warehouse.member_scope (state, part, bits)
    select
        state,
        (version_sk + 1) >> 12,
        bit_or(set_bit(0::bit(4096), ((version_sk + 1) & 4095)::integer, 1))
    from warehouse.dim_member_limited
    where state is not null
    group by state, (version_sk + 1) >> 12
"""


def upgrade() -> None:
    """Apply the change."""
    op.create_table(
        "member_scope",
        sa.Column("state", sa.Text(), nullable=False, comment="State of the versions."),
        sa.Column(
            "part",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Which 4,096 surrogate keys, counted from -1 on.",
        ),
        sa.Column(
            "bits",
            postgresql.BIT(length=4096),
            nullable=False,
            comment="A bit for each of these keys, 1 if its version is of the state.",
        ),
        sa.PrimaryKeyConstraint("state", "part", name=op.f("member_scope_pkey")),
        schema="warehouse",
        comment="Which versions in dim_member_limited are of which state. Triggers keep it.",
    )
    op.execute(_FILL)


def downgrade() -> None:
    """Take the change back."""
    op.drop_table("member_scope", schema="warehouse")
