"""Commands of audit: who looked at whom, and what was disclosed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from etl.audit import chain, disclosures, looks
from etl.audit.who_looked import Look
from etl.audit.who_looked import who_looked as ask_who_looked
from etl.config import settings
from etl.errors import UsageError
from etl.pipeline.screen import Screen, table
from etl.server import server

app = typer.Typer()
_HOW = {
    "named": "Named the member",
    "not named": "Read the table without naming anybody",
    "named others": "Named other members only",
}
Member = Annotated[str, typer.Option(help="Number of the member (member_id).")]


@app.command()
def audit(
    log: Annotated[str, typer.Option(help="A file of a server's log, in JSON.")] = "",
) -> None:
    """Bring who looked from the server's log into audit.look."""
    chosen = settings()
    url = server.ensure_running(chosen)
    file = Path(log) if log else None
    logs = server.session_logs(chosen)
    brought = looks.bring(url, chosen.data, next(iter(logs), None), file, logs[1:])
    screen = Screen()
    kinds = {"look": "looks", "statement": "statements", "imitation": "imitations"}
    new = ", ".join(f"{brought.entries[kind]:,} {words}" for kind, words in kinds.items())
    screen.write_line(f"New in audit.look: {new}.")
    for problem in brought.unrecorded:
        screen.write_line(problem)
    if brought.unreadable:
        screen.write_line(f"{brought.unreadable:,} lines of the log are no JSON and were left out.")


@app.command("audit-verify")
def audit_verify() -> None:
    """See that no row of audit was changed, inserted, moved or lost."""
    chosen = settings()
    verified = chain.verify(server.ensure_running(chosen), chosen.data)
    counted = ", ".join(f"audit.{name} to row {last:,}" for name, last in verified.last.items())
    Screen().write_line(f"All rows are as they came: {counted}.")
    if not verified.is_end_known:
        Screen().write_line(
            "Whether rows are missing at the end could not be seen: no last row was written down "
            "for this database. It is from now on."
        )


@app.command("audit-prune")
def audit_prune(
    confirm: Annotated[bool, typer.Option("--confirm", help="Yes, delete them.")] = False,
) -> None:
    """Delete what is older than six years from audit."""
    if not confirm:
        raise UsageError(
            f"This deletes looks and disclosures older than {chain.YEARS_KEPT} years.",
            "If that is what you want: make audit-prune CONFIRM=yes",
        )
    chosen = settings()
    deleted = chain.prune(server.ensure_running(chosen), chosen.data)
    counted = ", ".join(f"{rows:,} of audit.{name}" for name, rows in deleted.items())
    Screen().write_line(f"Deleted rows: {counted}.")


@app.command("who-looked")
def who_looked(
    member: Member = "",
    since: Annotated[str, typer.Option(help="From this day or time on, UTC.")] = "",
    until: Annotated[str, typer.Option(help="Until before this day or time, UTC.")] = "",
) -> None:
    """Say who looked at a member; asking is noted too."""
    chosen = settings()
    found = ask_who_looked(server.ensure_running(chosen), chosen.data, member, since, until)
    if not found:
        Screen().write_line("Nobody looked in that time, as far as make audit has brought it in.")
    for how, title in _HOW.items():
        _show([look for look in found if look.how == how], title)


def _show(found: list[Look], title: str) -> None:
    """A line for each look, and below it what was sent."""
    if not found:
        return
    screen = Screen()
    screen.write_line(f"{title} ({len(found):,}), UTC")
    for look in found:
        who = (look.person, look.client_address, look.application_name)
        read = f"read {look.relation_name}" if look.relation_name else "read no row"
        said = [f"{look.looked_at:%Y-%m-%d %H:%M:%S}", *filter(None, who), read]
        screen.write_line("  ".join(said))
        for text in filter(None, (look.statement, look.parameters)):
            screen.write_line(f"    {' '.join(text.split())}")
    screen.print()


@app.command()
def disclosure(
    member: Member = "",
    to: Annotated[str, typer.Option(help="Who received it, with the address if known.")] = "",
    what: Annotated[str, typer.Option(help="What was disclosed.")] = "",
    why: Annotated[str, typer.Option(help="For what purpose.")] = "",
    day: Annotated[str, typer.Option("--date", help="Day of it; today without one.")] = "",
) -> None:
    """Enter a disclosure of a member's data that somebody made."""
    chosen = settings()
    said = {"recipient": to, "what": what, "purpose": why}
    made_on = disclosures.enter(server.ensure_running(chosen), chosen.data, member, said, day)
    Screen().write_line(f"The disclosure of {made_on} is entered.")


@app.command("disclosures")
def disclosures_of(member: Member = "") -> None:
    """Print the disclosures of a member's data in the last six years (45 CFR 164.528)."""
    chosen = settings()
    found = disclosures.of_member(server.ensure_running(chosen), chosen.data, member)
    if not found:
        Screen().write_line("No disclosure was entered in the last six years.")
        return
    title = "Accounting of disclosures of the last six years (45 CFR 164.528)"
    shown = table(title, "date", "recipient", "what", "purpose")
    for made in found:
        shown.add_row(f"{made.disclosed_on}", made.recipient, made.what, made.purpose)
    Screen().print(shown)
