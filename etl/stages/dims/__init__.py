"""Dims: from staging to the dimensions.

SQL does the work; Python composes it from a dimension's declaration and decides which steps a load
needs. Two paths lead to the same history:

- the simple path (``simple_path``), for rows that are the latest of their key: versions are added;
- the rebuild (``rebuild_history``), for keys with a late or repeated row, a return, or a batch out
  of order: their history is made again from all that staging has of them, and only what differs is
  changed.

A file need not have every column. One that it lacks differs from an empty one: keys whose rows have
other columns than earlier ones are rebuilt, and the values come from the files that have it.

Facts of versions whose validity was shortened are re-keyed in the same transaction.
"""
