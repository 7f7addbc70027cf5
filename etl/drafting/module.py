"""A draft as a module of ``etl/contracts/senders``, to be edited by whoever knows the sender."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from textwrap import wrap
from typing import Any

from etl.contracts import senders
from etl.contracts.file_form import FileForm
from etl.contracts.sender import Parsing
from etl.drafting.draft import Draft
from etl.drafting.guess import Guess, quoted
from etl.errors import UsageError

FOLDER = Path(str(senders.__file__)).parent
_WIDTH = 100
_VALUES = ("batch_date", "file_name", "numbered", "of", "repeat")


def write(draft: Draft, folder: Path = FOLDER) -> Path:
    """Write a draft, which replaces no contract; the module's path.

    Raises ``UsageError`` if there is one of its name or the folder cannot be written.
    """
    file = folder / f"{draft.name}.py"
    if file.exists() or draft.name in senders.SENDERS:
        raise UsageError(
            f"There is a contract {draft.name} already.",
            "Edit it, or give the draft another name: NAME=county_members",
        )
    new = folder / f".{draft.name}.draft"
    try:
        new.write_text(text_of(draft), encoding="utf-8")
        # A module that cannot be read would stop every command.
        runpy.run_path(str(new))
        new.rename(file)
    except OSError as error:
        raise UsageError(
            f"The draft cannot be written to {folder}: {error.strerror}.",
            "See that the folder can be written.",
        ) from None
    finally:
        new.unlink(missing_ok=True)
    return file


def text_of(draft: Draft) -> str:
    """The module: what could not be guessed first, then the contract with why for each guess."""
    body = "\n".join(_contract(draft))
    rows = f"{len(draft.sample.rows):,} rows" + (
        "" if draft.sample.is_whole else " at its beginning"
    )
    head = [
        f'"""Drafted from {rows} of a file for the feed {draft.feed.name}.',
        "",
        "Every line is a guess: edit it, try it with make sender-try, then take this out.",
        '"""',
        "",
        *_imports(draft, body),
        "",
        *_open(draft),
    ]
    return "\n".join([*head, body, ""])


def _open(draft: Draft) -> Iterator[str]:
    """What could not be guessed, and which fields are not used."""
    if draft.asks:
        yield from _comments(["What could not be guessed:"])
    for ask in draft.asks:
        yield from wrap(ask, _WIDTH, initial_indent="# - ", subsequent_indent="#   ")
    if draft.unused:
        yield from _comments([f"Fields that are not used: {', '.join(draft.unused)}."])


def _imports(draft: Draft, body: str) -> Iterator[str]:
    yield f"from etl.contracts.feeds.{draft.feed.name} import {draft.feed.name}"
    if "FileForm(" in body:
        yield "from etl.contracts.file_form import FileForm"
    parsing = "Parsing, " if draft.parsing else ""
    yield f"from etl.contracts.sender import {parsing}SenderContract"
    if "STATE_NAMES" in body:
        yield "from etl.contracts.states import STATE_NAMES"
    used = [name for name in _VALUES if re.search(rf"\b{name}\(", body)]
    if used:
        yield f"from etl.contracts.value import {', '.join(used)}"


def _contract(draft: Draft) -> Iterator[str]:
    yield f"{draft.name} = SenderContract("
    yield f'    name="{draft.name}",'
    yield f"    feed={draft.feed.name},"
    yield f'    description="Who sends these {draft.feed.name}, and what they are.",'
    if draft.files:
        yield f"    files=({quoted(draft.files)},),"
    if draft.columns:
        yield "    columns={"
        for made in draft.columns:
            yield from _column(made)
        yield "    },"
    if draft.repeat:
        yield f"    repeat={draft.repeat},"
    yield from _form(draft.sample.form)
    yield from _parsing(draft)
    if draft.not_sent:
        yield from _comments(["No field looks like these: they stay empty."], 4)
        yield "    not_sent=("
        for name in draft.not_sent:
            yield f'        "{name}",'
        yield "    ),"
    if draft.unused:
        yield "    sends_more=True,"
    yield ")"


def _column(made: Guess) -> Iterator[str]:
    yield from _comments(made.why, 8)
    if not made.mapping:
        yield f'        "{made.column}": {made.source}{made.then},'
        return
    words = [f"{quoted(word)}: {quoted(our or '')}" for word, our in made.mapping.items()]
    line = f'        "{made.column}": {made.source}.map({{{", ".join(words)}}}){made.then},'
    if len(line) <= _WIDTH:
        yield line
        return
    yield f'        "{made.column}": {made.source}.map('
    yield "            {"
    for word in words:
        yield f"                {word},"
    yield "            }"
    yield f"        ){made.then},"


def _form(form: FileForm) -> Iterator[str]:
    """What of a form is not as the feeds have it."""
    own = FileForm()
    said = {
        field.name: getattr(form, field.name)
        for field in fields(FileForm)
        if getattr(form, field.name) != getattr(own, field.name)
    }
    if said:
        yield "    form=FileForm("
        for name, value in said.items():
            line = f"        {name}={_value(value)},"
            if len(line) <= _WIDTH or not isinstance(value, tuple):
                yield line
                continue
            yield f"        {name}=("
            yield from (f"            {_value(one)}," for one in value)
            yield "        ),"
        yield "    ),"


def _parsing(draft: Draft) -> Iterator[str]:
    if not draft.parsing:
        return
    yield "    parsing=Parsing("
    for name in Parsing.__dataclass_fields__:
        if name in draft.parsing:
            yield f"        {name}={_value(draft.parsing[name])},"
    yield "    ),"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        listed = ", ".join(map(_value, value))
        return f"({listed},)" if len(value) == 1 else f"({listed})"
    return quoted(value) if isinstance(value, str) else repr(value)


def _comments(texts: list[str], indent: int = 0) -> list[str]:
    mark = f"{' ' * indent}# "
    return [
        line
        for text in texts
        for line in wrap(text, _WIDTH, initial_indent=mark, subsequent_indent=mark)
    ]
