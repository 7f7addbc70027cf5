"""An example query for each relation: a documented report that reads it, or its first rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from etl.docs.report_queries import Report, reports

# Wide enough to see what a row is, few enough to fit.
_SHOWN = 8


def example(schema: str, name: str, columns: Sequence[str]) -> str:
    """A query to begin with. One of the documented reports where any reads the relation."""
    report = _report(f"{schema}.{name}")
    if report is not None:
        return f"-- {report.name}, from the page For analysts\n{report.text}"
    shown = ",\n    ".join(columns[:_SHOWN])
    return f"select\n    {shown}\nfrom {schema}.{name}\nlimit 10;"


@cache
def _reports() -> tuple[Report, ...]:
    """The shortest first."""
    return tuple(sorted(reports().values(), key=lambda report: len(report.text)))


def _report(relation: str) -> Report | None:
    named = re.compile(rf"\b{re.escape(relation)}\b")
    return next((report for report in _reports() if named.search(report.text)), None)
