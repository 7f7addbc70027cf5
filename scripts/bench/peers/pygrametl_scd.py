"""pygrametl's SlowlyChangingDimension: row by row, with all current versions in its cache."""

from __future__ import annotations

import csv

import psycopg2
import pygrametl
from pygrametl.tables import SlowlyChangingDimension
from step import Step, take


def load(step: Step) -> str:
    """Hand each row to the dimension; its table was made before, as pygrametl wants it."""
    connection = pygrametl.ConnectionWrapper(psycopg2.connect(step.url))
    with step.file.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        members = SlowlyChangingDimension(
            name="members",
            key="member_sk",
            attributes=[*(rows.fieldnames or ()), "version", "valid_from", "valid_to"],
            lookupatts=["member_id"],
            versionatt="version",
            fromatt="valid_from",
            fromfinder=lambda *_: step.as_of,
            toatt="valid_to",
            cachesize=-1,
            prefill=True,
            targetconnection=connection,
        )
        for row in rows:
            members.scdensure(row)
    connection.commit()
    connection.close()
    return "members"


if __name__ == "__main__":
    take(load)
