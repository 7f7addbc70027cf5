"""The members feed from the world."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np

from etl.contracts.feeds import FEEDS
from etl.synthetic.core import encode
from etl.synthetic.core.reference import AGE_BANDS, AGE_GROUPS, METALS, STATES
from etl.synthetic.core.rng import Ints
from etl.synthetic.core.span import number
from etl.synthetic.world import names
from etl.synthetic.world.catalogue import plans
from etl.synthetic.world.coverage import age_on
from etl.synthetic.world.diagnoses import conditions
from etl.synthetic.world.health import COMPLEX, NONE, SEGMENTS
from etl.synthetic.world.people import GENDERS
from etl.synthetic.world.places import AREA_KINDS, REGIONS, places
from etl.synthetic.world.world import Reported, World

BLOCK = 8_192
_MONTH_DAYS = 30


def identifiers(rows: Ints) -> encode.Column:
    """``member_id``: M and eight digits."""
    return encode.join(encode.constant("M", len(rows)), encode.padded(rows, 2))


def hios_suffix() -> encode.Column:
    """CSR variants as the end of a HIOS plan variant identifier, ``-01`` to ``-06``."""
    return encode.texts(f"-{variant:02d}" for variant in range(7))


def blocks(world: World) -> Iterator[encode.Block]:
    """The members feed of the batch, a block at a time."""
    for reported in world.reported():
        for low in range(0, len(reported.rows), BLOCK):
            part = slice(low, low + BLOCK)
            some = Reported(reported.rows[part], reported.state.take(part), reported.day)
            columns = {**_person(world, some), **_plan(world, some)}
            yield encode.block(FEEDS["members"], columns)


def _person(world: World, reported: Reported) -> dict[str, encode.Column]:
    rows, who = reported.rows, reported.state
    where, size = places(), len(rows)
    first = encode.texts(names.first_names())
    last = encode.texts(names.last_names())
    small_first = encode.texts(n.lower() for n in names.first_names())
    small_last = encode.texts(n.lower().replace(" ", "") for n in names.last_names())
    # As of the evening before that day, whatever the row's own time.
    health = world.health.take(rows)
    segment, condition = health.segment(reported.day - 1), health.borne(reported.day - 1)
    label = encode.texts(conditions().label)[condition]
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
        "clinical_segment": encode.texts(SEGMENTS)[segment],
        "high_cost_member": encode.booleans(segment >= COMPLEX),
        "mutually_exclusive_hcc_condition": np.where(
            condition == NONE, encode.constant("None", 1), label
        ),
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


def _plan(world: World, reported: Reported) -> dict[str, encode.Column]:
    """What a row says of the plan: that of the latest plan year, or of the one about to begin."""
    rows, size = reported.rows, len(reported.rows)
    hios: encode.Column = np.zeros(size, dtype="S17")
    network: encode.Column = np.zeros(size, dtype="S3")
    metal: encode.Column = np.zeros(size, dtype="S15")
    year = np.zeros(size, dtype=np.int64)
    for spans in world.spans():
        at = np.flatnonzero(spans.known(reported.day)[rows])
        held, catalogue = spans.plan[rows[at]], plans(spans.year)
        csr = hios_suffix()[spans.csr[rows[at]]]
        hios[at] = encode.join(encode.texts(catalogue.plan_id)[held], csr)
        network[at] = encode.texts(catalogue.network)[held]
        metal[at] = encode.texts(METALS)[catalogue.metal[held]]
        year[at] = spans.year
    first_days = np.array([number(date(y, 1, 1)) for y in world.coverage])[
        year - min(world.coverage)
    ]
    # The band of the plan year is that of the age on its first day; newborns are 0 by then.
    age = age_on(reported.state.born, first_days)
    band = np.searchsorted([high for _, high in AGE_BANDS[:-1]], age, side="left")
    member_list = world.member_list
    months, of_year = _months(world, reported, year)
    return {
        "hios_id": hios,
        "plan_network_access_type": network,
        "plan_metal": metal,
        "age_group": encode.texts(AGE_GROUPS)[band],
        "new_member_in_period": encode.booleans(
            (member_list.start[rows] >= first_days) & (member_list.since[rows] == 0)
        ),
        "enrollment_length_continuous": encode.whole(months),
        "ra_mm": encode.hundredths(100 * of_year),
        "year": encode.whole(year, 1),
    }


def _months(world: World, reported: Reported, year: Ints) -> tuple[Ints, Ints]:
    """Months covered by now without a gap, and months covered in the row's plan year."""
    rows = reported.rows
    months, of_year = world.member_list.since[rows].copy(), np.zeros(len(rows), dtype=np.int64)
    ended = np.zeros(len(rows), dtype=np.int64)
    for spans in world.spans():
        start, end = spans.start[rows], np.minimum(spans.end[rows] + 1, reported.day)
        covered = spans.known(reported.day)[rows] & (end > start)
        own = np.where(covered, (end - start + _MONTH_DAYS // 2) // _MONTH_DAYS, 0)
        broken = covered & (ended > 0) & (start > ended)
        months = np.where(broken, 0, months) + own
        of_year += np.where(spans.year == year, own, 0)
        ended = np.where(covered, end, ended)
    return months, np.minimum(of_year, 12)
