"""What claims are for and what they cost: diagnosis, procedure, amounts, and who pays them.

The member's share follows the plan's benefit design, added up over the plan year in order of
service: a copay for a visit or a common drug, nothing for prevention (45 CFR 147.130), else the
deductible and then coinsurance, all of it up to the out-of-pocket maximum (45 CFR 156.130). A
claim that stays denied counts for none of them. Who comes back to coverage starts from zero.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Ints, Lognormal, below, chance
from etl.synthetic.core.span import Span
from etl.synthetic.world import providers
from etl.synthetic.world.catalogue import in_year, sharing
from etl.synthetic.world.claims import DENIED, Claims, Draws, Unit
from etl.synthetic.world.coverage import Coverage, age_on
from etl.synthetic.world.diagnoses import Chapter, conditions, diagnoses, diagnosis_group
from etl.synthetic.world.health import NONE, Health
from etl.synthetic.world.people import FEMALE, People
from etl.synthetic.world.places import places
from etl.synthetic.world.services import INPATIENT, OUTPATIENT, PHARMACY, drgs, drugs, procedures

# Allowed amounts in cents, by claim type; specialty drugs apart.
_COST = (
    Lognormal(36_000, 0.7),
    Lognormal(104_000, 0.9),
    Lognormal(2_000_000, 0.72, tail_bits=24),
    Lognormal(10_500, 1.0),
)
_SPECIALTY_COST = Lognormal(540_000, 0.5)
_LEAST_CENTS, _MOST_CENTS = 300, 400_000_000
# Per mille of drug claims that are specialty drugs: of the others, and of those whose condition
# is treated with them, by the cost of the condition.
_SPECIALTY, _SPECIALTY_ILL = 32, 160
_SPECIALTY_FROM = 1_000
# A condition's coefficient counts by so much for the cost of each claim for it, per mille.
_SEVERITY_OF_CONDITION, _MOST_SEVERE = 110, 25_000
_OWN, _SECOND_OWN = 420, 130  # per mille of claims that are for one's conditions
_MAINTENANCE = 750  # per mille of a condition's drug claims that are for the one same drug
_CLEAN, _OUT_OF_NETWORK = 940, 50
_PRICED = 600  # per mille of claims that would be priced before they were denied
_LEAST_MARKUP, _MARKUP = 1_150, 1_900  # billed over allowed, per mille: least, and width


@dataclass(frozen=True, slots=True)
class Bills:
    """One array entry a claim of a ``Claims``. Money in cents; the rest are positions.

    ``allowed`` and ``paid`` are those of the first decision, ``final_allowed`` and
    ``final_paid`` those after an adjustment; ``priced``: whether the claim shows what it is
    allowed also while it is denied; ``drg`` counts for inpatient claims and ``drug`` for
    pharmacy claims only. ``detail``: a draw for the claim's lines and further diagnoses.
    """

    plan: Ints
    provider: Ints
    diagnosis: Ints
    procedure: Ints
    drg: Ints
    drug: Ints
    billed: Ints
    allowed: Ints
    paid: Ints
    final_allowed: Ints
    final_paid: Ints
    priced: NDArray[np.bool_]
    clean: NDArray[np.bool_]
    out_of_network: NDArray[np.bool_]
    detail: Ints

    def take(self, rows: Ints) -> Bills:
        """Those of some of the claims."""
        return Bills(*(getattr(self, f.name)[rows] for f in fields(self)))


def settle(
    span: Span,
    unit: Unit,
    claims: Claims,
    draws: Draws,
    people: People,
    health: Health,
    coverage: tuple[Coverage, Coverage],
) -> Bills:
    """Settle claims of a unit: all that the members among them have in the year."""
    at, member = claims.position, claims.member
    age = age_on(people.born[member], claims.service)
    diagnosis, own = _diagnosis(claims, draws, people, health, age)
    chapter = diagnoses().chapter[diagnosis]
    procedure = procedures().weighted(draws("procedure")[at], claims.kind * len(Chapter) + chapter)
    drg = drgs().weighted(draws("drg")[at], _chapter_of_stay(claims, diagnosis))
    drug = _drug(claims, draws, health, chapter, own)
    severity = health.severity[member].astype(np.int64)
    of_condition = np.where(own, conditions().cost[health.condition[member]], 0)
    severity += (
        severity * np.minimum(of_condition, _MOST_SEVERE) * _SEVERITY_OF_CONDITION // 1_000_000
    )
    allowed = _allowed(unit.year, claims, draws, procedure, drg, drug, severity)
    markup = _LEAST_MARKUP + below(draws("markup")[at], _MARKUP)
    billed = allowed * markup // 1000

    second = claims.part == 2
    plan = np.where(second, coverage[1].plan[member], coverage[0].plan[member])
    csr = np.where(second, coverage[1].csr[member], coverage[0].csr[member])
    denied = claims.fate == DENIED
    share = _share(unit.year, claims, plan, csr, procedure, drug, np.where(denied, 0, allowed))
    paid = np.where(denied, 0, allowed - share)
    # An adjustment pays between a fifth less and a tenth more, and leaves the member's share.
    factor = 800 + below(draws("adjustment")[at], 301)
    final_allowed = np.minimum(np.maximum(allowed * factor // 1000, share), billed)
    return Bills(
        plan,
        _provider(span, claims, draws, people, health, age, chapter, procedure),
        diagnosis,
        procedure,
        drg,
        drug,
        billed,
        allowed,
        paid,
        final_allowed,
        final_allowed - share,
        chance(draws("priced")[at], _PRICED),
        chance(draws("clean")[at], _CLEAN),
        chance(draws("out of network")[at], _OUT_OF_NETWORK),
        draws("detail")[at],
    )


def _diagnosis(
    claims: Claims, draws: Draws, people: People, health: Health, age: Ints
) -> tuple[Ints, NDArray[np.bool_]]:
    """The diagnosis of each claim, and whether it is a condition that the member bears.

    A condition counts in two claims of five, the second condition in one of eight, maternity
    care and the first month of life in their own, all else as surveyed.
    """
    at, member = claims.position, claims.member
    which = below(draws.same("own condition")[at], 1000)
    ill = (health.condition[member] != NONE) & (health.onset[member] <= claims.service)
    ill &= ~claims.is_maternity
    own = ill & (which < _OWN)
    other = ill & ~own & (which < _OWN + _SECOND_OWN) & (health.second[member] != NONE)

    point, table = draws.same("diagnosis")[at], diagnoses()
    found = table.weighted(point, surveyed_group(claims, people, age))
    special = np.flatnonzero(is_special(claims, people))
    found[special] = table.special(
        point[special], 1 - claims.is_maternity[special].astype(np.int64)
    )
    listed = conditions().diagnosis
    found = np.where(own, listed[health.condition[member]], found)
    return np.where(other, listed[health.second[member]], found), own


def surveyed_group(claims: Claims, people: People, age: Ints) -> Ints:
    """The list of surveyed diagnoses that each claim's are drawn from."""
    female = people.gender[claims.member] == FEMALE
    month = claims.service.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    return diagnosis_group(claims.kind == INPATIENT, female, age, month)


