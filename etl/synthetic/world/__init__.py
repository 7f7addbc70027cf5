"""The world that feeds report: people, plans, providers, coverage, care and its cost."""
