"""Cells of few persons are hidden de-identified, and nobody can compute what is hidden.

The attack is linear algebra: every visible cell of every cube, the totals of a month, which the
other breakdown has too, and the totals of a category in a year, which the facts have. A hidden
cell comes out if and only if it is determined by these equations.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from etl.synthetic.generate import generate
from etl.warehouse.tables import CUBES
from tests.support.warehouse import CopyOf, Warehouse

pytestmark = pytest.mark.slow

Cell = tuple[str, str, str]  # breakdown, category, month

# The cubes, each as breakdown, category and month with a measure.
CLAIMS = {
    "claims_by_month": "select breakdown, category, month::text, {} from {}.claims_by_month",
    "claims_by_plan_metal_month": "select 'metal_tier', metal_tier, month::text, {}"
    " from {}.claims_by_plan_metal_month",
    "utilization_by_specialty": "select 'specialty', specialty, month::text, {}"
    " from {}.utilization_by_specialty",
}
COVERAGE = {"claims_by_plan_metal_month": CLAIMS["claims_by_plan_metal_month"]}
MEASURES = {
    "claims": CLAIMS,
    "pending_claims": CLAIMS,
    "denied_claims": CLAIMS,
    "unknown_status_claims": CLAIMS,
    "billed_usd": CLAIMS,
    "pending_billed_usd": CLAIMS,
    "paid_usd": CLAIMS,
    "covered_days": COVERAGE,
}

# Categories as the cubes spell them, of a fact with its plan and provider.
CATEGORIES = {
    "metal_tier": "coalesce(initcap(p.metal_tier), '(unknown)')",
    "specialty": "coalesce(v.specialty, '(unknown)')",
}

# A tier with few persons next to one with more, one without coverage and one without anybody.
DRAWN_PLANS = """
    plan_id | metal_tier
    P       | Silver
    Q       | Gold
    R       | Platinum
    S       | Bronze