def is_special(claims: Claims, people: People) -> NDArray[np.bool_]:
    """Whether each claim's diagnoses are those of maternity care or of the first month of life."""
    return claims.is_maternity | (claims.service - people.born[claims.member] <= 28)


def _chapter_of_stay(claims: Claims, diagnosis: Ints) -> Ints:
    chapter = diagnoses().chapter[diagnosis]
    return np.where(claims.is_maternity, Chapter.PREGNANCY, chapter)


def _drug(
    claims: Claims, draws: Draws, health: Health, chapter: Ints, own: NDArray[np.bool_]
) -> Ints:
    """The drug dispensed: one for the diagnosis, mostly the same for a condition; or specialty."""
    at, member, table = claims.position, claims.member, drugs()
    habit = health.habit[member]
    same = own & chance(draws("maintenance")[at], _MAINTENANCE)
    point = np.where(same, habit, draws("drug")[at])
    common = table.first[chapter] + below(point, table.count[chapter])
    severe = own & (conditions().cost[health.condition[member]] >= _SPECIALTY_FROM)
    specialty = chance(draws("specialty drug")[at], np.where(severe, _SPECIALTY_ILL, _SPECIALTY))
    kinds = len(table.name) - table.first_specialty
    return np.where(specialty, table.first_specialty + below(habit, kinds), common)


