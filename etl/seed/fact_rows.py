"""The enrollments and claims feeds from the world.

A denied claim is allowed and paid nothing. A pending claim shows what was billed, an estimate
of 60 % of it as allowed (the insurer has not priced it yet), and nothing paid.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from etl.seed import clinical, encode, names, providers
from etl.seed.catalogue import plans
from etl.seed.claims import BLOCK_MEMBERS, Claims
from etl.seed.coverage import REASONS, Coverage
from etl.seed.member_rows import identifiers
from etl.seed.reference import STATES
from etl.seed.rng import Ints
from etl.seed.world import World
from etl.sources import FEEDS

Flags = NDArray[np.bool_]

BLOCK = 8_192
_ESTIMATE = 60  # per cent of billed
_CHANNELS = ("retail", "mail", "specialty")
STATUSES = ("pending", "approved", "denied")
PENDING, APPROVED, DENIED = range(3)


def enrollment_blocks(world: World) -> Iterator[encode.Block]:
    """The enrollments feed, a block at a time.

    The first batch shows every span by its day; a later one those sold since the last batch,
    and again those whose end became known.
    """
    for spans in world.coverage.values():
        ended = spans.ends_early & (spans.noticed < world.today)
        shown = spans.held & (spans.issued <= world.today)
        if world.sequence:
            shown &= (spans.issued == world.today) | (ended & (spans.noticed == world.today - 1))
        rows = np.flatnonzero(shown)
        for low in range(0, len(rows), BLOCK):
            block = rows[low : low + BLOCK]
            cents = {
                # The member's own part: what the tax credit leaves of the premium.
                "premium_paid": spans.premium[block] - spans.aptc[block],
                "aptc_amount": spans.aptc[block],
            }
            columns = _spans(spans, block, ended, cents)
            yield encode.block(FEEDS["enrollments"], columns, cents)


def _spans(
    spans: Coverage, rows: Ints, ended: Flags, cents: dict[str, Ints]
) -> dict[str, encode.Column]:
    return {
        "enrollment_id": encode.join(
            encode.constant(f"E{spans.year}", len(rows)), encode.padded(rows, 2)
        ),
        "member_id": identifiers(rows),
        "plan_id": encode.texts(plans(spans.year).plan_id)[spans.plan[rows]],
        "start_date": encode.dates(spans.start[rows]),
        "end_date": encode.where(ended[rows], encode.dates(spans.end[rows])),
        "csr_variant": encode.texts(f"{n:02d}" for n in range(7))[spans.csr[rows]],
        **{name: encode.money(values) for name, values in cents.items()},
        "enrollment_reason": encode.texts(REASONS)[spans.reason[rows]],
    }


def claim_blocks(world: World) -> Iterator[encode.Block]:
    """The claims feed, a unit at a time."""
    for drawn, rows in world.claims():
        if len(rows):
            yield _claims(world, drawn, rows)


@cache
def _tables() -> dict[str, encode.Column]:
    diagnoses, procedures = clinical.diagnoses(), clinical.procedures()
    drgs, drugs = clinical.drgs(), clinical.drugs()
    tables = {
        "diagnosis_code": diagnoses.code,
        "ccsr_system_description": diagnoses.chapter,
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


def _claims(world: World, c: Claims, rows: Ints) -> encode.Block:
    size, kind = len(rows), c.kind[rows]
    decided = c.decided[rows] < world.today
    status = np.where(decided, np.where(c.denied[rows], DENIED, APPROVED), PENDING)
    billed = c.billed[rows]
    allowed = np.where(decided, c.allowed[rows], billed * _ESTIMATE // 100)
    paid = np.where(decided, c.paid[rows], 0)
    stay, dispensed = kind == clinical.INPATIENT, kind == clinical.PHARMACY
    nights = c.discharge[rows] - c.service[rows]
    cents = {"claim_amount": billed, "allowed_amount": allowed, "paid_amount": paid}
    money = {name: encode.money(values) for name, values in cents.items()}
    drug = c.drug[rows]
    channel = np.where(drug >= clinical.drugs().first_specialty, 2, drug % 5 == 0)
    tables = _tables()

    def pick(names_: tuple[str, ...], at: Ints) -> dict[str, encode.Column]:
        return {name: tables[name][at] for name in names_}

    def pick_where(names_: tuple[str, ...], at: Ints, present: Flags) -> dict[str, encode.Column]:
        return {name: encode.where(present, tables[name][at]) for name in names_}

    columns = {
        "claim_id": encode.join(
            encode.constant(f"C{c.unit.label}", size),
            encode.padded(np.full(size, c.unit.low // BLOCK_MEMBERS), 1),
            encode.padded(c.sequence[rows], 2),
        ),
        "member_id": identifiers(c.member[rows]),
        "plan_id": encode.texts(plans(c.unit.year).plan_id)[c.plan[rows]],
        "service_date": encode.dates(c.service[rows]),
        "claim_from": encode.dates(c.service[rows]),
        **money,
        "charges": money["claim_amount"],
        "allowed": money["allowed_amount"],
        "status": encode.texts(STATUSES)[status],
        "clean_claim_status": encode.texts(("not clean", "clean"))[c.clean[rows].astype(int)],
        "clean_claim_out": encode.where(decided, encode.dates(c.decided[rows])),
        "paid_date": encode.where(status == APPROVED, encode.dates(c.decided[rows])),
        "utilization": encode.constant("1.00", size),
        "hcg_units_days": encode.hundredths(np.where(stay, 100 * nights, 100)),
        "claim_type": encode.texts(clinical.CLAIM_TYPES)[kind],
        "major_service_category": encode.texts(clinical.SERVICES)[kind],
        "detailed_service_category": tables["procedure_level_3"][c.procedure[rows]],
        "admit_date": encode.where(stay, encode.dates(c.service[rows])),
        "discharge_date": encode.where(stay, encode.dates(c.discharge[rows])),
        "is_oon": encode.booleans(c.out_of_network[rows]),
        "channel": encode.where(dispensed, encode.texts(_CHANNELS)[channel]),
        "cpt": tables["procedure_code"][c.procedure[rows]],
        **pick(
            ("diagnosis_code", "ccsr_system_description", "ccsr_description"), c.diagnosis[rows]
        ),
        **pick(
            (
                *("procedure_code", "cpt_consumer_description"),
                *(f"procedure_level_{n}" for n in range(1, 6)),
            ),
            c.procedure[rows],
        ),
        **pick_where(
            ("ms_drg", "ms_drg_description", "ms_drg_mdc", "ms_drg_mdc_desc"), c.drg[rows], stay
        ),
        **pick_where(("drug_name", "drug", "drug_class", "drug_subclass"), drug, dispensed),
        **_provider(world, c.provider[rows]),
    }
    return encode.block(FEEDS["claims"], columns, cents)


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
