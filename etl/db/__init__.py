"""Talking to PostgreSQL: the embedded server, connections, named statements. No table names."""
