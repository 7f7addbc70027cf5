"""The attribute hash of all versions, made again when its definition changes."""

from __future__ import annotations

from typing import Any

import psycopg

from etl.db.statements import run, scalar
from etl.stages.dims import fragments
from etl.warehouse.tables import Dimension


def rehash(connection: psycopg.Connection[Any], dimension: Dimension) -> int:
    """Hash every version again if the definition of the hash has changed; how many.

    No version is made: what was loaded is the same, only its hash is another.
    """
    parts = fragments.of_dimension(dimension)
    made_by = scalar(connection, "dims/version.hash_version", **parts)
    if made_by in (None, dimension.hash_version):
        return 0
    values = {"hash_version": dimension.hash_version}
    return run(connection, "dims/version.rehash", values, **parts).rowcount
