"""The quarantine: rows that were rejected, their export and their correction."""
