"""The members: who they are. Their plans are in ``coverage``, their illnesses in ``health``.

``draw`` gives the members as they entered. The increments change a copy (see ``changes``);
coverage and claims are drawn from the members as they entered, so that a later change leaves
every earlier span and claim as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.reference import AGE_BANDS, Mix, mixes
from etl.synthetic.core.rng import Dice, Ints, Weighted, below, chance
from etl.synthetic.world import households, names
from etl.synthetic.world.households import ADULT, CHILD, SPOUSE
from etl.synthetic.world.member_list import MemberList

GENDERS = ("F", "M", "X", "U")
FEMALE = 0
_OWN_NAME = 180  # per mille of spouses and children who bear another family name
_OWN_PHONE = 700
_SAME_SEX = 30


@dataclass(slots=True)
class People:
    """One array entry a member. Names, ZIP and so on are positions in their lists.

    ``born``: days since 1970; ``fpl``: income in thousandths of the poverty level; ``adi``:
    hundredths; ``updated``: seconds since 1970, when the member last changed.
    """

    first_name: NDArray[np.int32]
    last_name: NDArray[np.int32]
    born: NDArray[np.int32]
    gender: NDArray[np.int32]
    mail_domain: NDArray[np.int32]
    mail_number: NDArray[np.int32]
    phone: NDArray[np.int32]
    house: NDArray[np.int32]
    street: NDArray[np.int32]
    place: NDArray[np.int32]
    fpl: NDArray[np.int32]
    agency: NDArray[np.int32]
    broker: NDArray[np.int32]
    adi: NDArray[np.int32]
    calls: NDArray[np.int32]
    app_logins: NDArray[np.int32]
    web_logins: NDArray[np.int32]
    new_provider: NDArray[np.int32]
    updated: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.born)

    def copy(self) -> People:
        """The same people in arrays of their own."""
        return People(*(getattr(self, f.name).copy() for f in fields(self)))

    def take(self, rows: Ints | slice) -> People:
        """Some of the people, in arrays of their own if ``rows`` are positions."""
        return People(*(getattr(self, f.name)[rows] for f in fields(self)))


def _in_band(band: Ints, point: Ints) -> Ints:
    low, high = np.array(AGE_BANDS).T
    return low[band] + below(point, (high - low + 1)[band])


def age_at_entry(seed: int, member_list: MemberList) -> Ints:
    """Age in whole years on the day of sale; 0 for the newborn."""
    home, size = member_list.household, len(member_list)
    homes = member_list.households
    point = Dice(seed, "people")("age", size)
    child = below(point, np.minimum(18, homes.age[home] - 16))
    age = np.where(member_list.role == SPOUSE, _in_band(homes.band[home], point), homes.age[home])
    return np.where(member_list.newborn, 0, np.where(member_list.role == CHILD, child, age))


def draw(seed: int, member_list: MemberList) -> People:
    """The members of a member_list; the first rows are the same however many it has."""
    size, home, homes = len(member_list), member_list.household, member_list.households
    dice = Dice(seed, "people")
    shared = {name: getattr(homes, name)[home] for name in _SHARED}
    age = age_at_entry(seed, member_list)
    # At least one year's width inside the age: never a day older than the band allows.
    birthday = member_list.entered - 365 * age - age // 4 - 1 - below(dice("birthday", size), 364)
    female = _is_female(dice, member_list)
    unstated = Weighted((990, 6, 4))(dice("unstated", size))
    own_name = chance(dice("own name", size), _OWN_NAME) & (member_list.role != ADULT)
    own_phone = chance(dice("own phone", size), _OWN_PHONE) & (member_list.role != CHILD)
    logins = below(dice("app logins", size), 60) * chance(dice("uses app", size), 420)
    first_name = below(dice("first name", size), names.FIRST_NAMES)
    last_name = below(dice("last name", size), names.LAST_NAMES)
    phones = names.AREA_CODES * 100
    line = dice("home phone", len(homes))[home]
    attributes = {
        **shared,
        "first_name": first_name + names.FIRST_NAMES * ~female,
        "last_name": np.where(own_name, last_name, shared["last_name"]),
        "born": np.where(member_list.newborn, member_list.start, birthday),
        "gender": np.where(unstated > 0, unstated + 1, np.where(female, 0, 1)),
        "mail_domain": below(dice("mail domain", size), 2),
        "mail_number": below(dice("mail number", size), 10_000),
        "phone": below(np.where(own_phone, dice("phone", size), line), phones),
        "adi": 100 + (shared["place"] * 7_919 + shared["street"]) % 9_901,
        "calls": below(below(dice("calls", size), 1 << 16) ** 2, 6),
        "app_logins": logins,
        "web_logins": below(dice("web logins", size), 40) * chance(dice("uses web", size), 510),
        "new_provider": chance(dice("new provider", size), 350),
        "updated": (member_list.entered - 1) * 86_400 + below(dice("entry second", size), 86_400),
    }
    kinds = {f.name: np.int64 if f.name == "updated" else np.int32 for f in fields(People)}
    return People(**{name: values.astype(kinds[name]) for name, values in attributes.items()})


# What the members of a household share, by the names that both bear.
_SHARED = ("last_name", "place", "street", "house", "fpl", "agency", "broker")


def _is_female(dice: Dice, member_list: MemberList) -> NDArray[np.bool_]:
    """Sexes such that each state's share of women comes out: spouses are mostly of the other."""
    size, home = len(member_list), member_list.household
    homes = member_list.households
    of_singles = np.array([_women_among_singles(mix) for mix in mixes()])
    single = (member_list.role == ADULT) & (homes.adults[home] == 1)
    female = chance(dice("female", size), np.where(single, of_singles[homes.state[home]], 500))
    # The spouse's sex follows from the draw of the adult before, who is the row before.
    partner = np.concatenate([female[:1], female[:-1]])
    same = chance(dice("same sex", size), _SAME_SEX)
    return np.where(member_list.role == SPOUSE, partner == same, female)


def _women_among_singles(mix: Mix) -> int:
    """Per mille of single adults that are women: half of couples and of children are."""
    singles = households.SINGLES * (mix.consumers - mix.ages[0]) / mix.consumers
    return round(1000 * (mix.female / mix.consumers - 0.5 * (1 - singles)) / singles)
