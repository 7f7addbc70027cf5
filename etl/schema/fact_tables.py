"""Tables of facts and of what they consist of, with their past and their earlier states."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.types import TypeEngine

from etl.contracts.column import Column as FeedColumn
from etl.contracts.column import Pii
from etl.schema.ledger_tables import INSTANT
from etl.warehouse.details import IS_FROM_CLAIM, Detail
from etl.warehouse.tables import DIM_PLAN, Fact, Reference, Schemas, past_of

BASE: dict[str, TypeEngine] = {
    "text": Text(),
    "integer": Integer(),
    "boolean": Boolean(),
    "date": Date(),
    "timestamptz": INSTANT,
    "numeric": Numeric(),
    "numeric(14,2)": Numeric(14, 2),
    "numeric(14,6)": Numeric(14, 6),
}


def comment(column: FeedColumn) -> str:
    """The catalog comment of a column: its description, rule and personal-data class."""
    parts = [column.description]
    if column.ahead_days is not None:
        parts.append(f"At most {column.ahead_days:,} days after its batch's as_of.")
    if column.open_end is not None:
        parts.append(f"A day from {column.open_end:%Y-%m-%d} on means that it runs on.")
    if column.check:
        parts.append(f"Expected: {column.check}.")
    if column.pii is not Pii.NONE:
        parts.append(f"Personal data: {column.pii.value}.")
    return " ".join(parts)


def past(table: Table, schema: str, *key: str) -> None:
    """The rows of a table as they were before a load changed them or took them away."""
    kept = Table(
        past_of(table.name),
        table.metadata,
        *copies(table.columns),
        Column(
            "known_to_load_id",
            BigInteger,
            nullable=False,
            comment="The load that changed the row or took it away.",
        ),
        PrimaryKeyConstraint(*key, "known_to_load_id"),
        schema=schema,
        comment=f"Rows of {table.name} as they were before a load changed them.",
        info={"columns_of": f"{table.schema}.{table.name}"},
    )
    # What changed since a load: what a load changed lies together.
    Index(None, kept.c.known_to_load_id, postgresql_using="brin")


def states(table: Table, schema: str, fact: Fact) -> None:
    """The states that a fact was in before its latest one."""
    Table(
        fact.state,
        table.metadata,
        *copies(table.c[name] for name in (fact.key, "load_id", fact.date, *fact.states)),
        PrimaryKeyConstraint(fact.key, "load_id"),
        schema=schema,
        comment=f"States of {fact.name}s before their latest, by the order of their batches. "
        f"{table.name}_history has these and the latest.",
    )


def copies(columns: Iterable[Column]) -> list[Column]:
    """Columns of the same names, types and meanings, free of keys and defaults."""
    return [Column(c.name, c.type, nullable=c.nullable, comment=c.comment) for c in columns]


def _reference(schema: str, table: str, target: str, column: str, said: str) -> Column:
    # Deferrable, so that a rebuilt history can drop a version before its facts are re-keyed.
    return Column(
        column,
        BigInteger if target.endswith("_sk") else Integer,
        ForeignKey(f"{schema}.{table}.{target}", deferrable=True),
        nullable=False,
        comment=said,
    )


def _versions(schema: str, references: Iterable[Reference], date: str) -> list[Column]:
    """The keys of the dimension versions in force on a date."""
    return [
        _reference(
            schema,
            ref.dimension.table,
            ref.sk,
            ref.sk,
            f"Version of the {ref.dimension.name} in force on {date}; -1 if none is named.",
        )
        for ref in references
    ]


def _partitioned(day: str, schemas: Schemas) -> str:
    """What the comment of a table says of its partitions, which on a cluster are all of years."""
    of_months = "by month, and by year before the last three years"
    return f"Partitioned by {day}: {'by year' if schemas.has_history else of_months}."


def _day_of_service(schema: str) -> list[Column]:
    """The day by which tables are partitioned, and its key."""
    return [
        _reference(schema, "dim_date", "date_key", "date_key", "Day of service, yyyymmdd."),
        Column("service_date", Date, nullable=False, comment="First day of service."),
    ]


def _load() -> Column:
    return Column(
        "load_id",
        BigInteger,
        nullable=False,
        comment="The load that brought the row's present state.",
    )


def fact_table(metadata: MetaData, schemas: Schemas, fact: Fact) -> Table:
    """The table of a fact."""
    schema = schemas.warehouse
    keys = _versions(schema, fact.references, fact.date)
    carried = [
        Column(c.name, BASE[c.type.stored], comment=comment(c))
        for c in map(fact.feed.column, fact.carried)
    ]
    load = _load()
    key = Column(fact.key, Text, nullable=False, comment=fact.feed.column(fact.key).description)
    if fact.name == "claim":
        table = Table(
            fact.table,
            metadata,
            key,
            *_day_of_service(schema),
            *keys,
            *carried,
            load,
            PrimaryKeyConstraint(fact.key, "service_date"),
            schema=schema,
            comment=f"{fact.description} {_partitioned('service_date', schemas)}",
            postgresql_partition_by="RANGE (service_date)",
        )
        Index(None, table.c.member_sk)
        Index(None, table.c.provider_sk)
        return table
    table = Table(
        fact.table,
        metadata,
        key,
        *keys,
        _reference(schema, "dim_date", "date_key", "enrollment_start_date_key", "Start, yyyymmdd."),
        _reference(schema, "dim_date", "date_key", "enrollment_end_date_key", "End, yyyymmdd."),
        Column("start_date", Date, nullable=False, comment="First day of coverage."),
        Column(
            "end_date",
            Date,
            nullable=False,
            comment="Last day of coverage; the end of the plan year where the feed has none.",
        ),
        Column(
            "coverage_days",
            Integer,
            nullable=False,
            comment="Days covered, first and last included.",
        ),
        *carried,
        load,
        PrimaryKeyConstraint(fact.key),
        CheckConstraint("end_date >= start_date", name="dates_in_order"),
        CheckConstraint("coverage_days > 0", name="coverage_positive"),
        schema=schema,
        comment=fact.description,
    )
    Index(
        f"{fact.table}_grain_idx",
        table.c.member_sk,
        table.c.plan_sk,
        table.c.start_date,
        unique=True,
        postgresql_where=text("member_sk > 0 and plan_sk > 0"),
    )
    return table


def detail_table(metadata: MetaData, schemas: Schemas, detail: Detail) -> Table:
    """The table of what a fact consists of."""
    schema = schemas.warehouse
    key, number = detail.of.feed.column(detail.of.key), detail.feed.column(detail.number)
    is_first = Column(
        detail.first, Boolean, nullable=False, comment=f"Whether it is {detail.number} 1."
    )
    table = Table(
        detail.table,
        metadata,
        Column(key.name, Text, nullable=False, comment=key.description),
        Column(number.name, BASE[number.type.stored], nullable=False, comment=comment(number)),
        *_day_of_service(schema),
        *_versions(schema, detail.references, detail.of.date),
        *(
            Column(name, BASE[c.type.stored], comment=comment(c))
            for name, c in detail.columns.items()
        ),
        *([is_first] if detail.first else []),
        Column(
            IS_FROM_CLAIM,
            Boolean,
            nullable=False,
            comment=f"Made of the claim, which has no row in {detail.feed.file_name}.",
        ),
        _load(),
        _reference(
            schema,
            detail.codes.table,
            detail.codes.sk,
            detail.codes.sk,
            f"{detail.codes.table} by {detail.codes.code}; -1 if none is named.",
        ),
        PrimaryKeyConstraint(*detail.key, detail.of.date),
        schema=schema,
        comment=f"{detail.description} {_partitioned(detail.of.date, schemas)}",
        postgresql_partition_by=f"RANGE ({detail.of.date})",
    )
    for reference in detail.references:
        if reference.dimension is not DIM_PLAN:
            Index(None, table.c[reference.sk])
    return table
