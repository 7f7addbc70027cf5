"""Synthetic feeds: from the contracts and public reference data to batches of CSV files.

``generate.generate`` writes the first batch of an inbox, ``increment`` and ``simulate`` the days
after it, and ``marker.is_synthetic`` says whether an inbox was made here. How it works:
docs/decisions/0005-synthetic-feeds.md. Nothing is imported here: the generator needs packages that
take a while, and a load needs none of them.
"""
