"""Pools of invented names, made once by Faker and then picked by position.

The pools do not depend on the seed of a run. Names are put together at random; that one equals
a living person's is chance. Telephone numbers end in 555-0100 to 555-0199, which are reserved
for fiction, and e-mail addresses use the domains of RFC 2606.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from faker import Faker

from etl.synthetic.core import encode

FIRST_NAMES = 1_000  # of each sex
LAST_NAMES = 1_500
STREETS = 1_500
AGENCIES = 40
BROKERS = 400
GROUPS = 120
AREA_CODES = 40
_POOL_SEED = 20_240_101


def _pool(size: int, make: Callable[[Faker], str]) -> tuple[str, ...]:
    fake = Faker("en_US", use_weighting=False)
    fake.seed_instance(_POOL_SEED)
    return tuple(make(fake) for _ in range(size))


@cache
def first_names() -> tuple[str, ...]:
    """``FIRST_NAMES`` female names, then as many male ones."""
    female = _pool(FIRST_NAMES, lambda f: f.first_name_female())
    return female + _pool(FIRST_NAMES, lambda f: f.first_name_male())


@cache
def last_names() -> tuple[str, ...]:
    """Family names."""
    return _pool(LAST_NAMES, lambda f: f.last_name())


@cache
def streets() -> tuple[str, ...]:
    """Street names without a number."""
    return _pool(STREETS, lambda f: f.street_name())


@cache
def agencies() -> tuple[str, ...]:
    """General agencies."""
    return _pool(AGENCIES, lambda f: f"{f.last_name()} & {f.last_name()} General Agency")


@cache
def brokers() -> tuple[str, ...]:
    """Brokers of record; the first entry means a sale without one."""
    return ("Direct", *_pool(BROKERS - 1, lambda f: f"{f.first_name()} {f.last_name()}"))


@cache
def groups() -> tuple[str, ...]:
    """Group practices, an even share of each kind."""
    kinds = ("Medical Group", "Physicians", "Health Partners", "Clinic")
    names = _pool(GROUPS, lambda f: f.last_name())
    return tuple(f"{name} {kinds[i % len(kinds)]}" for i, name in enumerate(names))


@cache
def phones() -> encode.Column:
    """``AREA_CODES`` times 100 numbers of the fictional kind, as a CSV lookup table."""
    return encode.texts(
        f"({201 + 17 * area}) 555-{100 + line:04d}"
        for area in range(AREA_CODES)
        for line in range(100)
    )
