"""Tables of the dimensions that only grow: the calendar, the geography and the sets of codes."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Integer,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

from etl.schema.ledger_tables import INSTANT
from etl.warehouse.code_sets import CODE_SETS, CodeSet

# The attributes of codes that are no text.
_TYPES: dict[str, TypeEngine] = {"is_planned": Boolean(), "actuarial_value": Numeric()}


def growing(metadata: MetaData, schema: str) -> None:
    """The dimensions whose rows come once and stay as they are."""
    _date(metadata, schema)
    geography(metadata, schema)
    for codes in CODE_SETS.values():
        _codes(metadata, schema, codes)


def lineage() -> list[Column]:
    """Where a row of a dimension comes from."""
    return [
        Column(
            "is_inferred",
            Boolean,
            nullable=False,
            server_default=text("false"),
            comment="Made because a fact named the key before its feed did.",
        ),
        Column(
            "load_id",
            BigInteger,
            nullable=False,
            comment="The load that made or last changed the version; 0 for rows no feed brought.",
        ),
        Column(
            "created_at",
            INSTANT,
            nullable=False,
            server_default=text("now()"),
            comment="When the row was made.",
        ),
    ]


def _date(metadata: MetaData, schema: str) -> None:
    def words(name: str, said: str, type_: TypeEngine | type[TypeEngine] = Integer) -> Column:
        return Column(name, type_, comment=said)

    Table(
        "dim_date",
        metadata,
        Column("date_key", Integer, autoincrement=False, comment="yyyymmdd; -1 is no date known."),
        words("full_date", "The date.", Date),
        words("year", "Calendar year."),
        words("quarter", "Calendar quarter, 1 to 4."),
        words("month", "Calendar month, 1 to 12."),
        words("month_name", "English name of the month.", Text),
        words("month_start", "First day of the month.", Date),
        words("day_of_month", "Day of the month, 1 to 31."),
        words("day_of_week", "ISO day of the week, Monday 1 to Sunday 7."),
        words("day_name", "English name of the day.", Text),
        words("is_weekend", "Saturday or Sunday.", Boolean),
        words(
            "plan_year",
            "Plan year; in the individual market the calendar year (45 CFR 155.20).",
        ),
        words(
            "is_open_enrollment",
            "November 1 to January 15 (45 CFR 155.410(e)).",
            Boolean,
        ),
        *lineage(),
        PrimaryKeyConstraint("date_key"),
        UniqueConstraint("full_date"),
        schema=schema,
        comment="Calendar: one row per date, whole years, plus -1 for no date known.",
    )


def geography(metadata: MetaData, schema: str) -> None:
    """The dimension of places, from which members take a key."""
    Table(
        "dim_geography",
        metadata,
        Column("geography_sk", BigInteger, autoincrement=False, comment="Surrogate key."),
        Column("state", Text, comment="State, two-letter postal code."),
        Column("region", Text, comment="Region of the state used for reporting."),
        *lineage(),
        PrimaryKeyConstraint("geography_sk"),
        UniqueConstraint("state", "region"),
        schema=schema,
        comment="Where members live: one row per state and region, plus -1 for unknown.",
    )


def _codes(metadata: MetaData, schema: str, codes: CodeSet) -> None:
    Table(
        codes.table,
        metadata,
        Column(
            codes.sk, BigInteger, autoincrement=False, comment="Surrogate key; -1 is no code known."
        ),
        Column(codes.code, Text, comment=f"{codes.code_description} Natural key."),
        *(
            Column(name, _TYPES.get(name, Text()), comment=said)
            for name, said in codes.attributes.items()
        ),
        *lineage(),
        PrimaryKeyConstraint(codes.sk),
        UniqueConstraint(codes.code),
        schema=schema,
        comment=codes.description,
    )
