"""The enrollments feed: one row per member, plan and start of coverage."""

from datetime import date

from etl.contracts.column import Between, Column, Identifier, OneOf
from etl.contracts.feed import Feed, Volume
from etl.contracts.types import DAYS_AHEAD, Type

enrollments = Feed(
    name="enrollments",
    description="Spans of coverage: who had which plan from when to when, at what premium.",
    key=("enrollment_id",),
    volume=Volume(1, 20_000_000),
    freshness_days=31,
    money=("premium_paid", "aptc_amount"),
    ordered=(("start_date", "end_date"),),
    canceled_days=366,
    deletable=True,
    columns=(
        Column(
            "enrollment_id",
            Type.KEY,
            "Identifier of the span of coverage.",
            Identifier.RECORD_NUMBER,
            required=True,
        ),
        Column(
            "member_id",
            Type.REFERENCE,
            "The member covered.",
            Identifier.MEMBER_NUMBER,
            required=True,
        ),
        Column(
            "plan_id",
            Type.REFERENCE,
            "The plan held; its year is that of the start.",
            Identifier.NONE,
            required=True,
        ),
        Column(
            "start_date",
            Type.KEY_DATE,
            "First day of coverage.",
            Identifier.DATE,
            required=True,
            ahead_days=DAYS_AHEAD,
        ),
        Column(
            "end_date",
            Type.DATE,
            "Last day of coverage; empty means to the end of the plan year, and a day before the "
            "start, by at most 366, that the coverage was canceled from its start.",
            Identifier.DATE,
            # Enrollment systems write 9999-12-31, 2999-12-31, 2099-12-31 or the last day that
            # their database can contain, such as 2079-06-06, for coverage without an end.
            open_end=date(2070, 1, 1),
            ahead_days=DAYS_AHEAD,
        ),
        Column(
            "premium_paid",
            Type.MONEY,
            "Premium a month that the member pays, after the tax credit, US dollars.",
            Identifier.NONE,
            required=True,
            check=Between(0),
        ),
        Column(
            "csr_variant",
            Type.TEXT,
            "Cost-sharing reduction variant: 01 standard, 02 zero and 03 limited cost sharing for "
            "American Indians, 04 to 06 silver 73, 87 and 94 (45 CFR 156.420).",
            Identifier.NONE,
            check=OneOf(("00", "01", "02", "03", "04", "05", "06"), closed=True),
            longest=40,
        ),
        Column(
            "aptc_amount",
            Type.MONEY,
            "Advance premium tax credit a month, US dollars (26 CFR 1.36B-3).",
            Identifier.NONE,
            check=Between(0),
        ),
        Column(
            "enrollment_reason",
            Type.TEXT,
            "Why coverage began: open enrollment or the special enrollment event "
            "(45 CFR 155.410, 155.420).",
            Identifier.NONE,
        ),
    ),
)
