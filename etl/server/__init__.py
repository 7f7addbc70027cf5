"""The PostgreSQL server: the embedded one or the one that DATABASE_URL names."""
