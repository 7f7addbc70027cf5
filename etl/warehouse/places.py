"""Where each table of a build lies on a cluster; on one server it says nothing.

``etl/schema/layout.py`` carries it out when a build is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from etl.contracts.feeds import FEEDS
from etl.warehouse.code_sets import GROWING
from etl.warehouse.details import DETAILS
from etl.warehouse.tables import (
    DIMENSIONS,
    FACT_CLAIM,
    FACT_ENROLLMENT,
    FACTS,
    MEMBER_LIMITED,
    MEMBER_SCOPE,
)


@dataclass(frozen=True, slots=True)
class Lies:
    """Where the rows of a table lie.

    ``on``: the coordinator alone, every node, or the workers, each a part of them. ``column``: the
    one by whose value a row's worker is chosen. ``colocated_with``: the table whose rows of the
    same value are on the same worker, none for that table itself. ``is_managed``: of the
    coordinator's own, Citus keeps the rows in a part, as of all tables of others: it refers to what
    is on every node.
    """

    on: Literal["coordinator", "every node", "workers"]
    column: str = ""
    colocated_with: str | None = None
    is_managed: bool = False


LOCAL: Final = Lies("coordinator")
MANAGED: Final = Lies("coordinator", is_managed=True)
REFERENCE: Final = Lies("every node")
# Facts of claims, their past and their states are joined by claim. A claim may change its member,
# and the column that chooses the worker may not change.
_CLAIMS: Final = Lies("workers", FACT_CLAIM.key)
_WITH_CLAIMS: Final = Lies("workers", FACT_CLAIM.key, FACT_CLAIM.table)

# What masked roles get in place of what lies on other nodes. Steps of a query that Citus splits are
# kept where the session may read them, and a step is of what stands below a mask.
NOT_MASKED: Final = (
    "{relation} cannot be read masked on a cluster: what lies on its nodes cannot be masked "
    "there. Read cubes, members, plans and providers."
)

# By name. A slowly changing dimension is changed in schema history, on the coordinator, as are its
# past rows; what is named here is what is published from there.
PLACES: Mapping[str, Lies] = {
    **dict.fromkeys((feed.table for feed in FEEDS.values()), LOCAL),
    **dict.fromkeys(GROWING, REFERENCE),
    **dict.fromkeys((d.table for d in DIMENSIONS.values()), REFERENCE),
    **dict.fromkeys((d.past for d in DIMENSIONS.values()), LOCAL),
    MEMBER_LIMITED: LOCAL,
    MEMBER_SCOPE: LOCAL,
    **{name: LOCAL for fact in FACTS.values() for name in (fact.table, fact.past)},
    FACT_ENROLLMENT.table: MANAGED,
    FACT_CLAIM.table: _CLAIMS,
    FACT_CLAIM.past: _WITH_CLAIMS,
    FACT_CLAIM.state: _WITH_CLAIMS,
    **{name: _WITH_CLAIMS for detail in DETAILS for name in (detail.table, detail.past)},
}

# What masked roles get in place of a table as it was known that other nodes are asked for.
NOT_AS_KNOWN: Final = (
    "{table} as it was known cannot be read on a cluster by masked roles: Citus asks nodes in the "
    "name of who reads, and these have no right there. Dimensions with history can be."
)
