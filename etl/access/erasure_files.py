"""What erasure keeps outside of the database: its key, and the list of tokens a second time.

Both are in ``DATA_DIR/erasure``, for the owner alone. The key is in no backup of the database. The
list is what a backup from before an erasure lacks; without the key nobody can be recognized by it.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import psycopg

from etl.access import erasure_rows
from etl.access.erasure import ErasedMembers, Tokens
from etl.db.statements import run
from etl.errors import UsageError
from etl.server.home import write_private
from etl.warehouse.tables import DIM_MEMBER

_KEY_BYTES = 32


def _folder(data: Path) -> Path:
    return data / "erasure"


def tokens(data: Path, *, is_new: bool = False) -> Tokens:
    """What makes tokens; ``is_new``: with a key that is made now if there is none.

    Raises ``UsageError`` where the key is gone or cannot be read.
    """
    path = _folder(data) / "key"
    if is_new and not path.exists():
        _write(path, secrets.token_hex(_KEY_BYTES) + "\n")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise UsageError(
            f"The key of erasures, {path}, is gone or is none, so that erased members in later "
            "files could not be recognized.",
            "Put back the folder erasure of DATA_DIR from its backup; nothing was loaded.",
        )
    return Tokens(key)


def erased_members(connection: psycopg.Connection[Any], data: Path) -> ErasedMembers:
    """The members who were erased; ``UsageError`` where the key to recognize them is gone."""
    through = dict(run(connection, "access/erasure.erased").fetchall())
    if not through:
        return ErasedMembers()
    people = erasure_rows.people(connection, DIM_MEMBER.table, through)
    return ErasedMembers(tokens(data), through, people)


def listed(data: Path) -> set[str]:
    """The tokens of the erased members, as the file next to the key lists them."""
    try:
        return set(_list(data).read_text(encoding="ascii").split())
    except FileNotFoundError:
        return set()


def keep_list(data: Path, erased: set[str]) -> None:
    """Let the file list these tokens."""
    _write(_list(data), "".join(f"{token}\n" for token in sorted(erased)))


def _list(data: Path) -> Path:
    return _folder(data) / "erased"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, text)
