"""The claims feed: one row per claim, in its latest state known to the sender."""

from etl.contracts.column import Column, Identifier, Matches, OneOf, Pii
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
        Column(
            "claim_id",
            Type.KEY,
            "Identifier of the claim.",
            Identifier.RECORD_NUMBER,
            required=True,
        ),
        Column(
            "member_id", Type.REFERENCE, "The patient.", Identifier.MEMBER_NUMBER, required=True
        ),
        Column(
            "provider_id",
            Type.REFERENCE,
            "Who rendered and billed the service.",
            Identifier.NONE,
            required=True,
        ),
        Column(
            "plan_id",
            Type.REFERENCE,
            "The plan billed; its year is that of service.",
            Identifier.NONE,
            required=True,
        ),
        Column(
            "service_date",
            Type.KEY_DATE,
            "First day of service.",
            Identifier.DATE,
            required=True,
            ahead_days=DAYS_AHEAD,
        ),
        Column(
            "claim_amount", Type.MONEY, "Amount billed, US dollars.", Identifier.NONE, required=True
        ),
        Column(
            "allowed_amount",
            Type.MONEY,
            "Amount allowed by contract, US dollars.",
            Identifier.NONE,
            required=True,
        ),
        Column(
            "paid_amount",
            Type.MONEY,
            "Amount paid by the plan, US dollars.",
            Identifier.NONE,
            required=True,
        ),
        Column(
            "status",
            Type.TEXT,
            "State of adjudication: pending, approved, denied, adjusted or reversed.",
            Identifier.NONE,
            required=True,
            check=OneOf(("pending", "approved", "denied", "adjusted", "reversed"), closed=True),
            longest=40,
        ),
        Column(
            "diagnosis_code",
            Type.TEXT,
            "Principal diagnosis, ICD-10-CM without the point.",
            Identifier.NONE,
            required=True,
            pii=Pii.HEALTH,
            check=Matches(r"^[A-Z][0-9][0-9A-Z]\.?[0-9A-Z]{0,4}$"),
            longest=40,
        ),
        Column(
            "procedure_code",
            Type.TEXT,
            "Procedure, HCPCS level II or a local code.",
            Identifier.NONE,
            required=True,
            pii=Pii.HEALTH,
            longest=40,
        ),
        Column(
            "charges",
            Type.MONEY,
            "Billed charges as the sender's mart repeats them, US dollars.",
            Identifier.NONE,
        ),
        Column(
            "allowed",
            Type.MONEY,
            "Allowed as the sender's mart repeats it, US dollars.",
            Identifier.NONE,
        ),
        Column(
            "clean_claim_status",
            Type.TEXT,
            "Whether the claim came complete (42 CFR 447.45(b) defines a clean claim).",
            Identifier.NONE,
        ),
        Column("claim_from", Type.DATE, "First day that the claim covers.", Identifier.DATE),
        Column(
            "clean_claim_out",
            Type.DATE,
            "Day on which the clean claim left adjudication.",
            Identifier.DATE,
        ),
        Column(
            "utilization",
            Type.RATIO,
            "Units of service as counted for utilization.",
            Identifier.NONE,
        ),
        Column(
            "hcg_units_days",
            Type.RATIO,
            "Units or days in the cost-guideline grouping.",
            Identifier.NONE,
        ),
        Column(
            "claim_type",
            Type.TEXT,
            "Professional, Inpatient, Outpatient or Pharmacy.",
            Identifier.NONE,
            longest=40,
        ),
        Column("major_service_category", Type.TEXT, "Service category, coarse.", Identifier.NONE),
        Column(
            "provider_specialty", Type.TEXT, "Specialty as billed on the claim.", Identifier.NONE
        ),
        Column("detailed_service_category", Type.TEXT, "Service category, fine.", Identifier.NONE),
        Column(
            "ms_drg",
            Type.TEXT,
            "MS-DRG of an inpatient stay, three digits.",
            Identifier.NONE,
            pii=Pii.HEALTH,
            longest=20,
        ),
        Column(
            "ms_drg_description", Type.TEXT, "Title of the MS-DRG.", Identifier.NONE, pii=Pii.HEALTH
        ),
        Column(
            "ms_drg_mdc",
            Type.TEXT,
            "Major diagnostic category of the MS-DRG.",
            Identifier.NONE,
            pii=Pii.HEALTH,
            longest=20,
        ),
        Column(
            "ms_drg_mdc_desc",
            Type.TEXT,
            "Title of the major diagnostic category.",
            Identifier.NONE,
            pii=Pii.HEALTH,
        ),
        Column(
            "cpt",
            Type.TEXT,
            "Procedure code as billed.",
            Identifier.NONE,
            pii=Pii.HEALTH,
            longest=40,
        ),
        Column(
            "cpt_consumer_description",
            Type.TEXT,
            "The sender's own plain words for the procedure.",
            Identifier.NONE,
            pii=Pii.HEALTH,
            longest=1000,
        ),
        *(
            Column(
                f"procedure_level_{level}",
                Type.TEXT,
                f"Level {level} of the sender's procedure hierarchy.",
                Identifier.NONE,
                pii=Pii.HEALTH,
            )
            for level in range(1, 6)
        ),
        Column(
            "channel",
            Type.TEXT,
            "How a drug was dispensed: retail, mail or specialty.",
            Identifier.NONE,
            longest=40,
        ),
        Column(
            "drug_name",
            Type.TEXT,
            "Name of the drug as dispensed.",
            Identifier.NONE,
            pii=Pii.HEALTH,
        ),
        Column(
            "drug_class",
            Type.TEXT,
            "Therapeutic class of the drug.",
            Identifier.NONE,
            pii=Pii.HEALTH,
        ),
        Column(
            "drug_subclass",
            Type.TEXT,
            "Therapeutic subclass of the drug.",
            Identifier.NONE,
            pii=Pii.HEALTH,
        ),
        Column("drug", Type.TEXT, "Generic name of the drug.", Identifier.NONE, pii=Pii.HEALTH),
        Column("is_oon", Type.BOOLEAN, "Whether the provider was out of network.", Identifier.NONE),
        Column(
            "best_contracting_entity_name",
            Type.TEXT,
            "Contracting entity of the provider.",
            Identifier.NONE,
        ),
        Column(
            "provider_group_name", Type.TEXT, "Group practice of the provider.", Identifier.NONE
        ),
        Column(
            "ccsr_system_description",
            Type.TEXT,
            "Body system of the diagnosis in the CCSR grouping.",
            Identifier.NONE,
            pii=Pii.HEALTH,
        ),
        Column(
            "ccsr_description",
            Type.TEXT,
            "Category of the diagnosis in the CCSR grouping.",
            Identifier.NONE,
            pii=Pii.HEALTH,
        ),
        Column(
            "admit_date",
            Type.DATE,
            "Day of admission of an inpatient stay.",
            Identifier.DATE,
            pii=Pii.HEALTH,
        ),
        Column(
            "discharge_date",
            Type.DATE,
            "Day of discharge of an inpatient stay.",
            Identifier.DATE,
            pii=Pii.HEALTH,
        ),
        Column("paid_date", Type.DATE, "Day on which the claim was paid.", Identifier.DATE),
    ),
)
