"""History kept: rows as they were before a load, states of claims, delete markers, re-keyings.

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Tables whose rows are kept as they were: key of a row.
KEPT = {
    "dim_plan": "plan_sk",
    "dim_provider": "provider_sk",
    "dim_member": "member_sk",
    "fact_enrollment": "enrollment_id",
    "fact_claim": "claim_id",
}

# Feed: natural key of its dimension.
DELETABLE = {
    "members": ("member_id",),
    "plans": ("plan_id", "effective_year"),
    "providers": ("provider_id",),
}

# A transaction that sees the past cannot see what another one wrote: it is refused.
GUARD = """create or replace function warehouse.refuse_overlapping_versions() returns trigger
language plpgsql
as $guard$
declare
    same_key text;
    overlapping boolean;
begin
    if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'versions of % are only written in a READ COMMITTED transaction',
            tg_table_name
            using errcode = 'invalid_transaction_state',
                hint = 'Begin the transaction anew without REPEATABLE READ or SERIALIZABLE.';
    end if;
    perform pg_advisory_xact_lock(tg_relid::bigint);
    select string_agg(format('d.%1$I = t.%1$I', tg_argv[i]), ' and ')
    into same_key
    from generate_series(1, tg_nargs - 1) as i;
    execute format(
        'select exists (
            select 1
            from touched as t
            inner join %1$s as d on %2$s
            where d.%3$I <> t.%3$I
                and d.validity_start_ts < t.validity_end_ts
                and t.validity_start_ts < d.validity_end_ts
        )',
        tg_relid::regclass, same_key, tg_argv[0]
    )
    into overlapping;
    if overlapping then
        raise exception 'two versions of one key in % would overlap', tg_table_name
            using errcode = 'exclusion_violation',
                hint = 'End the version in force before another one begins.';
    end if;
    return null;
end
$guard$"""

KEEP_PAST = """create function warehouse.keep_past() returns trigger
language plpgsql
as $past$
declare
    past regclass := format('%I.%I', tg_table_schema, tg_table_name || '_past')::regclass;
    known_to bigint := coalesce(
        nullif(current_setting('aca.load_id', true), '')::bigint,
        (select max(l.load_id) + 1 from ledger.load as l),
        1
    );
    kept text;
begin
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
    into kept
    from pg_attribute as a
    where a.attrelid = past and a.attnum > 0 and not a.attisdropped
        and a.attname <> 'known_to_load_id';
    execute format(
        'insert into %1$s (%2$s, known_to_load_id)
        select %2$s, $1 from was where load_id <> $1
        on conflict do nothing',
        past, kept
    )
    using known_to;
    return null;
