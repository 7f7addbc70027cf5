"""What care costs, who pays it and when: the synthetic feeds against law and life.

Tolerances are as in ``test_realism_members``.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from tests.support.feed_sample import (
    FULL_YEAR,
    MONTH_DAYS,
    REDUCED,
    Comparison,
    age_on,
    assert_near,
    assert_within,
    day,
    ratio,
    reference,
    weekday,
)

# Costs and payments

TOP_FIVE, TOP_ONE = (0.45, 0.58), (0.18, 0.32)
NOTHING_SPENT = (0.04, 0.25)
MOST_SPENT = 500_000_000  # cents a year: five million dollars
MILLIONAIRES = 1e-4  # of members with more than a million dollars in a year
VALUE_SLACK, LEAST_SPANS = 0.08, 800
LOSS_RATIO = (0.70, 0.90)
ALLOWED_A_MONTH = (450, 750)  # dollars a member, in 2024
SHARE_OF_SPEND = {
    "Inpatient": (0.20, 0.42),
    "Outpatient": (0.20, 0.38),
    "Professional": (0.15, 0.35),
    "Pharmacy": (0.10, 0.30),
}
# Limits on cost sharing for self-only coverage, dollars (45 CFR 156.130(a), annual notices), and
# what is left of them in the reduced variants, rounded down to $50 (45 CFR 156.420(a)).
OUT_OF_POCKET = {2024: 9_450, 2025: 9_200}
REDUCED_LIMIT = {"04": (4, 5), "05": (1, 3), "06": (1, 3)}
BILLED_OVER_ALLOWED = (1.6, 3.0)


def test_spending_is_as_skewed_as_published(sample):
    spent = sample.spend(FULL_YEAR)
    size, total = len(spent), spent.sum()
    assert_within("spend of the top 5 %", spent[-(size // 20) :].sum() / total, *TOP_FIVE)
    assert_within("spend of the top 1 %", spent[-(size // 100) :].sum() / total, *TOP_ONE)
    assert_within("covered and without any spend", (spent == 0).mean(), *NOTHING_SPENT)
    assert_within("most that one member costs, cents", spent[-1], 10_000_000, MOST_SPENT)
    assert_within("members over a million", (spent > 100_000_000).mean(), 0, MILLIONAIRES)


def test_spending_rises_with_age(sample):
    rows = sample.accepted & (sample.claim_year == FULL_YEAR)
    spent = np.bincount(sample.claim_member[rows], sample.allowed[rows], len(sample.members))
    age = age_on(sample.members.days("dob"), np.full(len(sample.members), day(FULL_YEAR, 7)))
    means = [
        spent[(low <= age) & (age < high)].mean() for low, high in pairwise((3, 18, 35, 50, 65))
    ]
    assert means == sorted(means), means
    assert_within("cost at 50 to 64 over that of children", means[-1] / means[0], 2.5, 8)


def level_of(metal: str, variant: str) -> str:
    """The row of metal_actuarial_value.csv; expanded bronze counts as bronze."""
    kind = f"csr -{variant}"
    rows = reference("metal_actuarial_value.csv")
    reduced = [r["level"] for r in rows if r["kind"] == kind]
    return reduced[0] if reduced else metal.removeprefix("Expanded ")


@pytest.mark.parametrize(
    ("metal", "variant"),
    [
        ("Bronze", "01"),
        ("Expanded Bronze", "01"),
        ("Silver", "01"),
        ("Gold", "01"),
        *(("Silver", variant) for variant in REDUCED),
    ],
)
def test_plans_pay_their_actuarial_value(sample, metal, variant):
    """The plan's share of what approved claims of both years were allowed."""
    value = {
        r["level"]: float(r["actuarial_value"]) for r in reference("metal_actuarial_value.csv")
    }
    expected = value[level_of(metal, variant)]
    of_spans = (sample.span_metal == metal.encode()) & (
        sample.spans["csr_variant"] == variant.encode()
    )
    assert of_spans.sum() >= LEAST_SPANS
    rows = of_spans[sample.claim_span] & (sample.claims["status"] == b"approved")
    found = ratio(sample.paid[rows], sample.allowed[rows], sample.claim_member[rows])
    assert_near([Comparison("share of the plan", found, expected, VALUE_SLACK)])


def test_no_member_pays_more_than_the_out_of_pocket_maximum(sample):
    """Over a span of coverage: who comes back begins at zero. An adjustment changes no share."""
    borne = np.bincount(sample.claim_span, sample.member_share, len(sample.spans))
    most = sample.plans.cents("oop_max")[sample.span_plan]
    assert (borne <= most).all(), f"{(borne > most).sum()} spans"
    assert (borne == most).any(), "no one has reached it"
    for year, limit in OUT_OF_POCKET.items():
        assert (most[sample.span_year == year] <= 100 * limit).all()
        for variant, (part, whole) in REDUCED_LIMIT.items():
            rows = (sample.spans["csr_variant"] == variant.encode()) & (sample.span_year == year)
            reduced = limit * part // whole // 50 * 50
            found = borne[rows].max() / 100
            assert found <= reduced, f"{variant} in {year}: {found} borne, {reduced} allowed"


