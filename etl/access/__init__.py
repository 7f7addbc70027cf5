"""Access: which identifier a column is, what each standard of masking makes of it, who sees what.

- ``classification``: the identifier of every column of every relation
- ``treatments``: what becomes of each identifier in each masked schema
- ``roles``: the roles, and what each of them may read
- ``logins``: people's logins, their roles and settings

The masked views themselves are composed in ``etl/schema/masked.py``.
"""
