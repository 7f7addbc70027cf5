"""The tables of audit: who looked at whom, what was disclosed, and what was deleted of both.

They contain what happened and so are no part of a build. Each is a chain: a row has the hash of
what it says and of the row before (``sql/audit/functions.sql``), and rows are only added.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import BYTEA

from etl.schema.ledger_tables import INSTANT, NOW, one_of

# Every table of audit, each a chain of its own.
CHAINS = ("look", "disclosure", "deletion")


def audit(metadata: MetaData) -> None:
    """The three chains, and how far log files were read."""
    _look(metadata)
    _disclosure(metadata)
    _deletion(metadata)
    _log_read(metadata)


def _position() -> Column:
    return Column(
        "position", BigInteger, autoincrement=False, comment="Place in the chain, from 1."
    )


def _hash() -> Column:
    return Column(
        "hash",
        BYTEA,
        nullable=False,
        comment="SHA-256 of the hash of the row before and of what this row says.",
    )


def _look(metadata: MetaData) -> None:
    look = Table(
        "look",
        metadata,
        _position(),
        Column(
            "kind",
            Text,
            nullable=False,
            comment="look (rows of a table that identifies persons were read), statement (of a "
            "login whose statements are logged) or imitation (somebody wrote a line of the log "
            "that looks like a look and is none).",
        ),
        Column("looked_at", INSTANT, nullable=False, comment="When, by the server's clock."),
        Column("person", Text, comment="The login of the session, whatever role it took."),
        Column("client_address", Text, comment="Where it came from; empty for a local socket."),
        Column("application_name", Text, comment="What the client called itself."),
        Column("database_name", Text, nullable=False),
        Column("relation_name", Text, comment="What was read: schema.table."),
        Column("statement", Text, comment="What the client sent. Personal data: can name persons."),
        Column(
            "parameters",
            Text,
            comment="Values that came with the statement, where they are logged. Personal data.",
        ),
        Column("transaction_id", Text, comment="Virtual transaction, unique in its session."),
        Column("session_id", Text, nullable=False),
        Column("session_line", BigInteger, nullable=False, comment="Line of the session's log."),
        Column("statement_at", INSTANT, comment="When the statement of a look began."),
        Column("source", Text, nullable=False, comment="noted, log_statement or pgaudit."),
        Column("brought_at", INSTANT, nullable=False, server_default=NOW),
        _hash(),
        PrimaryKeyConstraint("position"),
        UniqueConstraint("session_id", "session_line"),
        one_of("kind", ("look", "statement", "imitation")),
        one_of("source", ("noted", "log_statement", "pgaudit")),
        CheckConstraint("kind <> 'look' or relation_name is not null", name="look_has_relation"),
        schema="audit",
        comment="Who read what, when, from where. One row per statement and relation, and one per "
        "logged statement. Kept six years (45 CFR 164.316(b)(2)).",
    )
    Index(
        "look_statement_idx",
        look.c.session_id,
        look.c.statement_at,
        look.c.relation_name,
        unique=True,
        postgresql_where=text("kind = 'look'"),
    )
    Index(None, look.c.looked_at)


def _disclosure(metadata: MetaData) -> None:
    disclosure = Table(
        "disclosure",
        metadata,
        _position(),
        Column("disclosed_on", Date, nullable=False, comment="The day of the disclosure."),
        Column("member_id", Text, nullable=False, comment="About whom. Personal data: direct."),
        Column("recipient", Text, nullable=False, comment="Who received it, with the address."),
        Column("what", Text, nullable=False, comment="What was disclosed."),
        Column("purpose", Text, nullable=False, comment="What for."),
        Column("entered_at", INSTANT, nullable=False, server_default=NOW),
        Column("entered_by", Text, nullable=False, server_default=text("session_user")),
        Column("os_user", Text, nullable=False, comment="Who ran the command, on its machine."),
        _hash(),
        PrimaryKeyConstraint("position"),
        schema="audit",
        comment="Disclosures that people made and have to account for (45 CFR 164.528). One row "
        "per disclosure. Kept six years.",
    )
    Index(None, disclosure.c.member_id)


def _deletion(metadata: MetaData) -> None:
    Table(
        "deletion",
        metadata,
        _position(),
        Column("chain", Text, nullable=False, comment="look or disclosure."),
        Column("through_position", BigInteger, nullable=False, comment="Rows up to this one went."),
        Column(
            "last_hash", BYTEA, nullable=False, comment="Hash of that row, to verify those after."
        ),
        Column("rows_deleted", BigInteger, nullable=False),
        Column("older_than", INSTANT, nullable=False, comment="All rows were from before this."),
        Column("deleted_at", INSTANT, nullable=False, server_default=NOW),
        Column("deleted_by", Text, nullable=False, server_default=text("session_user")),
        Column("os_user", Text, nullable=False, comment="Who ran the command, on its machine."),
        _hash(),
        PrimaryKeyConstraint("position"),
        one_of("chain", ("look", "disclosure")),
        schema="audit",
        comment="What was deleted of the other chains after six years, so that the rest can be "
        "verified. One row per deletion and chain.",
    )


def _log_read(metadata: MetaData) -> None:
    Table(
        "log_read",
        metadata,
        Column("file_name", Text, comment="A file of the server's log."),
        Column("bytes_read", BigInteger, nullable=False, comment="How far it was read."),
        Column("read_at", INSTANT, nullable=False, server_default=NOW),
        PrimaryKeyConstraint("file_name"),
        schema="audit",
        comment="How far make audit has read the server's log. One row per file.",
    )
