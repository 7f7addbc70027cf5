"""Quality: quarantine with replay, the registry of the checks, what they measured.

Revision: 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True)
CLOCK = sa.text("clock_timestamp()")

# What a reason was called before: what it is called now.
RENAMED = {
    "not a valid key": "a key that is empty",
    "not a valid key_year": "not a valid year",
    "not a valid key_date": "not a valid date",
    "not a valid money": "not a valid amount",
    "not a valid ratio": "not a valid number",
    "not a valid timestamp": "not a valid instant",
    "not a valid text": "bytes that are not UTF-8",
    "not a valid value": "bytes that are not UTF-8",
}
REASONS = (
    "wrong number of fields",
    "bytes that are not UTF-8",
    "carriage return outside quotes",
    "quote that is never closed",
    "a word of the clock where a date is due",
    "a key that is empty",
    "not a valid integer",
    "not a valid year",
    "not a valid boolean",
    "not a valid amount",
    "not a valid number",
    "not a valid date",
    "not a valid instant",
    "dates in the wrong order",
    "conflicting row of the same key and time; the last in the file stands",
    "outside what the contract allows",
)
ASPECTS = (
    "completeness",
    "uniqueness",
    "validity",
    "consistency",
    "integrity",
    "timeliness",
    "volume",
    "reasonableness",
)
SEVERITIES = ("critical", "major", "minor")

# Of the rows that fail a check the first hundred are shown by their keys. Made for the scan that
# counts them: it holds a hundred keys at most, and rows that pass cost nothing.
SOME_KEYS = (
    """create function quality.add_keys(kept jsonb, more jsonb) returns jsonb
language plpgsql immutable strict parallel safe
as $add$
begin
    if jsonb_array_length(kept) >= 100 then
        return kept;
    end if;
    return jsonb_path_query_array(kept || more, '$[0 to 99]');
end
$add$""",
    """create aggregate quality.some_keys(jsonb) (
    sfunc = quality.add_keys,
    stype = jsonb,
    initcond = '[]',
    combinefunc = quality.add_keys,
    parallel = safe
)""",
    """comment on aggregate quality.some_keys(jsonb) is
    'Up to a hundred objects of keys, as an array.'""",
)

# Whoever may create roles gets the role; without it nobody but the owner reads what it may read.
ROLE = """do $$
begin
    create role aca_data_steward nologin;
exception
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise notice 'the role aca_data_steward was not created: a superuser may create it';
end
$$"""
# What a data steward reads of the quarantine; the views on it are granted as they are made.
FOR_STEWARDS = """do $$
begin
    if to_regrole('aca_data_steward') is not null then
        {action} usage on schema quality, ledger {towards} aca_data_steward;
        {action} select on ledger.load, ledger.load_file, quality.quarantined_row,
            quality.quarantined_line, quality.correction {towards} aca_data_steward;
    end if;
