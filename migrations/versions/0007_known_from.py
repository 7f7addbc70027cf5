"""Dimensions say since when their values are known, and results how many rows could be judged.

Revision: 0007, after 0006.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Slowly changing dimensions with their natural keys.
DIMENSIONS = {
    "dim_plan": ("plan_id", "effective_year"),
    "dim_provider": ("provider_id",),
    "dim_member": ("member_id",),
}
KNOWN_FROM = (
    "Since when the values of the version are known, UTC: on the first of a key, which reaches "
    "back to 1900, later than its start. Empty where no feed told them."
)
# Columns of a table of the past that come after those that it always had.
OWN = ("known_from_ts", "known_to_load_id")
JUDGED = "Rows checked that have the values it looks at; empty where all have."


def upgrade() -> None:
    """Add the columns; of a key's first version only a full load can tell what it says."""
    op.add_column(
        "check_result", sa.Column("rows_judged", sa.BigInteger(), comment=JUDGED), schema="quality"
    )
    for dim in DIMENSIONS:
        _drop_readers(dim)
        op.execute(f"alter table warehouse.{dim} add column known_from_ts timestamp")
        op.execute(f"comment on column warehouse.{dim}.known_from_ts is '{KNOWN_FROM}'")
        op.execute(
            f"update warehouse.{dim} set known_from_ts = validity_start_ts "
            "where validity_start_ts > '1900-01-01'"
        )
        op.execute(
            f"alter table warehouse.{dim} add constraint {dim}_known_in_force_check "
            "check (known_from_ts >= validity_start_ts)"
        )
        _make_past(dim, "null::timestamp as known_from_ts, ")
        _make_readers(dim)


def downgrade() -> None:
    """Take the change back."""
    for dim in DIMENSIONS:
        _drop_readers(dim)
        op.execute(f"alter table warehouse.{dim} drop column known_from_ts")
        _make_past(dim, "")
        _make_readers(dim)
    op.drop_column("check_result", "rows_judged", schema="quality")


def _make_past(dim: str, more: str) -> None:
    """Make the table of the past anew: its columns are those of the dimension, then its own."""
    past, before = f"warehouse.{dim}_past", f"warehouse.{dim}_past_before"
    kept = ", ".join(c for c in _columns(f"{dim}_past") if c not in OWN)
    op.execute(f"alter table {past} rename to {dim}_past_before")
    op.execute(f"create table {past} as select {kept}, {more}known_to_load_id from {before}")
    described = op.get_bind().execute(
        sa.text(
            "select quote_ident(attname), attnotnull, "
            "quote_literal(col_description(attrelid, attnum)) from pg_attribute "
            "where attrelid = cast(:past as regclass) and attnum > 0 and attname <> 'known_from_ts'"
        ),
        {"past": before},
    )
    found = described.all()
    op.execute(f"drop table {before}")
    for column, is_required, comment in found:
        if is_required:
            op.execute(f"alter table {past} alter column {column} set not null")
        op.execute(f"comment on column {past}.{column} is {comment}")
    if more:
        op.execute(f"comment on column {past}.known_from_ts is '{KNOWN_FROM}'")
    op.execute(
        f"comment on table {past} is 'Rows of {dim} as they were held before a load changed them.'"
    )
    sk = f"{dim.removeprefix('dim_')}_sk"
    op.create_primary_key(
        f"{dim}_past_pkey", f"{dim}_past", [sk, "known_to_load_id"], schema="warehouse"
    )
    op.create_index(
        f"{dim}_past_known_to_load_id_idx",
        f"{dim}_past",
        ["known_to_load_id"],
        schema="warehouse",
        postgresql_using="brin",
    )


def _drop_readers(dim: str) -> None:
    """Drop what returns rows of the dimension and so has its columns."""
    for schema in ("as_known", "warehouse"):
        for kind in ("current", "as_is"):
            op.execute(f"drop view {schema}.{dim}_{kind}")
    op.execute(f"drop view as_known.{dim}")
    op.execute(f"drop function warehouse.{dim}_as_known_at(bigint)")


def _make_readers(dim: str) -> None:
    name = dim.removeprefix("dim_")
    sk, past = f"{name}_sk", f"warehouse.{dim}_past"
    known = "(select warehouse.known_load($1))"
    columns = ", ".join(f"held.{c}" for c in _columns(dim))
    other = f"{{0}}.{sk} = held.{sk} and {{0}}.known_to_load_id"
    op.execute(
        f"create function warehouse.{dim}_as_known_at(load_id bigint) "
        f"returns setof warehouse.{dim} language sql stable parallel safe begin atomic "
        f"select {columns} from warehouse.{dim} as held where held.load_id <= {known} "
        f"and not exists (select 1 from {past} as later where {other.format('later')} > {known}) "
        f"union all select {columns} from {past} as held "
        f"where held.load_id <= {known} and held.known_to_load_id > {known} "
        f"and not exists (select 1 from {past} as sooner "
        f"where {other.format('sooner')} > {known} "
        "and sooner.known_to_load_id < held.known_to_load_id); end"
    )
    op.execute(
        f"comment on function warehouse.{dim}_as_known_at(bigint) is "
        f"'{dim} as it was known after a load.'"
    )
    _view(
        f"as_known.{dim}",
        f"select * from warehouse.{dim}_as_known_at(warehouse.as_known_point())",
        f"{dim} as it was known at the point that as_known_at() set; without one as it is.",
    )
    for schema in ("warehouse", "as_known"):
        _view(
            f"{schema}.{dim}_current",
            f"select * from {schema}.{dim} where current_flag",
            f"Current versions of {dim}, one row a {name}.",
        )
        latest = ", ".join(f"latest.{c}" for c in _columns(dim) if c != sk)
        same = " and ".join(f"version.{k} = latest.{k}" for k in DIMENSIONS[dim])
        same_later = " and ".join(f"later.{k} = latest.{k}" for k in DIMENSIONS[dim])
        _view(
            f"{schema}.{dim}_as_is",
            f"select version.{sk}, latest.{sk} as latest_{sk}, {latest} "
            f"from {schema}.{dim} as version inner join {schema}.{dim} as latest on {same} "
            f"and not exists (select 1 from {schema}.{dim} as later where {same_later} "
            "and later.validity_start_ts > latest.validity_start_ts)",
            f"For every {sk}, the current row of its {name}, or the last one.",
        )


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
