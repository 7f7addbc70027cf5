"""The members feed from the world."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np

from etl.seed import encode, names
from etl.seed.catalogue import plans
from etl.seed.clinical import conditions
from etl.seed.coverage import age_on
from etl.seed.people import FIRST_CHRONIC, GENDERS, SEGMENTS
from etl.seed.places import AREA_KINDS, REGIONS, places
from etl.seed.reference import AGE_BANDS, AGE_GROUPS, METALS, STATES
from etl.seed.rng import Ints
from etl.seed.span import number
from etl.seed.world import World
from etl.sources import FEEDS

BLOCK = 8_192
_FIRST_HIGH_COST = 4  # complex chronic and catastrophic segments
_MONTH_DAYS = 30


def identifiers(rows: Ints) -> encode.Column:
    """``member_id``: M and eight digits."""
    return encode.join(encode.constant("M", len(rows)), encode.padded(rows, 2))


def hios_suffix() -> encode.Column:
    """CSR variants as the end of a HIOS plan variant identifier, ``-01`` to ``-06``."""
    return encode.texts(f"-{variant:02d}" for variant in range(7))


def blocks(world: World) -> Iterator[encode.Block]:
    """The members feed: one block of the touched members, a block at a time."""
    year, plan = world.latest()
    months = _months(world)
    for low in range(0, len(world.touched), BLOCK):
        rows = world.touched[low : low + BLOCK]
        columns = {
            **_person(world, rows),
            **_plan(world, rows, year[rows], plan[rows]),
            "enrollment_length_continuous": encode.whole(sum(months.values())[rows]),
            "ra_mm": encode.hundredths(100 * _of_year(months, year)[rows]),
        }
        yield encode.block(FEEDS["members"], columns)


def _months(world: World) -> dict[int, Ints]:
    """Months covered by now, by plan year. A member never returns, so all are continuous."""
    months = {}
    for year, spans in world.coverage.items():
        days = np.minimum(spans.end + 1, world.today) - spans.start
        held = np.where(spans.held, np.maximum(days, 0), 0)
        months[year] = np.minimum((held + _MONTH_DAYS // 2) // _MONTH_DAYS, 12)
    return months


def _of_year(months: dict[int, Ints], year: Ints) -> Ints:
    found = np.zeros(len(year), dtype=np.int64)
    for plan_year, count in months.items():
        found = np.where(year == plan_year, count, found)
    return found


def _person(world: World, rows: Ints) -> dict[str, encode.Column]:
    who, where = world.members.take(rows), places()
    size = len(rows)
    first = encode.texts(names.first_names())
    last = encode.texts(names.last_names())
    small_first = encode.texts(n.lower() for n in names.first_names())
    small_last = encode.texts(n.lower().replace(" ", "") for n in names.last_names())
    sick = who.segment >= FIRST_CHRONIC
    condition = encode.texts(conditions().label)[who.condition]
    return {
        "member_id": identifiers(rows),
        "first_name": first[who.first_name],
        "last_name": last[who.last_name],
        "dob": encode.dates(who.born),
        "gender": encode.texts(GENDERS)[who.gender],
        "email": encode.join(
            small_first[who.first_name],
            encode.constant(".", size),
            small_last[world.entrants.last_name[rows]],
            encode.whole(who.mail_number, 1),
            encode.texts(("@example.com", "@example.org"))[who.mail_domain],
        ),
        "phone": names.phones()[who.phone],
        "street": encode.join(
            encode.whole(who.house, 1),
            encode.constant(" ", size),
            encode.texts(names.streets())[who.street],
        ),
        "city": encode.texts(where.city)[who.place],
        "state": encode.texts(STATES)[where.state[who.place]],
        "zip": encode.texts(where.zip_code)[who.place],
        "region": encode.texts(REGIONS)[where.region[who.place]],
        "geographic_reporting": encode.texts(AREA_KINDS)[where.kind[who.place]],
        "wisconsin_area_deprivation_index": encode.hundredths(who.adi),
        "fpl_ratio": encode.join(
            encode.whole(who.fpl // 1000, 1),
            encode.texts(f".{n:03d}" for n in range(1000))[who.fpl % 1000],
        ),
        "clinical_segment": encode.texts(SEGMENTS)[who.segment],
        "high_cost_member": encode.booleans(who.segment >= _FIRST_HIGH_COST),
        "mutually_exclusive_hcc_condition": np.where(sick, condition, encode.constant("None", 1)),
        "general_agency_name": encode.texts(names.agencies())[who.agency],
        "broker_name": encode.texts(names.brokers())[who.broker],
        "sa_contracting_entity_name": encode.texts(f"{s} Preferred Network" for s in STATES)[
            where.state[who.place]
        ],
        "call_count": encode.whole(who.calls),
        "app_login_count": encode.whole(who.app_logins),
        "web_login_count": encode.whole(who.web_logins),
        "member_used_app": encode.booleans(who.app_logins > 0),
        "member_had_web_login": encode.booleans(who.web_logins > 0),
        "member_visited_new_provider_ind": encode.booleans(who.new_provider > 0),
        "source_updated_at": encode.instants(who.updated),
    }


def _plan(world: World, rows: Ints, year: Ints, plan: Ints) -> dict[str, encode.Column]:
    hios: encode.Column = np.zeros(len(rows), dtype="S17")
    network: encode.Column = np.zeros(len(rows), dtype="S3")
    metal: encode.Column = np.zeros(len(rows), dtype="S15")
    first_days = np.zeros(len(rows), dtype=np.int64)
    for plan_year, spans in world.coverage.items():
        at = np.flatnonzero(year == plan_year)
        held, catalogue = plan[at], plans(plan_year)
        csr = hios_suffix()[spans.csr[rows[at]]]
        hios[at] = encode.join(encode.texts(catalogue.plan_id)[held], csr)
        network[at] = encode.texts(catalogue.network)[held]
        metal[at] = encode.texts(METALS)[catalogue.metal[held]]
        first_days[at] = number(date(plan_year, 1, 1))
    # The band of the plan year is that of the age on its first day; newborns are 0 by then.
    age = age_on(world.members.born[rows], first_days)
    band = np.searchsorted([high for _, high in AGE_BANDS[:-1]], age, side="left")
    return {
        "hios_id": hios,
        "plan_network_access_type": network,
        "plan_metal": metal,
        "age_group": encode.texts(AGE_GROUPS)[band],
        "new_member_in_period": encode.booleans(world.entries.start[rows] >= first_days),
        "year": encode.whole(year, 1),
    }
