"""The vocabulary of data quality: what a check is, what it finds, how it is judged.

This module imports nothing of ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CRITICAL, MAJOR, MINOR = "critical", "major", "minor"
# The worst first. A critical failure stops the run.
SEVERITIES = (CRITICAL, MAJOR, MINOR)

# The aspects of quality that a check may look at, each with the question that it answers.
ASPECTS = {
    "completeness": "is what must be there, there?",
    "uniqueness": "is each thing there once?",
    "validity": "is a value one that the column may contain?",
    "consistency": "do the tables, and the files that they came from, say the same?",
    "integrity": "does every key lead to its row?",
    "timeliness": "did it come in time?",
    "volume": "did as much come as is usual?",
    "reasonableness": "do values, taken together, look as they should?",
}

# Keys of rows that failed, for a person to look at; a result keeps no more.
MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class Check:
    """One quality check.

    ``name`` is unique. ``dimension`` is one of ``ASPECTS``. ``means`` says what is wrong where it
    fails, ``advice`` what its owner does about that; both name no value. It passes while what was
    measured, in ``unit``, is at most ``threshold``, or while at most ``threshold_share`` of the
    rows checked fail.
    """

    name: str
    table: str
    column: str | None
    dimension: str
    severity: str
    means: str
    advice: str = ""
    threshold: float = 0
    threshold_share: float | None = None
    unit: str = "rows"

    def __post_init__(self) -> None:
        if self.dimension not in ASPECTS or self.severity not in SEVERITIES:
            raise ValueError(f"{self.name}: {self.dimension} or {self.severity} is no known word")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found, before it is judged.

    ``measured`` is in the check's unit, ``None`` where that is rows: then ``rows_failed`` is it.
    ``keys``: up to ``MOST_KEYS`` rows that failed, each by its surrogate or natural key.
    ``rows_judged``: how many of the rows checked have what the check looks at, ``None`` where each
    has. Of a column that nobody sends no row is judged: then that nothing failed says nothing.
    """

    rows_checked: int
    rows_failed: int
    measured: float | None = None
    keys: tuple[dict[str, Any], ...] = ()
    rows_judged: int | None = None

    @property
    def judged_nothing(self) -> bool:
        """Whether there are rows and none of them could be judged."""
        return self.rows_checked > 0 and self.rows_judged == 0

    @property
    def figure(self) -> float:
        """What is compared with the check's threshold."""
        return self.rows_failed if self.measured is None else self.measured


def passes(check: Check, found: Finding) -> bool:
    """Whether what was found is within the check's thresholds."""
    share = check.threshold_share
    return found.figure <= check.threshold or (
        share is not None and found.rows_failed <= share * found.rows_checked
    )
