"""Synthetic feeds: from the contracts and public reference data to batches of CSV files.

``generate`` writes the first batch of an inbox, ``increment`` the next day's, and
``is_synthetic`` tells whether an inbox was made here. How it works:
docs/decisions/0005-synthetic-feeds.md.
"""

from etl.seed.generate import generate, increment, is_synthetic

__all__ = ["generate", "increment", "is_synthetic"]
