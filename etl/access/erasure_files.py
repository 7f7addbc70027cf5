"""What erasure keeps outside of the database: its key, and the list of tokens a second time.

Both are in ``DATA_DIR/erasure``, for the owner alone. The key is in no backup of the database. The
list is what a backup from before an erasure lacks; without the key nobody can be recognized by it.
By another key nobody could be either, so the database and a file have what the key is known by.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
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
_KEY_CHECK = "key-check"
_ADVICE = "Put back the folder erasure of DATA_DIR from its backup; nothing was done."


def _folder(data: Path) -> Path:
    return data / "erasure"


def tokens(data: Path, *, is_new: bool = False) -> Tokens:
    """What makes tokens; ``is_new``: with a key that is made now if there is none.

    Raises ``UsageError`` where the key is gone, cannot be read, or is not that of the list.
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
            _ADVICE,
        )
    made = Tokens(key)
    _require_key(data, made, _lines(data, _KEY_CHECK))
    return made


def known_by(data: Path) -> str:
    """What the key is known by; nothing where nobody was ever erased."""
    return "".join(_lines(data, _KEY_CHECK))


def require_key_of(data: Path, key_checks: set[str]) -> None:
    """Raise ``UsageError`` if there is a key, and tokens known by these were made by another."""
    if (_folder(data) / "key").exists():
        _require_key(data, tokens(data), key_checks)


def _require_key(data: Path, made: Tokens, known: set[str]) -> None:
    """Refuse a key that is not the one of the tokens that there are."""
    if known - {made.key_check}:
        raise UsageError(
            f"The key of erasures, {_folder(data) / 'key'}, is another one than erased members got "
            "their tokens by, so that they could not be recognized in later files.",
            _ADVICE,
        )


def erased_members(connection: psycopg.Connection[Any], data: Path) -> ErasedMembers:
    """The members who were erased; ``UsageError`` without the key to recognize them."""
    found = run(connection, "access/erasure.erased").fetchall()
    if not found:
        return ErasedMembers()
    made = tokens(data)
    _require_key(data, made, {key_check for *_, key_check in found if key_check})
    through = {token: load_id for token, load_id, _ in found}
    people = erasure_rows.people(connection, DIM_MEMBER.table, through)
    return ErasedMembers(made, through, people)


def listed(data: Path) -> set[str]:
    """The tokens of the erased members, as the file next to the key lists them."""
    return _lines(data, "erased")


def values_of_checks(
    connection: psycopg.Connection[Any], data: Path, schema: str
) -> dict[str, list[str]]:
    """What checks compare a build with, whose member dimension is in ``schema``.

    ``erased_listed``: the tokens that the list has. ``erased_named``: those of all erased members
    whose number the dimension has nevertheless.
    """
    listed_tokens = listed(data)
    erased = listed_tokens | erased_members(connection, data).through.keys()
    named: list[str] = []
    if erased:
        of_number = tokens(data).of_number
        dimension = replace(
            erasure_rows.of_feed(DIM_MEMBER.feed), schema=schema, name=DIM_MEMBER.table
        )
        numbers = erasure_rows.numbers_of(connection, dimension)
        named = sorted(erased.intersection(map(of_number, numbers)))
    return {"erased_listed": sorted(listed_tokens), "erased_named": named}


def keep_list(data: Path, erased: set[str], made: Tokens | None = None) -> None:
    """Let the file list these tokens; ``made``: what they were made by, for later comparison."""
    _write(_folder(data) / "erased", "".join(f"{token}\n" for token in sorted(erased)))
    if made:
        _write(_folder(data) / _KEY_CHECK, f"{made.key_check}\n")


def _lines(data: Path, name: str) -> set[str]:
    try:
        return set((_folder(data) / name).read_text(encoding="ascii").split())
    except FileNotFoundError:
        return set()


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, text)
