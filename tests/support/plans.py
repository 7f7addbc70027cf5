"""Plans of PostgreSQL as EXPLAIN and auto_explain write them in JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Node = dict[str, Any]


def nodes(plan: Node) -> Iterator[Node]:
    """Every node of a plan, subplans included."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
