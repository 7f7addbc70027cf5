"""The tables of claims, of which checks can look at some months of service alone."""

from __future__ import annotations

from etl.warehouse.details import DETAILS
from etl.warehouse.tables import FACT_CLAIM

# Those that are divided by month of service, those of staging that they are loaded from, and their
# rows as they were before loads changed them.
FACTS = (FACT_CLAIM.table, *(detail.table for detail in DETAILS))
STAGING = (FACT_CLAIM.feed.table, *(detail.feed.table for detail in DETAILS))
PAST = (FACT_CLAIM.past, *(detail.past for detail in DETAILS))
HISTORY = f"{FACT_CLAIM.table}_history"
# Checks of any other table look at all its rows.
TABLES = frozenset((*FACTS, *STAGING, FACT_CLAIM.state))
