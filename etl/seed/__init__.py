"""Synthetic feeds: from the contracts and public reference data to batches of CSV files.

``generate`` writes the first batch of an inbox, ``increment`` and ``simulate`` the days after it,
and ``is_synthetic`` tells whether an inbox was made here. How it works:
docs/decisions/0005-synthetic-feeds.md.
"""

from etl.seed.generate import generate, increment, simulate
from etl.seed.marker import is_synthetic

__all__ = ["generate", "increment", "is_synthetic", "simulate"]
