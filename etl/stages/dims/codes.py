"""The codes that members and their surrogate keys have in the masked schemas."""

from __future__ import annotations

from typing import Any

import psycopg

from etl.contracts.types import SHOWN_FOR_NO_KEY
from etl.db.statements import run


def give_codes(connection: psycopg.Connection[Any], *, whole: bool = False) -> None:
    """Give codes to members and keys of the dimension that have none.

    ``whole``: look at all members, as after a rebuild, in which a key can be another member's. The
    connection resolves names in the dimension's schema; in the caller's transaction.
    """
    values = {"whole": whole, "no_member": SHOWN_FOR_NO_KEY}
    run(connection, "access/crosswalk.add_members", values)
    if run(connection, "access/crosswalk.add_keys").rowcount and whole:
        run(connection, "access/crosswalk.analyze")
