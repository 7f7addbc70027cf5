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
        (
            select min(l.load_id)
            from ledger.load as l
            where l.status = 'running' and not l.is_rebuild
        ),
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

# Functions by which a session asks for what was known after a load or at an instant.
KNOWN = (
    """create function warehouse.latest_load(at timestamptz) returns bigint
language plpgsql stable parallel safe
as $latest$
declare
    found_load bigint;
begin
    select l.load_id
    into found_load
    from ledger.load as l
    where l.live_at <= $1
    order by l.live_at desc, l.load_id desc
    limit 1;
    if found_load is null then
        raise exception 'no load is known to have been live at %', coalesce($1::text, 'no time')
            using errcode = 'no_data_found',
                hint = 'live_at in ledger.load says when a load could first be read.';
    end if;
    return found_load;
end
$latest$""",
    """create function warehouse.known_load(load_id bigint) returns bigint
language plpgsql stable parallel safe
as $known$
#variable_conflict use_column
declare
    asked ledger.load;
    held ledger.load;
    live_build bigint;
    stands_for bigint;
begin
    if $1 = 9223372036854775807 then
        return $1;
    end if;
    select l.* into asked from ledger.load as l where l.load_id = $1;
    if asked.load_id is null then
        raise exception 'there is no load %', coalesce($1::text, 'without a number')
            using errcode = 'no_data_found', hint = 'ledger.load lists the loads.';
    end if;
    if asked.status in ('running', 'rebuilt') then
        raise exception 'load % is still on its way', $1
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'Ask again when ledger.load calls it loaded.';
    end if;
    -- A load that failed left what the one before it had left.
    select l.*
    into held
    from ledger.load as l
    where l.build_id = asked.build_id and l.load_id <= $1 and l.finished_at is not null
        and l.status in ('loaded', 'superseded')
    order by l.load_id desc
    limit 1;
    if held.load_id is null then
        raise exception 'load % failed, and no load of its build came before it', $1
            using errcode = 'no_data_found', hint = 'ledger.load lists the loads.';
    end if;
    if held.live_at is null then
        raise exception 'what was known after load % is not held: '
            'later loads changed it before rows were kept as they had been', $1
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'live_at in ledger.load is set where it is held.';
    end if;
    select max(l.build_id) into live_build from ledger.load as l where l.status = 'loaded';
    if asked.build_id = live_build then
        return held.load_id;
    end if;
    with told as materialized (
        select
            l.build_id,
            l.load_id,
            row_number() over (partition by l.build_id order by l.load_id, f.feed) as place,
            row(l.batch_id, l.as_of, f.feed, f.kind, f.xxh3_128) as what
        from ledger.load as l
        left join ledger.load_file as f on l.load_id = f.load_id and f.status = 'loaded'
        where l.finished_at is not null and l.status in ('loaded', 'superseded')
            and (f.load_id is not null or starts_with(l.batch_id, 'restate '))
            and (l.build_id = live_build or (l.build_id = asked.build_id and l.load_id <= $1))
    ),

    lengths as (
        select
            l.load_id,
            sum(count(t.load_id)) over (order by l.load_id) as length
        from ledger.load as l
        left join told as t on l.load_id = t.load_id
        where l.build_id = live_build and l.status = 'loaded'
        group by l.load_id
    )

    select max(s.load_id)
    into stands_for
    from lengths as s
    where s.length = (select count(*) from told as t where t.build_id = asked.build_id)
        and not exists (
            select 1
            from told as before
            left join told as now on before.place = now.place and now.build_id = live_build
            where before.build_id = asked.build_id and before.what is distinct from now.what
        );
    if stands_for is null then
        raise exception 'load % was replaced by a rebuild from other batches, '
            'and what was known after it is no longer held', $1
            using errcode = 'object_not_in_prerequisite_state',
                hint = 'ledger.load_file lists its files: load them in a database of their own.';
    end if;
    return stands_for;
end
$known$""",
    """create function warehouse.known_load(at timestamptz) returns bigint
language sql stable parallel safe
return warehouse.known_load(warehouse.latest_load(at))""",
    """create function warehouse.as_known_at(load_id bigint) returns text
language sql
begin atomic
    select
        format(
            'as known after load %s (batch %s, %s)%s',
            l.load_id,
            l.batch_id,
            coalesce(
                to_char(l.live_at at time zone 'UTC', '"live" YYYY-MM-DD HH24:MI "UTC"'), l.status
            ),
            case
                when l.status = 'superseded' then format('; load %s stands for it', point.known)
            end
        )
    from (
        select
            warehouse.known_load($1) as known,
            set_config('aca.as_known_load_id', $1::text, false) as load_id
    ) as point
    inner join ledger.load as l on l.load_id = point.load_id::bigint;
end""",
    """create function warehouse.as_known_at(at timestamptz) returns text
language sql
return warehouse.as_known_at(warehouse.latest_load(at))""",
    """create function warehouse.as_known_now() returns text
language sql
return 'as known now' || set_config('aca.as_known_load_id', '', false)""",
    """create function warehouse.as_known_point() returns bigint
language sql stable parallel safe
return coalesce(
    nullif(current_setting('aca.as_known_load_id', true), '')::bigint, 9223372036854775807
)""",
)

