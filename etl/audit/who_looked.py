"""Who looked at a member, for an auditor; whoever asks leaves a note too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import psycopg

from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import SchemaError, UsageError


class Look(NamedTuple):
    """A look, in the columns of ``audit.who_looked``."""

    how: str
    looked_at: datetime
    person: str | None
    client_address: str | None
    application_name: str | None
    relation_name: str | None
    statement: str | None
    parameters: str | None


def instant(name: str, text: str) -> datetime | None:
    """A day or time that a person wrote, UTC unless it says otherwise; none if it is empty."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{name} is {text!r}, which is no time.", "Write 2026-01-31 or 2026-01-31T14:00 (UTC)."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def who_looked(url: str, member: str, since: str, until: str) -> list[Look]:
    """Who looked at a member from ``since`` until before ``until``, the first first."""
    if not member:
        raise UsageError("Which member is meant?", "make who-looked MEMBER=M0000001")
    asked = {"member": member, "since": instant("SINCE", since), "until": instant("UNTIL", until)}
    with connect(url, "aca-warehouse who-looked") as connection:
        if not scalar(connection, "audit/looks.is_there"):
            raise SchemaError("This database has no record of looks.", "Run make migrate first.")
        try:
            return [Look(*row) for row in run(connection, "audit/looks.who_looked", asked)]
        except psycopg.errors.NoDataFound:
            raise unknown_member() from None


def unknown_member() -> UsageError:
    """Nobody of that number is or was in the warehouse; the number itself is not repeated."""
    return UsageError(
        "There is no member of that number.", "member_id in warehouse.dim_member has the numbers."
    )
