"""Tables as files to take away: Parquet, CSV, Excel, or one file of DuckDB.

An export is read as a role reads, in one state of the database, and is there whole or not at all.
"""