KNOWN_COMMENTS = {
    "latest_load(timestamptz)": "The load that was live last at an instant.",
    "known_load(bigint)": "The load of the live build that stands for what was known after a load.",
    "known_load(timestamptz)": "The load of the live build that stands for what was known at an instant.",
    "as_known_at(bigint)": "Puts the session at what was known after a load: schema as_known shows it.",
    "as_known_at(timestamptz)": "Puts the session at what was known at an instant: schema as_known shows it.",
    "as_known_now()": "Puts the session back to the present.",
    "as_known_point()": "The load that the session is put at.",
}

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
    # What is rounded to six decimals has to fit the warehouse's numeric(14,6) still.
    op.execute("alter domain staging.finite_number drop constraint finite_number_check")
    op.execute(
        "alter domain staging.finite_number add constraint finite_number_check "
        "check (abs(value) < 99999999.9999995 and value <> 'NaN')"
    )
    _extend_ledger()
    _keep_past()
    _keep_states()
    _add_views()
    _add_known()


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
    op.add_column(
        "load_file",
        sa.Column(
            "distinct_keys",
            sa.BigInteger(),
            comment="Keys that its loaded rows name: fewer than rows_loaded if one is repeated.",
        ),
        schema="ledger",
    )
    op.alter_column(
        "stage_run",
        "stage",
        comment="stage, dims, facts, cubes, checks, swap, restate; rebuilt_cubes in a full load.",
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
        sa.CheckConstraint("facts > 0", name=op.f("fact_rekey_facts_positive_check")),
        sa.CheckConstraint("first_date <= last_date", name=op.f("fact_rekey_dates_in_order_check")),
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
    _add_dimension_views("warehouse")
    states = STATE_COLUMNS.replace("claim_id, load_id, service_date, ", "")
    told = ", ".join(f"told.{column}" for column in states.split(", "))
    rows = " union all ".join(
        f"select claim_id, load_id, service_date, {states}, {is_latest} as is_latest "
        f"from warehouse.{table}"
        for table, is_latest in (("fact_claim_state", "false"), ("fact_claim", "true"))
    )
    _view(
        "warehouse.fact_claim_history",
        f"select told.claim_id, told.load_id, batch.as_of, batch.batch_id, told.service_date, {told}, "
        f"told.is_latest from ({rows}) as told "
        "inner join ledger.load as batch on told.load_id = batch.load_id",
        "Every state that a claim was told to be in, one row a claim and load in which it "
        "changed; as_of and batch_id order them.",
    )


def _add_dimension_views(schema: str) -> None:
    for feed, key in DELETABLE.items():
        name = feed.removesuffix("s")
        dim, sk = f"dim_{name}", f"{name}_sk"
        _view(
            f"{schema}.{dim}_current",
            f"select * from {schema}.{dim} where current_flag",
            f"Current versions of {dim}, one row a {name}.",
        )
        columns = ", ".join(f"latest.{c}" for c in _columns(dim) if c != sk)
        same = " and ".join(f"version.{k} = latest.{k}" for k in key)
        same_later = " and ".join(f"later.{k} = latest.{k}" for k in key)
        _view(
            f"{schema}.{dim}_as_is",
            f"select version.{sk}, latest.{sk} as latest_{sk}, {columns} "
            f"from {schema}.{dim} as version inner join {schema}.{dim} as latest on {same} "
            f"and not exists (select 1 from {schema}.{dim} as later where {same_later} "
            "and later.validity_start_ts > latest.validity_start_ts)",
            f"For every {sk}, the current row of its {name}, or the last one.",
        )


def _add_known() -> None:
    op.execute("create schema as_known")
    for function in KNOWN:
        # Not by sqlalchemy.text, to which :: and : in it would be parameters.
        op.get_bind().exec_driver_sql(function.replace("%", "%%"))
    for function, comment in KNOWN_COMMENTS.items():
        op.execute(f"comment on function warehouse.{function} is '{comment}'")
    known = "(select warehouse.known_load($1))"
    for table in ("dim_date", "dim_geography", *KEPT):
        columns = ", ".join(f"held.{c}" for c in _columns(table))
        body = f"select {columns} from warehouse.{table} as held where held.load_id <= {known}"
        if key := KEPT.get(table):
            other = f"other.{key} = held.{key} and other.known_to_load_id"
            past = f"warehouse.{table}_past"
            body += (
                f" and not exists (select 1 from {past} as later "
                f"where {other.replace('other', 'later')} > {known}) "
                f"union all select {columns} from {past} as held "
                f"where held.load_id <= {known} and held.known_to_load_id > {known} "
                f"and not exists (select 1 from {past} as sooner "
                f"where {other.replace('other', 'sooner')} > {known} "
                "and sooner.known_to_load_id < held.known_to_load_id)"
            )
        op.execute(
            f"create function warehouse.{table}_as_known_at(load_id bigint) "
            f"returns setof warehouse.{table} language sql stable parallel safe "
            f"begin atomic {body}; end"
        )
        op.execute(
            f"comment on function warehouse.{table}_as_known_at(bigint) is "
            f"'{table} as it was known after a load.'"
        )
        _view(
            f"as_known.{table}",
            f"select * from warehouse.{table}_as_known_at(warehouse.as_known_point())",
            f"{table} as it was known at the point that as_known_at() set; without one as it is.",
        )
    _add_dimension_views("as_known")


def _columns(table: str) -> list[str]:
    found = op.get_bind().execute(
        sa.text(
            "select quote_ident(attname) from pg_attribute "
            "where attrelid = cast(:name as regclass) and attnum > 0 and not attisdropped "
            "order by attnum"
        ),
        {"name": f"warehouse.{table}"},
    )
    return list(found.scalars())


def _view(name: str, query: str, comment: str) -> None:
    op.execute(f"create view {name} as {query}")
    op.execute(f"comment on view {name} is '{comment}'")


def downgrade() -> None:
    """Take the change back; what was kept goes with it."""
    op.execute("drop schema as_known cascade")
    for table in ("dim_date", "dim_geography", *KEPT):
        op.execute(f"drop function warehouse.{table}_as_known_at(bigint)")
    for function in reversed(KNOWN_COMMENTS):
        op.execute(f"drop function warehouse.{function}")
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
    op.drop_column("load_file", "distinct_keys", schema="ledger")
    op.drop_column("load_file", "columns", schema="ledger")
    op.drop_column("load", "live_at", schema="ledger")
    op.drop_column("load", "build_id", schema="ledger")
    for feed in DELETABLE:
        op.drop_column(f"{feed}_raw", "is_deleted", schema="staging")