def test_some_services_cost_the_member_nothing(sample):
    """Cost sharing of variant 02 (45 CFR 156.420(b)) and of prevention (45 CFR 147.130)."""
    free = sample.spans["csr_variant"][sample.claim_span] == b"02"
    preventive = sample.claims["procedure_level_3"] == b"Preventive visit"
    for name, rows in (("variant 02", free), ("preventive visits", preventive)):
        rows = rows & sample.accepted
        assert sample.allowed[rows].sum() > 0, name
        assert not sample.member_share[rows].any(), name
    visits = (sample.claims["procedure_level_3"] == b"Office visit") & sample.accepted & ~free
    assert_within("office visits with a share", (sample.member_share[visits] > 0).mean(), 0.6, 1)


def test_premiums_pay_the_claims(sample):
    """Of the full year: paid over premiums with credit; allowed a member and month, and of what."""
    spans = sample.span_year == FULL_YEAR
    premiums = (sample.span_premium[spans] * sample.span_days[spans]).sum() / MONTH_DAYS
    rows = sample.accepted & (sample.claim_year == FULL_YEAR)
    assert_within("loss ratio", sample.paid[rows].sum() / premiums, *LOSS_RATIO)
    allowed = sample.allowed[rows].sum()
    a_month = allowed / 100 / sample.months(FULL_YEAR)
    assert_within("allowed a member and month, dollars", a_month, *ALLOWED_A_MONTH)
    for kind, (low, high) in SHARE_OF_SPEND.items():
        of_kind = rows & (sample.claims["claim_type"] == kind.encode())
        part = sample.allowed[of_kind].sum() / allowed
        assert_within(f"share of {kind} in what is allowed", part, low, high)
    billed = sample.claims.cents("claim_amount")[rows].sum()
    assert_within("billed over allowed", billed / allowed, *BILLED_OVER_ALLOWED)


# The course of a claim

MEDIAN_LAG, LATEST_TWENTIETH = (20, 45), (45, 90)  # days from the end of service to payment
AT_ONCE, LONGEST_AT_PHARMACY = (0.985, 0.998), 14
OVER_A_YEAR = (0.0005, 0.0016)  # one in a thousand, of about 70,000 claims
# Of claims of the first year, all but a few of which are decided. Insurers on HealthCare.gov
# denied 19 % of the in-network claims of 2023 (transparency data, 45 CFR 156.220).
DENIED, DENIED_AT_PHARMACY = (0.16, 0.22), (0.05, 0.12)
# The others, as shares of those not denied.
STATUS_SHARES = {
    "approved": (0.94, 0.98),
    "adjusted": (0.018, 0.035),
    "reversed": (0.005, 0.015),
    "pending": (0.0, 0.001),
}
PENDING = (0.015, 0.045)  # of all claims of both years; none of the pharmacy


def test_claims_are_paid_with_a_realistic_lag(sample):
    claims = sample.claims
    lag = (claims.days("paid_date") - sample.service_end).astype(np.int64)
    approved, dispensed = claims["status"] == b"approved", claims["claim_type"] == b"Pharmacy"
    at_pharmacy = lag[approved & dispensed]
    # But for those that were denied first.
    assert_within("paid at once at the pharmacy", (at_pharmacy == 0).mean(), *AT_ONCE)
    assert at_pharmacy.max() <= LONGEST_AT_PHARMACY
    median, high = np.percentile(lag[approved & ~dispensed], (50, 95))
    assert_within("median lag", median, *MEDIAN_LAG)
    assert_within("95th percentile of the lag", high, *LATEST_TWENTIETH)
    assert (lag[approved & ~dispensed] > 0).all()


def test_one_claim_in_a_thousand_is_more_than_a_year_late(sample):
    """Decided so long after the service, of claims served 18 months before the batch or more."""
    rows = (sample.claims["claim_type"] != b"Pharmacy") & (sample.service < day(FULL_YEAR, 6))
    decided = sample.claims.days("clean_claim_out")
    late = (decided - sample.service_end).astype(np.int64)[rows & ~np.isnat(decided)] > 365
    assert len(late) > 50_000
    assert_within("claims over a year late", late.mean(), *OVER_A_YEAR)


def test_claims_are_denied_adjusted_and_reversed_as_often_as_published(sample):
    status, rows = sample.claims["status"], sample.claim_year == FULL_YEAR
    assert {s.decode() for s in np.unique(status)} == {"denied", *STATUS_SHARES}
    denied, dispensed = status == b"denied", sample.claims["claim_type"] == b"Pharmacy"
    assert_within("denied", denied[rows & ~dispensed].mean(), *DENIED)
    assert_within("denied at the pharmacy", denied[rows & dispensed].mean(), *DENIED_AT_PHARMACY)
    for name, (low, high) in STATUS_SHARES.items():
        assert_within(name, (status[rows & ~denied] == name.encode()).mean(), low, high)
    assert_within("pending, both years", (status == b"pending").mean(), *PENDING)
    assert not (status[dispensed] == b"pending").any()


def test_nothing_is_paid_on_a_weekend_but_at_the_pharmacy(sample):
    paid = sample.claims.days("paid_date")
    weekend = ~np.isnat(paid) & (weekday(paid) > 4)
    office = weekend & (sample.claims["claim_type"] != b"Pharmacy")
    by_status = dict(Counter(sample.claims["status"][office].tolist()))
    assert not office.any(), f"{office.sum()} claims: {by_status}"
    assert (weekend & (sample.claims["claim_type"] == b"Pharmacy")).any()
