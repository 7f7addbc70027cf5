"""Commands for senders: a draft of a new one's contract, a trial of it, held files let go."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from etl.cli.guard import at_work
from etl.cli.run import run_pipeline
from etl.config import settings
from etl.contracts import senders
from etl.drafting import draft as drafting
from etl.drafting import module, reading
from etl.drafting.trial import attempt, manifest_of
from etl.errors import UsageError
from etl.pipeline import breaker, console
from etl.pipeline.screen import Screen

app = typer.Typer()

File = Annotated[str, typer.Option(help="A file of the sender.")]


@app.command("sender-draft")
def sender_draft(
    file: File = "",
    feed: Annotated[str, typer.Option(help="Which feed it is, if its names do not say.")] = "",
    name: Annotated[str, typer.Option(help="Name of the contract, else of the file.")] = "",
) -> None:
    """Guess a contract from a file of a sender, and write it to edit."""
    senders.ensure_sound()
    draft = drafting.make(reading.read(_path(file, "sender-draft")), feed, name)
    written = module.write(draft)
    screen = Screen()
    screen.write_line(f"{written}, feed {draft.feed.name}", "Draft")
    for ask in draft.asks:
        screen.write_line(ask, "Open")
    screen.write_line(
        f"edit it, then make sender-try FILE={shlex.quote(file)} CONTRACT={draft.name}", "Next"
    )


@app.command("sender-try")
def sender_try(
    file: File = "",
    contract: Annotated[
        str, typer.Option(help="Under which contract, if the file's name does not say.")
    ] = "",
    manifest: Annotated[
        str, typer.Option(help="Manifest of its batch, else manifest.json next to the file.")
    ] = "",
) -> None:
    """Load a file of a sender into a database that is dropped again, and show what became of it."""
    at_work.set("sender-try")
    senders.ensure_sound()
    path = _path(file, "sender-try")
    said = manifest_of(path, manifest)
    trial = attempt(settings(), path, contract, console.Terminal(), said)
    console.show_trial(trial.summary, trial.rejected, trial.failures, trial.other_failures)
    if trial.stopped is not None:
        raise trial.stopped


def _path(file: str, command: str) -> Path:
    if not file:
        raise UsageError(
            "Which file is meant?", f"Name one: make {command} FILE=/path/patients.csv"
        )
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"There is no file {file}.", "See that the path is right.")
    return path


@app.command("sender-resume")
def sender_resume(
    sender: Annotated[str, typer.Option(help="Whose files are held, as make status says.")] = "",
    feed: Annotated[str, typer.Option(help="Only this feed.")] = "",
) -> None:
    """Let held files of a sender load again."""
    run_pipeline("sender-resume", lambda context: breaker.resume(context, sender, feed))
