"""What a file holds is accounted for by counts of its bytes and lines.

Revision: 0005, after 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ADDED = {
    "bytes_read": "Bytes of the file, unpacked.",
    "lines_read": "Lines of the file, its header among them.",
    "lines_blank": "Lines with nothing on them.",
}
TOTALS = (
    "Control totals by money column, US dollars: in_file (all that was read) = loaded + rejected + "
    "duplicate; expected where the manifest says; unread: how many amounts of rejected rows could "
    "not be read, which are in none of these."
)
TOTALS_BEFORE = (
    "Control totals by money column, US dollars: in_file, loaded (without repeated rows), and "
    "expected where the manifest says."
)
# The amounts of rejected rows were in no total before.
TELL_TOTALS_APART = """
update ledger.load_file
set totals = (
    select jsonb_object_agg(
        t.key,
        t.value || jsonb_build_object(
            'rejected', '0.00',
            'duplicate', ((t.value ->> 'in_file')::numeric - (t.value ->> 'loaded')::numeric)::text,
            'unread', rows_rejected
        )
    )
    from jsonb_each(totals) as t
)
where totals <> '{}'
"""
OPEN_QUOTE_BEFORE, OPEN_QUOTE = "quote that is never closed", "unterminated quoted field"
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
    "not a valid integer",
    "not a valid year",
    "not a valid boolean",
    "not a valid amount",
    "not a valid number",
    "not a valid date",
    "not a valid instant",
    "dates in the wrong order",
    "conflicting row of the same key and time; the last in the file stands",
    "outside what the contract allows",
)
REASONS_ADDED = (
    "quote in the middle of a value",
    "line longer than any row may be",
    "header repeated among the rows",
    "trailer or total line among the rows",
)


def upgrade() -> None:
    """Add the counts; of files loaded before they are not known."""
    rename_reason(OPEN_QUOTE_BEFORE, OPEN_QUOTE, REASONS)
    for name, comment in ADDED.items():
        op.add_column(
            "load_file", sa.Column(name, sa.BigInteger(), comment=comment), schema="ledger"
        )
    op.create_check_constraint(
        op.f("load_file_lines_accounted_check"),
        "load_file",
        "status <> 'loaded' or lines_read is null or lines_read > rows_read + lines_blank",
        schema="ledger",
    )
    op.execute(f"comment on column ledger.load_file.totals is '{TOTALS}'")
    op.execute(TELL_TOTALS_APART)


def downgrade() -> None:
    """Take the change back."""
    left = tuple(r for r in REASONS if r not in REASONS_ADDED)
    rename_reason(OPEN_QUOTE, OPEN_QUOTE_BEFORE, left)
    op.execute(f"comment on column ledger.load_file.totals is '{TOTALS_BEFORE}'")
    op.drop_constraint(op.f("load_file_lines_accounted_check"), "load_file", schema="ledger")
    for name in ADDED:
        op.drop_column("load_file", name, schema="ledger")


def rename_reason(old: str, new: str, reasons: tuple[str, ...]) -> None:
    """Call one reason by another name, and allow these."""
    name = op.f("quarantined_row_reason_check")
    op.drop_constraint(name, "quarantined_row", schema="quality")
    op.execute(f"update quality.quarantined_row set reason = '{new}' where reason = '{old}'")
    listed = ", ".join(f"'{new if reason == old else reason}'" for reason in reasons)
    op.create_check_constraint(name, "quarantined_row", f"reason in ({listed})", schema="quality")
