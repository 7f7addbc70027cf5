"""rows that name nobody have the codes that they bear themselves.

Cubes call nobody ``(unknown)``, the member dimension has an empty key. Each is a row of the
crosswalk now, so that a masked cube shows the code as the crosswalk has it and an index finds it.

Revision: 0146, after 0145.
"""

from __future__ import annotations

from alembic import op

revision = "0146"
down_revision = "0145"
branch_labels = None
depends_on = None

_OF_THE_DIMENSION = """
    update access.member_crosswalk
    set limited_ref = member_id, safe_harbor_ref = member_id
    where member_id = ''
"""
_OF_CUBES = """
    insert into access.member_crosswalk (member_id, limited_ref, safe_harbor_ref)
    select '(unknown)', '(unknown)', '(unknown)'
    where exists (select 1 from access.member_crosswalk where member_id = '')
"""
_TOGETHER = """
    update access.member_crosswalk
    set limited_ref = '(unknown)', safe_harbor_ref = '(unknown)'
    where member_id = ''
"""


def upgrade() -> None:
    """Apply the change."""
    op.execute(_OF_THE_DIMENSION)
    op.execute(_OF_CUBES)


def downgrade() -> None:
    """Take the change back."""
    op.execute("delete from access.member_crosswalk where member_id = '(unknown)'")
    op.execute(_TOGETHER)
