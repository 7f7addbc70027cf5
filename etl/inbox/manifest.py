"""Manifest: what a sender says of a batch in its ``manifest.json``, in a form that is declared.

It comes from outside: it has a largest size and depth, and whatever is not as declared is
answered with a ``BatchError`` of one sentence.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

from etl.contracts.refusals import Refusal
from etl.errors import BatchError, is_printable, one_line

MANIFEST = "manifest.json"
YEARS = range(1900, 2200)
# Far above any honest manifest: some hundred files, each with some totals, take 100 kB.
LARGEST_MANIFEST = 1 << 20
DEEPEST_MANIFEST = 8
LONGEST_BATCH_ID = 200
KINDS = ("delta", "snapshot")
MOST_ROWS = 10**12
# Of a whole number; Python itself reads some thousand.
_MOST_DIGITS = 100

_KEYS = ("batch_id", "as_of", "files")
_FILE_KEYS = ("kind", "contract", "rows", "xxh3_128", "totals", "values", "member", "sheet")
# Of what a contract may take from the manifest as it stands.
_LONGEST_VALUE = 255
# What senders write for these, where the words are not alike.
_MEANT = {
    "type": "kind",
    "mode": "kind",
    "load_type": "kind",
    "count": "rows",
    "row_count": "rows",
    "record_count": "rows",
    "records": "rows",
    "lines": "rows",
    "checksum": "xxh3_128",
    "hash": "xxh3_128",
    "md5": "xxh3_128",
    "sha256": "xxh3_128",
    "sums": "totals",
    "amounts": "totals",
    "sender": "contract",
    "date": "as_of",
    "timestamp": "as_of",
    "effective": "as_of",
    "id": "batch_id",
    "name": "batch_id",
    "feeds": "files",
    "inner": "member",
    "entry": "member",
    "tab": "sheet",
    "worksheet": "sheet",
}
_NEAR = 0.5
_TEXT = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_AMOUNT = re.compile(r"[+-]?[0-9]{1,18}(?:\.[0-9]{1,6})?", re.ASCII)
_CHECKSUM = re.compile(r"[0-9a-f]{32}", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Expected:
    """What the manifest says of a file; ``None`` where it says nothing.

    ``contract``: the name of the contract under which the file comes. ``values``: texts by name, of
    which that contract may make values. ``member`` and ``sheet``: as in ``FileForm``.
    """

    kind: str = "delta"
    rows: int | None = None
    checksum: str | None = None
    totals: dict[str, Decimal] = field(default_factory=dict)
    contract: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    member: str = ""
    sheet: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the manifest says under one name of a file; ``kind`` only where it is said."""

    name: str
    kind: str | None = None
    rows: int | None = None
    checksum: str | None = None
    totals: dict[str, Decimal] = field(default_factory=dict)
    contract: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    member: str = ""
    sheet: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a manifest says; empty where there is none."""

    batch_id: str | None = None
    as_of: datetime | None = None
    files: tuple[Entry, ...] = ()


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; ``OSError`` if it is none, such as a pipe that nobody writes to."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "it is not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_manifest(folder: Path, path: Path) -> Manifest:
    """Read a batch's manifest; ``BatchError`` where it is not as declared."""
    where = one_line(folder.name)
    said = _object(where, "it", _parsed(where, path))
    _known_keys(where, "it", said, _KEYS)
    files = _object(where, "'files'", {} if said.get("files") is None else said["files"])
    return Manifest(
        _batch_id(where, said.get("batch_id")),
        _as_of(where, said.get("as_of")),
        tuple(_entry(where, name, entry) for name, entry in files.items()),
    )


def text_of(said: Manifest) -> str:
    """A manifest that says the same, without what its sender noted under names of its own."""
    files = {
        entry.name: _said(
            kind=entry.kind,
            contract=entry.contract,
            rows=entry.rows,
            xxh3_128=entry.checksum,
            totals={column: str(amount) for column, amount in entry.totals.items()},
            values=entry.values,
            member=entry.member or None,
            sheet=entry.sheet or None,
        )
        for entry in said.files
    }
    as_of = said.as_of.isoformat() if said.as_of else None
    return json.dumps(_said(batch_id=said.batch_id, as_of=as_of, files=files), indent=2) + "\n"


def _said(**content: Any) -> dict[str, Any]:
    """What is said at all."""
    return {name: value for name, value in content.items() if value is not None}


def error(where: str, problem: str) -> BatchError:
    """A manifest that cannot be used."""
    return BatchError(
        Refusal.BAD_MANIFEST,
        f"{MANIFEST} of batch {where} cannot be used: {problem}.",
        "Fix the manifest or ask the sender for it again; nothing was loaded.",
    )


def meant(name: str, known: Collection[str]) -> str:
    """What a name that is not known may mean, as a question, or nothing."""
    lowered = name.lower()
    near = [_MEANT[lowered]] if _MEANT.get(lowered) in known else []
    near += difflib.get_close_matches(lowered, known, 1, _NEAR)
    return f" (did the sender mean {near[0]}?)" if near else ""