def _allowed(
    year: int,
    claims: Claims,
    draws: Draws,
    procedure: Ints,
    drg: Ints,
    drug: Ints,
    severity: Ints,
) -> Ints:
    """Allowed amounts in cents; care becomes more expensive with the years as premiums do."""
    point = draws("cost")[claims.position]
    allowed = np.empty(len(claims), dtype=np.int64)
    for position, cost in enumerate(_COST):
        rows = np.flatnonzero(claims.kind == position)
        allowed[rows] = cost(point[rows])
    dispensed = claims.kind == PHARMACY
    costly = np.flatnonzero(dispensed & (drug >= drugs().first_specialty))
    allowed[costly] = _SPECIALTY_COST(point[costly])
    factor = np.where(claims.kind == INPATIENT, drgs().cost[drg], procedures().cost[procedure])
    factor = np.where(dispensed, 100, factor)
    # Drugs cost the same for whoever takes them.
    severity = np.where(dispensed, 1000, severity)
    severity = severity * in_year(1000, year) // 1000
    return np.clip(allowed * factor * severity // 100_000, _LEAST_CENTS, _MOST_CENTS)


@cache
def _copay_tenths() -> Ints:
    """Tenths of the plan's copay that are due for a procedure, 0 where none is due."""
    return np.where(procedures().is_visit, 10, 0)


def _share(
    year: int, claims: Claims, plan: Ints, csr: Ints, procedure: Ints, drug: Ints, allowed: Ints
) -> Ints:
    """What the member pays of each claim, in cents."""
    design = sharing(year)
    dispensed = claims.kind == PHARMACY
    tenths = np.where(dispensed, 5 * (drug < drugs().first_specialty), _copay_tenths()[procedure])
    visit = (claims.kind != OUTPATIENT) & (claims.kind != INPATIENT)
    copay = design.copay[plan, csr] * np.where(visit, tenths, 0) // 10
    by_copay = (copay > 0) | ((csr == 2) & (tenths > 0))
    free = procedures().is_preventive[procedure] & ~dispensed & (claims.kind != INPATIENT)

    # In order of service within a member's coverage; every sum below is over what came before.
    order = np.lexsort((claims.sequence, claims.service, claims.part, claims.member))
    member, part = claims.member[order], claims.part[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (member[1:] != member[:-1]) | (part[1:] != part[:-1])

    bears = np.where(by_copay | free, 0, allowed)[order]
    plan, csr = plan[order], csr[order]
    before = _sums_before(bears, begins)
    left = np.maximum(design.deductible[plan, csr] - before, 0)
    deductible = np.minimum(bears, left)
    coinsurance = (bears - deductible) * design.coinsurance[plan, csr] // 1000
    asked = np.where(by_copay, np.minimum(copay, allowed), 0)[order] + deductible + coinsurance
    asked = np.where(free[order], 0, asked)
    room = np.maximum(design.oop_max[plan, csr] - _sums_before(asked, begins), 0)
    share = np.empty(len(order), dtype=np.int64)
    share[order] = np.minimum(asked, room)
    return share


def _sums_before(amounts: Ints, begins: NDArray[np.bool_]) -> Ints:
    """For each amount the sum of those before it since its run began."""
    before = np.cumsum(amounts) - amounts
    return before - np.maximum.accumulate(np.where(begins, before, 0))


def _provider(
    span: Span,
    claims: Claims,
    draws: Draws,
    people: People,
    health: Health,
    age: Ints,
    chapter: Ints,
    procedure: Ints,
) -> Ints:
    who = draws.provider()[claims.position]
    female = people.gender[claims.member] == FEMALE
    # Care before a birth bears codes of more than one chapter.
    chapter = np.where(claims.is_maternity, Chapter.PREGNANCY, chapter)
    wanted = providers.specialty(claims.kind, chapter, procedure, age < 18, female, who)
    state = places().state[people.place[claims.member]]
    picked = providers.panel(span).pick(state, wanted, health.habit[claims.member], who)
    fresh = providers.newcomer(span, claims.service, draws("newcomer")[claims.position])
    return np.where((fresh >= 0) & (wanted >= providers.FAMILY), fresh, picked)
