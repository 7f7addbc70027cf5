"""Who looked at a member, for an auditor; whoever asks leaves a note too."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from etl.access import erasure_files
from etl.db.connection import connect
from etl.db.statements import run, scalar
from etl.errors import SchemaError, UsageError

# How a look is called that named the member.
_NAMED = "named"


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


def who_looked(url: str, data: Path, member: str, since: str, until: str) -> list[Look]:
    """Who looked at a member from ``since`` until before ``until``, the first first.

    Surrogate keys and codes of a member who was erased are those of the token, so that is asked for
    as well; no statement has both, since it would say whose token it is.
    """
    if not member:
        raise UsageError("Which member is meant?", "make who-looked MEMBER=M0000001")
    asked = {"member": member, "since": instant("SINCE", since), "until": instant("UNTIL", until)}
    with connect(url, "aca-warehouse who-looked") as connection:
        if not scalar(connection, "audit/looks.is_there"):
            raise SchemaError("This database has no record of looks.", "Run make migrate first.")
        names = filter(None, (member, _token_of(data, member)))
        found = [_looks(connection, {**asked, "member": name}) for name in names]
    known = [looks for looks in found if looks is not None]
    if not known:
        raise unknown_member()
    return _merged(known)


def _looks(connection: psycopg.Connection[Any], asked: dict[str, Any]) -> list[Look] | None:
    """Who looked at a member by a number or token that is or was known."""
    try:
        return [Look(*row) for row in run(connection, "audit/looks.who_looked", asked)]
    except psycopg.errors.NoDataFound:
        return None


def _token_of(data: Path, member: str) -> str | None:
    """The token of a member who was erased."""
    listed = erasure_files.listed(data)
    token = erasure_files.tokens(data).of_number(member) if listed else None
    return token if token in listed else None


def _merged(answers: list[list[Look]]) -> list[Look]:
    """Each look once; it named the member if it did so in one of the answers."""
    found: dict[tuple[Any, ...], Look] = {}
    for look in chain.from_iterable(answers):
        if look.how == _NAMED or look[1:] not in found:
            found[look[1:]] = look
    return sorted(found.values(), key=lambda look: look.looked_at)


def unknown_member() -> UsageError:
    """Nobody of that number is or was in the warehouse; the number itself is not repeated."""
    return UsageError(
        "There is no member of that number.", "member_id in warehouse.dim_member has the numbers."
    )