end
$$"""
STEWARD = """exists (
    select 1
    from pg_roles as r
    where r.rolname = 'aca_data_steward' and pg_has_role(current_user, r.oid, 'member')
)"""

# Which load of the live build stands for what was known after a load. Loads without files are a
# part of the story by their kind, no longer by their name.
KNOWN_LOAD = """create or replace function warehouse.known_load(load_id bigint) returns bigint
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
            and (f.load_id is not null or {told_alone})
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
$known$"""


def one_of(column: str, words: tuple[str, ...], name: str | None = None) -> sa.CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return sa.CheckConstraint(f"{column} in ({listed})", name=name or column)


def upgrade() -> None:
    """Apply the change."""
    _ledger()
    _quarantine()
    _checks()


def _ledger() -> None:
    op.add_column(
        "load",
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'batch'"),
            comment="batch (files of the inbox), restatement (a dimension made again from "
            "staging) or replay (corrected rows of the quarantine).",
        ),
        schema="ledger",
    )
    op.execute("update ledger.load set kind = 'restatement' where batch_id like 'restate %'")
    op.create_check_constraint(
        "kind", "load", "kind in ('batch', 'restatement', 'replay')", schema="ledger"
    )
    op.add_column(
        "load_file",
        sa.Column(
            "contract",
            sa.Text(),
            comment="Name of the sender's contract by which it was read; empty for the feed's own.",
        ),
        schema="ledger",
    )
    op.add_column(
        "load_file",
        sa.Column(
            "findings",
            postgresql.JSONB(),
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="What was noticed of the file: byte_order_mark, crlf, extra_columns, "
            "new_columns, lost_columns, reordered, trimmed_rows, first_bad_byte.",
        ),
        schema="ledger",
    )
    op.add_column(
        "load_file",
        sa.Column(
            "header",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            server_default=sa.text("'{}'"),
            comment="Names of the file's columns in its order, also those that the contract does "
            "not know; empty where it was not read.",
        ),
        schema="ledger",
    )
    op.alter_column(
        "stage_run",
        "stage",
        comment="stage, dims, facts, cubes, checks, swap, restate, replay; rebuilt_cubes in a "
        "full load.",
        schema="ledger",
    )
    op.execute(KNOWN_LOAD.replace("{told_alone}", "l.kind <> 'batch'"))


def _quarantine() -> None:
    op.execute(ROLE)
    op.execute("alter table quality.rejected_row rename to quarantined_row")
    for kind, name in (
        ("constraint", "rejected_row_pkey"),
        ("constraint", "rejected_row_load_id_fkey"),
        ("index", "rejected_row_load_id_feed_idx"),
    ):
        new = name.replace("rejected_row_", "quarantined_row_", 1)
        if kind == "constraint":
            op.execute(f"alter table quality.quarantined_row rename constraint {name} to {new}")
        else:
            op.execute(f"alter index quality.{name} rename to {new}")
    op.execute(
        "alter sequence quality.rejected_row_rejected_row_id_seq "
        "rename to quarantined_row_rejected_row_id_seq"
    )
    op.execute(
        "comment on table quality.quarantined_row is "
        "'Quarantine: one row a line of a feed that was set aside and reason.'"
    )
    for old, new in RENAMED.items():
        op.execute(
            sa.text(
                "update quality.quarantined_row set reason = :new where reason = :old"
            ).bindparams(old=old, new=new)
        )
    op.execute(
        "update quality.quarantined_row set reason = 'dates in the wrong order' "
        "where reason like '% is after %'"
    )
    op.create_table(
        "quarantined_line",
        sa.Column("rejected_row_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "raw_line",
            sa.Text(),
            nullable=False,
            comment="The row as the file has it, undecodable bytes escaped. Personal data: direct.",
        ),
        sa.PrimaryKeyConstraint("rejected_row_id"),
        sa.ForeignKeyConstraint(["rejected_row_id"], ["quality.quarantined_row.rejected_row_id"]),
        schema="quality",
        comment="The text of rows set aside, for data stewards alone. One row a quarantined row.",
    )
    op.execute(
        "insert into quality.quarantined_line select rejected_row_id, raw_line "
        "from quality.quarantined_row where raw_line is not null"
    )
    op.drop_column("quarantined_row", "raw_line", schema="quality")
    op.add_column(
        "quarantined_row",
        sa.Column("closed_at", INSTANT, comment="When it was dealt with; empty while it is open."),
        schema="quality",
    )
    op.add_column(
        "quarantined_row",
        sa.Column("closed_by", sa.BigInteger(), comment="The load that brought the corrected row."),
        schema="quality",
    )
    op.create_foreign_key(
        None,
        "quarantined_row",
        "load",
        ["closed_by"],
        ["load_id"],
        source_schema="quality",
        referent_schema="ledger",
    )
    op.create_check_constraint(
        "reason",
        "quarantined_row",
        str(one_of("reason", REASONS).sqltext),
        schema="quality",
    )
    op.create_table(
        "correction",
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column(
            "xxh3_128",
            sa.UUID(),
            nullable=False,
            comment="Checksum of the file that it corrects.",
        ),
        sa.Column(
            "line",
            sa.BigInteger(),
            nullable=False,
            comment="Line of the file that it stands for.",
        ),
        sa.Column(
            "columns",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="Columns of the record, in its order.",
        ),
        sa.Column(
            "record",
            sa.Text(),
            nullable=False,
            comment="The row as it should have been, CSV. Personal data: direct.",
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that brought it; of a file that was refused, the load that was.",
        ),
        sa.Column("created_at", INSTANT, nullable=False, server_default=CLOCK),
        sa.Column("created_by", sa.Text(), nullable=False, server_default=sa.text("session_user")),
        sa.PrimaryKeyConstraint("feed", "xxh3_128", "line", "load_id"),
        sa.ForeignKeyConstraint(["load_id"], ["ledger.load.load_id"]),
        schema="quality",
        comment="Rows of the quarantine as people corrected them, for data stewards alone. A full "
        "load takes them in again. One row a file, line and load that brought it.",
    )
    for table in ("quarantined_line", "correction"):
        op.execute(f"alter table quality.{table} enable row level security")
        op.execute(f"create policy stewards on quality.{table} using ({STEWARD})")
    op.execute(FOR_STEWARDS.format(action="grant", towards="to"))


def _checks() -> None:
    op.create_table(
        "check_definition",
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text()),
        sa.Column(
            "dimension",
            sa.Text(),
            nullable=False,
            comment="Completeness, uniqueness and so on.",
        ),
        sa.Column("severity", sa.Text(), nullable=False, comment="critical, major or minor."),
        sa.Column(
            "answered_by",
            sa.Text(),
            nullable=False,
            comment="great_expectations, sql or statistics.",
        ),
        sa.Column("means", sa.Text(), nullable=False, comment="What is wrong where it fails."),
        sa.Column(
            "advice",
            sa.Text(),
            nullable=False,
            comment="What the owner does about a failure.",
        ),
        sa.Column(
            "unit",
            sa.Text(),
            nullable=False,
            comment="What measured counts: rows, days and so on.",
        ),
        sa.Column(
            "threshold", sa.Double(), nullable=False, comment="The most that measured may be."
        ),
        sa.Column(
            "threshold_share",
            sa.Double(),
            comment="Share of the rows checked that may fail; the wider of both thresholds holds.",
        ),
        sa.Column("defined_at", INSTANT, nullable=False, server_default=CLOCK),
        sa.Column(
            "retired_at", INSTANT, comment="When the check was taken out; empty while it runs."
        ),
        sa.PrimaryKeyConstraint("check_name"),
        one_of("dimension", ASPECTS),
        one_of("severity", SEVERITIES),
        schema="quality",
        comment="The registry of the checks, written by each run. One row a check.",
    )
    op.create_table(
        "check_threshold",
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column(
            "threshold",
            sa.Double(),
            comment="In the place of the definition's; empty leaves it.",
        ),
        sa.Column(
            "threshold_share",
            sa.Double(),
            comment="In the place of the definition's; empty leaves it.",
        ),
        sa.Column(
            "severity",
            sa.Text(),
            comment="In the place of the definition's; empty leaves it.",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why it was changed."),
        sa.Column("changed_at", INSTANT, nullable=False, server_default=CLOCK),
        sa.Column("changed_by", sa.Text(), nullable=False, server_default=sa.text("session_user")),
        sa.PrimaryKeyConstraint("check_name"),
        sa.ForeignKeyConstraint(["check_name"], ["quality.check_definition.check_name"]),
        one_of("severity", SEVERITIES),
        sa.CheckConstraint("threshold >= 0", name="threshold"),
        sa.CheckConstraint("threshold_share between 0 and 1", name="threshold_share"),
        schema="quality",
        comment="Thresholds that people changed; past results are judged by them too. "
        "One row a check.",
    )
    op.add_column(
        "check_run",
        sa.Column("load_id", sa.BigInteger(), comment="The latest load that it looked at."),
        schema="quality",
    )
    op.add_column(
        "check_run",
        sa.Column(
            "gate",
            sa.Text(),
            comment="The stage whose transaction it ran in, on the rows of that load alone; empty "
            "for a run on all that is there.",
        ),
        schema="quality",
    )
    op.create_foreign_key(
        None,
        "check_run",
        "load",
        ["load_id"],
        ["load_id"],
        source_schema="quality",
        referent_schema="ledger",
    )
    for column in (
        sa.Column(
            "measured", sa.Double(), comment="What was measured, in the unit of the definition."
        ),
        sa.Column("threshold", sa.Double(), comment="The threshold that the run judged by."),
        sa.Column(
            "threshold_share",
            sa.Double(),
            comment="Likewise, as a share of the rows checked.",
        ),
        sa.Column(
            "failing_keys",
            postgresql.JSONB(),
            nullable=False,
            server_default=sa.text("'[]'"),
            comment="Up to a hundred rows that failed, by surrogate or natural key.",
        ),
    ):
        op.add_column("check_result", column, schema="quality")
    op.create_check_constraint(
        "failing_keys",
        "check_result",
        "jsonb_array_length(failing_keys) <= 100",
        schema="quality",
    )
    for column, comment in (
        ("passed", "As judged by the run; check_judged judges by the thresholds of today."),
        ("rows_checked", "Empty where it could not be evaluated."),
    ):
        op.alter_column("check_result", column, comment=comment, schema="quality")
    op.create_table(
        "feed_profile",
        sa.Column("load_id", sa.BigInteger(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False, comment="rows, null_share, mean, share_of."),
        sa.Column("column_name", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column(
            "member",
            sa.Text(),
            nullable=False,
            server_default=sa.text("''"),
            comment="Of share_of: the value, one of those that the contract allows.",
        ),
        sa.Column("measured", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("load_id", "feed", "metric", "column_name", "member"),
        sa.ForeignKeyConstraint(["load_id"], ["ledger.load.load_id"]),
        schema="quality",
        comment="What the rows of a load look like, against which later loads are held. One row a "
        "load, feed and figure.",
    )
    for statement in SOME_KEYS:
        op.execute(statement)


def downgrade() -> None:
    """Take the change back; corrections and changed thresholds are lost."""
    op.execute(FOR_STEWARDS.format(action="revoke", towards="from"))
    for (view,) in (
        op.get_bind()
        .execute(
            sa.text(
                "select relname from pg_class where relkind = 'v' "
                "and relnamespace = 'quality'::regnamespace"
            )
        )
        .fetchall()
    ):
        op.execute(f'drop view quality."{view}" cascade')
    op.execute("drop aggregate quality.some_keys(jsonb)")
    op.execute("drop function quality.add_keys(jsonb, jsonb)")
    for table in ("feed_profile", "check_threshold", "check_definition", "correction"):
        op.drop_table(table, schema="quality")
    op.drop_constraint("check_result_failing_keys_check", "check_result", schema="quality")
    for column in ("failing_keys", "threshold_share", "threshold", "measured"):
        op.drop_column("check_result", column, schema="quality")
    for column in ("passed", "rows_checked"):
        op.alter_column("check_result", column, comment=None, schema="quality")
    for column in ("gate", "load_id"):
        op.drop_column("check_run", column, schema="quality")
    op.drop_constraint("quarantined_row_reason_check", "quarantined_row", schema="quality")
    for column in ("closed_by", "closed_at"):
        op.drop_column("quarantined_row", column, schema="quality")
    op.add_column(
        "quarantined_row",
        sa.Column(
            "raw_line",
            sa.Text(),
            comment="The row as the file has it, undecodable bytes escaped. Personal data: direct.",
        ),
        schema="quality",
    )
    op.execute(
        "update quality.quarantined_row as q set raw_line = t.raw_line "
        "from quality.quarantined_line as t where t.rejected_row_id = q.rejected_row_id"
    )
    op.drop_table("quarantined_line", schema="quality")
    op.execute("alter table quality.quarantined_row rename to rejected_row")
    for name in ("pkey", "load_id_fkey"):
        op.execute(
            "alter table quality.rejected_row "
            f"rename constraint quarantined_row_{name} to rejected_row_{name}"
        )
    op.execute(
        "alter index quality.quarantined_row_load_id_feed_idx "
        "rename to rejected_row_load_id_feed_idx"
    )
    op.execute(
        "alter sequence quality.quarantined_row_rejected_row_id_seq "
        "rename to rejected_row_rejected_row_id_seq"
    )
    op.execute(
        "comment on table quality.rejected_row is "
        "'Quarantine: one row a line of a feed that was set aside.'"
    )
    op.execute(KNOWN_LOAD.replace("{told_alone}", "starts_with(l.batch_id, 'restate ')"))
    op.alter_column(
        "stage_run",
        "stage",
        comment="stage, dims, facts, cubes, checks, swap, restate; rebuilt_cubes in a full load.",
        schema="ledger",
    )
    for column in ("header", "findings", "contract"):
        op.drop_column("load_file", column, schema="ledger")
    op.drop_constraint("load_kind_check", "load", schema="ledger")
    op.drop_column("load", "kind", schema="ledger")
