"""The database's objects: tables, migrations, the schemas of a rebuild."""
