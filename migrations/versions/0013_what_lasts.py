"""Files of loads that failed or were replaced are told from those that the warehouse holds.

Also a kind of decision: a batch that may lie far in the future; and comments in one spelling.

Revision: 0013, after 0012.
"""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

FILE_STATUS = (
    "loaded, skipped or refused.",
    "loaded (its rows are in the warehouse, or in a full load under way); skipped; "
    "refused; failed (its full load never went live); superseded (a later full load took "
    "its place).",
)
DECISION_KIND = (
    "confirm_snapshot (its file may end many keys) or forget_file (a full load "
    "may do without the file, which is gone from the inbox).",
    "confirm_snapshot (its file may end many keys), forget_file (a full load may do "
    "without the file, which is gone from the inbox) or allow_future (its batch may lie "
    "far in the future).",
)
AGE_GROUP = "Age band as in the open-enrollment counts, such as 26-34."
MEMBERS = (
    "People covered by an individual-market plan, as the enrollment system knows them. "
    "One row a line of members.csv, typed."
)
OF_FILES = ("f.status = 'loaded'", "f.status in ('loaded', 'superseded')")


def upgrade() -> None:
    """Take the new words, and give them to the files of loads that do not last."""
    _allow("load_file", "status", ("loaded", "skipped", "refused", "failed", "superseded"))
    _allow("decision", "kind", ("confirm_snapshot", "forget_file", "allow_future"))
    _describe("load_file", "status", FILE_STATUS[1])
    _describe("decision", "kind", DECISION_KIND[1])
    op.execute(f"comment on table staging.members_raw is '{MEMBERS}'")
    op.execute(f"comment on column staging.members_raw.age_group is '{AGE_GROUP}'")
    for table in ("dim_member", "dim_member_past"):
        op.execute(f"comment on column warehouse.{table}.age_group is '{AGE_GROUP} Change driver.'")
    op.execute(
        "update ledger.load_file as f set status = l.status from ledger.load as l "
        "where f.load_id = l.load_id and f.status = 'loaded' "
        "and l.status in ('failed', 'superseded')"
    )
    _ask_of_files(*OF_FILES)


def downgrade() -> None:
    """Say loaded again of every file that was; what cannot be said before goes."""
    _ask_of_files(*reversed(OF_FILES))
    op.execute("delete from ledger.decision where kind = 'allow_future'")
    op.execute(
        "update ledger.load_file set status = 'loaded' where status in ('failed', 'superseded')"
    )
    _allow("load_file", "status", ("loaded", "skipped", "refused"))
    _allow("decision", "kind", ("confirm_snapshot", "forget_file"))
    _describe("load_file", "status", FILE_STATUS[0])
    _describe("decision", "kind", DECISION_KIND[0])


def _allow(table: str, column: str, words: tuple[str, ...]) -> None:
    """Let a column hold one of these words."""
    name = f"{table}_{column}_check"
    listed = ", ".join(f"'{word}'" for word in words)
    # Revision 0012 made its own with the table's name twice.
    for known in (name, f"{table}_{name}_check"):
        op.execute(f"alter table ledger.{table} drop constraint if exists {known}")
    op.create_check_constraint(op.f(name), table, f"{column} in ({listed})", schema="ledger")


def _describe(table: str, column: str, comment: str) -> None:
    op.execute(f"comment on column ledger.{table}.{column} is '{comment}'")


def _ask_of_files(old: str, new: str) -> None:
    """Let what was known after a load of an earlier build find its files by the new word."""
    op.execute(
        "do $do$ begin execute replace("
        "pg_get_functiondef('warehouse.known_load(bigint)'::regprocedure), "
        f"$${old}$$, $${new}$$); end $do$"
    )