end
$past$"""

STATE_COLUMNS = (
    "claim_id, load_id, service_date, status, claim_amount, allowed_amount, paid_amount, paid_date"
)


def upgrade() -> None:
    """Apply the change."""
    for feed, key in DELETABLE.items():
        op.add_column(
            f"{feed}_raw",
            sa.Column(
                "is_deleted",
                sa.Boolean(),
                comment="Delete marker: true says that the key is gone from the row's effective time on.",
            ),
            schema="staging",
        )
        op.create_index(
            f"{feed}_raw_deleted_idx",
            f"{feed}_raw",
            key,
            schema="staging",
            postgresql_where=sa.text("is_deleted"),
        )
    _extend_ledger()
    _keep_past()
    _keep_states()
    _add_views()


def _extend_ledger() -> None:
    op.add_column(
        "load",
        sa.Column(
            "build_id",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
            comment="The build that it is part of: the first load of the rebuild that began it; 0 before any rebuild.",
        ),
        schema="ledger",
    )
    op.add_column(
        "load",
        sa.Column(
            "live_at",
            postgresql.TIMESTAMP(timezone=True),
            comment="When what it brought could first be read; empty if that was never, or was before rows were kept as they had been.",
        ),
        schema="ledger",
    )
    op.add_column(
        "load_file",
        sa.Column(
            "columns",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Columns of the contract that the file has. One that it lacks is not said, which differs from empty.",
        ),
        schema="ledger",
    )
    # Loads that are live are one build; what earlier ones changed was not kept.
    op.execute("update ledger.load set build_id = -1 where status = 'superseded'")
    op.execute(
        "update ledger.load set live_at = finished_at "
        "where load_id = (select max(load_id) from ledger.load where status = 'loaded')"
    )
    op.execute(
        "update ledger.load_file as f set columns = ("
        "select array_agg(column_name::text order by ordinal_position) "
        "from information_schema.columns "
        "where table_schema = 'staging' and table_name = f.feed || '_raw' "
        "and column_name not in ('load_id', 'source_line', 'load_timestamp', 'is_deleted'))"
    )
    op.create_table(
        "fact_rekey",
        sa.Column("fact_rekey_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("load_id", sa.BigInteger(), nullable=False),
        sa.Column("fact", sa.Text(), nullable=False, comment="The fact table."),
        sa.Column("dimension", sa.Text(), nullable=False, comment="The dimension table."),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="Why other versions are in force on the facts' dates: changed (a version began), spliced (a late, repeated or returning row remade a history), completed (a key that facts named first got its history), restated.",
        ),
        sa.Column("facts", sa.BigInteger(), nullable=False, comment="How many facts."),
        sa.Column("first_date", sa.Date(), nullable=False, comment="Earliest date of these facts."),
        sa.Column("last_date", sa.Date(), nullable=False, comment="Latest date of these facts."),
        sa.CheckConstraint(
            "reason in ('changed', 'spliced', 'completed', 'restated')",
            name=op.f("fact_rekey_reason_check"),
        ),
        sa.ForeignKeyConstraint(
            ["load_id"], ["ledger.load.load_id"], name=op.f("fact_rekey_load_id_fkey")
        ),
        sa.PrimaryKeyConstraint("fact_rekey_id", name=op.f("fact_rekey_pkey")),
        schema="ledger",
        comment="One row a load, fact, dimension and reason for which facts were keyed anew.",
    )


def _keep_past() -> None:
    op.execute(GUARD)
    op.execute(KEEP_PAST)
    for table, key in KEPT.items():
        past = f"warehouse.{table}_past"
        _copy(table, past)
        op.execute(f"alter table {past} add column known_to_load_id bigint not null")
        op.execute(f"alter table {past} add primary key ({key}, known_to_load_id)")
        op.execute(
            f"comment on column {past}.known_to_load_id is "
            "'The load that changed the row or took it away.'"
        )
        op.execute(
            f"comment on table {past} is "
            f"'Rows of {table} as they were held before a load changed them.'"
        )
        for event in ("update", "delete"):
            op.execute(
                f"create trigger {table}_keep_{event}s after {event} on warehouse.{table} "
                "referencing old table as was for each statement "
                "execute function warehouse.keep_past()"
            )


def _keep_states() -> None:
    state = "warehouse.fact_claim_state"
    _copy("fact_claim", state, STATE_COLUMNS)
    op.execute(f"alter table {state} add primary key (claim_id, load_id)")
    op.execute(
        f"comment on table {state} is 'States of claims before their latest, by the order of "
        "their batches. fact_claim_history has these and the latest.'"
    )


def _copy(table: str, copy: str, columns: str = "*") -> None:
    """An empty table of the same columns, with what they require and mean, and nothing else."""
    op.execute(f"create table {copy} as select {columns} from warehouse.{table} with no data")
    described = op.get_bind().execute(
        sa.text(
            "select c.attname, t.attnotnull, "
            "quote_literal(col_description(t.attrelid, t.attnum)) "
            "from pg_attribute as c join pg_attribute as t on t.attname = c.attname "
            "where c.attrelid = cast(:copy as regclass) and c.attnum > 0 "
            "and t.attrelid = cast(:original as regclass)"
        ),
        {"copy": copy, "original": f"warehouse.{table}"},
    )
    for column, is_required, comment in described.all():
        if is_required:
            op.execute(f"alter table {copy} alter column {column} set not null")
        if comment is not None:
            op.execute(f"comment on column {copy}.{column} is {comment}")


def _add_views() -> None:
    for feed, key in DELETABLE.items():
        name = feed.removesuffix("s")
        dim, sk = f"dim_{name}", f"{name}_sk"
        _view(
            f"{dim}_current",
            f"select * from warehouse.{dim} where current_flag",
            f"Current versions of {dim}, one row a {name}.",
        )
        columns = (
            op.get_bind()
            .execute(
                sa.text(
                    "select string_agg('latest.' || quote_ident(attname), ', ' order by attnum) "
                    "from pg_attribute where attrelid = cast(:dim as regclass) and attnum > 0 "
                    "and not attisdropped and attname <> :sk"
                ),
                {"dim": f"warehouse.{dim}", "sk": sk},
            )
            .scalar_one()
        )
        same = " and ".join(f"version.{k} = latest.{k}" for k in key)
        same_later = " and ".join(f"later.{k} = latest.{k}" for k in key)
        _view(
            f"{dim}_as_is",
            f"select version.{sk}, latest.{sk} as latest_{sk}, {columns} "
            f"from warehouse.{dim} as version inner join warehouse.{dim} as latest on {same} "
            f"and not exists (select 1 from warehouse.{dim} as later where {same_later} "
            "and later.validity_start_ts > latest.validity_start_ts)",
            f"For every {sk}, the current row of its {name}, or the last one.",
        )
    states = STATE_COLUMNS.replace("claim_id, load_id, service_date, ", "")
    told = ", ".join(f"told.{column}" for column in states.split(", "))
    rows = " union all ".join(
        f"select claim_id, load_id, service_date, {states}, {is_latest} as is_latest "
        f"from warehouse.{table}"
        for table, is_latest in (("fact_claim_state", "false"), ("fact_claim", "true"))
    )
    _view(
        "fact_claim_history",
        f"select told.claim_id, told.load_id, batch.as_of, told.service_date, {told}, "
        f"told.is_latest from ({rows}) as told "
        "inner join ledger.load as batch on told.load_id = batch.load_id",
        "Every state that a claim was told to be in, one row a claim and load in which it "
        "changed; as_of orders them.",
    )


def _view(name: str, query: str, comment: str) -> None:
    op.execute(f"create view warehouse.{name} as {query}")
    op.execute(f"comment on view warehouse.{name} is '{comment}'")


def downgrade() -> None:
    """Take the change back; what was kept goes with it."""
    for view in (
        "fact_claim_history",
        *(
            f"dim_{feed.removesuffix('s')}_{kind}"
            for feed in DELETABLE
            for kind in ("current", "as_is")
        ),
    ):
        op.execute(f"drop view warehouse.{view}")
    op.drop_table("fact_claim_state", schema="warehouse")
    for table in KEPT:
        op.drop_table(f"{table}_past", schema="warehouse")
    op.execute("drop function warehouse.keep_past() cascade")
    op.drop_table("fact_rekey", schema="ledger")
    op.drop_column("load_file", "columns", schema="ledger")
    op.drop_column("load", "live_at", schema="ledger")
    op.drop_column("load", "build_id", schema="ledger")
    for feed in DELETABLE:
        op.drop_column(f"{feed}_raw", "is_deleted", schema="staging")
