"""The tables of access: codes of persons and keys, who may see which states, who was erased.

They are no part of a build: no rebuild gives a person another code.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from etl.access.roles import Right
from etl.access.treatments import Standard
from etl.schema.ledger_tables import INSTANT, NOW, one_of


def access(metadata: MetaData) -> None:
    """The crosswalks, the states of logins, and what is declared of columns and roles."""
    _member_crosswalk(metadata)
    _member_key(metadata)
    _login_state(metadata)
    _declared_right(metadata)
    _classification(metadata)
    _legal_hold(metadata)
    _erased(metadata)
    _row_fingerprint(metadata)


def _member_crosswalk(metadata: MetaData) -> None:
    Table(
        "member_crosswalk",
        metadata,
        Column("member_id", Text, comment="The member. Personal data: direct."),
        *(
            Column(
                f"{standard.value}_ref",
                Text,
                nullable=False,
                comment=f"The member's code in schema {standard.value}, the member_ref.",
            )
            for standard in Standard
        ),
        PrimaryKeyConstraint("member_id"),
        *_unique("ref"),
        schema="access",
        comment="The code of each member in each masked schema. One row per member, and one for "
        "rows that name nobody.",
    )


def _unique(code: str) -> Iterator[UniqueConstraint]:
    """One code is one member's or key's.

    The planner knows it by this: a report that joins two masked relations by a code needs the
    crosswalk once and not once for each.
    """
    for standard in Standard:
        yield UniqueConstraint(f"{standard.value}_{code}")


def _member_key(metadata: MetaData) -> None:
    Table(
        "member_key",
        metadata,
        Column("member_sk", BigInteger, autoincrement=False, comment="The surrogate key."),
        *(
            Column(
                f"{standard.value}_sk",
                BigInteger,
                nullable=False,
                comment=f"What schema {standard.value} has in its place, to join on.",
            )
            for standard in Standard
        ),
        PrimaryKeyConstraint("member_sk"),
        *_unique("sk"),
        schema="access",
        comment="The code of each surrogate key of members in each masked schema; -1 is -1. "
        "One row per key.",
    )


def _login_state(metadata: MetaData) -> None:
    Table(
        "login_state",
        metadata,
        Column("login", Text, comment="The login."),
        Column("state", Text, comment="A state whose members it may see."),
        Column("added_at", INSTANT, nullable=False, server_default=NOW),
        Column("added_by", Text, nullable=False, server_default=text("session_user")),
        PrimaryKeyConstraint("login", "state"),
        schema="access",
        comment="Which states a login with the role aca_analyst_scoped may see. One row per login "
        "and state.",
    )


def _declared_right(metadata: MetaData) -> None:
    Table(
        "declared_right",
        metadata,
        Column("role", Text, comment="The role."),
        Column("schema_name", Text, comment="Schema of the relation."),
        Column("relation_name", Text, comment="The table, view or cube."),
        Column("access", Text, nullable=False, comment="read, masked or refused."),
        PrimaryKeyConstraint("role", "schema_name", "relation_name"),
        one_of("access", (right.value for right in Right)),
        schema="access",
        comment="What each role may see, as etl/access/roles.py declares it. One row per role and "
        "relation.",
    )


def _classification(metadata: MetaData) -> None:
    Table(
        "classification",
        metadata,
        Column("schema_name", Text, comment="Schema of the relation."),
        Column("relation_name", Text, comment="The table, view or cube."),
        Column("column_name", Text, comment="The column."),
        Column("identifier", Text, nullable=False, comment="Which identifier of a person it is."),
        *(
            Column(
                standard.value,
                Text,
                nullable=False,
                comment=f"What schema {standard.value} makes of it.",
            )
            for standard in Standard
        ),
        PrimaryKeyConstraint("schema_name", "relation_name", "column_name"),
        schema="access",
        comment="Which identifier of a person each column is and what becomes of it in masked "
        "schemas (45 CFR 164.514). One row per column.",
    )


def _legal_hold(metadata: MetaData) -> None:
    Table(
        "legal_hold",
        metadata,
        Column("member_id", Text, comment="The member. Personal data: direct."),
        Column("why", Text, nullable=False, comment="The matter for which nothing may go."),
        Column("placed_at", INSTANT, nullable=False, server_default=NOW),
        Column("placed_by", Text, nullable=False, server_default=text("session_user")),
        Column("released_at", INSTANT, comment="When it ended; empty while it is in force."),
        PrimaryKeyConstraint("member_id", "placed_at"),
        schema="access",
        comment="Members of whom nothing may be erased or expire. One row per member and hold.",
    )


def _erased(metadata: MetaData) -> None:
    Table(
        "erased",
        metadata,
        Column("member_token", Text, comment="What the member's number became, a keyed hash."),
        Column("why", Text, nullable=False, comment="The reason that was given."),
        Column("erased_at", INSTANT, nullable=False, server_default=NOW),
        Column("erased_by", Text, nullable=False, server_default=text("session_user")),
        Column(
            "through_load_id",
            BigInteger,
            nullable=False,
            comment="The last load before the erasure: a rebuild repeats it after that one.",
        ),
        Column(
            "files_done_at",
            INSTANT,
            comment="When files and free space were seen to; empty: the next run does it.",
        ),
        Column(
            "key_check",
            Text,
            comment="A keyed hash of a constant, by which another key is recognized; empty if the "
            "member was erased before this was kept.",
        ),
        PrimaryKeyConstraint("member_token"),
        schema="access",
        comment="Members who were erased; each later file is compared with it. One row per member.",
    )


def _row_fingerprint(metadata: MetaData) -> None:
    Table(
        "row_fingerprint",
        metadata,
        Column("load_id", BigInteger, ForeignKey("ledger.load.load_id"), nullable=False),
        Column("feed", Text, nullable=False),
        Column(
            "form",
            UUID,
            nullable=False,
            comment="Hash of how the rows were read: columns, contract, declarations.",
        ),
        Column(
            "fingerprints",
            LargeBinary,
            nullable=False,
            comment="xxh3_128 of each row of the file that is in staging, in order, 16 bytes each. "
            "Personal data: a hash of whole rows.",
        ),
        Column(
            "same_as_load_id",
            BigInteger,
            comment="The snapshot before, whose rows the load has too, but for other_lines.",
        ),
        Column(
            "other_lines",
            ARRAY(BigInteger),
            comment="Lines of the rows in staging that the snapshot before does not have.",
        ),
        PrimaryKeyConstraint("load_id", "feed"),
        CheckConstraint(
            "(same_as_load_id is null) = (other_lines is null)", name="other_lines_of_load"
        ),
        schema="access",
        comment="Which rows of a snapshot came again as they were. One row per load and feed; only "
        "the latest snapshot of a feed is kept.",
    )
