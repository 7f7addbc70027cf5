"""The world that feeds tell of: people, plans, providers, coverage, care and its cost."""
