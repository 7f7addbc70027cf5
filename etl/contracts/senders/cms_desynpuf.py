"""The synthetic public use files of Medicare that CMS made for data entrepreneurs (DE-SynPUF).

https://www.cms.gov/data-research/statistics-trends-and-reports/medicare-claims-synthetic-public-use-files
A beneficiary summary for each of the years 2008 to 2010, each a snapshot, and inpatient claims, of
which one row has the claim, its diagnoses and its procedures next to each other (codebook, 2013).
Diagnoses are ICD-9-CM, as they were in these years. A claim's second segment repeats its number
without dates or codes: it is filtered, and its payment counted in the totals of the file.
"""

from etl.contracts.column import Matches
from etl.contracts.feed import Volume
from etl.contracts.feeds.claim_diagnoses import claim_diagnoses
from etl.contracts.feeds.claim_lines import claim_lines
from etl.contracts.feeds.claims import claims
from etl.contracts.feeds.members import members
from etl.contracts.sender import SenderContract
from etl.contracts.value import (
    constant,
    file_name,
    first,
    numbered,
    of,
    repeat,
    total,
    where,
)

# State codes of the Social Security Administration; 54 is any other place.
_STATES: dict[str, str | None] = {
    "01": "AL", "02": "AK", "03": "AZ", "04": "AR", "05": "CA", "06": "CO",
    "07": "CT", "08": "DE", "09": "DC", "10": "FL", "11": "GA", "12": "HI",
    "13": "ID", "14": "IL", "15": "IN", "16": "IA", "17": "KS", "18": "KY",
    "19": "LA", "20": "ME", "21": "MD", "22": "MA", "23": "MI", "24": "MN",
    "25": "MS", "26": "MO", "27": "MT", "28": "NE", "29": "NV", "30": "NH",
    "31": "NJ", "32": "NM", "33": "NY", "34": "NC", "35": "ND", "36": "OH",
    "37": "OK", "38": "OR", "39": "PA", "41": "RI", "42": "SC", "43": "SD",
    "44": "TN", "45": "TX", "46": "UT", "47": "VT", "49": "VA", "50": "WA",
    "51": "WV", "52": "WI", "53": "WY",
    "54": None,
}  # fmt: skip

# Chronic conditions of the summary: 1 is yes, 2 is no. The one that costs the most is shown.
_CONDITIONS = {
    "SP_CHRNKIDN": "Chronic kidney disease",
    "SP_CNCR": "Cancer",
    "SP_STRKETIA": "Stroke or transient ischemic attack",
    "SP_CHF": "Heart failure",
    "SP_ALZHDMTA": "Alzheimer's disease or dementia",
    "SP_COPD": "Chronic obstructive pulmonary disease",
    "SP_ISCHMCHT": "Ischemic heart disease",
    "SP_RA_OA": "Rheumatoid arthritis or osteoarthritis",
    "SP_DIABETES": "Diabetes",
    "SP_DEPRESSN": "Depression",
    "SP_OSTEOPRS": "Osteoporosis",
}

cms_desynpuf_beneficiaries = SenderContract(
    name="cms_desynpuf_beneficiaries",
    feed=members,
    description="Beneficiary summary of one year of CMS's DE-SynPUF, a snapshot.",
    files=("de1_0_*_beneficiary_summary_file_sample_*.csv",),
    columns={
        "member_id": of("DESYNPUF_ID"),
        "dob": of("BENE_BIRTH_DT").date("YYYYMMDD"),
        "gender": of("BENE_SEX_IDENT_CD").map({"1": "M", "2": "F"}),
        "state": of("SP_STATE_CODE").map(_STATES),
        "year": file_name(r"_(20[0-9]{2})_Beneficiary"),
        "mutually_exclusive_hcc_condition": first(
            *(of(flag).map({"1": name, "2": None}) for flag, name in _CONDITIONS.items())
        ),
        # A death ends the member on its day.
        "is_deleted": of("BENE_DEATH_DT").is_given(),
        "source_updated_at": of("BENE_DEATH_DT").date("YYYYMMDD"),
    },
    not_sent=(
        *("first_name", "last_name", "fpl_ratio", "plan_network_access_type", "plan_metal"),
        *("age_group", "region", "clinical_segment", "general_agency_name", "broker_name"),
        *("new_member_in_period", "member_used_app", "member_had_web_login"),
        *("member_visited_new_provider_ind", "high_cost_member", "geographic_reporting"),
    ),
    sends_more=True,
    volume=Volume(1, 10_000_000),
    freshness_days=400,
)

