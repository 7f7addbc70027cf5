"""What checks compare with that is published or declared: curves, lists of diagnoses, variants."""

from __future__ import annotations

from functools import cache
from typing import cast

from etl.contracts.column import OneOf
from etl.contracts.feeds import FEEDS
from etl.db.statements import Values
from etl.reference import age_curve, diagnosis_categories, state_age_curves


@cache
def reference_values() -> Values:
    """The values by the names under which statements of checks bind them."""
    variants = cast(OneOf, FEEDS["enrollments"].column("csr_variant").check).values
    return {"categories": list(diagnosis_categories()), "variants": list(variants), **_curves()}


def _curves() -> Values:
    """Premium factors by state and age in whole years; the last age is that of all older people.

    The federal curve is that of the state ''.
    """
    curves = {"": age_curve(), **state_age_curves()}
    oldest = max(first for curve in curves.values() for first, _ in curve)
    rows = [
        (state, age, next(factor for first, factor in reversed(curve) if first <= age))
        for state, curve in curves.items()
        for age in range(oldest + 1)
    ]
    states, ages, factors = map(list, zip(*rows, strict=True))
    return {
        "own_curves": list(state_age_curves()),
        "curve_states": states,
        "curve_ages": ages,
        "curve_factors": factors,
        "oldest": oldest,
    }
