"""The claim diagnoses feed: one row per diagnosis of a claim. Optional, as claim lines are."""

from etl.contracts.column import Between, Breach, Column, Identifier, Matches, OneOf, Pii
from etl.contracts.feed import Feed, Volume
from etl.contracts.types import DAYS_AHEAD, Type

# An institutional claim has room for a principal diagnosis and 24 others.
_LAST_POSITION = 25

claim_diagnoses = Feed(
    name="claim_diagnoses",
    description="Diagnoses of claims: all diagnoses of a claim come in one batch, as a set.",
    key=("claim_id", "position"),
    volume=Volume(1, 1_000_000_000),
    columns=(
        Column(
            "claim_id",
            Type.KEY,
            "The claim that the diagnosis is of.",
            Identifier.RECORD_NUMBER,
            required=True,
        ),
        Column(
            "position",
            Type.KEY_NUMBER,
            "Position of the diagnosis on its claim; 1 is the principal one.",
            Identifier.NONE,
            required=True,
            check=Between(1, _LAST_POSITION),
            on_breach=Breach.REJECT_ROW,
        ),
        Column(
            "service_date",
            Type.KEY_DATE,
            "First day of service of the claim.",
            Identifier.DATE,
            required=True,
            ahead_days=DAYS_AHEAD,
        ),
        Column(
            "diagnosis_code",
            Type.TEXT,
            "Diagnosis, ICD-10-CM without the point.",
            Identifier.NONE,
            required=True,
            pii=Pii.HEALTH,
            check=Matches(r"^[A-Z][0-9][0-9A-Z]\.?[0-9A-Z]{0,4}$"),
            longest=40,
        ),
        Column(
            "present_on_admission",
            Type.TEXT,
            "Whether the diagnosis was present on admission: yes, no, unknown, clinically "
            "undetermined (W), or exempt from reporting (1).",
            Identifier.NONE,
            pii=Pii.HEALTH,
            check=OneOf(("Y", "N", "U", "W", "1")),
            longest=40,
        ),
    ),
)
