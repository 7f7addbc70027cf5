"""What changes about members from day to day, replayed from the seed.

State and sex stay, so that the plan stays on offer; income changes within its band of the
open-enrollment counts, so that the cost-sharing variant stays lawful (a change of eligibility in
mid-year is not modelled). A household moves, earns and is served as one. Claims and coverage do
not read what is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Dice, Ints, Weighted, below, chance
from etl.synthetic.core.span import Span, number
from etl.synthetic.world import names
from etl.synthetic.world.health import Health
from etl.synthetic.world.households import income, income_band
from etl.synthetic.world.member_list import MemberList
from etl.synthetic.world.people import People
from etl.synthetic.world.places import places

# Chances of each event among those touched: nearly half have nothing but Type 1 noise.
_EVENTS = {
    "move": 90,
    "income": 120,
    "broker": 80,
    "marriage": 40,
    "engagement": 200,
    "noise": 470,
}
_DAILY = 250  # one member in so many is touched each day
_LEAST = 5
# Of those touched, per mille: reported only days later; changed as of an earlier time.
_HELD_BACK, _BACKDATED = 60, 40
# A delayed row comes so many days later, and the member changes again in between.
HELD_DAYS, _AGAIN_DAYS = 5, 2
_BACKDATED_FROM, _BACKDATED_DAYS = 5, 60


@dataclass(frozen=True, slots=True)
class Touched:
    """Whose row changes on a day, the batch after which brings it.

    ``held``: those of ``now`` whose row is delayed; ``earlier``: those whose change is true
    from an earlier time on, and ``since``: from when, seconds since 1970.
    """

    now: Ints
    held: Ints
    earlier: Ints
    since: Ints


def change(
    span: Span,
    state: People,
    member_list: MemberList,
    health: Health,
    day: date,
    present: NDArray[np.bool_],
    due_again: Ints,
    *,
    may_hold: bool,
) -> Touched:
    """Change members in place as of the batch of ``day``.

    Only those ``present`` change, each by one event of ``_EVENTS`` or by what became of its
    health, and ``updated`` within the day before. ``due_again``: who changes whatever is drawn.
    """
    today = number(day)
    before = member_list.known(today - 1)
    dice = Dice(span.seed, "member changes", today)
    drawn = np.unique(below(dice("who", max(_LEAST, before // _DAILY)), before))
    touched = _events(state, member_list, dice, np.union1d(drawn[present[drawn]], due_again))
    turned = np.flatnonzero(health.turned(today - 1)[:before])
    now = np.union1d(touched, turned)
    # Who is yet to be born into a household finds it as it is by then.
    now = now[now < before]
    state.updated[now] = (today - 1) * 86_400 + below(dice("second", len(now)), 86_400)
    # The others are unknown to the sender at present: their change shows when they come back.
    now = now[present[now]]

    fate = below(dice("fate", len(now)), 1000)
    held = now[fate < _HELD_BACK] if may_hold else now[:0]
    earlier = now[(fate >= _HELD_BACK) & (fate < _HELD_BACK + _BACKDATED)]
    days_ago = _BACKDATED_FROM + below(dice("since", len(earlier)), _BACKDATED_DAYS)
    since = state.updated[earlier] - days_ago * 86_400
    born = state.born[earlier].astype(np.int64) * 86_400
    return Touched(now, held, earlier, np.maximum(since, born))


def due_again(held: dict[int, Ints], today: int) -> Ints:
    """Who changes a second time on a day, since a row of theirs was held back (by its day)."""
    return held.get(today - _AGAIN_DAYS, np.zeros(0, dtype=np.int64))


def _events(state: People, member_list: MemberList, dice: Dice, who: Ints) -> Ints:
    """One event for each member; returns all whom the events concern, households included."""
    size = len(who)
    event = Weighted(tuple(_EVENTS.values()))(dice("event", size))
    point, second = dice("point", size), dice("second point", size)
    concerned = [who]

    def rows(name: str) -> Ints:
        return np.flatnonzero(event == list(_EVENTS).index(name))

    def together(at: Ints) -> tuple[Ints, Ints, Ints]:
        """The members of the households that these belong to, with the draws of each."""
        homes, first = np.unique(member_list.household[who[at]], return_index=True)
        known = np.flatnonzero(np.isin(member_list.household[: len(state)], homes))
        index = at[first][np.searchsorted(homes, member_list.household[known])]
        concerned.append(known)
        return known, point[index], second[index]

    moved, a, b = together(rows("move"))
    state.place[moved] = places().within(places().state[state.place[moved]], a)
    state.street[moved] = below(b, names.STREETS)
    state.house[moved] = 1 + below(a ^ b, 9_999)
    earning, a, _ = together(rows("income"))
    state.fpl[earning] = income(income_band(state.fpl[earning]), a)
    served, a, b = together(rows("broker"))
    state.broker[served] = below(a, names.BROKERS)
    state.agency[served] = below(b, names.AGENCIES)
    married = rows("marriage")
    state.last_name[who[married]] = below(point[married], names.LAST_NAMES)
    engaged = rows("engagement")
    state.app_logins[who[engaged]] += 1 + below(point[engaged], 4)
    state.web_logins[who[engaged]] += 1 + below(second[engaged], 3)
    state.new_provider[who[engaged]] |= chance(point[engaged], 300)
    # Noise touches counters and the e-mail address only: no change driver.
    noisy = rows("noise")
    state.calls[who[noisy]] += 1 + below(point[noisy], 3)
    state.mail_number[who[noisy]] = below(second[noisy], 10_000)
    return np.unique(np.concatenate(concerned))
