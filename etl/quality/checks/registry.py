"""Every check there is, by what answers it, and those that a stage must pass before it lasts."""

from __future__ import annotations

from collections.abc import Callable

from etl.contracts.checks import Check
from etl.quality.checks.arrivals import arrival_checks
from etl.quality.checks.business import business_checks
from etl.quality.checks.cubes import cube_checks, cubes_gate, moved_cubes_gate
from etl.quality.checks.dims import dimension_checks, dims_gate
from etl.quality.checks.facts import fact_checks, facts_gate
from etl.quality.checks.past import past_checks
from etl.quality.checks.sql import SqlCheck
from etl.quality.checks.staging import stage_gate, staging_checks
from etl.render.expectations import suites

# Which checks run in a stage's transaction, on the rows of the load in hand; how much came, of what
# kind and when is judged once all is in. Cubes have two gates: see ``etl.stages.cubes.refresh``.
_GATES: dict[str, Callable[[], tuple[SqlCheck, ...]]] = {
    "stage": stage_gate,
    "dims": dims_gate,
    "facts": facts_gate,
    "cubes": cubes_gate,
    "moved_cubes": moved_cubes_gate,
    "arrivals": arrival_checks,
}


def sql_checks() -> tuple[SqlCheck, ...]:
    """Every check in SQL, in the order in which they run."""
    return (
        *staging_checks(),
        *dimension_checks(),
        *fact_checks(),
        *past_checks(),
        *cube_checks(),
        *business_checks(),
        *arrival_checks(),
    )


def gate_checks(stage: str) -> tuple[SqlCheck, ...]:
    """The checks that a stage must pass; their rules are those of ``all_checks``."""
    return _GATES[stage]()


def checks_by_kind() -> dict[str, tuple[Check, ...]]:
    """Every check by what answers it."""
    return {
        "great_expectations": tuple(e.check for suite in suites() for e in suite.expectations),
        "sql": tuple(check for entry in sql_checks() for check in entry.checks.values()),
    }


def all_checks() -> tuple[Check, ...]:
    """Every check there is, those against the truth of synthetic feeds apart."""
    return tuple(check for checks in checks_by_kind().values() for check in checks)
