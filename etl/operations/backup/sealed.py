"""JSON in files that show when a byte of them was changed, and folders that outlast a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from etl.errors import RestoreError
from etl.files.checksums import sync
from etl.server.home import write_private


def write(file: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all, with a checksum of all that is in it."""
    write_private(file, _text(content))
    sync(file.parent)


def read(file: Path) -> dict[str, Any]:
    """What a file contains; ``RestoreError`` where it is not as it was written."""
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text)["content"]
        is_whole = text == _text(content)
    except (OSError, ValueError, KeyError, TypeError):
        is_whole = False
    if not is_whole:
        raise damaged(file)
    return content


def damaged(file: Path) -> RestoreError:
    """That a file of a backup is not as it was written."""
    return RestoreError(
        f"The backup is damaged: {file} is missing or was changed since it was written.",
        "Restore another one (make backups lists them); nothing was changed. Make a new one with "
        "make backup FULL=yes, and look after the disk.",
    )


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


def make_durable(folder: Path) -> None:
    """Let all that a folder contains last, whatever happens to the machine after that."""
    for path in (*_files(folder), folder):
        sync(path)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if not path.is_symlink():
            yield path


def _text(content: dict[str, Any]) -> str:
    shown = json.dumps(content, indent=1, sort_keys=True)
    return json.dumps(
        {"content": json.loads(shown), "sha256": sha256(shown.encode()).hexdigest()},
        indent=1,
        sort_keys=True,
    )
