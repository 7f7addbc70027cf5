"""Disclosures that people made, and the accounting that a member may ask for (45 CFR 164.528)."""

from __future__ import annotations

import getpass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from etl.audit.session import writing
from etl.audit.who_looked import unknown_member
from etl.db.statements import run, scalar
from etl.errors import UsageError


class Disclosure(NamedTuple):
    """A disclosure, with what 164.528(b)(2) asks to be accounted for."""

    disclosed_on: date
    recipient: str
    what: str
    purpose: str


def enter(url: str, data: Path, member: str, disclosure: dict[str, str], day: str) -> date:
    """Enter a disclosure of a member's data; its day, which is today unless it is given.

    ``disclosure``: ``recipient`` (with the address, if known), ``what`` and ``purpose``.
    """
    missing = [name for name, text in {"member": member, **disclosure}.items() if not text.strip()]
    if missing:
        raise UsageError(
            f"A disclosure has to say all of it; missing: {', '.join(missing)}.",
            'make disclosure MEMBER= TO="who, with address" WHAT="which data" WHY="what for"',
        )
    with writing(url, data) as (connection, _):
        if not scalar(connection, "audit/looks.member_is_known", {"member": member}):
            raise unknown_member()
        entered = {**disclosure, "member": member, "day": _day(day), "os_user": getpass.getuser()}
        disclosed_on: date = scalar(connection, "audit/looks.add_disclosure", entered)
        return disclosed_on


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        raise UsageError(f"DATE is {text!r}, which is no day.", "Write it as 2026-01-31.") from None
    if day and day > datetime.now(UTC).date():
        raise UsageError(f"DATE is {text}, which is yet to come.", "Enter it when it was made.")
    return day


def of_member(url: str, data: Path, member: str) -> list[Disclosure]:
    """What was disclosed of a member in the last six years, the first first."""
    if not member:
        raise UsageError("Which member is meant?", "make disclosures MEMBER=M0000001")
    with writing(url, data) as (connection, _):
        if not scalar(connection, "audit/looks.member_is_known", {"member": member}):
            raise unknown_member()
        found = run(connection, "audit/looks.disclosures", {"member": member})
        return [Disclosure(*row) for row in found]
