"""Data quality: checks, how they are run and judged, and the pages on them."""
