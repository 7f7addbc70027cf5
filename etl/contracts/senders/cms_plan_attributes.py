"""The Plan Attributes public use file of CMS: the plans of HealthCare.gov, a year at a time.

https://www.cms.gov/marketplace/resources/data/public-use-files: 151 columns, a row per plan and
cost-sharing variant.
"""

from etl.contracts.column import Breach
from etl.contracts.feed import Volume
from etl.contracts.feeds.plans import plans
from etl.contracts.sender import Parsing, SenderContract

cms_plan_attributes = SenderContract(
    name="cms_plan_attributes",
    feed=plans,
    description="Plan Attributes public use file of CMS, in-network tier 1, individual amounts.",
    header={
        "BusinessYear": "effective_year",
        # With the variant's suffix, since the variants of a plan differ in what they cost.
        "PlanId": "plan_id",
        "PlanVariantMarketingName": "name",
        "PlanMarketingName": "name",
        "MetalLevel": "metal_tier",
        # TEHB where medical and drug benefits share one amount, MEHB where they do not.
        "TEHBDedInnTier1Individual": "deductible",
        "MEHBDedInnTier1Individual": "deductible",
        "TEHBInnTier1IndividualMOOP": "oop_max",
        "MEHBInnTier1IndividualMOOP": "oop_max",
        "TEHBDedInnTier1Coinsurance": "coinsurance_rate",
        "MEHBDedInnTier1Coinsurance": "coinsurance_rate",
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
