"""The truth of feeds that were made by a generator: what a run needs of it to compare.

Production code knows no generator. Whoever starts a run on feeds whose contents are known in
advance hands a ``Truth`` in; of other feeds there is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg

from etl.contracts.checks import CRITICAL, Check, Finding
from etl.contracts.feeds import FEEDS
from etl.warehouse.tables import DIMENSIONS, Build


@dataclass(frozen=True, slots=True)
class Detection:
    """How many defects of a kind were put into the feeds, and how many were detected.

    ``false_negatives`` were put in and not detected. ``consequences`` of other defects were
    detected as well, and ``false_positives`` are what nothing explains.
    """

    kind: str
    injected: int
    detected: int
    false_negatives: int
    false_positives: int
    consequences: int


class Truth(Protocol):
    """What feeds really contain.

    Both return nothing where the warehouse contains other batches than those of the truth.
    """

    def run_checks(
        self, connection: psycopg.Connection[Any], build: Build
    ) -> Iterable[tuple[Check, Finding | None]]:
        """Each of ``truth_checks`` with the number of figures compared and of those that differ.

        ``None`` where one could not be evaluated.
        """

    def detections(
        self, connection: psycopg.Connection[Any], build: Build
    ) -> tuple[Detection, ...]:
        """Each kind of defect with what was put in and what was detected."""


RECKONED = (
    *("fact_claim", "fact_claim_line", "bridge_claim_diagnosis"),
    *("member_month", "exposure_month", "enrollment_flow_month"),
    *("cost_month", "inpatient_stay", "readmission_month", "high_cost_year"),
)


def truth_checks() -> dict[str, Check]:
    """The checks against the truth, by table."""
    dimensions = {
        d.table: _check(d.table, "keys, versions, current or inferred rows differ from the truth")
        for d in DIMENSIONS.values()
    }
    feeds = {
        f.table: _check(f.table, "a file's rows or money totals differ from the truth")
        for f in FEEDS.values()
    }
    reckoned = {
        table: _check(table, "rows are missing, differ from the truth or are not in it")
        for table in RECKONED
    }
    return {**dimensions, **feeds, **reckoned}


def _check(table: str, means: str) -> Check:
    return Check(f"{table}.as_the_truth_says", table, None, "consistency", CRITICAL, means)
