"""From contracts to tables: the SQLAlchemy ``MetaData`` of one build of the warehouse.

Alembic compares a database with it, the rebuild creates its schemas from it, and the tests compare
the catalog with it. Nothing here connects to a database.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import BIT, DOMAIN, TIMESTAMP, UUID
from sqlalchemy.types import TypeEngine

from etl.contracts.column import IS_DELETED
from etl.contracts.column import Column as FeedColumn
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.types import DOMAINS, Type
from etl.schema.access_tables import access
from etl.schema.audit_tables import audit
from etl.schema.fact_tables import BASE, comment, detail_table, fact_table, past, states
from etl.schema.growing_tables import geography, growing, lineage
from etl.schema.incident_table import incidents
from etl.schema.kept_words import complete
from etl.schema.ledger_tables import INSTANT, NAMING, ledger
from etl.schema.operations_tables import backups
from etl.schema.plan_tables import plans_and_use
from etl.schema.quality_tables import quality
from etl.schema.retention_tables import retention
from etl.schema.run_tables import runs
from etl.schema.staging_archive_tables import staging_archive
from etl.warehouse.details import DETAILS
from etl.warehouse.staging import PARTITIONED
from etl.warehouse.tables import (
    DIM_MEMBER,
    DIMENSIONS,
    FACTS,
    LIVE,
    MEMBER_LIMITED,
    MEMBER_SCOPE,
    OPEN_END,
    Dimension,
    Schemas,
)

# Validity is UTC without a zone: an analyst's client zone can then never move a boundary.
VALIDITY = TIMESTAMP(timezone=False)


def all_tables(schemas: Schemas = LIVE.schemas) -> MetaData:
    """All tables, those that a rebuild replaces in the schemas given."""
    metadata = MetaData(naming_convention=NAMING)
    ledger(metadata)
    retention(metadata)
    staging_archive(metadata)
    plans_and_use(metadata)
    incidents(metadata)
    backups(metadata)
    runs(metadata)
    quality(metadata)
    access(metadata)
    audit(metadata)
    complete(metadata)
    tables_of_build(schemas, metadata)
    return metadata


@cache
def live_tables() -> MetaData:
    """All tables with those of the live build, made once; for whoever only reads them."""
    return all_tables()


def tables_of_build(schemas: Schemas, metadata: MetaData | None = None) -> MetaData:
    """The tables that a rebuild replaces: staging, dimensions and facts."""
    metadata = MetaData(naming_convention=NAMING) if metadata is None else metadata
    for feed in FEEDS.values():
        _staging(metadata, schemas.staging, feed)
    growing(metadata, schemas.warehouse)
    if schemas.has_history:
        geography(metadata, schemas.history)
    for dimension in DIMENSIONS.values():
        if schemas.has_history:
            past(_kept(metadata, schemas, dimension), schemas.internal, dimension.sk)
        else:
            past(_dimension(metadata, schemas.warehouse, dimension), schemas.internal, dimension.sk)
    _limited(metadata.tables[f"{schemas.warehouse}.{DIM_MEMBER.table}"], DIM_MEMBER)
    for fact in FACTS.values():
        table = fact_table(metadata, schemas, fact)
        past(table, schemas.internal, fact.key)
        if fact.states:
            states(table, schemas.internal, fact)
    for detail in DETAILS:
        table = detail_table(metadata, schemas, detail)
        past(table, schemas.internal, *detail.key)
    return metadata


def _staging_type(column: FeedColumn, schema: str) -> TypeEngine:
    for domain in DOMAINS:
        if domain.name == column.staging:
            return DOMAIN(
                domain.name,
                BASE.get(domain.base) or String(column.most_characters),
                not_null=domain.not_null or None,
                check=text(domain.rule),
                constraint_name=f"{domain.name}_check",
                schema=schema,
            )
    return BASE.get(column.staging) or String(column.most_characters)


def _may_mark(feed: Feed, column: FeedColumn) -> bool:
    """Whether a delete marker need not say the column, without which no other row can be placed."""
    return feed.deletable and column.type is Type.KEY_DATE


def _staging(metadata: MetaData, schema: str, feed: Feed) -> None:
    looked_up = PARTITIONED.get(feed.name)
    table = Table(
        feed.table,
        metadata,
        Column("load_id", BigInteger, nullable=False, comment="The load that brought the row."),
        Column(
            "source_line",
            BigInteger,
            nullable=False,
            comment="Line of the file on which the row begins; the header is line 1.",
        ),
        Column(
            "load_timestamp",
            INSTANT,
            nullable=False,
            server_default=text("now()"),
            comment="When the row was loaded.",
        ),
        *(
            Column(
                c.name,
                _staging_type(c, schema),
                nullable=not c.type.mandatory or _may_mark(feed, c),
                comment=comment(c),
            )
            for c in feed.staged
        ),
        schema=schema,
        comment=f"{feed.description} One row per line of {feed.file_name}, typed.",
        postgresql_partition_by="RANGE (load_id)" if looked_up else None,
    )
    # Rows of a load lie together: a few pages of index find them among all that was staged.
    Index(None, table.c.load_id, postgresql_using="brin")
    if looked_up:
        # A late batch looks for its claims in every partition, and then reads those that have them.
        Index(None, table.c[looked_up])
    if any(dimension.feed is feed for dimension in DIMENSIONS.values()):
        # A late change rebuilds its key's history, for which all rows of the key are looked
        # up. Enrollments need no such index: a late batch of them is served by one pass.
        Index(None, *(table.c[k] for k in feed.key))
    if feed.deletable and any(dimension.feed is feed for dimension in DIMENSIONS.values()):
        # Delete markers are few; a key that comes is looked up among them.
        Index(
            f"{feed.table}_deleted_idx",
            *(table.c[k] for k in feed.key),
            postgresql_where=table.c[IS_DELETED.name],
        )


def _dimension(metadata: MetaData, schema: str, dimension: Dimension) -> Table:
    key = set(dimension.key)
    table = Table(
        dimension.table,
        metadata,
        Column(
            dimension.sk,
            BigInteger,
            autoincrement=False,
            comment="Surrogate key of the version; -1 is the unknown row.",
        ),
        *(
            Column(
                c.name,
                BASE[c.type.stored],
                nullable=c.name not in key,
                comment=comment(c)
                + (" Natural key." if c.name in key else "")
                + (" Change driver." if c.driver else ""),
            )
            for c in dimension.feed.columns
        ),
        *(
            Column(
                lookup.column,
                BigInteger,
                ForeignKey(f"{schema}.{lookup.table}.{lookup.column}"),
                nullable=False,
                server_default=text("-1"),
                comment=f"{lookup.table} by {', '.join(lookup.match)}.",
            )
            for lookup in dimension.lookups
        ),
        Column(
            "validity_start_ts",
            VALIDITY,
            nullable=False,
            comment="First instant of the version, UTC; 1900-01-01 on the first of a key.",
        ),
        Column(
            "validity_end_ts",
            VALIDITY,
            nullable=False,
            comment="First instant after the version, UTC; 9999-12-31 on the current one.",
        ),
        Column("current_flag", Boolean, nullable=False, comment="Whether it is the current one."),
        Column(
            "attr_hash",
            UUID,
            nullable=False,
            comment="First 16 bytes of the SHA-256 of the change drivers (docs/architecture).",
        ),
        Column(
            "hash_version",
            SmallInteger,
            nullable=False,
            comment="Definition by which attr_hash was made.",
        ),
        *lineage(),
        Column(
            "known_from_ts",
            VALIDITY,
            comment="Since when the values of the version are known, UTC: on the first of a key, "
            "which reaches back to 1900, later than its start. Empty where no feed said them.",
        ),
        PrimaryKeyConstraint(dimension.sk),
        UniqueConstraint(*dimension.key, "validity_start_ts"),
        CheckConstraint("validity_start_ts < validity_end_ts", name="not_empty"),
        CheckConstraint("known_from_ts >= validity_start_ts", name="known_in_force"),
        CheckConstraint(
            f"current_flag = (validity_end_ts = '{OPEN_END:%Y-%m-%d}'::timestamp)",
            name="current_is_open",
        ),
        schema=schema,
        comment=dimension.description,
    )
    Index(
        f"{dimension.table}_current_idx",
        *(table.c[k] for k in dimension.key),
        unique=True,
        postgresql_where=table.c.current_flag,
    )
    # Gates look at the versions that a load made, which are few among all of history.
    Index(None, table.c.load_id)
    return table


def _kept(metadata: MetaData, schemas: Schemas, dimension: Dimension) -> Table:
    """A dimension of a cluster as loads change it, and as it is published; the one of loads.

    Of what is published nothing but the primary key is unique, since rows come one after the other:
    of two versions that trade places in time, one is there before the other has gone.
    """
    published = _dimension(metadata, schemas.warehouse, dimension)
    kept = _dimension(metadata, schemas.history, dimension)
    for unique in [c for c in published.constraints if isinstance(c, UniqueConstraint)]:
        published.constraints.remove(unique)
        Index(None, *(published.c[c.name] for c in unique.columns))
    for index in published.indexes:
        index.unique = False
    return kept


def _limited(table: Table, dimension: Dimension) -> None:
    """The rows of a dimension as masked views show them, with codes in place of its keys."""
    codes = {dimension.sk, *dimension.key}
    copy = Table(
        MEMBER_LIMITED,
        table.metadata,
        Column(
            "version_sk",
            BigInteger,
            autoincrement=False,
            comment=f"{dimension.sk} of the version, which no masked view shows.",
        ),
        *(
            Column(c.name, c.type, nullable=c.name not in codes, comment=c.comment)
            for c in table.columns
        ),
        PrimaryKeyConstraint("version_sk"),
        # Only of what is unique does the planner know that two relations joined by it are one.
        UniqueConstraint(dimension.sk),
        schema=table.schema,
        comment=f"Versions of {table.name} as the limited standard shows them: keys are codes of "
        "the crosswalk, names and addresses empty. Triggers keep it.",
        info={"columns_of": f"{table.schema}.{table.name}"},
        # Room on each page for versions that end, whose rows then need nothing in any index.
        postgresql_with={"fillfactor": 90},
    )
    Index(None, *(copy.c[k] for k in dimension.key))
    _scope(table.metadata, table.schema)


def _scope(metadata: MetaData, schema: str | None) -> None:
    """Which versions of the copy are of a state, so that facts need no join to be found by it."""
    Table(
        MEMBER_SCOPE,
        metadata,
        Column("state", Text, nullable=False, comment="State of the versions."),
        Column(
            "part",
            BigInteger,
            autoincrement=False,
            nullable=False,
            comment="Which 4,096 surrogate keys, counted from -1 on.",
        ),
        Column(
            "bits",
            BIT(4096),
            nullable=False,
            comment="A bit for each of these keys, 1 if its version is of the state.",
        ),
        PrimaryKeyConstraint("state", "part"),
        schema=schema,
        comment=f"Which versions in {MEMBER_LIMITED} are of which state. Triggers keep it.",
    )
