"""The Plan Attributes public use file of CMS: the plans of HealthCare.gov, a year at a time.

https://www.cms.gov/marketplace/resources/data/public-use-files: 151 columns, a row per plan and
cost-sharing variant. A plan is what it is without cost-sharing reductions: variant 00 where it is
sold off the exchange, 01 on it. Two rows of one plan that agree count as one and a duplicate.
"""

from etl.contracts.column import Breach
from etl.contracts.feed import Volume
from etl.contracts.feeds.plans import plans
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import of, total, where

_BENEFITS = ("TEHB", "MEHB", "DEHB")
# The variant is the last part of a plan's HIOS identifier, 14 characters and two digits.
_VARIANT = of("PlanId").part(pattern="^[0-9A-Za-z]{14}-([0-9]{2})$")

cms_plan_attributes = SenderContract(
    name="cms_plan_attributes",
    feed=plans,
    description="Plan Attributes public use file of CMS, in-network tier 1, individual amounts.",
    columns={
        "effective_year": of("BusinessYear"),
        "plan_id": of("PlanId").part(1, 14),
        "name": of("PlanMarketingName", "PlanVariantMarketingName"),
        "metal_tier": of("MetalLevel"),
        # TEHB where medical and drug benefits share one limit; else it is empty, and each has its
        # own, MEHB and DEHB.
        "deductible": total(*(f"{kind}DedInnTier1Individual" for kind in _BENEFITS)),
        "oop_max": total(*(f"{kind}InnTier1IndividualMOOP" for kind in _BENEFITS)),
        "coinsurance_rate": of("TEHBDedInnTier1Coinsurance", "MEHBDedInnTier1Coinsurance"),
    },
    parsing=Parsing(
        date_order="mdy",
        thousands=",",
        currency=("$",),
        percent=True,
        null_words=("", "Not Applicable", "per person not applicable", "per group not applicable"),
    ),
    not_sent=("monthly_premium", "pcp_copay"),
    where=(
        where("MarketCoverage", "Individual"),
        where("DentalOnlyPlan", "No"),
        where(_VARIANT, "00", "01"),
    ),
    on_breach={"metal_tier": Breach.REJECT_ROW},
    sends_more=True,
    volume=Volume(1, 100_000),
    freshness_days=400,
)
