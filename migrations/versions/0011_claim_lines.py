"""Rows that are lines of one claim are rejected for a reason of their own.

Revision: 0011, after 0010.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

LINE = "another line of the same claim; claim lines are not supported yet, the last one stands"
CONFLICT = "conflicting row of the same key and time; the last in the file stands"
REASONS = (
    "wrong number of fields",
    "bytes that are not UTF-8",
    "carriage return outside quotes",
    "unterminated quoted field",
    "quote in the middle of a value",
    "line longer than any row may be",
    "header repeated among the rows",
    "trailer or total line among the rows",
    "a word of the clock where a date is due",
    "a key that is empty",
    "a key with invisible or unusual characters",
    "value longer than the column allows",
    "amount larger than the column allows",
    "date too far ahead of its batch",
    "not a valid integer",
    "not a valid year",
    "not a valid boolean",
    "not a valid amount",
    "not a valid number",
    "not a valid date",
    "not a valid instant",
    "dates in the wrong order",
    CONFLICT,
    "outside what the contract allows",
)


def upgrade() -> None:
    """Allow the reason."""
    allow_reasons((*REASONS, LINE))


def downgrade() -> None:
    """Take the change back; such rows were conflicts before."""
    op.execute(f"update quality.quarantined_row set reason = '{CONFLICT}' where reason = '{LINE}'")
    allow_reasons(REASONS)


def allow_reasons(reasons: tuple[str, ...]) -> None:
    """Let rows be rejected for these reasons and no other."""
    name = op.f("quarantined_row_reason_check")
    op.drop_constraint(name, "quarantined_row", schema="quality")
    listed = ", ".join(f"'{reason}'" for reason in reasons)
    op.create_check_constraint(name, "quarantined_row", f"reason in ({listed})", schema="quality")
