"""The CSV export of Synthea, which makes patients who never were.

https://github.com/synthetichealth/synthea/wiki/CSV-File-Data-Dictionary
Payers have no years, and a plan is one of a year: each payer is a plan of every year. What nobody
covers is filtered, since it is no insurer's. Amounts of claims are in another file:
``scripts/synthea_claims.py`` adds them up first.
"""

from etl.contracts.column import Matches
from etl.contracts.feed import Volume
from etl.contracts.feeds.claims import claims
from etl.contracts.feeds.enrollments import enrollments
from etl.contracts.feeds.members import members
from etl.contracts.feeds.plans import plans
from etl.contracts.feeds.providers import providers
from etl.contracts.sender import SenderContract
from etl.contracts.states import STATE_NAMES
from etl.contracts.value import batch_date, constant, join, of, repeat, where_not

# An export has the coverage of patients from their birth on.
_YEARS = range(1910, 2031)
_VOLUME = Volume(1, 100_000_000)
_FRESHNESS_DAYS = 400

synthea_patients = SenderContract(
    name="synthea_patients",
    feed=members,
    description="Patients of Synthea; who died is a member until then.",
    files=("patients.csv",),
    columns={
        "member_id": of("Id"),
        "first_name": of("FIRST"),
        "last_name": of("LAST"),
        "dob": of("BIRTHDATE"),
        "gender": of("GENDER"),
        "street": of("ADDRESS"),
        "city": of("CITY"),
        "state": of("STATE").map(STATE_NAMES),
        "zip": of("ZIP"),
        "year": batch_date().part(1, 4),
    },
    # One row of the living. Of the dead there is only what they were, and another row ends it.
    repeat=repeat(
        is_deleted=[
            constant("false"),
            of("DEATHDATE").is_given().map({"true": "true", "false": None}),
        ],
        source_updated_at=[of("DEATHDATE").day_before(), of("DEATHDATE")],
    ),
    not_sent=(
        *("fpl_ratio", "plan_network_access_type", "plan_metal", "age_group", "region"),
        *("clinical_segment", "general_agency_name", "broker_name", "new_member_in_period"),
        *("member_used_app", "member_had_web_login", "member_visited_new_provider_ind"),
        *("high_cost_member", "mutually_exclusive_hcc_condition", "geographic_reporting"),
    ),
    sends_more=True,
    volume=_VOLUME,
    freshness_days=_FRESHNESS_DAYS,
)

synthea_payers = SenderContract(
    name="synthea_payers",
    feed=plans,
    description="Payers of Synthea, each a plan of every year.",
    files=("payers.csv",),
    columns={
        "plan_id": of("Id"),
        "name": of("NAME"),
    },
    repeat=repeat(effective_year=[constant(str(year)) for year in _YEARS]),
    where=(where_not("NAME", "NO_INSURANCE"),),
    not_sent=(
        *("metal_tier", "monthly_premium", "deductible", "oop_max", "coinsurance_rate"),
        "pcp_copay",
    ),
    sends_more=True,
    volume=_VOLUME,
    freshness_days=_FRESHNESS_DAYS,
)

synthea_payer_transitions = SenderContract(
    name="synthea_payer_transitions",
    feed=enrollments,
    description="Spans of coverage of Synthea, whose end is the start of the next.",
    files=("payer_transitions.csv",),
    columns={
        # A payer's number of a member is used for several spans.
        "enrollment_id": join("MEMBERID", of("START_YEAR").part(1, 10), separator="-"),
        "member_id": of("PATIENT"),
        "plan_id": of("PAYER"),
        "start_date": of("START_YEAR").part(1, 10),
        "end_date": of("END_YEAR").part(1, 10).day_before(),
    },
    # Without a payer there is no number of a member.
    where=(where_not("MEMBERID", ""),),
    not_sent=("premium_paid",),
    sends_more=True,
    volume=_VOLUME,
    freshness_days=_FRESHNESS_DAYS,
)

synthea_providers = SenderContract(
    name="synthea_providers",
    feed=providers,
    description="Clinicians of Synthea, with the address of their organization.",
    columns={"provider_id": of("Id"), "specialty": of("SPECIALITY"), "street": of("ADDRESS")},
    not_sent=("phone",),
    sends_more=True,
    volume=_VOLUME,
    freshness_days=_FRESHNESS_DAYS,
)

synthea_claims = SenderContract(
    name="synthea_claims",
    feed=claims,
    description="Claims of Synthea, with the amounts that scripts/synthea_claims.py adds.",
    columns={
        "claim_id": of("Id"),
        "member_id": of("PATIENTID"),
        "provider_id": of("PROVIDERID"),
        "plan_id": of("PRIMARYPATIENTINSURANCEID"),
        "service_date": of("SERVICEDATE").part(1, 10),
        "claim_amount": of("CHARGED"),
        # Synthea has no discounts: what is charged is allowed.
        "allowed_amount": of("CHARGED"),
        "paid_amount": of("PAID_BY_PAYER"),
        "status": of("STATUS1").map({"CLOSED": "approved", "BILLED": "pending"}),
        "diagnosis_code": of("DIAGNOSIS1"),
        "procedure_code": of("FIRST_PROCEDURE"),
        # 2 is institutional, inpatient or not.
        "claim_type": of("HEALTHCARECLAIMTYPEID1").map({"1": "Professional", "2": None}),
    },
    where=(where_not("PRIMARYPATIENTINSURANCEID", "0", ""),),
    # Codes are of SNOMED CT: 6 to 18 digits.
    checks={"diagnosis_code": Matches("^[0-9]{6,18}$")},
    sends_more=True,
    volume=_VOLUME,
    freshness_days=_FRESHNESS_DAYS,
)
