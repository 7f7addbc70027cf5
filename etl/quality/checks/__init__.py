"""The registry of the checks: which there are, on what, how bad a breach is, what to do.

Checks of single values are rendered from the contracts (``etl/render/expectations.py``) and
answered by Great Expectations; everything else is named SQL (``sql/checks``), declared in the
headers of its statements. ``etl/quality/checks/registry.py`` lists them all.
"""
