"""The enrollments and claims feeds from the world, and with claims their details.

A denied claim is paid nothing, and most show what would have been allowed. A reversed one is
allowed and paid nothing. A pending claim shows what was billed, an estimate of 60 % of it as
allowed (the insurer has not priced it yet), and nothing paid. An adjusted claim shows the amounts
after the adjustment.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.contracts.feeds import FEEDS
from etl.synthetic.core import encode
from etl.synthetic.core.reference import STATES
from etl.synthetic.core.rng import Ints
from etl.synthetic.feeds import detail_rows
from etl.synthetic.feeds.member_rows import identifiers
from etl.synthetic.world import names, providers, services
from etl.synthetic.world.catalogue import plans
from etl.synthetic.world.claims import (
    ADJUSTED,
    APPROVED,
    DENIED,
    OVERTURNED,
    REVERSED,
    SEQUENCES,
    Claims,
)
from etl.synthetic.world.coverage import REASONS, Coverage
from etl.synthetic.world.diagnoses import diagnoses as diagnosis_tables
from etl.synthetic.world.money import Bills
from etl.synthetic.world.world import Shown, World

Flags = NDArray[np.bool_]

BLOCK = 8_192
_ESTIMATE = 60  # per cent of billed
_CHANNELS = ("retail", "mail", "specialty")
STATUSES = ("approved", "denied", "adjusted", "reversed", "pending")
PENDING = len(STATUSES) - 1


def enrollment_blocks(world: World) -> Iterator[encode.Block]:
    """The enrollments feed, a block at a time.

    The first batch shows every span by its day; a later one those sold since the last batch,
    and again those whose end became known.
    """
    known = world.member_list.known(world.today)
    for spans in world.spans():
        ended = spans.end_known(world.today)
        shown = spans.known(world.today)
        if world.sequence:
            noticed = ended & (spans.noticed == world.today - 1)
            shown &= (spans.issued == world.today) | noticed
        rows = np.flatnonzero(shown[:known])
        for low in range(0, len(rows), BLOCK):
            block = rows[low : low + BLOCK]
            cents = {
                # The member's own part: what the tax credit leaves of the premium.
                "premium_paid": spans.premium[block] - spans.aptc[block],
                "aptc_amount": spans.aptc[block],
            }
            columns = _spans(spans, block, ended, cents)
            new = (spans.issued[block] == world.today) | (world.sequence == 0)
            yield encode.block(FEEDS["enrollments"], columns, cents, new)


def _spans(
    spans: Coverage, rows: Ints, ended: Flags, cents: dict[str, Ints]
) -> dict[str, encode.Column]:
    return {
        "enrollment_id": encode.join(
            encode.constant(f"E{spans.year}", len(rows)),
            encode.padded(rows, 2),
            encode.constant(str(spans.part), len(rows)),
        ),
        "member_id": identifiers(rows),
        "plan_id": encode.texts(plans(spans.year).plan_id)[spans.plan[rows]],
        "start_date": encode.dates(spans.start[rows]),
        "end_date": encode.where(ended[rows], encode.dates(spans.end[rows])),
        "csr_variant": encode.texts(f"{n:02d}" for n in range(7))[spans.csr[rows]],
        **{name: encode.money(values) for name, values in cents.items()},
        "enrollment_reason": encode.texts(REASONS)[spans.reason[rows]],
    }


def claim_blocks(world: World, waiting: tuple[int, int] = (0, 0)) -> Iterator[encode.Block]:
    """The claims, lines and diagnoses feeds, one after the other for each unit.

    ``waiting``: as in ``World.claims``.
    """
    for shown in world.claims(waiting):
        claims = _claims(world, shown)
        if shown.now.any():
            yield claims if shown.now.all() else claims.take(np.flatnonzero(shown.now))
        if shown.detailed.any():
            yield from detail_rows.blocks(world, claims, shown)


@cache
def _tables() -> dict[str, encode.Column]:
    diagnoses, procedures = diagnosis_tables(), services.procedures()
    drgs, drugs = services.drgs(), services.drugs()
    tables = {
        "diagnosis_code": diagnoses.code,
        "ccsr_system_description": [diagnoses.chapters[at] for at in diagnoses.chapter],
        "ccsr_description": diagnoses.category,
        "procedure_code": procedures.code,
        "cpt_consumer_description": procedures.description,
        **{f"procedure_level_{n + 1}": [v[n] for v in procedures.levels] for n in range(5)},
        "ms_drg": drgs.code,
        "ms_drg_description": drgs.title,
        "ms_drg_mdc": drgs.mdc,
        "ms_drg_mdc_desc": drgs.mdc_title,
        "drug_name": drugs.name,
        "drug": drugs.generic,
        "drug_class": drugs.group,
        "drug_subclass": drugs.subgroup,
    }
    return {name: encode.texts(values) for name, values in tables.items()}


def _status(c: Claims, today: int) -> Ints:
    """The status of each claim before a day, a position in ``STATUSES``."""
    is_denied_first = (c.fate == DENIED) | (c.fate == OVERTURNED)
    first = np.where(is_denied_first, DENIED, APPROVED)
    last = np.where(c.fate == OVERTURNED, APPROVED, c.fate)
    decided = np.where(c.revised < today, last, first)
    return np.where(c.decided < today, decided, PENDING)


def _cents(status: Ints, bills: Bills) -> dict[str, Ints]:
    """The amounts of claims in this status."""
    allowed = np.where(status == ADJUSTED, bills.final_allowed, bills.allowed)
    allowed = np.where(status == PENDING, bills.billed * _ESTIMATE // 100, allowed)
    unpriced = (status == REVERSED) | ((status == DENIED) & ~bills.priced)
    paid = np.where(status == ADJUSTED, bills.final_paid, bills.paid)
    is_paid = (status == APPROVED) | (status == ADJUSTED)
    return {
        "claim_amount": bills.billed,
        "allowed_amount": np.where(unpriced, 0, allowed),
        "paid_amount": np.where(is_paid, paid, 0),
    }


def _claims(world: World, shown: Shown) -> encode.Block:
    unit, c, bills = shown.unit, shown.claims, shown.bills
    size, kind = len(c), c.kind
    status = _status(c, world.today)
    cents = _cents(status, bills)
    decided = status != PENDING
    stay, dispensed = kind == services.INPATIENT, kind == services.PHARMACY
    nights = c.discharge - c.service
    money = {name: encode.money(values) for name, values in cents.items()}
    drug = bills.drug
    channel = np.where(drug >= services.drugs().first_specialty, 2, drug % 5 == 0)
    # Paid when approved, reversed or not; what an adjustment changes is paid on its day.
    paid_again = (status == ADJUSTED) | (c.fate == OVERTURNED)
    paid_on = np.where(paid_again, c.revised, c.decided)
    tables = _tables()

    def pick(names_: tuple[str, ...], at: Ints) -> dict[str, encode.Column]:
        return {name: tables[name][at] for name in names_}

    def pick_where(names_: tuple[str, ...], at: Ints, present: Flags) -> dict[str, encode.Column]:
        return {name: encode.where(present, tables[name][at]) for name in names_}

    columns = {
        "claim_id": encode.join(
            encode.constant(f"C{unit.year}", size),
            encode.padded(c.member * SEQUENCES + c.sequence, 3),
        ),
        "member_id": identifiers(c.member),
        "plan_id": encode.texts(plans(unit.year).plan_id)[bills.plan],
        "service_date": encode.dates(c.service),
        "claim_from": encode.dates(c.service),
        **money,
        "charges": money["claim_amount"],
        "allowed": money["allowed_amount"],
        "status": encode.texts(STATUSES)[status],
        "clean_claim_status": encode.texts(("not clean", "clean"))[bills.clean.astype(int)],
        "clean_claim_out": encode.where(decided, encode.dates(c.decided)),
        "paid_date": encode.where(decided & (status != DENIED), encode.dates(paid_on)),
        "utilization": encode.constant("1.00", size),
        "hcg_units_days": encode.hundredths(np.where(stay, 100 * nights, 100)),
        "claim_type": encode.texts(services.CLAIM_TYPES)[kind],
        "major_service_category": encode.texts(services.SERVICES)[kind],
        "detailed_service_category": tables["procedure_level_3"][bills.procedure],
        "admit_date": encode.where(stay, encode.dates(c.service)),
        "discharge_date": encode.where(stay, encode.dates(c.discharge)),
        "is_oon": encode.booleans(bills.out_of_network),
        "channel": encode.where(dispensed, encode.texts(_CHANNELS)[channel]),
        "cpt": tables["procedure_code"][bills.procedure],
        **pick(("diagnosis_code", "ccsr_system_description", "ccsr_description"), bills.diagnosis),
        **pick(
            (
                *("procedure_code", "cpt_consumer_description"),
                *(f"procedure_level_{n}" for n in range(1, 6)),
            ),
            bills.procedure,
        ),
        **pick_where(
            ("ms_drg", "ms_drg_description", "ms_drg_mdc", "ms_drg_mdc_desc"), bills.drg, stay
        ),
        **pick_where(("drug_name", "drug", "drug_class", "drug_subclass"), drug, dispensed),
        **_provider(world, bills.provider),
    }
    return encode.block(FEEDS["claims"], columns, cents, shown.new)


def _provider(world: World, rows: Ints) -> dict[str, encode.Column]:
    # What the claim says of the provider is what was so when the provider entered.
    entered = providers.draw(world.span.seed, len(world.providers))
    return {
        "provider_id": providers.identifiers(len(world.providers))[rows],
        "provider_specialty": encode.texts(providers.SPECIALTIES)[entered.specialty[rows]],
        "provider_group_name": encode.texts(names.groups())[entered.group[rows]],
        "best_contracting_entity_name": encode.texts(f"{s} Preferred Network" for s in STATES)[
            entered.state[rows]
        ],
    }
