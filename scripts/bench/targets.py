"""What is wanted of the load, each as a ratio, next to what a run measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from exports import MOST as MOST_OF_EXPORT
from measuring import show_table
from members_history import FIRST, SNAPSHOT
from readers import MOST_OF_MONTH

PEAK_MB = 300
# The feeds of claims, of which each is staged in as many times its own COPY.
OF_CLAIMS = ("claims", "claim_lines", "claim_diagnoses")
# Cost, coverage, stays and high cost.
CARE = (
    "cost_month",
    "member_month",
    "exposure_month",
    "enrollment_flow_month",
    "inpatient_stay",
    "readmission_month",
    "high_cost_year",
)


def show(result: dict[str, Any]) -> None:
    """Print each target that the run measured, with what is wanted at most."""
    rows = [(what, f"{m:,.2f}", f"{wanted:,.2f}", "") for what, m, wanted in _targets(result)]
    rows += [
        (f"members, {what} / COPY", f"{seconds / floor:,.2f}", f"{wanted:,.2f}", f"{seconds:,.2f}")
        for what, seconds, floor, wanted in _of_history(result.get("history"))
    ]
    show_table("What is wanted at most", ("what", "measured", "wanted", "seconds"), rows)


def _of_history(history: dict[str, Any] | None) -> Iterator[tuple[str, float, float, float]]:
    """What is measured, its seconds, those of the plain COPY, and how many of it they may be."""
    if history is None:
        return
    floor = history["floor_seconds"]
    for what, wanted in ((FIRST, 3.5), (SNAPSHOT, 2.5)):
        spent = history["seconds"][what]
        yield f"{what}, gates apart", spent["stage"] + spent["dims"], floor, wanted
    yield f"{SNAPSHOT}, its gates", history["gates_seconds"][SNAPSHOT], floor, 0.6


def _targets(result: dict[str, Any]) -> Iterator[tuple[str, float, float]]:
    """What is measured, how much it is, and how much it may be."""
    if "full_load" in result:
        floors, full = result["floor_seconds"], result["full_load"]
        stages, days = full["stages"], result["incremental"]
        yield "stage of all feeds / COPY of them", stages["stage"] / sum(floors.values()), 1.6
        yield "both facts / COPY of the claims", stages["facts"] / floors["claims"], 4.5
        for feed in OF_CLAIMS:
            yield f"stage of {feed} / COPY of them", full["files"][feed] / floors[feed], 1.6
        per_row = {
            table: s / full["rows"][table]
            for table, s in full["tables"].items()
            if table in full["rows"]
        }
        claim = per_row.pop("fact_claim")
        for table, spent in per_row.items():
            yield f"a row of {table} / a row of fact_claim", spent / claim, 1
        for way, measured in result["senders"].items():
            wanted = 1.6 if way == "own contract" else 2.2
            yield f"stage of claims, {way} / COPY of them", measured["ratio"], wanted
        for form, spent in result["exports"]["exports"].items():
            ratio = spent / result["exports"]["copy"]
            yield f"export of claims, {form} / COPY of them", ratio, MOST_OF_EXPORT
        grouped = result["parts"]["alone"]["claims_grouped"]
        for cube, spent in result["parts"]["cubes"].items():
            yield f"{cube} / grouped scan of the claims", spent / grouped, 4
        made, followed = result["parts"]["cubes"], result["parts"]["followed"]
        for cube, wanted in (("inpatient_stay", 0.5), ("member_month", 1.5)):
            yield f"{cube} / grouped scan of the claims", made[cube] / grouped, wanted
        care = [made[cube] for cube in CARE]
        yield "cubes of care together / grouped scan", sum(care) / grouped, 4
        day_of_care = sum(followed.get(cube, made[cube]) for cube in CARE)
        yield "cubes of care, last load followed, % of made", 100 * day_of_care / sum(care), 5
        for cube, took in result["months"].items():
            yield f"a month of {cube} for an analyst, ms", took, MOST_OF_MONTH
        for number, day in enumerate(days, start=1):
            yield f"day {number}, all of it, % of a full load", 100 * day["wall"] / full["wall"], 3
        yield "checks of a full load, % of its wall time", 100 * stages["checks"] / full["wall"], 20
        peak = max(run["peak_mb"] for run in (full, *days))
        yield "memory of Python at its peak, MB", peak, PEAK_MB
    if "history" in result:
        history = result["history"]
        share = 100 * history["checks_seconds"] / history["wall_seconds"]
        yield "members, checks of the full load, % of its wall time", share, 20
