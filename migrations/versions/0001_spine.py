"""The spine: staging, dimensions, facts, ledger and quality.

Revision: 0001, the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMAS = ("staging", "warehouse", "cubes", "ledger", "quality")

CALENDAR_DATE = postgresql.DOMAIN(
    "calendar_date",
    sa.Date(),
    constraint_name="calendar_date_check",
    check="value between '1900-01-01' and '2199-12-31'",
    schema="staging",
    create_type=False,
)

FINITE_NUMBER = postgresql.DOMAIN(
    "finite_number",
    sa.Numeric(),
    constraint_name="finite_number_check",
    check="abs(value) < 100000000 and value <> 'NaN'",
    schema="staging",
    create_type=False,
)

KEY_DATE = postgresql.DOMAIN(
    "key_date",
    sa.Date(),
    constraint_name="key_date_check",
    not_null=True,
    check="value between '1900-01-01' and '2199-12-31'",
    schema="staging",
    create_type=False,
)

KEY_TEXT = postgresql.DOMAIN(
    "key_text",
    sa.Text(),
    constraint_name="key_text_check",
    not_null=True,
    check="value <> ''",
    schema="staging",
    create_type=False,
)

KEY_YEAR = postgresql.DOMAIN(
    "key_year",
    sa.Integer(),
    constraint_name="key_year_check",
    not_null=True,
    check="value between 1900 and 2199",
    schema="staging",
    create_type=False,
)

MONEY_USD = postgresql.DOMAIN(
    "money_usd",
    sa.Numeric(),
    constraint_name="money_usd_check",
    check="min_scale(value) <= 2 and abs(value) < 1000000000000 and value <> 'NaN'",
    schema="staging",
    create_type=False,
)

PLAN_YEAR = postgresql.DOMAIN(
    "plan_year",
    sa.Integer(),
    constraint_name="plan_year_check",
    check="value between 1900 and 2199",
    schema="staging",
    create_type=False,
)

UTC_INSTANT = postgresql.DOMAIN(
    "utc_instant",
    postgresql.TIMESTAMP(timezone=True),
    constraint_name="utc_instant_check",
    check="value >= '1900-01-01Z' and value < '2200-01-01Z'",
    schema="staging",
    create_type=False,
)

DOMAINS = (
    "create domain staging.calendar_date as date constraint calendar_date_check check (value between '1900-01-01' and '2199-12-31')",
    "create domain staging.finite_number as numeric constraint finite_number_check check (abs(value) < 100000000 and value <> 'NaN')",
    "create domain staging.key_date as date not null constraint key_date_check check (value between '1900-01-01' and '2199-12-31')",
    "create domain staging.key_text as text not null constraint key_text_check check (value <> '')",
    "create domain staging.key_year as integer not null constraint key_year_check check (value between 1900 and 2199)",
    "create domain staging.money_usd as numeric constraint money_usd_check check (min_scale(value) <= 2 and abs(value) < 1000000000000 and value <> 'NaN')",
    "create domain staging.plan_year as integer constraint plan_year_check check (value between 1900 and 2199)",
    "create domain staging.utc_instant as timestamptz constraint utc_instant_check check (value >= '1900-01-01Z' and value < '2200-01-01Z')",
)

# No statement may leave two versions of one key that overlap, whoever sends it.
GUARD = """create function warehouse.refuse_overlapping_versions() returns trigger
language plpgsql
as $guard$
declare
    same_key text;
    overlapping boolean;
begin
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

# Surrogate key and natural key of each guarded table.
GUARDED = {
    "dim_plan": ("plan_sk", "plan_id", "effective_year"),
    "dim_provider": ("provider_sk", "provider_id"),
    "dim_member": ("member_sk", "member_id"),
}


