"""The Plan Attributes public use file of CMS: the plans of HealthCare.gov, a year at a time.

https://www.cms.gov/marketplace/resources/data/public-use-files: 151 columns, a row per plan and
cost-sharing variant.
"""

from etl.contracts.column import Breach
from etl.contracts.feed import Volume
from etl.contracts.feeds.plans import plans
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import of

cms_plan_attributes = SenderContract(
    name="cms_plan_attributes",
    feed=plans,
    description="Plan Attributes public use file of CMS, in-network tier 1, individual amounts.",
    columns={
        "effective_year": of("BusinessYear"),
        # With the variant's suffix, since the variants of a plan differ in what they cost.
        "plan_id": of("PlanId"),
        "name": of("PlanVariantMarketingName", "PlanMarketingName"),
        "metal_tier": of("MetalLevel"),
        # TEHB where medical and drug benefits share one amount, MEHB where they do not.
        "deductible": of("TEHBDedInnTier1Individual", "MEHBDedInnTier1Individual"),
        "oop_max": of("TEHBInnTier1IndividualMOOP", "MEHBInnTier1IndividualMOOP"),
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
    # Stand-alone dental plans are in the file too; their High and Low are no metal levels.
    on_breach={"metal_tier": Breach.REJECT_ROW},
    reject_share=0.4,
    sends_more=True,
    volume=Volume(1, 100_000),
    freshness_days=400,
)
