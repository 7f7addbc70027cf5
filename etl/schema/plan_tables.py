"""The ledger's tables of how the warehouse is read: plans of reports, and who reads what."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Double,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)

from etl.schema.ledger_tables import INSTANT, NOW


def plans_and_use(metadata: MetaData) -> None:
    """Plans of the documented reports, and reads by login and relation."""
    _report_plan(metadata)
    _relation_use(metadata)
    _statement_counted(metadata)


def _report_plan(metadata: MetaData) -> None:
    plan = Table(
        "report_plan",
        metadata,
        Column("report", Text, nullable=False, comment="Name of the report in docs/analysts.md."),
        Column(
            "load_id",
            BigInteger,
            ForeignKey("ledger.load.load_id"),
            nullable=False,
            comment="The latest load that the report could read.",
        ),
        Column("recorded_at", INSTANT, nullable=False, server_default=NOW),
        Column(
            "shape",
            Text,
            nullable=False,
            comment="The plan, a line per node, without numbers and literals; partitions that are "
            "read the same way count once, under the name of their table.",
        ),
        Column(
            "shape_hash", Text, nullable=False, comment="Another one where the shape is another."
        ),
        Column(
            "cost", Double, nullable=False, comment="What the planner expects it to cost, its unit."
        ),
        Column("rows", BigInteger, nullable=False, comment="Rows that the planner expects."),
        Column(
            "pages",
            BigInteger,
            nullable=False,
            server_default=text("0"),
            comment="Pages of the tables that it reads, as the planner knows them.",
        ),
        Column(
            "seconds",
            Double,
            comment="What planning and running it once took; where it was given up, the time until "
            "then. Empty where it was not run, to keep the load short.",
        ),
        PrimaryKeyConstraint("report", "load_id"),
        CheckConstraint("seconds >= 0", name="seconds"),
        schema="ledger",
        comment="Plans of the documented reports. One row per report and load.",
    )
    Index(None, plan.c.report, plan.c.recorded_at)


def _relation_use(metadata: MetaData) -> None:
    Table(
        "relation_use",
        metadata,
        Column("role", Text, nullable=False, comment="The login that read."),
        Column("schema_name", Text, nullable=False),
        Column("relation_name", Text, nullable=False, comment="Table, view or cube."),
        Column("day", Date, nullable=False, comment="The day on which it was counted, UTC."),
        Column("calls", BigInteger, nullable=False, comment="How many statements read it."),
        Column(
            "rows",
            BigInteger,
            nullable=False,
            comment="Rows that these returned; of a statement that reads several relations each "
            "has them all.",
        ),
        Column("seconds", Double, nullable=False, comment="How long these took, likewise."),
        PrimaryKeyConstraint("role", "schema_name", "relation_name", "day"),
        schema="ledger",
        comment="Who reads what. One row per login, relation and day.",
    )


def _statement_counted(metadata: MetaData) -> None:
    Table(
        "statement_counted",
        metadata,
        Column("role", Text, nullable=False, comment="The login that ran it."),
        Column("query_id", BigInteger, nullable=False, comment="Its number in pg_stat_statements."),
        Column(
            "is_top", Boolean, nullable=False, comment="Sent by a client, not within a statement."
        ),
        Column(
            "counted_since",
            INSTANT,
            nullable=False,
            comment="Since when the server counts it: a later one means that it began at 0 again.",
        ),
        Column("calls", BigInteger, nullable=False, comment="What was counted of it so far."),
        Column("rows", BigInteger, nullable=False),
        Column("seconds", Double, nullable=False),
        PrimaryKeyConstraint("role", "query_id", "is_top"),
        schema="ledger",
        comment="How far statements of readers are counted in relation_use, without their texts. "
        "One row per login and statement.",
    )
