"""Which staging tables are in partitions, each with the rows of a range of loads.

They grow with history, and a late batch asks for the rows of few claims among all that ever came:
it reads the partitions that have them, and in these by an index. The other feeds are small, or are
asked for by whole loads.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from etl.warehouse.details import DETAILS
from etl.warehouse.tables import FACT_CLAIM

# By feed the column by which rows of late batches are looked up, which each partition has an index
# on.
PARTITIONED: Mapping[str, str] = {
    feed.name: FACT_CLAIM.key for feed in (FACT_CLAIM.feed, *(detail.feed for detail in DETAILS))
}

# A partition takes loads until it is expected to hold so many bytes of files, and so many loads at
# most. An index of so many rows stays in memory, and a load a day makes 12 partitions a year.
PARTITION_BYTES = 256 << 20
MOST_LOADS = 32


def partition_of(table: str, first_load: int) -> str:
    """Name of the partition whose first load this is."""
    return f"{table}_{first_load:06}"


def is_partition(table: str) -> bool:
    """Whether a table of this name is such a partition."""
    return re.fullmatch(r"\w+_raw_\d{6,}", table) is not None


def loads_of(size_bytes: int) -> int:
    """For how many loads a partition is made that begins with a file of this size."""
    return min(max(PARTITION_BYTES // max(size_bytes, 1), 1), MOST_LOADS)
