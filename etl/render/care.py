"""Published rules of hospital stays and of the high-cost risk pool, as SQL.

The tables are those of ``etl/reference``, which says where each comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from psycopg import sql

from etl.db.statements import statement
from etl.reference import high_cost_pools, planned_drgs


@cache
def fragments() -> Mapping[str, sql.Composable]:
    """Parts of a statement: ``planned_drgs``, an array, and ``high_cost_pools``, a relation.

    The relation has ``benefit_year``, ``threshold_usd`` (US dollars) and ``coinsurance``, the share
    of what is above that the pool pays.
    """
    years, thresholds, shares = map(list, zip(*high_cost_pools(), strict=True))
    return {
        "planned_drgs": sql.Literal(list(planned_drgs())),
        "high_cost_pools": statement(
            "render/care.high_cost_pools",
            benefit_years=sql.Literal(years),
            thresholds=sql.Literal(thresholds),
            shares=sql.Literal(shares),
        ),
    }