def upgrade() -> None:
    """Apply the change."""
    for schema in SCHEMAS:
        op.execute(f"create schema {schema}")
    for domain in DOMAINS:
        op.execute(domain)
    op.create_table(
        "load",
        sa.Column(
            "load_id",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="The load.",
        ),
        sa.Column(
            "batch_id",
            sa.Text(),
            nullable=False,
            comment="The manifest's batch_id, else the folder's name.",
        ),
        sa.Column(
            "as_of",
            postgresql.TIMESTAMP(timezone=True),
            nullable=False,
            comment="When the batch's facts became true, UTC.",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=False,
            comment="running; rebuilt (complete, not live yet); loaded; failed; superseded (a later rebuild took its place).",
        ),
        sa.Column("is_rebuild", sa.Boolean(), nullable=False, comment="Part of a full load."),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True, comment="Why it failed, in one sentence."),
        sa.CheckConstraint(
            "status in ('running', 'rebuilt', 'loaded', 'failed', 'superseded')",
            name=op.f("load_status_check"),
        ),
        sa.PrimaryKeyConstraint("load_id", name=op.f("load_pkey")),
        schema="ledger",
        comment="One row a batch passing through the warehouse.",
    )
    op.create_table(
        "check_run",
        sa.Column("check_run_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column("checks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed_critical", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("check_run_id", name=op.f("check_run_pkey")),
        schema="quality",
        comment="One row a run of the quality checks.",
    )
    op.create_table(
        "claims_raw",
        sa.Column(
            "load_id", sa.BigInteger(), nullable=False, comment="The load that brought the row."
        ),
        sa.Column(
            "source_line",
            sa.BigInteger(),
            nullable=False,
            comment="Line of the file on which the row begins; the header is line 1.",
        ),
        sa.Column(
            "load_timestamp",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was loaded.",
        ),
        sa.Column("claim_id", KEY_TEXT, nullable=False, comment="Identifier of the claim."),
        sa.Column("member_id", sa.Text(), nullable=True, comment="The patient."),
        sa.Column(
            "provider_id", sa.Text(), nullable=True, comment="Who rendered and billed the service."
        ),
        sa.Column(
            "plan_id",
            sa.Text(),
            nullable=True,
            comment="The plan billed; its year is that of service.",
        ),
        sa.Column("service_date", KEY_DATE, nullable=False, comment="First day of service."),
        sa.Column("claim_amount", MONEY_USD, nullable=True, comment="Amount billed, US dollars."),
        sa.Column(
            "allowed_amount",
            MONEY_USD,
            nullable=True,
            comment="Amount allowed by contract, US dollars.",
        ),
        sa.Column(
            "paid_amount", MONEY_USD, nullable=True, comment="Amount paid by the plan, US dollars."
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=True,
            comment="State of adjudication: pending, approved, denied, adjusted or reversed. Expected: one of pending, approved, denied, adjusted, reversed.",
        ),
        sa.Column(
            "diagnosis_code",
            sa.Text(),
            nullable=True,
            comment="Principal diagnosis, ICD-10-CM without the point. Expected: matches ^[A-Z][0-9][0-9A-Z]\\.?[0-9A-Z]{0,4}$. Personal data: health.",
        ),
        sa.Column(
            "procedure_code",
            sa.Text(),
            nullable=True,
            comment="Procedure, HCPCS level II or a local code. Personal data: health.",
        ),
        sa.Column(
            "charges",
            MONEY_USD,
            nullable=True,
            comment="Billed charges as the sender's mart repeats them, US dollars.",
        ),
        sa.Column(
            "allowed",
            MONEY_USD,
            nullable=True,
            comment="Allowed as the sender's mart repeats it, US dollars.",
        ),
        sa.Column(
            "clean_claim_status",
            sa.Text(),
            nullable=True,
            comment="Whether the claim came complete (42 CFR 447.45(b) defines a clean claim).",
        ),
        sa.Column(
            "claim_from", CALENDAR_DATE, nullable=True, comment="First day that the claim covers."
        ),
        sa.Column(
            "clean_claim_out",
            CALENDAR_DATE,
            nullable=True,
            comment="Day on which the clean claim left adjudication.",
        ),
        sa.Column(
            "utilization",
            FINITE_NUMBER,
            nullable=True,
            comment="Units of service as counted for utilization.",
        ),
        sa.Column(
            "hcg_units_days",
            FINITE_NUMBER,
            nullable=True,
            comment="Units or days in the cost-guideline grouping.",
        ),
        sa.Column(
            "claim_type",
            sa.Text(),
            nullable=True,
            comment="Professional, Inpatient, Outpatient or Pharmacy.",
        ),
        sa.Column(
            "major_service_category", sa.Text(), nullable=True, comment="Service category, coarse."
        ),
        sa.Column(
            "provider_specialty",
            sa.Text(),
            nullable=True,
            comment="Specialty as billed on the claim.",
        ),
        sa.Column(
            "detailed_service_category", sa.Text(), nullable=True, comment="Service category, fine."
        ),
        sa.Column(
            "ms_drg",
            sa.Text(),
            nullable=True,
            comment="MS-DRG of an inpatient stay, three digits. Personal data: health.",
        ),
        sa.Column(
            "ms_drg_description",
            sa.Text(),
            nullable=True,
            comment="Title of the MS-DRG. Personal data: health.",
        ),
        sa.Column(
            "ms_drg_mdc",
            sa.Text(),
            nullable=True,
            comment="Major diagnostic category of the MS-DRG. Personal data: health.",
        ),
        sa.Column(
            "ms_drg_mdc_desc",
            sa.Text(),
            nullable=True,
            comment="Title of the major diagnostic category. Personal data: health.",
        ),
        sa.Column(
            "cpt",
            sa.Text(),
            nullable=True,
            comment="Procedure code as billed. Personal data: health.",
        ),
        sa.Column(
            "cpt_consumer_description",
            sa.Text(),
            nullable=True,
            comment="The sender's own plain words for the procedure. Personal data: health.",
        ),
        sa.Column(
            "procedure_level_1",
            sa.Text(),
            nullable=True,
            comment="Level 1 of the sender's procedure hierarchy. Personal data: health.",
        ),
        sa.Column(
            "procedure_level_2",
            sa.Text(),
            nullable=True,
            comment="Level 2 of the sender's procedure hierarchy. Personal data: health.",
        ),
        sa.Column(
            "procedure_level_3",
            sa.Text(),
            nullable=True,
            comment="Level 3 of the sender's procedure hierarchy. Personal data: health.",
        ),
        sa.Column(
            "procedure_level_4",
            sa.Text(),
            nullable=True,
            comment="Level 4 of the sender's procedure hierarchy. Personal data: health.",
        ),
        sa.Column(
            "procedure_level_5",
            sa.Text(),
            nullable=True,
            comment="Level 5 of the sender's procedure hierarchy. Personal data: health.",
        ),
        sa.Column(
            "channel",
            sa.Text(),
            nullable=True,
            comment="How a drug was dispensed: retail, mail or specialty.",
        ),
        sa.Column(
            "drug_name",
            sa.Text(),
            nullable=True,
            comment="Name of the drug as dispensed. Personal data: health.",
        ),
        sa.Column(
            "drug_class",
            sa.Text(),
            nullable=True,
            comment="Therapeutic class of the drug. Personal data: health.",
        ),
        sa.Column(
            "drug_subclass",
            sa.Text(),
            nullable=True,
            comment="Therapeutic subclass of the drug. Personal data: health.",
        ),
        sa.Column(
            "drug",
            sa.Text(),
            nullable=True,
            comment="Generic name of the drug. Personal data: health.",
        ),
        sa.Column(
            "is_oon",
            sa.Boolean(),
            nullable=True,
            comment="Whether the provider was out of network.",
        ),
        sa.Column(
            "best_contracting_entity_name",
            sa.Text(),
            nullable=True,
            comment="Contracting entity of the provider.",
        ),
        sa.Column(
            "provider_group_name",
            sa.Text(),
            nullable=True,
            comment="Group practice of the provider.",
        ),
        sa.Column(
            "ccsr_system_description",
            sa.Text(),
            nullable=True,
            comment="Body system of the diagnosis in the CCSR grouping. Personal data: health.",
        ),
        sa.Column(
            "ccsr_description",
            sa.Text(),
            nullable=True,
            comment="Category of the diagnosis in the CCSR grouping. Personal data: health.",
        ),
        sa.Column(
            "admit_date",
            CALENDAR_DATE,
            nullable=True,
            comment="Day of admission of an inpatient stay. Personal data: health.",
        ),
        sa.Column(
            "discharge_date",
            CALENDAR_DATE,
            nullable=True,
            comment="Day of discharge of an inpatient stay. Personal data: health.",
        ),
        sa.Column(
            "paid_date", CALENDAR_DATE, nullable=True, comment="Day on which the claim was paid."
        ),
        schema="staging",
        comment="Medical and pharmacy claims, one row a claim and state. One row a line of claims.csv, typed.",
    )
    op.create_index(
        op.f("claims_raw_load_id_idx"),
        "claims_raw",
        ["load_id"],
        unique=False,
        schema="staging",
        postgresql_using="brin",
    )
    op.create_table(
        "enrollments_raw",
        sa.Column(
            "load_id", sa.BigInteger(), nullable=False, comment="The load that brought the row."
        ),
        sa.Column(
            "source_line",
            sa.BigInteger(),
            nullable=False,
            comment="Line of the file on which the row begins; the header is line 1.",
        ),
        sa.Column(
            "load_timestamp",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was loaded.",
        ),
        sa.Column(
            "enrollment_id", KEY_TEXT, nullable=False, comment="Identifier of the span of coverage."
        ),
        sa.Column("member_id", sa.Text(), nullable=True, comment="The member covered."),
        sa.Column(
            "plan_id",
            sa.Text(),
            nullable=True,
            comment="The plan held; its year is that of the start.",
        ),
        sa.Column("start_date", KEY_DATE, nullable=False, comment="First day of coverage."),
        sa.Column(
            "end_date",
            CALENDAR_DATE,
            nullable=True,
            comment="Last day of coverage; empty means to the end of the plan year.",
        ),
        sa.Column(
            "premium_paid",
            MONEY_USD,
            nullable=True,
            comment="Premium a month that the member pays, after the tax credit, US dollars. Expected: at least 0.",
        ),
        sa.Column(
            "csr_variant",
            sa.Text(),
            nullable=True,
            comment="Cost-sharing reduction variant: 01 standard, 02 zero and 03 limited cost sharing for American Indians, 04 to 06 silver 73, 87 and 94 (45 CFR 156.420). Expected: one of 00, 01, 02, 03, 04, 05, 06.",
        ),
        sa.Column(
            "aptc_amount",
            MONEY_USD,
            nullable=True,
            comment="Advance premium tax credit a month, US dollars (26 CFR 1.36B-3). Expected: at least 0.",
        ),
        sa.Column(
            "enrollment_reason",
            sa.Text(),
            nullable=True,
            comment="Why coverage began: open enrollment or the special enrollment event (45 CFR 155.410, 155.420).",
        ),
        schema="staging",
        comment="Spans of coverage: who held which plan from when to when, at what premium. One row a line of enrollments.csv, typed.",
    )
    op.create_index(
        op.f("enrollments_raw_load_id_idx"),
        "enrollments_raw",
        ["load_id"],
        unique=False,
        schema="staging",
        postgresql_using="brin",
    )
    op.create_table(
        "members_raw",
        sa.Column(
            "load_id", sa.BigInteger(), nullable=False, comment="The load that brought the row."
        ),
        sa.Column(
            "source_line",
            sa.BigInteger(),
            nullable=False,
            comment="Line of the file on which the row begins; the header is line 1.",
        ),
        sa.Column(
            "load_timestamp",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was loaded.",
        ),
        sa.Column(
            "member_id",
            KEY_TEXT,
            nullable=False,
            comment="Identifier of the member, stable for life.",
        ),
        sa.Column(
            "first_name", sa.Text(), nullable=True, comment="Given name. Personal data: direct."
        ),
        sa.Column(
            "last_name", sa.Text(), nullable=True, comment="Family name. Personal data: direct."
        ),
        sa.Column(
            "dob", CALENDAR_DATE, nullable=True, comment="Date of birth. Personal data: quasi."
        ),
        sa.Column(
            "gender",
            sa.Text(),
            nullable=True,
            comment="Sex as recorded for rating and care: F, M, X (other) or U (unknown). Expected: one of F, M, X, U.",
        ),
        sa.Column(
            "email", sa.Text(), nullable=True, comment="E-mail address. Personal data: direct."
        ),
        sa.Column(
            "phone", sa.Text(), nullable=True, comment="Telephone number. Personal data: direct."
        ),
        sa.Column(
            "street", sa.Text(), nullable=True, comment="Street address. Personal data: direct."
        ),
        sa.Column(
            "city", sa.Text(), nullable=True, comment="City of residence. Personal data: quasi."
        ),
        sa.Column(
            "state",
            sa.Text(),
            nullable=True,
            comment="State of residence, two-letter postal code. Expected: matches ^[A-Z]{2}$.",
        ),
        sa.Column(
            "zip",
            sa.Text(),
            nullable=True,
            comment="ZIP code of residence, five digits or ZIP+4. Expected: matches ^[0-9]{5}(-[0-9]{4})?$. Personal data: quasi.",
        ),
        sa.Column(
            "fpl_ratio",
            FINITE_NUMBER,
            nullable=True,
            comment="Household income over the federal poverty level; 1.0 is 100 % (26 CFR 1.36B-1(h)). Expected: 0 to 100.",
        ),
        sa.Column(
            "hios_id",
            sa.Text(),
            nullable=True,
            comment="HIOS identifier of the plan variant held, 16 characters.",
        ),
        sa.Column(
            "plan_network_access_type",
            sa.Text(),
            nullable=True,
            comment="Network type of the plan held: HMO, EPO, PPO or POS. Expected: one of HMO, EPO, PPO, POS.",
        ),
        sa.Column(
            "plan_metal",
            sa.Text(),
            nullable=True,
            comment="Metal level of the plan held (45 CFR 156.140). Expected: one of Bronze, Expanded Bronze, Silver, Gold, Platinum, Catastrophic.",
        ),
        sa.Column(
            "age_group",
            sa.Text(),
            nullable=True,
            comment="Age band as in the open-enrolment counts, such as 26-34.",
        ),
        sa.Column(
            "region", sa.Text(), nullable=True, comment="Region of the state used for reporting."
        ),
        sa.Column(
            "enrollment_length_continuous",
            sa.Integer(),
            nullable=True,
            comment="Months covered without a gap. Expected: 0 to 1200.",
        ),
        sa.Column(
            "clinical_segment",
            sa.Text(),
            nullable=True,
            comment="Clinical grouping of the member, such as healthy or chronic. Personal data: health.",
        ),
        sa.Column(
            "general_agency_name",
            sa.Text(),
            nullable=True,
            comment="General agency that sold the policy.",
        ),
        sa.Column("broker_name", sa.Text(), nullable=True, comment="Broker of record."),
        sa.Column(
            "sa_contracting_entity_name",
            sa.Text(),
            nullable=True,
            comment="Contracting entity of the service area.",
        ),
        sa.Column(
            "call_count",
            sa.Integer(),
            nullable=True,
            comment="Calls to the service centre. Expected: at least 0.",
        ),
        sa.Column(
            "app_login_count",
            sa.Integer(),
            nullable=True,
            comment="Logins in the mobile app. Expected: at least 0.",
        ),
        sa.Column(
            "web_login_count",
            sa.Integer(),
            nullable=True,
            comment="Logins on the web site. Expected: at least 0.",
        ),
        sa.Column(
            "new_member_in_period",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member is new in the reporting period.",
        ),
        sa.Column(
            "member_used_app",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member ever used the mobile app.",
        ),
        sa.Column(
            "member_had_web_login",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member ever logged in on the web.",
        ),
        sa.Column(
            "member_visited_new_provider_ind",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member saw a provider for the first time in the period.",
        ),
        sa.Column(
            "high_cost_member",
            sa.Boolean(),
            nullable=True,
            comment="Whether the sender's own rule marks the member as high cost. Personal data: health.",
        ),
        sa.Column(
            "mutually_exclusive_hcc_condition",
            sa.Text(),
            nullable=True,
            comment="The one HHS-HCC condition group the member is counted under. Personal data: health.",
        ),
        sa.Column(
            "geographic_reporting",
            sa.Text(),
            nullable=True,
            comment="Reporting area: metropolitan, micropolitan or rural.",
        ),
        sa.Column(
            "wisconsin_area_deprivation_index",
            FINITE_NUMBER,
            nullable=True,
            comment="Area deprivation index of the address, national percentile 1 to 100. Expected: 1 to 100.",
        ),
        sa.Column(
            "ra_mm",
            FINITE_NUMBER,
            nullable=True,
            comment="Risk-adjustment member months in the year. Expected: 0 to 12.",
        ),
        sa.Column("year", PLAN_YEAR, nullable=True, comment="Plan year that the row describes."),
        sa.Column(
            "source_updated_at",
            UTC_INSTANT,
            nullable=True,
            comment="Instant from which the row is true, by the sender's clock (UTC without an offset).",
        ),
        schema="staging",
        comment="People covered by an individual-market plan, as the enrolment system knows them. One row a line of members.csv, typed.",
    )
    op.create_index(
        op.f("members_raw_load_id_idx"),
        "members_raw",
        ["load_id"],
        unique=False,
        schema="staging",
        postgresql_using="brin",
    )
    op.create_index(
        op.f("members_raw_member_id_idx"),
        "members_raw",
        ["member_id"],
        unique=False,
        schema="staging",
    )
    op.create_table(
        "plans_raw",
        sa.Column(
            "load_id", sa.BigInteger(), nullable=False, comment="The load that brought the row."
        ),
        sa.Column(
            "source_line",
            sa.BigInteger(),
            nullable=False,
            comment="Line of the file on which the row begins; the header is line 1.",
        ),
        sa.Column(
            "load_timestamp",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was loaded.",
        ),
        sa.Column(
            "plan_id",
            KEY_TEXT,
            nullable=False,
            comment="HIOS standard component identifier, 14 characters.",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="Marketing name of the plan."),
        sa.Column(
            "metal_tier",
            sa.Text(),
            nullable=True,
            comment="Metal level (45 CFR 156.140); Expanded Bronze is bronze with a wider actuarial-value band (45 CFR 156.140(c)). Expected: one of Bronze, Expanded Bronze, Silver, Gold, Platinum, Catastrophic.",
        ),
        sa.Column(
            "monthly_premium",
            MONEY_USD,
            nullable=True,
            comment="Monthly premium of a 21-year-old before tax credit, US dollars. Expected: at least 0.",
        ),
        sa.Column(
            "deductible",
            MONEY_USD,
            nullable=True,
            comment="Individual in-network deductible a year, US dollars. Expected: at least 0.",
        ),
        sa.Column(
            "oop_max",
            MONEY_USD,
            nullable=True,
            comment="Individual in-network limit on cost sharing a year, US dollars (45 CFR 156.130). Expected: at least 0.",
        ),
        sa.Column(
            "coinsurance_rate",
            FINITE_NUMBER,
            nullable=True,
            comment="Member's share of allowed cost after the deductible, 0 to 1. Expected: 0 to 1.",
        ),
        sa.Column(
            "pcp_copay",
            MONEY_USD,
            nullable=True,
            comment="Copay of a primary-care visit, US dollars. Expected: at least 0.",
        ),
        sa.Column("effective_year", KEY_YEAR, nullable=False, comment="Plan year."),
        schema="staging",
        comment="Plans on offer, by plan year (a plan of another year is another plan). One row a line of plans.csv, typed.",
    )
    op.create_index(
        op.f("plans_raw_load_id_idx"),
        "plans_raw",
        ["load_id"],
        unique=False,
        schema="staging",
        postgresql_using="brin",
    )
    op.create_index(
        op.f("plans_raw_plan_id_effective_year_idx"),
        "plans_raw",
        ["plan_id", "effective_year"],
        unique=False,
        schema="staging",
    )
    op.create_table(
        "providers_raw",
        sa.Column(
            "load_id", sa.BigInteger(), nullable=False, comment="The load that brought the row."
        ),
        sa.Column(
            "source_line",
            sa.BigInteger(),
            nullable=False,
            comment="Line of the file on which the row begins; the header is line 1.",
        ),
        sa.Column(
            "load_timestamp",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was loaded.",
        ),
        sa.Column("provider_id", KEY_TEXT, nullable=False, comment="Identifier of the provider."),
        sa.Column(
            "npi",
            sa.Text(),
            nullable=True,
            comment="National provider identifier, ten digits (45 CFR 162.406). Expected: matches ^[0-9]{10}$.",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="Name of the provider."),
        sa.Column("specialty", sa.Text(), nullable=True, comment="Specialty billed under."),
        sa.Column("street", sa.Text(), nullable=True, comment="Street of the practice."),
        sa.Column("city", sa.Text(), nullable=True, comment="City of the practice."),
        sa.Column(
            "state",
            sa.Text(),
            nullable=True,
            comment="State of the practice, two-letter postal code. Expected: matches ^[A-Z]{2}$.",
        ),
        sa.Column(
            "zip",
            sa.Text(),
            nullable=True,
            comment="ZIP code of the practice. Expected: matches ^[0-9]{5}(-[0-9]{4})?$.",
        ),
        sa.Column("phone", sa.Text(), nullable=True, comment="Telephone of the practice."),
        schema="staging",
        comment="Clinicians, facilities and pharmacies that bill the insurer. One row a line of providers.csv, typed.",
    )
    op.create_index(
        op.f("providers_raw_load_id_idx"),
        "providers_raw",
        ["load_id"],
        unique=False,
        schema="staging",
        postgresql_using="brin",
    )
    op.create_index(
        op.f("providers_raw_provider_id_idx"),
        "providers_raw",
        ["provider_id"],
        unique=False,
        schema="staging",
    )
    op.create_table(
        "dim_date",
        sa.Column(
            "date_key",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="yyyymmdd; -1 is no date known.",
        ),
        sa.Column("full_date", sa.Date(), nullable=True, comment="The date."),
        sa.Column("year", sa.Integer(), nullable=True, comment="Calendar year."),
        sa.Column("quarter", sa.Integer(), nullable=True, comment="Calendar quarter, 1 to 4."),
        sa.Column("month", sa.Integer(), nullable=True, comment="Calendar month, 1 to 12."),
        sa.Column("month_name", sa.Text(), nullable=True, comment="English name of the month."),
        sa.Column("month_start", sa.Date(), nullable=True, comment="First day of the month."),
        sa.Column(
            "day_of_month", sa.Integer(), nullable=True, comment="Day of the month, 1 to 31."
        ),
        sa.Column(
            "day_of_week",
            sa.Integer(),
            nullable=True,
            comment="ISO day of the week, Monday 1 to Sunday 7.",
        ),
        sa.Column("day_name", sa.Text(), nullable=True, comment="English name of the day."),
        sa.Column("is_weekend", sa.Boolean(), nullable=True, comment="Saturday or Sunday."),
        sa.Column(
            "plan_year",
            sa.Integer(),
            nullable=True,
            comment="Plan year; in the individual market the calendar year (45 CFR 155.20).",
        ),
        sa.Column(
            "is_open_enrollment",
            sa.Boolean(),
            nullable=True,
            comment="November 1 to January 15 (45 CFR 155.410(e)).",
        ),
        sa.Column(
            "is_inferred",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Made because a fact named the key before its feed did.",
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that made or last changed the version; 0 for rows no feed brought.",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.PrimaryKeyConstraint("date_key", name=op.f("dim_date_pkey")),
        sa.UniqueConstraint("full_date", name=op.f("dim_date_full_date_key")),
        schema="warehouse",
        comment="Calendar: one row a date, whole years, plus -1 for no date known.",
    )
    op.create_table(
        "dim_geography",
        sa.Column(
            "geography_sk",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Surrogate key.",
        ),
        sa.Column("state", sa.Text(), nullable=True, comment="State, two-letter postal code."),
        sa.Column(
            "region", sa.Text(), nullable=True, comment="Region of the state used for reporting."
        ),
        sa.Column(
            "is_inferred",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Made because a fact named the key before its feed did.",
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that made or last changed the version; 0 for rows no feed brought.",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.PrimaryKeyConstraint("geography_sk", name=op.f("dim_geography_pkey")),
        sa.UniqueConstraint("state", "region", name=op.f("dim_geography_state_region_key")),
        schema="warehouse",
        comment="Where members live: one row a state and region, plus -1 for unknown.",
    )
    op.create_table(
        "dim_plan",
        sa.Column(
            "plan_sk",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Surrogate key of the version; -1 is the unknown row.",
        ),
        sa.Column(
            "plan_id",
            sa.Text(),
            nullable=False,
            comment="HIOS standard component identifier, 14 characters. Natural key.",
        ),
        sa.Column(
            "name", sa.Text(), nullable=True, comment="Marketing name of the plan. Change driver."
        ),
        sa.Column(
            "metal_tier",
            sa.Text(),
            nullable=True,
            comment="Metal level (45 CFR 156.140); Expanded Bronze is bronze with a wider actuarial-value band (45 CFR 156.140(c)). Expected: one of Bronze, Expanded Bronze, Silver, Gold, Platinum, Catastrophic. Change driver.",
        ),
        sa.Column(
            "monthly_premium",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Monthly premium of a 21-year-old before tax credit, US dollars. Expected: at least 0. Change driver.",
        ),
        sa.Column(
            "deductible",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Individual in-network deductible a year, US dollars. Expected: at least 0. Change driver.",
        ),
        sa.Column(
            "oop_max",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Individual in-network limit on cost sharing a year, US dollars (45 CFR 156.130). Expected: at least 0. Change driver.",
        ),
        sa.Column(
            "coinsurance_rate",
            sa.Numeric(precision=14, scale=6),
            nullable=True,
            comment="Member's share of allowed cost after the deductible, 0 to 1. Expected: 0 to 1. Change driver.",
        ),
        sa.Column(
            "pcp_copay",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Copay of a primary-care visit, US dollars. Expected: at least 0. Change driver.",
        ),
        sa.Column(
            "effective_year", sa.Integer(), nullable=False, comment="Plan year. Natural key."
        ),
        sa.Column(
            "validity_start_ts",
            postgresql.TIMESTAMP(),
            nullable=False,
            comment="First instant of the version, UTC; 1900-01-01 on the first of a key.",
        ),
        sa.Column(
            "validity_end_ts",
            postgresql.TIMESTAMP(),
            nullable=False,
            comment="First instant after the version, UTC; 9999-12-31 on the current one.",
        ),
        sa.Column(
            "current_flag", sa.Boolean(), nullable=False, comment="Whether it is the current one."
        ),
        sa.Column(
            "attr_hash",
            sa.UUID(),
            nullable=False,
            comment="xxh3_128 of the change drivers, 16 bytes (docs/architecture).",
        ),
        sa.Column(
            "hash_version",
            sa.SmallInteger(),
            nullable=False,
            comment="Definition by which attr_hash was made.",
        ),
        sa.Column(
            "is_inferred",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Made because a fact named the key before its feed did.",
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that made or last changed the version; 0 for rows no feed brought.",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.CheckConstraint(
            "current_flag = (validity_end_ts = '9999-12-31'::timestamp)",
            name=op.f("dim_plan_current_is_open_check"),
        ),
        sa.CheckConstraint(
            "validity_start_ts < validity_end_ts", name=op.f("dim_plan_not_empty_check")
        ),
        sa.PrimaryKeyConstraint("plan_sk", name=op.f("dim_plan_pkey")),
        sa.UniqueConstraint(
            "plan_id",
            "effective_year",
            "validity_start_ts",
            name=op.f("dim_plan_plan_id_effective_year_validity_start_ts_key"),
        ),
        schema="warehouse",
        comment="Plans through time, one row a version of a plan in a plan year.",
    )
    op.create_index(
        "dim_plan_current_idx",
        "dim_plan",
        ["plan_id", "effective_year"],
        unique=True,
        schema="warehouse",
        postgresql_where="current_flag",
    )
    op.create_table(
        "dim_provider",
        sa.Column(
            "provider_sk",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Surrogate key of the version; -1 is the unknown row.",
        ),
        sa.Column(
            "provider_id",
            sa.Text(),
            nullable=False,
            comment="Identifier of the provider. Natural key.",
        ),
        sa.Column(
            "npi",
            sa.Text(),
            nullable=True,
            comment="National provider identifier, ten digits (45 CFR 162.406). Expected: matches ^[0-9]{10}$.",
        ),
        sa.Column("name", sa.Text(), nullable=True, comment="Name of the provider. Change driver."),
        sa.Column(
            "specialty", sa.Text(), nullable=True, comment="Specialty billed under. Change driver."
        ),
        sa.Column(
            "street", sa.Text(), nullable=True, comment="Street of the practice. Change driver."
        ),
        sa.Column("city", sa.Text(), nullable=True, comment="City of the practice. Change driver."),
        sa.Column(
            "state",
            sa.Text(),
            nullable=True,
            comment="State of the practice, two-letter postal code. Expected: matches ^[A-Z]{2}$. Change driver.",
        ),
        sa.Column(
            "zip",
            sa.Text(),
            nullable=True,
            comment="ZIP code of the practice. Expected: matches ^[0-9]{5}(-[0-9]{4})?$. Change driver.",
        ),
        sa.Column(
            "phone", sa.Text(), nullable=True, comment="Telephone of the practice. Change driver."
        ),
        sa.Column(
            "validity_start_ts",
            postgresql.TIMESTAMP(),
            nullable=False,
            comment="First instant of the version, UTC; 1900-01-01 on the first of a key.",
        ),
        sa.Column(
            "validity_end_ts",
            postgresql.TIMESTAMP(),
            nullable=False,
            comment="First instant after the version, UTC; 9999-12-31 on the current one.",
        ),
        sa.Column(
            "current_flag", sa.Boolean(), nullable=False, comment="Whether it is the current one."
        ),
        sa.Column(
            "attr_hash",
            sa.UUID(),
            nullable=False,
            comment="xxh3_128 of the change drivers, 16 bytes (docs/architecture).",
        ),
        sa.Column(
            "hash_version",
            sa.SmallInteger(),
            nullable=False,
            comment="Definition by which attr_hash was made.",
        ),
        sa.Column(
            "is_inferred",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Made because a fact named the key before its feed did.",
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that made or last changed the version; 0 for rows no feed brought.",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.CheckConstraint(
            "current_flag = (validity_end_ts = '9999-12-31'::timestamp)",
            name=op.f("dim_provider_current_is_open_check"),
        ),
        sa.CheckConstraint(
            "validity_start_ts < validity_end_ts", name=op.f("dim_provider_not_empty_check")
        ),
        sa.PrimaryKeyConstraint("provider_sk", name=op.f("dim_provider_pkey")),
        sa.UniqueConstraint(
            "provider_id",
            "validity_start_ts",
            name=op.f("dim_provider_provider_id_validity_start_ts_key"),
        ),
        schema="warehouse",
        comment="Providers through time, one row a version.",
    )
    op.create_index(
        "dim_provider_current_idx",
        "dim_provider",
        ["provider_id"],
        unique=True,
        schema="warehouse",
        postgresql_where="current_flag",
    )
    op.create_table(
        "load_file",
        sa.Column("load_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "feed", sa.Text(), nullable=False, comment="members, plans, providers and so on."
        ),
        sa.Column("file_name", sa.Text(), nullable=False, comment="File inside the batch folder."),
        sa.Column("kind", sa.Text(), nullable=False, comment="delta or snapshot."),
        sa.Column("status", sa.Text(), nullable=False, comment="loaded, skipped or refused."),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "modified_ns", sa.BigInteger(), nullable=False, comment="File's mtime, nanoseconds."
        ),
        sa.Column("xxh3_128", sa.UUID(), nullable=False, comment="Checksum of the file's bytes."),
        sa.Column("rows_read", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rows_loaded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rows_duplicate", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column(
            "totals",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="Control totals by money column, US dollars: in_file, loaded (without repeated rows), and expected where the manifest says.",
        ),
        sa.Column(
            "latest_effective_ts",
            postgresql.TIMESTAMP(),
            nullable=True,
            comment="Latest instant at which a row of the file took effect, UTC.",
        ),
        sa.Column(
            "note",
            sa.Text(),
            nullable=True,
            comment="What a reader should know: skipped as, unknown columns.",
        ),
        sa.CheckConstraint("kind in ('delta', 'snapshot')", name=op.f("load_file_kind_check")),
        sa.CheckConstraint(
            "status <> 'loaded' or rows_read = rows_loaded + rows_rejected + rows_duplicate",
            name=op.f("load_file_rows_accounted_check"),
        ),
        sa.CheckConstraint(
            "status in ('loaded', 'skipped', 'refused')", name=op.f("load_file_status_check")
        ),
        sa.ForeignKeyConstraint(
            ["load_id"], ["ledger.load.load_id"], name=op.f("load_file_load_id_fkey")
        ),
        sa.PrimaryKeyConstraint("load_id", "feed", name=op.f("load_file_pkey")),
        schema="ledger",
        comment="One row a load and file.",
    )
    op.create_table(
        "stage_run",
        sa.Column("stage_run_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("load_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "stage",
            sa.Text(),
            nullable=False,
            comment="stage, dims, facts, cubes, checks, swap; rebuilt_cubes in a full load.",
        ),
        sa.Column("status", sa.Text(), nullable=False, comment="running, done or failed."),
        sa.Column(
            "started_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("finished_at", postgresql.TIMESTAMP(timezone=True), nullable=True),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "status in ('running', 'done', 'failed')", name=op.f("stage_run_status_check")
        ),
        sa.ForeignKeyConstraint(
            ["load_id"], ["ledger.load.load_id"], name=op.f("stage_run_load_id_fkey")
        ),
        sa.PrimaryKeyConstraint("stage_run_id", name=op.f("stage_run_pkey")),
        schema="ledger",
        comment="One row a stage that ran, also where it failed.",
    )
    op.create_table(
        "check_result",
        sa.Column("check_run_id", sa.BigInteger(), nullable=False),
        sa.Column("check_name", sa.Text(), nullable=False),
        sa.Column("table_name", sa.Text(), nullable=False),
        sa.Column("column_name", sa.Text(), nullable=True),
        sa.Column(
            "dimension", sa.Text(), nullable=False, comment="Completeness, uniqueness and so on."
        ),
        sa.Column("severity", sa.Text(), nullable=False, comment="critical, major or minor."),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("rows_checked", sa.BigInteger(), nullable=True),
        sa.Column("rows_failed", sa.BigInteger(), nullable=False),
        sa.Column(
            "message",
            sa.Text(),
            nullable=True,
            comment="What was found; never a value of a personal column.",
        ),
        sa.CheckConstraint(
            "severity in ('critical', 'major', 'minor')", name=op.f("check_result_severity_check")
        ),
        sa.ForeignKeyConstraint(
            ["check_run_id"],
            ["quality.check_run.check_run_id"],
            name=op.f("check_result_check_run_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("check_run_id", "check_name", name=op.f("check_result_pkey")),
        schema="quality",
        comment="One row a check and run.",
    )
    op.create_table(
        "rejected_row",
        sa.Column("rejected_row_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("load_id", sa.BigInteger(), nullable=False),
        sa.Column("feed", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False, comment="Line on which the row begins."),
        sa.Column(
            "column_name",
            sa.Text(),
            nullable=True,
            comment="The column at fault; empty for the whole row.",
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="One of a fixed list of reasons."),
        sa.Column(
            "raw_line",
            sa.Text(),
            nullable=True,
            comment="The row as the file has it, undecodable bytes escaped. Personal data: direct.",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["load_id"], ["ledger.load.load_id"], name=op.f("rejected_row_load_id_fkey")
        ),
        sa.PrimaryKeyConstraint("rejected_row_id", name=op.f("rejected_row_pkey")),
        schema="quality",
        comment="Quarantine: one row a line of a feed that was set aside.",
    )
    op.create_index(
        op.f("rejected_row_load_id_feed_idx"),
        "rejected_row",
        ["load_id", "feed"],
        unique=False,
        schema="quality",
    )
    op.create_table(
        "dim_member",
        sa.Column(
            "member_sk",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="Surrogate key of the version; -1 is the unknown row.",
        ),
        sa.Column(
            "member_id",
            sa.Text(),
            nullable=False,
            comment="Identifier of the member, stable for life. Natural key.",
        ),
        sa.Column(
            "first_name",
            sa.Text(),
            nullable=True,
            comment="Given name. Personal data: direct. Change driver.",
        ),
        sa.Column(
            "last_name",
            sa.Text(),
            nullable=True,
            comment="Family name. Personal data: direct. Change driver.",
        ),
        sa.Column(
            "dob",
            sa.Date(),
            nullable=True,
            comment="Date of birth. Personal data: quasi. Change driver.",
        ),
        sa.Column(
            "gender",
            sa.Text(),
            nullable=True,
            comment="Sex as recorded for rating and care: F, M, X (other) or U (unknown). Expected: one of F, M, X, U. Change driver.",
        ),
        sa.Column(
            "email", sa.Text(), nullable=True, comment="E-mail address. Personal data: direct."
        ),
        sa.Column(
            "phone", sa.Text(), nullable=True, comment="Telephone number. Personal data: direct."
        ),
        sa.Column(
            "street", sa.Text(), nullable=True, comment="Street address. Personal data: direct."
        ),
        sa.Column(
            "city", sa.Text(), nullable=True, comment="City of residence. Personal data: quasi."
        ),
        sa.Column(
            "state",
            sa.Text(),
            nullable=True,
            comment="State of residence, two-letter postal code. Expected: matches ^[A-Z]{2}$. Change driver.",
        ),
        sa.Column(
            "zip",
            sa.Text(),
            nullable=True,
            comment="ZIP code of residence, five digits or ZIP+4. Expected: matches ^[0-9]{5}(-[0-9]{4})?$. Personal data: quasi. Change driver.",
        ),
        sa.Column(
            "fpl_ratio",
            sa.Numeric(precision=14, scale=6),
            nullable=True,
            comment="Household income over the federal poverty level; 1.0 is 100 % (26 CFR 1.36B-1(h)). Expected: 0 to 100. Change driver.",
        ),
        sa.Column(
            "hios_id",
            sa.Text(),
            nullable=True,
            comment="HIOS identifier of the plan variant held, 16 characters.",
        ),
        sa.Column(
            "plan_network_access_type",
            sa.Text(),
            nullable=True,
            comment="Network type of the plan held: HMO, EPO, PPO or POS. Expected: one of HMO, EPO, PPO, POS. Change driver.",
        ),
        sa.Column(
            "plan_metal",
            sa.Text(),
            nullable=True,
            comment="Metal level of the plan held (45 CFR 156.140). Expected: one of Bronze, Expanded Bronze, Silver, Gold, Platinum, Catastrophic. Change driver.",
        ),
        sa.Column(
            "age_group",
            sa.Text(),
            nullable=True,
            comment="Age band as in the open-enrolment counts, such as 26-34. Change driver.",
        ),
        sa.Column(
            "region",
            sa.Text(),
            nullable=True,
            comment="Region of the state used for reporting. Change driver.",
        ),
        sa.Column(
            "enrollment_length_continuous",
            sa.Integer(),
            nullable=True,
            comment="Months covered without a gap. Expected: 0 to 1200.",
        ),
        sa.Column(
            "clinical_segment",
            sa.Text(),
            nullable=True,
            comment="Clinical grouping of the member, such as healthy or chronic. Personal data: health. Change driver.",
        ),
        sa.Column(
            "general_agency_name",
            sa.Text(),
            nullable=True,
            comment="General agency that sold the policy. Change driver.",
        ),
        sa.Column(
            "broker_name", sa.Text(), nullable=True, comment="Broker of record. Change driver."
        ),
        sa.Column(
            "sa_contracting_entity_name",
            sa.Text(),
            nullable=True,
            comment="Contracting entity of the service area.",
        ),
        sa.Column(
            "call_count",
            sa.Integer(),
            nullable=True,
            comment="Calls to the service centre. Expected: at least 0.",
        ),
        sa.Column(
            "app_login_count",
            sa.Integer(),
            nullable=True,
            comment="Logins in the mobile app. Expected: at least 0.",
        ),
        sa.Column(
            "web_login_count",
            sa.Integer(),
            nullable=True,
            comment="Logins on the web site. Expected: at least 0.",
        ),
        sa.Column(
            "new_member_in_period",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member is new in the reporting period. Change driver.",
        ),
        sa.Column(
            "member_used_app",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member ever used the mobile app. Change driver.",
        ),
        sa.Column(
            "member_had_web_login",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member ever logged in on the web. Change driver.",
        ),
        sa.Column(
            "member_visited_new_provider_ind",
            sa.Boolean(),
            nullable=True,
            comment="Whether the member saw a provider for the first time in the period. Change driver.",
        ),
        sa.Column(
            "high_cost_member",
            sa.Boolean(),
            nullable=True,
            comment="Whether the sender's own rule marks the member as high cost. Personal data: health. Change driver.",
        ),
        sa.Column(
            "mutually_exclusive_hcc_condition",
            sa.Text(),
            nullable=True,
            comment="The one HHS-HCC condition group the member is counted under. Personal data: health. Change driver.",
        ),
        sa.Column(
            "geographic_reporting",
            sa.Text(),
            nullable=True,
            comment="Reporting area: metropolitan, micropolitan or rural. Change driver.",
        ),
        sa.Column(
            "wisconsin_area_deprivation_index",
            sa.Numeric(precision=14, scale=6),
            nullable=True,
            comment="Area deprivation index of the address, national percentile 1 to 100. Expected: 1 to 100.",
        ),
        sa.Column(
            "ra_mm",
            sa.Numeric(precision=14, scale=6),
            nullable=True,
            comment="Risk-adjustment member months in the year. Expected: 0 to 12.",
        ),
        sa.Column(
            "year",
            sa.Integer(),
            nullable=True,
            comment="Plan year that the row describes. Change driver.",
        ),
        sa.Column(
            "source_updated_at",
            postgresql.TIMESTAMP(timezone=True),
            nullable=True,
            comment="Instant from which the row is true, by the sender's clock (UTC without an offset).",
        ),
        sa.Column(
            "geography_sk",
            sa.BigInteger(),
            server_default=sa.text("-1"),
            nullable=False,
            comment="dim_geography by state, region.",
        ),
        sa.Column(
            "validity_start_ts",
            postgresql.TIMESTAMP(),
            nullable=False,
            comment="First instant of the version, UTC; 1900-01-01 on the first of a key.",
        ),
        sa.Column(
            "validity_end_ts",
            postgresql.TIMESTAMP(),
            nullable=False,
            comment="First instant after the version, UTC; 9999-12-31 on the current one.",
        ),
        sa.Column(
            "current_flag", sa.Boolean(), nullable=False, comment="Whether it is the current one."
        ),
        sa.Column(
            "attr_hash",
            sa.UUID(),
            nullable=False,
            comment="xxh3_128 of the change drivers, 16 bytes (docs/architecture).",
        ),
        sa.Column(
            "hash_version",
            sa.SmallInteger(),
            nullable=False,
            comment="Definition by which attr_hash was made.",
        ),
        sa.Column(
            "is_inferred",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="Made because a fact named the key before its feed did.",
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that made or last changed the version; 0 for rows no feed brought.",
        ),
        sa.Column(
            "created_at",
            postgresql.TIMESTAMP(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
            comment="When the row was made.",
        ),
        sa.CheckConstraint(
            "current_flag = (validity_end_ts = '9999-12-31'::timestamp)",
            name=op.f("dim_member_current_is_open_check"),
        ),
        sa.CheckConstraint(
            "validity_start_ts < validity_end_ts", name=op.f("dim_member_not_empty_check")
        ),
        sa.ForeignKeyConstraint(
            ["geography_sk"],
            ["warehouse.dim_geography.geography_sk"],
            name=op.f("dim_member_geography_sk_fkey"),
        ),
        sa.PrimaryKeyConstraint("member_sk", name=op.f("dim_member_pkey")),
        sa.UniqueConstraint(
            "member_id",
            "validity_start_ts",
            name=op.f("dim_member_member_id_validity_start_ts_key"),
        ),
        schema="warehouse",
        comment="Members through time, one row a version. Personal data: see the column comments.",
    )
    op.create_index(
        "dim_member_current_idx",
        "dim_member",
        ["member_id"],
        unique=True,
        schema="warehouse",
        postgresql_where="current_flag",
    )
    op.create_table(
        "fact_claim",
        sa.Column("claim_id", sa.Text(), nullable=False, comment="Identifier of the claim."),
        sa.Column("date_key", sa.Integer(), nullable=False, comment="Day of service, yyyymmdd."),
        sa.Column("service_date", sa.Date(), nullable=False, comment="First day of service."),
        sa.Column(
            "member_sk",
            sa.BigInteger(),
            nullable=False,
            comment="Version of the member in force on service_date; -1 if none is named.",
        ),
        sa.Column(
            "provider_sk",
            sa.BigInteger(),
            nullable=False,
            comment="Version of the provider in force on service_date; -1 if none is named.",
        ),
        sa.Column(
            "plan_sk",
            sa.BigInteger(),
            nullable=False,
            comment="Version of the plan in force on service_date; -1 if none is named.",
        ),
        sa.Column(
            "status",
            sa.Text(),
            nullable=True,
            comment="State of adjudication: pending, approved, denied, adjusted or reversed. Expected: one of pending, approved, denied, adjusted, reversed.",
        ),
        sa.Column(
            "diagnosis_code",
            sa.Text(),
            nullable=True,
            comment="Principal diagnosis, ICD-10-CM without the point. Expected: matches ^[A-Z][0-9][0-9A-Z]\\.?[0-9A-Z]{0,4}$. Personal data: health.",
        ),
        sa.Column(
            "procedure_code",
            sa.Text(),
            nullable=True,
            comment="Procedure, HCPCS level II or a local code. Personal data: health.",
        ),
        sa.Column(
            "claim_amount",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Amount billed, US dollars.",
        ),
        sa.Column(
            "allowed_amount",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Amount allowed by contract, US dollars.",
        ),
        sa.Column(
            "paid_amount",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Amount paid by the plan, US dollars.",
        ),
        sa.Column(
            "claim_type",
            sa.Text(),
            nullable=True,
            comment="Professional, Inpatient, Outpatient or Pharmacy.",
        ),
        sa.Column(
            "major_service_category", sa.Text(), nullable=True, comment="Service category, coarse."
        ),
        sa.Column(
            "detailed_service_category", sa.Text(), nullable=True, comment="Service category, fine."
        ),
        sa.Column(
            "provider_specialty",
            sa.Text(),
            nullable=True,
            comment="Specialty as billed on the claim.",
        ),
        sa.Column(
            "ms_drg",
            sa.Text(),
            nullable=True,
            comment="MS-DRG of an inpatient stay, three digits. Personal data: health.",
        ),
        sa.Column(
            "channel",
            sa.Text(),
            nullable=True,
            comment="How a drug was dispensed: retail, mail or specialty.",
        ),
        sa.Column(
            "drug_class",
            sa.Text(),
            nullable=True,
            comment="Therapeutic class of the drug. Personal data: health.",
        ),
        sa.Column(
            "is_oon",
            sa.Boolean(),
            nullable=True,
            comment="Whether the provider was out of network.",
        ),
        sa.Column(
            "utilization",
            sa.Numeric(precision=14, scale=6),
            nullable=True,
            comment="Units of service as counted for utilization.",
        ),
        sa.Column(
            "ccsr_system_description",
            sa.Text(),
            nullable=True,
            comment="Body system of the diagnosis in the CCSR grouping. Personal data: health.",
        ),
        sa.Column(
            "admit_date",
            sa.Date(),
            nullable=True,
            comment="Day of admission of an inpatient stay. Personal data: health.",
        ),
        sa.Column(
            "discharge_date",
            sa.Date(),
            nullable=True,
            comment="Day of discharge of an inpatient stay. Personal data: health.",
        ),
        sa.Column(
            "paid_date", sa.Date(), nullable=True, comment="Day on which the claim was paid."
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that brought the row's present state.",
        ),
        sa.ForeignKeyConstraint(
            ["date_key"],
            ["warehouse.dim_date.date_key"],
            name=op.f("fact_claim_date_key_fkey"),
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["member_sk"],
            ["warehouse.dim_member.member_sk"],
            name=op.f("fact_claim_member_sk_fkey"),
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["plan_sk"],
            ["warehouse.dim_plan.plan_sk"],
            name=op.f("fact_claim_plan_sk_fkey"),
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["provider_sk"],
            ["warehouse.dim_provider.provider_sk"],
            name=op.f("fact_claim_provider_sk_fkey"),
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("claim_id", "service_date", name=op.f("fact_claim_pkey")),
        schema="warehouse",
        comment="Claims, one row a claim in its latest state. Amounts in US dollars. Partitioned by month of service_date.",
        postgresql_partition_by="RANGE (service_date)",
    )
    op.create_index(
        op.f("fact_claim_member_sk_idx"),
        "fact_claim",
        ["member_sk"],
        unique=False,
        schema="warehouse",
    )
    op.create_index(
        op.f("fact_claim_provider_sk_idx"),
        "fact_claim",
        ["provider_sk"],
        unique=False,
        schema="warehouse",
    )
    op.create_table(
        "fact_enrollment",
        sa.Column(
            "enrollment_id",
            sa.Text(),
            nullable=False,
            comment="Identifier of the span of coverage.",
        ),
        sa.Column(
            "member_sk",
            sa.BigInteger(),
            nullable=False,
            comment="Version of the member in force on start_date; -1 if none is named.",
        ),
        sa.Column(
            "plan_sk",
            sa.BigInteger(),
            nullable=False,
            comment="Version of the plan in force on start_date; -1 if none is named.",
        ),
        sa.Column(
            "enrollment_start_date_key", sa.Integer(), nullable=False, comment="Start, yyyymmdd."
        ),
        sa.Column(
            "enrollment_end_date_key", sa.Integer(), nullable=False, comment="End, yyyymmdd."
        ),
        sa.Column("start_date", sa.Date(), nullable=False, comment="First day of coverage."),
        sa.Column(
            "end_date",
            sa.Date(),
            nullable=False,
            comment="Last day of coverage; the end of the plan year where the feed has none.",
        ),
        sa.Column(
            "coverage_days",
            sa.Integer(),
            nullable=False,
            comment="Days covered, first and last included.",
        ),
        sa.Column(
            "premium_paid",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Premium a month that the member pays, after the tax credit, US dollars. Expected: at least 0.",
        ),
        sa.Column(
            "csr_variant",
            sa.Text(),
            nullable=True,
            comment="Cost-sharing reduction variant: 01 standard, 02 zero and 03 limited cost sharing for American Indians, 04 to 06 silver 73, 87 and 94 (45 CFR 156.420). Expected: one of 00, 01, 02, 03, 04, 05, 06.",
        ),
        sa.Column(
            "aptc_amount",
            sa.Numeric(precision=14, scale=2),
            nullable=True,
            comment="Advance premium tax credit a month, US dollars (26 CFR 1.36B-3). Expected: at least 0.",
        ),
        sa.Column(
            "enrollment_reason",
            sa.Text(),
            nullable=True,
            comment="Why coverage began: open enrollment or the special enrollment event (45 CFR 155.410, 155.420).",
        ),
        sa.Column(
            "load_id",
            sa.BigInteger(),
            nullable=False,
            comment="The load that brought the row's present state.",
        ),
        sa.CheckConstraint(
            "coverage_days > 0", name=op.f("fact_enrollment_coverage_positive_check")
        ),
        sa.CheckConstraint(
            "end_date >= start_date", name=op.f("fact_enrollment_dates_in_order_check")
        ),
        sa.ForeignKeyConstraint(
            ["enrollment_end_date_key"],
            ["warehouse.dim_date.date_key"],
            name=op.f("fact_enrollment_enrollment_end_date_key_fkey"),
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["enrollment_start_date_key"],
            ["warehouse.dim_date.date_key"],
            name=op.f("fact_enrollment_enrollment_start_date_key_fkey"),
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["member_sk"],
            ["warehouse.dim_member.member_sk"],
            name=op.f("fact_enrollment_member_sk_fkey"),
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["plan_sk"],
            ["warehouse.dim_plan.plan_sk"],
            name=op.f("fact_enrollment_plan_sk_fkey"),
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("enrollment_id", name=op.f("fact_enrollment_pkey")),
        schema="warehouse",
        comment="Coverage, one row a member, plan and start. Premium and tax credit are US dollars a month.",
    )
    op.create_index(
        "fact_enrollment_grain_idx",
        "fact_enrollment",
        ["member_sk", "plan_sk", "start_date"],
        unique=True,
        schema="warehouse",
        postgresql_where=sa.text("member_sk > 0 and plan_sk > 0"),
    )
    op.execute(GUARD)
    for table, columns in GUARDED.items():
        arguments = ", ".join(f"'{column}'" for column in columns)
        for event in ("insert", "update"):
            op.execute(
                f"create trigger {table}_guard_{event}s after {event} on warehouse.{table} "
                "referencing new table as touched for each statement "
                f"execute function warehouse.refuse_overlapping_versions({arguments})"
            )


def downgrade() -> None:
    """Take the change back; what the schemas hold goes with them."""
    for schema in reversed(SCHEMAS):
        op.execute(f"drop schema {schema} cascade")
