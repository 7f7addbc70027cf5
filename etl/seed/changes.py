"""What changes about members from day to day, replayed from the seed.

State, sex and household stay, so that the plan held stays on offer; income changes within its
band of the open-enrolment counts, so that the cost-sharing variant stays lawful (a change of
eligibility in mid-year is not modelled). Claims do not read what is changed here.
"""

from __future__ import annotations

from datetime import date

import numpy as np

from etl.seed import names
from etl.seed.people import People, income, income_band
from etl.seed.places import places
from etl.seed.rng import Dice, Ints, Weighted, below
from etl.seed.span import Span, number

# Chances of each event among those touched: four in ten have nothing but Type 1 noise.
_EVENTS = {
    "move": 100,
    "income": 140,
    "broker": 80,
    "marriage": 40,
    "segment": 80,
    "engagement": 160,
    "noise": 400,
}
_SEGMENTS = (54, 18, 0, 21, 4, 1)
_DAILY = 100  # one member in so many is touched each day


def change(span: Span, state: People, day: date) -> Ints:
    """Change members in place as of the batch of ``day``; returns who was touched.

    Each touched member has one event of ``_EVENTS``, and ``updated`` within the day before.
    """
    before = span.population(date.fromordinal(day.toordinal() - 1))
    dice = Dice(span.seed, "member changes", number(day))
    size = max(5, before // _DAILY)
    who = np.unique(below(dice("who", size), before))
    size = len(who)
    event = Weighted(tuple(_EVENTS.values()))(dice("event", size))
    point, second = dice("point", size), dice("second point", size)

    def rows(name: str) -> tuple[Ints, Ints, Ints]:
        at = np.flatnonzero(event == list(_EVENTS).index(name))
        return who[at], point[at], second[at]

    moved, a, b = rows("move")
    state.place[moved] = places().within(places().state[state.place[moved]], a)
    state.street[moved] = below(b, names.STREETS)
    state.house[moved] = 1 + below(a ^ b, 9_999)
    earning, a, _ = rows("income")
    state.fpl[earning] = income(income_band(state.fpl[earning]), a)
    served, a, b = rows("broker")
    state.broker[served] = below(a, names.BROKERS)
    state.agency[served] = below(b, names.AGENCIES)
    married, a, _ = rows("marriage")
    state.last_name[married] = below(a, names.LAST_NAMES)
    ill, a, _ = rows("segment")
    state.segment[ill] = Weighted(_SEGMENTS)(a)
    engaged, a, b = rows("engagement")
    state.app_logins[engaged] += 1 + below(a, 4)
    state.web_logins[engaged] += 1 + below(b, 3)
    state.new_provider[engaged] = 1
    # Noise touches counters and the e-mail address only: no change driver.
    noisy, a, b = rows("noise")
    state.calls[noisy] += 1 + below(a, 3)
    state.mail_number[noisy] = below(b, 10_000)

    state.updated[who] = (number(day) - 1) * 86_400 + below(dice("second", size), 86_400)
    return who


def renewed(span: Span, state: People, who: Ints, january: date) -> None:
    """Mark members whose row changes because a plan year begins, at midnight of that day."""
    state.updated[who] = number(january) * 86_400
