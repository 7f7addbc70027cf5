"""Legal hold: nothing of a member is erased or expires while a matter is open."""

from __future__ import annotations

from etl.db.statements import run, scalar
from etl.errors import UsageError
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary


def hold(context: RunContext, member_id: str, why: str, *, release: bool = False) -> Summary:
    """Put a member under legal hold, or end the hold; ``UsageError`` if that cannot be."""
    if not member_id:
        raise UsageError("Which member is meant?", "Name one: make hold MEMBER=... WHY=...")
    if release:
        _release(context, member_id)
    else:
        _place(context, member_id, why)
    return context.summary


def _place(context: RunContext, member_id: str, why: str) -> None:
    if not why.strip():
        raise UsageError(
            "The matter for which the member is to be held is missing.",
            "Say it for those who come after: WHY='case 25-117'.",
        )
    values = {"member_id": member_id, "why": why}
    if not scalar(context.ledger, "access/erasure.is_known", values):
        raise UsageError(
            "The warehouse has no member of that number.",
            "Write it as the members feed does, with the same capitals; nothing was changed.",
        )
    placed = run(context.ledger, "access/erasure.place_hold", values).rowcount
    context.watcher.say(
        "The member is under legal hold." if placed else "The member is under legal hold already."
    )


def _release(context: RunContext, member_id: str) -> None:
    if not run(context.ledger, "access/erasure.release_hold", {"member_id": member_id}).rowcount:
        raise UsageError(
            "The member is under no legal hold.", "Look at access.legal_hold; nothing was changed."
        )
    context.watcher.say("The legal hold of the member has ended.")
