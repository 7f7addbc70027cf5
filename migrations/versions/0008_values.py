"""Values have a largest size; dates may lie so far ahead; an end may be open.

A value in staging that is longer than now allowed, or an amount larger, stops this migration:
make clean-data CONFIRM=yes full-load then loads the inbox anew and rejects such rows.

Revision: 0008, after 0007.
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# The most characters of text columns by staging table.
LONGEST = {
    "members_raw": {
        20: (
            "gender",
            "zip",
        ),
        40: (
            "phone",
            "hios_id",
            "plan_network_access_type",
            "plan_metal",
            "age_group",
        ),
        60: ("state",),
        254: ("email",),
        255: (
            "first_name",
            "last_name",
            "street",
            "city",
            "region",
            "clinical_segment",
            "general_agency_name",
            "broker_name",
            "sa_contracting_entity_name",
            "mutually_exclusive_hcc_condition",
            "geographic_reporting",
        ),
    },
    "plans_raw": {
        40: ("metal_tier",),
        255: ("name",),
    },
    "providers_raw": {
        20: (
            "npi",
            "zip",
        ),
        40: ("phone",),
        60: ("state",),
        255: (
            "name",
            "specialty",
            "street",
            "city",
        ),
    },
    "enrollments_raw": {
        40: ("csr_variant",),
        64: (
            "member_id",
            "plan_id",
        ),
        255: ("enrollment_reason",),
    },
    "claims_raw": {
        20: (
            "ms_drg",
            "ms_drg_mdc",
        ),
        40: (
            "status",
            "diagnosis_code",
            "procedure_code",
            "claim_type",
            "cpt",
            "channel",
        ),
        64: (
            "member_id",
            "provider_id",
            "plan_id",
        ),
        255: (
            "clean_claim_status",
            "major_service_category",
            "provider_specialty",
            "detailed_service_category",
            "ms_drg_description",
            "ms_drg_mdc_desc",
            "procedure_level_1",
            "procedure_level_2",
            "procedure_level_3",
            "procedure_level_4",
            "procedure_level_5",
            "drug_name",
            "drug_class",
            "drug_subclass",
            "drug",
            "best_contracting_entity_name",
            "provider_group_name",
            "ccsr_system_description",
            "ccsr_description",
        ),
        1000: ("cpt_consumer_description",),
    },
}
KEYS = {
    "members_raw": "member_id",
    "plans_raw": "plan_id",
    "providers_raw": "provider_id",
    "enrollments_raw": "enrollment_id",
    "claims_raw": "claim_id",
}
# What columns are said to be: before, and more now.
SAID = (
    (("staging.claims_raw",), "service_date", "First day of service.", 3660, ""),
    (("staging.enrollments_raw",), "start_date", "First day of coverage.", 3660, ""),
    (
        ("staging.enrollments_raw",),
        "end_date",
        "Last day of coverage; empty means to the end of the plan year, and a day before the start, "
        "by at most 366, that the coverage was canceled from its start.",
        3660,
        " A day from 2070-01-01 on means that it runs on.",
    ),
    (
        ("staging.members_raw", "warehouse.dim_member", "warehouse.dim_member_past"),
        "source_updated_at",
        "Instant from which the row is true, by the sender''s clock (UTC without an offset).",
        366,
        "",
    ),
)
AMOUNT = "min_scale(value) <= 2 and abs(value) <= 99999999.99"
AMOUNT_BEFORE = "min_scale(value) <= 2 and abs(value) < 1000000000000 and value <> 'NaN'"
REASONS_ADDED = (
    "a key with invisible or unusual characters",
    "value longer than the column allows",
    "amount larger than the column allows",
    "date too far ahead of its batch",
)
REASONS = (
    "wrong number of fields",
    "bytes that are not UTF-8",
    "carriage return outside quotes",
    "unterminated quoted field",
    "quote in the middle of a value",
    "line longer than any row may be",
    "header repeated among the rows",
    "trailer or total line among the rows",
    "a word of the clock where a date is due",
    "a key that is empty",
    *REASONS_ADDED,
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


def upgrade() -> None:
    """Give staging its largest values, and its rows their new reasons to be set aside."""
    allow_reasons(REASONS)
    use_keys_of("varchar(64)")
    limit_amounts(AMOUNT)
    for table, column, length in text_columns():
        op.execute(f"alter table staging.{table} alter column {column} type varchar({length})")
    op.execute(
        "create domain staging.open_date as date constraint open_date_check "
        "check (value between '1900-01-01' and '9999-12-31')"
    )
    op.execute("alter table staging.enrollments_raw alter end_date type staging.open_date")
    for tables, column, said, days, more in SAID:
        describe(tables, column, f"{said} At most {days:,} days after its batch''s as_of.{more}")


def downgrade() -> None:
    """Take the change back."""
    for tables, column, said, _, _ in SAID:
        describe(tables, column, said)
    op.execute("alter table staging.enrollments_raw alter end_date type staging.calendar_date")
    op.execute("drop domain staging.open_date")
    for table, column, _ in text_columns():
        op.execute(f"alter table staging.{table} alter column {column} type text")
    limit_amounts(AMOUNT_BEFORE)
    use_keys_of("text")
    allow_reasons(tuple(r for r in REASONS if r not in REASONS_ADDED))


def allow_reasons(reasons: tuple[str, ...]) -> None:
    name = op.f("quarantined_row_reason_check")
    op.drop_constraint(name, "quarantined_row", schema="quality")
    listed = ", ".join(f"'{reason}'" for reason in reasons)
    op.create_check_constraint(name, "quarantined_row", f"reason in ({listed})", schema="quality")


def use_keys_of(base: str) -> None:
    """Make keys of another base type, which no domain can change by itself."""
    op.execute("alter domain staging.key_text rename to key_text_before")
    op.execute(
        f"create domain staging.key_text as {base} not null "
        "constraint key_text_check check (value <> '')"
    )
    for table, column in KEYS.items():
        op.execute(f"alter table staging.{table} alter {column} type staging.key_text")
    op.execute("drop domain staging.key_text_before")


def limit_amounts(rule: str) -> None:
    op.execute("alter domain staging.money_usd drop constraint money_usd_check")
    op.execute(f"alter domain staging.money_usd add constraint money_usd_check check ({rule})")


def text_columns() -> list[tuple[str, str, int]]:
    """Table, column and longest value of every text."""
    return [
        (table, column, length)
        for table, lengths in LONGEST.items()
        for length, columns in lengths.items()
        for column in columns
    ]


def describe(tables: tuple[str, ...], column: str, said: str) -> None:
    for table in tables:
        op.execute(f"comment on column {table}.{column} is '{said}'")
