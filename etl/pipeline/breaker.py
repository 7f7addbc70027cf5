"""The breaker: after several refused files in a row the later files of a sender and feed wait.

A sender who sends nothing but what is refused costs every run the time to read it, and hides what
else is wrong. So its files of that feed are *held*: nobody reads them, all others load, also those
of the same batch. A person ends that, and then they load like any late batch.
"""

from __future__ import annotations

from dataclasses import replace

from etl.contracts.feeds import FEEDS
from etl.db.statements import run
from etl.errors import UsageError, one_line
from etl.inbox.batch import Batch, FeedFile
from etl.inbox.pending import held_feeds
from etl.pipeline.session import RunContext
from etl.pipeline.summary import Summary, os_user


def trip(context: RunContext) -> None:
    """See after a refusal whether it was one too many."""
    most = context.settings.hold_after
    if not most:
        return
    for sender, feed in run(context.ledger, "ledger/held.trip", {"most": most}).fetchall():
        context.watcher.say(
            f"{most} files of {feed} of sender {sender} in a row were refused: its later ones are "
            f"held until make sender-resume SENDER={sender}; all others load."
        )
        context.log.warning("feed_held", sender=sender, feed=feed)


def without_held(context: RunContext, files: list[FeedFile]) -> list[FeedFile]:
    """These files without those that are held since the inbox was looked at."""
    held = held_feeds(context.ledger)
    return [file for file in files if (file.sender, file.feed.name) not in held]


def batches_not_held(context: RunContext, batches: list[Batch]) -> list[Batch]:
    """Batches of the inbox without their held files; those of which nothing is left are not there.

    A file that is loaded as it is never waits, whoever sent it.
    """
    found = context.lookout().look(context.ledger)
    held = {file.path for _, files in found.held for file in files}
    left = (replace(b, files=tuple(f for f in b.files if f.path not in held)) for b in batches)
    return [batch for batch in left if batch.files]


def note_held(context: RunContext) -> None:
    """Say in the summary of the run how many files wait, by sender and feed."""
    if not held_feeds(context.ledger):
        return
    found = context.lookout().look(context.ledger)
    for (sender, feed), since in found.held_feeds.items():
        waiting = [f for _, files in found.held for f in files if f.is_of(sender, feed)]
        context.summary.notes.append(
            f"{len(waiting):,} file{'' if len(waiting) == 1 else 's'} of {feed} of sender {sender} "
            f"held since {since:%Y-%m-%d %H:%M} UTC: make sender-resume SENDER={sender} lets "
            "them load."
        )


def resume(context: RunContext, sender: str, feed: str) -> Summary:
    """Let the held files of a sender load again, of all feeds or of one."""
    if not sender:
        raise UsageError(
            "Which sender is meant?", "Name it as make status does: make sender-resume SENDER=..."
        )
    if feed and feed not in FEEDS:
        raise UsageError(
            f"There is no feed {one_line(feed)}.", f"FEED is one of {', '.join(FEEDS)}."
        )
    waiting = sorted({f"{known} ({of})" for known, of in held_feeds(context.ledger)})
    values = {"sender": sender, "feed": feed or None, "os_user": os_user()}
    resumed = [name for (name,) in run(context.ledger, "ledger/held.resume", values)]
    if not resumed:
        raise UsageError(
            f"No file of sender {one_line(sender)}{f' and feed {feed}' if feed else ''} is held.",
            f"Held: {', '.join(waiting) or 'none'}. Nothing was changed.",
        )
    context.watcher.say(
        f"Files of {', '.join(resumed)} of sender {sender} are no longer held: make incremental "
        "loads them in order."
    )
    return context.summary
