"""The claims feed: one row per claim, in its latest state known to the sender."""

from etl.contracts.column import Column, Matches, OneOf, Pii
from etl.contracts.feed import Feed, Volume
from etl.contracts.types import DAYS_AHEAD, Type

claims = Feed(
    name="claims",
    description="Medical and pharmacy claims, one row per claim and state.",
    key=("claim_id",),
    reversible=True,
    deletable=True,
    line="procedure_code",
    volume=Volume(1, 100_000_000),
    freshness_days=31,
    money=("claim_amount", "allowed_amount", "paid_amount"),
    columns=(
        Column("claim_id", Type.KEY, "Identifier of the claim.", required=True),
        Column("member_id", Type.REFERENCE, "The patient.", required=True),
        Column(
            "provider_id", Type.REFERENCE, "Who rendered and billed the service.", required=True
        ),
        Column(
            "plan_id",
            Type.REFERENCE,
            "The plan billed; its year is that of service.",
            required=True,
        ),
        Column(
            "service_date",
            Type.KEY_DATE,
            "First day of service.",
            required=True,
            ahead_days=DAYS_AHEAD,
        ),
        Column("claim_amount", Type.MONEY, "Amount billed, US dollars.", required=True),
        Column(
            "allowed_amount", Type.MONEY, "Amount allowed by contract, US dollars.", required=True
        ),
        Column("paid_amount", Type.MONEY, "Amount paid by the plan, US dollars.", required=True),
        Column(
            "status",
            Type.TEXT,
            "State of adjudication: pending, approved, denied, adjusted or reversed.",
            required=True,
            check=OneOf(("pending", "approved", "denied", "adjusted", "reversed"), closed=True),
            longest=40,
        ),
        Column(
            "diagnosis_code",
            Type.TEXT,
            "Principal diagnosis, ICD-10-CM without the point.",
            required=True,
            pii=Pii.HEALTH,
            check=Matches(r"^[A-Z][0-9][0-9A-Z]\.?[0-9A-Z]{0,4}$"),
            longest=40,
        ),
        Column(
            "procedure_code",
            Type.TEXT,
            "Procedure, HCPCS level II or a local code.",
            required=True,
            pii=Pii.HEALTH,
            longest=40,
        ),
        Column(
            "charges", Type.MONEY, "Billed charges as the sender's mart repeats them, US dollars."
        ),
        Column("allowed", Type.MONEY, "Allowed as the sender's mart repeats it, US dollars."),
        Column(
            "clean_claim_status",
            Type.TEXT,
            "Whether the claim came complete (42 CFR 447.45(b) defines a clean claim).",
        ),
        Column("claim_from", Type.DATE, "First day that the claim covers."),
        Column("clean_claim_out", Type.DATE, "Day on which the clean claim left adjudication."),
        Column("utilization", Type.RATIO, "Units of service as counted for utilization."),
        Column("hcg_units_days", Type.RATIO, "Units or days in the cost-guideline grouping."),
        Column(
            "claim_type", Type.TEXT, "Professional, Inpatient, Outpatient or Pharmacy.", longest=40
        ),
        Column("major_service_category", Type.TEXT, "Service category, coarse."),
        Column("provider_specialty", Type.TEXT, "Specialty as billed on the claim."),
        Column("detailed_service_category", Type.TEXT, "Service category, fine."),
        Column(
            "ms_drg",
            Type.TEXT,
            "MS-DRG of an inpatient stay, three digits.",
            pii=Pii.HEALTH,
            longest=20,
        ),
        Column("ms_drg_description", Type.TEXT, "Title of the MS-DRG.", pii=Pii.HEALTH),
        Column(
            "ms_drg_mdc",
            Type.TEXT,
            "Major diagnostic category of the MS-DRG.",
            pii=Pii.HEALTH,
            longest=20,
        ),
        Column(
            "ms_drg_mdc_desc", Type.TEXT, "Title of the major diagnostic category.", pii=Pii.HEALTH
        ),
        Column("cpt", Type.TEXT, "Procedure code as billed.", pii=Pii.HEALTH, longest=40),
        Column(
            "cpt_consumer_description",
            Type.TEXT,
            "The sender's own plain words for the procedure.",
            pii=Pii.HEALTH,
            longest=1000,
        ),
        *(
            Column(
                f"procedure_level_{level}",
                Type.TEXT,
                f"Level {level} of the sender's procedure hierarchy.",
                pii=Pii.HEALTH,
            )
            for level in range(1, 6)
        ),
        Column(
            "channel", Type.TEXT, "How a drug was dispensed: retail, mail or specialty.", longest=40
        ),
        Column("drug_name", Type.TEXT, "Name of the drug as dispensed.", pii=Pii.HEALTH),
        Column("drug_class", Type.TEXT, "Therapeutic class of the drug.", pii=Pii.HEALTH),
        Column("drug_subclass", Type.TEXT, "Therapeutic subclass of the drug.", pii=Pii.HEALTH),
        Column("drug", Type.TEXT, "Generic name of the drug.", pii=Pii.HEALTH),
        Column("is_oon", Type.BOOLEAN, "Whether the provider was out of network."),
        Column("best_contracting_entity_name", Type.TEXT, "Contracting entity of the provider."),
        Column("provider_group_name", Type.TEXT, "Group practice of the provider."),
        Column(
            "ccsr_system_description",
            Type.TEXT,
            "Body system of the diagnosis in the CCSR grouping.",
            pii=Pii.HEALTH,
        ),
        Column(
            "ccsr_description",
            Type.TEXT,
            "Category of the diagnosis in the CCSR grouping.",
            pii=Pii.HEALTH,
        ),
        Column("admit_date", Type.DATE, "Day of admission of an inpatient stay.", pii=Pii.HEALTH),
        Column(
            "discharge_date", Type.DATE, "Day of discharge of an inpatient stay.", pii=Pii.HEALTH
        ),
        Column("paid_date", Type.DATE, "Day on which the claim was paid."),
    ),
)
