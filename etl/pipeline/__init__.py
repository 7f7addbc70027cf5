"""Runs: a load on its way through the stages, and what a person can ask for."""
