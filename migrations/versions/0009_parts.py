"""A feed may come in several files of a batch: each is entered, with where its lines begin.

Revision: 0009, after 0008.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SAID = {
    "load_file.file_name": "File inside the batch folder; of several parts all, in order.",
    "load_file": "One row a load and feed: its file, or its files as parts of one.",
}
SAID_BEFORE = {
    "load_file.file_name": "File inside the batch folder.",
    "load_file": "One row a load and file.",
}
# Before, every feed was one file. What was refused or skipped has no rows of its own.
ENTER_FILES = """
insert into ledger.load_file_part (
    load_id, feed, part, file_name, size_bytes, modified_ns, xxh3_128, first_line,
    rows_read, rows_loaded, rows_rejected, rows_duplicate
)
select
    f.load_id, f.feed, 1, f.file_name, f.size_bytes, f.modified_ns, f.xxh3_128,
    case when f.status <> 'skipped' then 2 end,
    case when f.status = 'loaded' then f.rows_read else 0 end,
    case when f.status = 'loaded' then f.rows_loaded else 0 end,
    case when f.status = 'loaded' then f.rows_rejected else 0 end,
    case when f.status = 'loaded' then f.rows_duplicate else 0 end
from ledger.load_file as f
"""


def upgrade() -> None:
    """Make the table, and enter the files that came so far."""
    rows = ("rows_read", "rows_loaded", "rows_rejected", "rows_duplicate")
    op.create_table(
        "load_file_part",
        sa.Column("load_id", sa.BigInteger, nullable=False),
        sa.Column("feed", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False, comment="1 for the first or only file."),
        sa.Column("file_name", sa.Text, nullable=False, comment="File inside the batch folder."),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column(
            "modified_ns", sa.BigInteger, nullable=False, comment="File's mtime, nanoseconds."
        ),
        sa.Column(
            "changed_ns",
            sa.BigInteger,
            comment="When the file system saw the file change last (ctime), nanoseconds: as long "
            "as that is the same, so are the bytes. Empty if it was not noted.",
        ),
        sa.Column(
            "xxh3_128", postgresql.UUID, nullable=False, comment="Checksum of the file's bytes."
        ),
        sa.Column(
            "first_line",
            sa.BigInteger,
            comment="source_line of the file's first row, which is on its line 2: line = "
            "source_line - first_line + 2. Empty if it was not read.",
        ),
        *(
            sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))
            for name in rows
        ),
        sa.PrimaryKeyConstraint("load_id", "feed", "part", name="load_file_part_pkey"),
        sa.ForeignKeyConstraint(
            ["load_id", "feed"],
            ["ledger.load_file.load_id", "ledger.load_file.feed"],
            name="load_file_part_load_id_fkey",
        ),
        sa.CheckConstraint(
            "rows_read = rows_loaded + rows_rejected + rows_duplicate",
            name="load_file_part_rows_accounted_check",
        ),
        sa.CheckConstraint("part > 0", name="load_file_part_part_positive_check"),
        schema="ledger",
        comment="One row a load, feed and file of it.",
    )
    op.execute(ENTER_FILES)
    describe(SAID)


def downgrade() -> None:
    """Take the change back."""
    describe(SAID_BEFORE)
    op.drop_table("load_file_part", schema="ledger")


def describe(said: dict[str, str]) -> None:
    for name, comment in said.items():
        kind = "column" if "." in name else "table"
        op.execute(f"comment on {kind} ledger.{name} is '{comment}'")
