"""Cubes that follow what changed: rows of the past are found by the load that changed them.

What attr_hash is made of is said as it is, too.

Revision: 0004, after 0003.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DIMENSIONS = ("dim_plan", "dim_provider", "dim_member")
HASH = "First 16 bytes of the SHA-256 of the change drivers (docs/architecture)."
HASH_BEFORE = "xxh3_128 of the change drivers, 16 bytes (docs/architecture)."
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
    describe_hash(HASH)


def downgrade() -> None:
    """Take the change back."""
    describe_hash(HASH_BEFORE)
    for table in KEPT:
        op.drop_index(f"{table}_past_known_to_load_id_idx", schema="warehouse")


def describe_hash(said: str) -> None:
    for table in DIMENSIONS:
        for name in (table, f"{table}_past"):
            op.execute(f"comment on column warehouse.{name}.attr_hash is '{said}'")