def _parsed(where: str, path: Path) -> Any:
    try:
        with open_regular(path) as file:
            data = file.read(LARGEST_MANIFEST + 1)
    except OSError as problem:
        raise error(where, f"it cannot be read ({problem.strerror})") from problem
    if len(data) > LARGEST_MANIFEST:
        raise error(where, f"it is larger than {LARGEST_MANIFEST >> 10:,} kB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise error(where, "it is not UTF-8 text") from None
    if _depth(text) > DEEPEST_MANIFEST:
        raise error(where, f"it is nested deeper than {DEEPEST_MANIFEST} levels")
    try:
        return json.loads(
            text,
            parse_int=_whole_number,
            parse_float=Decimal,
            parse_constant=_no_number,
            object_pairs_hook=_once,
        )
    except json.JSONDecodeError as problem:
        raise error(
            where, f"it is not JSON (line {problem.lineno:,}, column {problem.colno:,})"
        ) from None
    except (ValueError, ArithmeticError) as problem:
        raise error(where, f"it is not readable as JSON ({problem})") from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for sign in re.findall(r"[\[\]{}]", _TEXT.sub("", text)):
        depth += 1 if sign in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _whole_number(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits is none that a manifest has")
    return int(digits)


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number")


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {one_line(key)} comes twice")
        found[key] = value
    return found


def _object(where: str, what: str, said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise error(where, f"{what} is not a JSON object")
    return said


def _known_keys(where: str, what: str, said: dict[str, Any], known: tuple[str, ...]) -> None:
    for key in said:
        # What senders note for themselves may be under names of their own.
        if key not in known and key[:1] != "_":
            raise error(where, f"{what} has the unknown key {one_line(key)}{meant(key, known)}")


def _batch_id(where: str, said: Any) -> str | None:
    if said is None or said == "":
        return None
    if isinstance(said, int) and not isinstance(said, bool):
        said = str(said)
    if not isinstance(said, str):
        raise error(where, "batch_id is not a text")
    return checked_batch_id(where, said)


def checked_batch_id(where: str, said: str) -> str:
    """A batch's name, if it can be shown and stored; ``BatchError`` otherwise."""
    if not said.strip() or len(said) > LONGEST_BATCH_ID or not is_printable(said):
        raise BatchError(
            Refusal.BAD_BATCH_NAME,
            f"Batch {where} has a name that cannot be used: {one_line(said)!r}.",
            f"Give it a name of at most {LONGEST_BATCH_ID} letters, digits and signs, none of "
            "them invisible.",
        )
    return said


def _as_of(where: str, said: Any) -> datetime | None:
    if said is None:
        return None
    quoted = repr(one_line(said)) if isinstance(said, str) else "not a text"
    try:
        moment = datetime.fromisoformat(said if isinstance(said, str) and said.isascii() else "")
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise error(where, f"as_of is {quoted}, which is no ISO instant") from None
    if moment.year not in YEARS:
        raise error(where, f"as_of is {quoted}, and years run from 1900 to 2199")
    return moment


def _entry(where: str, name: str, said: Any) -> Entry:
    shown_name = one_line(name)
    said = _object(where, f"what it says of {shown_name}", said)
    _known_keys(where, f"what it says of {shown_name}", said, _FILE_KEYS)
    kind = said.get("kind")
    if kind is not None and kind not in KINDS:
        raise error(where, f"kind of {shown_name} is {_quoted(kind)}, neither delta nor snapshot")
    rows = said.get("rows")
    is_count = isinstance(rows, int) and not isinstance(rows, bool) and 0 <= rows < MOST_ROWS
    if rows is not None and not is_count:
        raise error(where, f"rows of {shown_name} is {_quoted(rows)}, which is no count")
    checksum = said.get("xxh3_128")
    if checksum is not None and not (isinstance(checksum, str) and _CHECKSUM.fullmatch(checksum)):
        raise error(
            where, f"xxh3_128 of {shown_name} is {_quoted(checksum)}, not 32 hexadecimal digits"
        )
    contract = said.get("contract")
    if contract is not None and not isinstance(contract, str):
        raise error(where, f"contract of {shown_name} is not a text")
    totals = _totals(where, shown_name, said.get("totals"))
    values = _values(where, shown_name, said.get("values"))
    names = {key: _pattern(where, shown_name, key, said.get(key)) for key in ("member", "sheet")}
    return Entry(name, kind, rows, checksum and checksum.lower(), totals, contract, values, **names)


def _pattern(where: str, shown_name: str, key: str, said: Any) -> str:
    """The name of a file in an archive, or of a sheet; empty if none is said."""
    if said is not None and not (isinstance(said, str) and said and len(said) <= _LONGEST_VALUE):
        raise error(where, f"{key} of {shown_name} is not a name")
    return said or ""


def _values(where: str, shown_name: str, said: Any) -> dict[str, str]:
    if said is None:
        return {}
    values = _object(where, f"values of {shown_name}", said)
    for text in values.values():
        if not isinstance(text, str) or len(text) > _LONGEST_VALUE or not is_printable(text):
            raise error(
                where,
                f"values of {shown_name} are not texts of at most {_LONGEST_VALUE} characters",
            )
    return values


def _totals(where: str, shown_name: str, said: Any) -> dict[str, Decimal]:
    if said is None:
        return {}
    amounts = _object(where, f"totals of {shown_name}", said)
    for amount in amounts.values():
        is_number = isinstance(amount, str | int | Decimal) and not isinstance(amount, bool)
        if not is_number or not _AMOUNT.fullmatch(str(amount)):
            raise error(where, f"totals of {shown_name} are not amounts")
    return {column: Decimal(str(amount)) for column, amount in amounts.items()}


def _quoted(said: Any) -> str:
    """A value from a manifest for a message: texts and numbers as they are, others by kind."""
    if isinstance(said, str):
        return repr(one_line(said))
    if isinstance(said, int | Decimal) and not isinstance(said, bool):
        return one_line(f"{said:f}" if isinstance(said, Decimal) else str(said))
    return {bool: "true or false", dict: "an object", list: "a list"}.get(type(said), "nothing")
