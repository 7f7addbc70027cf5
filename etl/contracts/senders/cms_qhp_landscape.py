"""The QHP landscape of CMS: plans of HealthCare.gov in each county where they are sold.

https://data.healthcare.gov/: the individual market's medical plans of a year, which no field names:
the manifest says it (``"values": {"year": "2025"}``). Rows of a plan agree but for county, rating
area and premium, and count as one row and duplicates. A plan has one premium in the warehouse and
one per rating area here, so premiums are not taken.
"""

from etl.contracts.column import Breach
from etl.contracts.feed import Volume
from etl.contracts.feeds.plans import plans
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import first, manifest, of, total

_VISIT = "Primary Care Physician - Standard"
_STAY = "Inpatient Facility - Standard"

cms_qhp_landscape = SenderContract(
    name="cms_qhp_landscape",
    feed=plans,
    description="QHP landscape of CMS, medical plans of the individual market by county.",
    files=("*individual_market_medical*.csv",),
    columns={
        "effective_year": manifest("year"),
        "plan_id": of("Plan ID (Standard Component)"),
        "name": of("Plan Marketing Name"),
        "metal_tier": of("Metal Level"),
        # A drug limit of its own, or "Included in Medical".
        "deductible": total(
            "Medical Deductible - Individual - Standard",
            "Drug Deductible - Individual - Standard",
        ),
        "oop_max": total(
            "Medical Maximum Out Of Pocket - Individual - Standard",
            "Drug Maximum Out Of Pocket - Individual - Standard",
        ),
        # An amount, alone or as "$35 Copay after deductible"; with a share there is no copay.
        "pcp_copay": first(
            of(_VISIT).part(pattern=r"^(\$[0-9.,]+)$"),
            of(_VISIT).part(pattern=r"^(\$[0-9.,]+) Copay .*$"),
            first(of(_VISIT).part(pattern="^[0-9.]+% (Coinsurance) .*$"), _VISIT).map(
                {"Coinsurance": None, "No Charge": "0", "No Charge After Deductible": "0"}
            ),
        ),
        # The share of a stay; the file has none of all services.
        "coinsurance_rate": first(
            of(_STAY).part(pattern="^([0-9.]+%) Coinsurance .*$"),
            of(_STAY).map({"No Charge": "0", "No Charge After Deductible": "0"}, others="nothing"),
        ),
    },
    parsing=Parsing(
        thousands=",",
        currency=("$",),
        percent=True,
        null_words=("", "Not Applicable", "Included in Medical"),
    ),
    not_sent=("monthly_premium",),
    on_breach={"metal_tier": Breach.REJECT_ROW},
    sends_more=True,
    volume=Volume(1, 1_000_000),
    freshness_days=400,
)
