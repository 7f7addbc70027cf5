"""Defects on request: their kinds, and putting them into rows."""
