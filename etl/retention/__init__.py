"""Retention: rows whose time is over go to an archive and leave the warehouse."""