_INPATIENT = ("de1_0_*_inpatient_claims_sample_*.csv",)
# A claim has its codes in its first segment.
_FIRST_SEGMENT = (where("SEGMENT", "1"),)

cms_desynpuf_inpatient = SenderContract(
    name="cms_desynpuf_inpatient",
    feed=claims,
    description="Inpatient claims of CMS's DE-SynPUF, without their second segments.",
    files=_INPATIENT,
    columns={
        "claim_id": of("CLM_ID"),
        "member_id": of("DESYNPUF_ID"),
        "provider_id": of("PRVDR_NUM"),
        "plan_id": constant("MEDICARE-A"),
        "service_date": of("CLM_FROM_DT").date("YYYYMMDD"),
        "claim_from": of("CLM_FROM_DT").date("YYYYMMDD"),
        "admit_date": of("CLM_ADMSN_DT").date("YYYYMMDD"),
        "discharge_date": of("NCH_BENE_DSCHRG_DT").date("YYYYMMDD"),
        "paid_amount": of("CLM_PMT_AMT"),
        # What the program, another payer and the patient paid together.
        "allowed_amount": total(
            "CLM_PMT_AMT",
            "NCH_PRMRY_PYR_CLM_PD_AMT",
            "NCH_BENE_IP_DDCTBL_AMT",
            "NCH_BENE_PTA_COINSRNC_LBLTY_AM",
            "NCH_BENE_BLOOD_DDCTBL_LBLTY_AM",
        ),
        "status": constant("approved"),
        "claim_type": constant("Inpatient"),
        "diagnosis_code": of("ICD9_DGNS_CD_1"),
        "ms_drg": of("CLM_DRG_CD"),
    },
    where=_FIRST_SEGMENT,
    not_sent=("claim_amount", "procedure_code"),
    sends_more=True,
    volume=Volume(1, 10_000_000),
    freshness_days=1200,
)

# A diagnosis of the ninth revision: three digits, V or E and digits, up to two more.
_ICD_9 = Matches(r"^(E[0-9]{3}[0-9]?|V[0-9]{2}[0-9]{0,2}|[0-9]{3}[0-9]{0,2})$")

cms_desynpuf_diagnoses = SenderContract(
    name="cms_desynpuf_diagnoses",
    feed=claim_diagnoses,
    description="Up to ten diagnoses of each inpatient claim of CMS's DE-SynPUF.",
    files=_INPATIENT,
    columns={
        "claim_id": of("CLM_ID"),
        "service_date": of("CLM_FROM_DT").date("YYYYMMDD"),
    },
    repeat=repeat("position", diagnosis_code=numbered("ICD9_DGNS_CD_{}", 10)),
    where=_FIRST_SEGMENT,
    checks={"diagnosis_code": _ICD_9},
    sends_more=True,
    volume=Volume(1, 10_000_000),
    freshness_days=1200,
)

cms_desynpuf_procedures = SenderContract(
    name="cms_desynpuf_procedures",
    feed=claim_lines,
    description="Up to six procedures (ICD-9) and 45 codes (HCPCS) of each inpatient claim of "
    "CMS's DE-SynPUF, a line each; the files have no amounts of lines.",
    files=_INPATIENT,
    columns={
        "claim_id": of("CLM_ID"),
        "service_date": of("CLM_FROM_DT").date("YYYYMMDD"),
    },
    repeat=repeat(
        "line_number",
        procedure_code=[*numbered("ICD9_PRCDR_CD_{}", 6), *numbered("HCPCS_CD_{}", 45)],
    ),
    where=_FIRST_SEGMENT,
    not_sent=("line_billed", "line_allowed", "line_paid"),
    sends_more=True,
    volume=Volume(1, 10_000_000),
    freshness_days=1200,
)
