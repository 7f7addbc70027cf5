"""Backups of the database, and restores that are proven."""
