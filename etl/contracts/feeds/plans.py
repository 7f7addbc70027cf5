"""The plans feed: one row per plan and plan year."""

from etl.contracts.column import Between, Column, Identifier, OneOf
from etl.contracts.feed import Feed, Volume
from etl.contracts.types import Type

plans = Feed(
    name="plans",
    description="Plans on offer, by plan year (a plan of another year is another plan).",
    deletable=True,
    key=("plan_id", "effective_year"),
    volume=Volume(1, 1_000_000),
    freshness_days=400,
    columns=(
        Column(
            "plan_id",
            Type.KEY,
            "HIOS standard component identifier, 14 characters.",
            Identifier.NONE,
            required=True,
        ),
        Column(
            "name",
            Type.TEXT,
            "Marketing name of the plan.",
            Identifier.NONE,
            required=True,
            driver=True,
        ),
        Column(
            "metal_tier",
            Type.TEXT,
            "Metal level (45 CFR 156.140); Expanded Bronze is bronze with a wider "
            "actuarial-value band (45 CFR 156.140(c)).",
            Identifier.NONE,
            required=True,
            driver=True,
            check=OneOf(
                ("Bronze", "Expanded Bronze", "Silver", "Gold", "Platinum", "Catastrophic"),
                closed=True,
            ),
            longest=40,
        ),
        Column(
            "monthly_premium",
            Type.MONEY,
            "Monthly premium of a 21-year-old before tax credit, US dollars.",
            Identifier.NONE,
            required=True,
            driver=True,
            check=Between(0),
        ),
        Column(
            "deductible",
            Type.MONEY,
            "Individual in-network deductible a year, US dollars.",
            Identifier.NONE,
            required=True,
            driver=True,
            check=Between(0),
        ),
        Column(
            "oop_max",
            Type.MONEY,
            "Individual in-network limit on cost sharing a year, US dollars (45 CFR 156.130).",
            Identifier.NONE,
            required=True,
            driver=True,
            check=Between(0),
        ),
        Column(
            "coinsurance_rate",
            Type.RATIO,
            "Member's share of allowed cost after the deductible, 0 to 1.",
            Identifier.NONE,
            required=True,
            driver=True,
            check=Between(0, 1),
        ),
        Column(
            "pcp_copay",
            Type.MONEY,
            "Copay of a primary-care visit, US dollars.",
            Identifier.NONE,
            required=True,
            driver=True,
            check=Between(0),
        ),
        Column("effective_year", Type.KEY_YEAR, "Plan year.", Identifier.NONE, required=True),
    ),
)
