"""A folder that is there whole or not at all, whatever ends the command that writes it."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from etl.errors import UsageError
from etl.files.checksums import sync

_PARTIAL = ".partial"


def may_write(to: Path, kept_out: Mapping[Path, str], command: str) -> None:
    """Raise ``UsageError`` unless a folder is new or empty, and outside of others.

    ``kept_out``: folders with what is so of whatever lies in them. ``command``: what a person
    types to name another folder.
    """
    for folder, reason in kept_out.items():
        if to.is_relative_to(folder.resolve()):
            raise UsageError(f"{to} lies in {reason}.", f"Name a folder elsewhere: {command}")
    try:
        if to.exists() and (not to.is_dir() or any(to.iterdir())):
            raise UsageError(
                f"{to} is there and is no empty folder.",
                f"Name a folder that is new or empty: {command}",
            )
    except OSError as error:
        raise _unwritable(to, command, error) from error


@contextmanager
def whole_folder(to: Path, command: str) -> Iterator[Path]:
    """A folder next to this one that takes its name at the end; gone where anything goes wrong.

    What a command that was killed left is removed first. Only the owner may enter the folder.
    """
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(to)
        partial = Path(tempfile.mkdtemp(_PARTIAL, f".{to.name}.", to.parent))
    except OSError as error:
        raise _unwritable(to, command, error) from error
    lock = os.open(partial, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield partial
        try:
            sync(partial)
            partial.rename(to)
            sync(to.parent)
        except OSError as error:
            raise _unwritable(to, command, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _unwritable(to: Path, command: str, error: OSError) -> OSError | UsageError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return error
    return UsageError(
        f"{to} cannot be written: {error.strerror or 'it is no folder'}.",
        f"Name a folder that can be written: {command}",
    )


def _clear_abandoned(to: Path) -> None:
    """Remove what a command that was killed left; one that is at work has it locked."""
    for partial in to.parent.glob(f".{_literal(to.name)}.*{_PARTIAL}"):
        lock = os.open(partial, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(partial)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)


def _literal(name: str) -> str:
    """A name as a pattern that fits it alone."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)