"""


def drawn_world(warehouse: Warehouse) -> None:
    """Twenty members in Silver, three in Gold, nobody in Bronze; thirty claims of no known plan."""
    members = [{"member_id": f"m{n}", "state": "FL"} for n in range(40)]
    months = ("2025-01", "2025-02", "2025-03")
    claims = [
        {
            "claim_id": f"{plan}{n}{month}",
            "member_id": f"m{n}",
            "plan_id": plan,
            "provider_id": f"D{n % 3}",
            "service_date": f"{month}-10",
            "status": "pending" if plan == "R" else "approved",
        }
        for month in months
        for plan, first, last in (("P", 0, 20), ("Q", 20, 23), ("R", 23, 25), ("", 5, 35))
        for n in range(first, last)
        if not (plan == "Q" and month == "2025-03")
    ]
    covered = [
        {
            "enrollment_id": f"e{n}",
            "member_id": f"m{n}",
            "plan_id": "P" if n < 20 else "Q",
            "start_date": "2025-01-01",
            "end_date": "2025-06-30",
        }
        for n in range(24)
    ]
    providers = [{"provider_id": f"D{n}", "specialty": f"specialty {n}"} for n in range(3)]
    warehouse.send(
        "2025-06-30",
        members=members,
        plans=DRAWN_PLANS,
        providers=providers,
        claims=claims,
        enrollments=covered,
    )
    warehouse.rebuild()


def world_of_parts(warehouse: Warehouse) -> None:
    """Thirty members in Silver. In January twelve denied claims are of four of them."""
    months = ("2025-01", "2025-02")
    claims = [
        {
            "claim_id": f"{kind}{n}{month}",
            "member_id": f"m{n % persons}",
            "plan_id": "P",
            "provider_id": "D",
            "service_date": f"{month}-10",
            "status": kind,
        }
        for month in months
        for kind, count, persons in (
            ("approved", 30, 30),
            ("denied", 12, 4 if month == "2025-01" else 12),
            ("pending", 14, 14),
            ("odd", 15, 10),
        )
        for n in range(count)
    ]
    warehouse.send(
        "2025-06-30",
        members=[{"member_id": f"m{n}"} for n in range(30)],
        plans=DRAWN_PLANS,
        providers=[{"provider_id": "D", "specialty": "surgery"}],
        claims=claims,
    )
    warehouse.rebuild()


def generated_world(warehouse: Warehouse, members: int) -> None:
    generate(warehouse.inbox, members=members)
    warehouse.rebuild()


WORLDS = {
    "drawn": drawn_world,
    **{f"of {n} members": partial(generated_world, members=n) for n in (60, 400, 1500)},
}


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, copy_of: CopyOf) -> Warehouse:
    """A drawn world, or a generated one."""
    return copy_of(WORLDS[request.param])


def cells(warehouse: Warehouse, cubes: dict[str, str], measure: str, schema: str):
    """The cells of cubes with their values, of all that show it the first."""
    found: dict[Cell, object] = {}
    for asked in cubes.values():
        for *cell, value in warehouse.rows(asked.format(measure, schema)):
            if found.get(tuple(cell)) is None:
                found[tuple(cell)] = value
    return found


def determined(all_cells: set[Cell], visible: set[Cell], has_total: bool) -> set[Cell]:
    """The hidden cells that follow from what is visible."""
    hidden = sorted(all_cells - visible)
    place = {cell: number for number, cell in enumerate(hidden)}
    equations = []
    breakdowns = {cell[0] for cell in hidden}
    for month in {cell[2] for cell in hidden}:
        # Both breakdowns have the same total; of coverage the total is known.
        row = np.zeros(len(hidden))
        for cell in hidden:
            if cell[2] == month:
                row[place[cell]] = 1 if cell[0] == min(breakdowns) or has_total else -1
        equations.append(row)
    for breakdown, category, year in {(b, c, month[:4]) for b, c, month in hidden}:
        row = np.zeros(len(hidden))
        for cell in hidden:
            if cell[:2] == (breakdown, category) and cell[2].startswith(year):
                row[place[cell]] = 1
        equations.append(row)
    if not hidden:
        return set()
    *_, values, directions = np.linalg.svd(np.array(equations))
    free = directions[int((values > 1e-9).sum()) :]
    moves = np.abs(free).max(axis=0) if len(free) else np.zeros(len(hidden))
    return {cell for cell in hidden if moves[place[cell]] < 1e-9}


def test_no_cell_of_few_persons_shows_a_measure(world):
    few = {
        (breakdown, category, month)
        for breakdown, said in CATEGORIES.items()
        for category, month, count in world.rows(
            f"select {said}, date_trunc('month', f.service_date)::date::text,"
            " count(distinct m.member_id) from warehouse.fact_claim as f"
            " join warehouse.dim_member as m using (member_sk)"
            " join warehouse.dim_plan as p using (plan_sk)"
            " join warehouse.dim_provider as v using (provider_sk) group by 1, 2"
        )
        if count <= 10
    }
    covered = {
        ("metal_tier", tier, month)
        for tier, month, count in world.rows(
            "select coalesce(initcap(p.metal_tier), '(unknown)'), d.month_start::text,"
            " count(distinct m.member_id) from warehouse.fact_enrollment as f"
            " join warehouse.dim_member as m using (member_sk)"
            " join warehouse.dim_plan as p using (plan_sk)"
            " join warehouse.dim_date as d on d.full_date between f.start_date and f.end_date"
            " group by 1, 2"
        )
        if count <= 10
    }
    assert few
    if world.value("select count(*) from warehouse.dim_member") > 1000:
        # Not everything is hidden for the sake of a few.
        assert world.value("select count(claims) from safe_harbor.claims_by_month") > 100
    for name, asked in CLAIMS.items():
        measures = [
            column
            for column in world.column(
                "select attname from pg_attribute where attnum > 0 and attrelid ="
                f" 'safe_harbor.{name}'::regclass"
            )
            if column not in (*CUBES[name].grain, "breakdown", "category")
        ]
        shown = {
            tuple(cell)
            for *cell, is_shown in world.rows(
                asked.format(f"num_nonnulls({', '.join(measures)}) > 0", "safe_harbor")
            )
            if is_shown
        }
        of_few = few | covered if name == "claims_by_plan_metal_month" else few
        assert not of_few & shown, name
        everything = {tuple(c) for *c, _ in world.rows(asked.format("1", "cubes"))}
        assert not shown - everything


# Whether a claim is of a part, by its word in the drawn and generated worlds.
WORD = "lower(coalesce(f.status, 'approved'))"
OF_PART = {
    "pending": f"{WORD} = 'pending'",
    "denied": f"{WORD} = 'denied'",
    "paid": f"{WORD} not in ('pending', 'denied', 'odd')",
    "unknown": f"{WORD} = 'odd'",
}
# A measure, and the parts of which it says how many claims or how much money they are.
PARTS = {
    "pending_claims": ["pending"],
    "pending_billed_usd": ["pending"],
    "unknown_status_claims": ["unknown"],
    "unknown_status_billed_usd": ["unknown"],
    "denied_claims": ["denied", "paid"],
    "paid_usd": ["paid"],
}
PERSONS = ("pending_members", "denied_members", "unknown_status_members", "paid_members")


def of_few_persons(warehouse: Warehouse, part: str) -> set[Cell]:
    """The cells with claims of a part that are of 1 to 10 persons, counted in the facts."""
    return {
        (breakdown, category, month)
        for breakdown, said in CATEGORIES.items()
        for category, month, persons in warehouse.rows(
            f"select {said}, date_trunc('month', f.service_date)::date::text,"
            " count(distinct m.member_id) from warehouse.fact_claim as f"
            " join warehouse.dim_member as m using (member_sk)"
            " join warehouse.dim_plan as p using (plan_sk)"
            " join warehouse.dim_provider as v using (provider_sk)"
            f" where {OF_PART[part]} group by 1, 2"
        )
        if persons <= 10
    }


def test_no_part_of_few_persons_shows_a_measure(world):
    shown_at_all = set()
    for measure, parts in PARTS.items():
        few = {cell for part in parts for cell in of_few_persons(world, part)}
        for name, asked in CLAIMS.items():
            shown = {
                tuple(cell)
                for *cell, value in world.rows(asked.format(measure, "safe_harbor"))
                if value is not None
            }
            assert not few & shown, (name, measure)
            shown_at_all |= {measure} if shown else set()
    for persons in PERSONS:
        for name in CLAIMS:
            assert not world.value(f"select count({persons}) from safe_harbor.{name}")
    if world.value("select count(*) from warehouse.dim_member") > 1000:
        assert {"pending_claims", "paid_usd"} <= shown_at_all


def test_eleven_claims_of_a_part_that_are_of_few_persons_are_hidden(warehouse):
    world_of_parts(warehouse)
    asked = (
        "select denied_claims, pending_claims, unknown_status_claims, paid_usd is not null, claims"
        " from {}.{} where {} order by month"
    )
    for name, where in (
        ("claims_by_month", "category = 'Silver'"),
        ("utilization_by_specialty", "specialty = 'surgery'"),
    ):
        real = warehouse.rows(asked.format("cubes", name, where))
        assert real == [(12, 14, 15, True, 42)] * 2
        shown = warehouse.rows(asked.format("safe_harbor", name, where))
        assert shown == [(None, 14, None, True, 42)] * 2
    for measure in MEASURES:
        assert_nothing_follows(warehouse, measure)


def test_no_hidden_cell_follows_from_what_is_visible(world):
    for measure in MEASURES:
        assert_nothing_follows(world, measure)


def assert_nothing_follows(world: Warehouse, measure: str) -> None:
    """No cell of a measure that is hidden is determined by those that are not."""
    real = cells(world, MEASURES[measure], measure, "cubes")
    shown = cells(world, MEASURES[measure], measure, "safe_harbor")
    visible = {cell for cell, value in shown.items() if value is not None}
    for cell in visible & real.keys():
        assert shown[cell] == real[cell], (measure, cell)
    found = determined(real.keys() | shown.keys(), visible, measure == "covered_days")
    # Of a year with one month the month is the year, which the facts have.
    months = {month[:4]: set() for *_, month in real}
    for *_, month in real:
        months[month[:4]].add(month)
    computable = {cell for cell in found if len(months[cell[2][:4]]) > 1 and real.get(cell)}
    assert not computable, measure
