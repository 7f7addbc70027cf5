"""The text of a row of a person who is erased: rows of the quarantine, corrections, exports."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence

from etl.access.erasure import ERASURES, Erasure, Said, Tokens
from etl.contracts.column import Identifier
from etl.contracts.feed import Feed
from etl.inbox import csv_records
from etl.inbox.copy_stream import fault_of
from etl.inbox.header import Header

# What may be a value in a text whose fields cannot be distinguished.
_WORD = re.compile(r'[^\s,;|"]+')
_ISO_YEAR = re.compile(r"([12]\d{3})-\d\d-\d\d")

TokenOf = Callable[[str], str | None]


def identifiers_of(head: Header) -> list[Identifier]:
    """Which identifier each field of a file is; none where its contract makes none of it.

    Of a field that several columns are made of it is that of a member's number if it is one, by
    which the row is known, else the first.
    """
    return [_identifier(head, at) for at in range(len(head.names))]


def _identifier(head: Header, position: int) -> Identifier:
    columns = head.columns_at(position)
    found = [head.contract.feed.column(c).identifier for c in columns]
    if Identifier.MEMBER_NUMBER in found:
        return Identifier.MEMBER_NUMBER
    return next((i for i in found if i is not Identifier.NONE), Identifier.NONE)


def erased_text(
    text: str,
    feed: Feed,
    head: Header | None,
    tokens: Tokens,
    of: TokenOf,
    people: Mapping[Said, str],
    made: Sequence[str] = (),
) -> str:
    """The text of a row without the person; as it is where the row is of nobody who is erased.

    ``head``: the header of its file, if known. ``of``: the token of an erased member's number.
    ``people``: as a ``Door`` has them. ``made``: numbers that the row's contract makes of it.
    """
    raw = text.encode()
    if head is not None and fault_of(raw, len(head.names)) is None:
        values = [v.decode() for v in csv_records.values_of(csv_records.trimmed(raw))]
        erased = erased_values(values, identifiers_of(head), tokens, of, people, made)
        return text if erased is None else _as_csv(erased)
    words = {*_WORD.findall(text), *(value.strip(' \t\r"') for value in text.split(","))}
    numbers = {word: token for word in words if word and (token := of(word))}
    if not numbers:
        return text
    if any(c.identifier is Identifier.NAME for c in feed.columns):
        # Which of its values is a name, nobody can say.
        return next(iter(numbers.values()))
    for number, token in numbers.items():
        text = re.sub(rf"(?<![\w-]){re.escape(number)}(?![\w-])", token, text)
    return text


def erased_values(
    values: Sequence[str],
    identifiers: Sequence[Identifier],
    tokens: Tokens,
    of: TokenOf,
    people: Mapping[Said, str],
    made: Sequence[str] = (),
) -> list[str] | None:
    """The values of a row without the person; ``None`` if it is of nobody who is erased.

    ``made``: numbers of members that the row's contract makes of several fields or of parts.
    """
    fields = list(zip(values, identifiers, strict=True))
    numbers = [*made, *(value for value, i in fields if i is Identifier.MEMBER_NUMBER and value)]
    is_theirs = any(map(of, numbers)) if numbers else _is_one_of(people, fields, tokens)
    if not is_theirs:
        return None
    return [_erased(value, identifier, tokens) for value, identifier in fields]


def _is_one_of(
    people: Mapping[Said, str], fields: Sequence[tuple[str, Identifier]], tokens: Tokens
) -> bool:
    """Whether a row without a number says what an erased member's rows say."""
    by_kind: dict[Identifier, list[str]] = {}
    for value, identifier in fields:
        by_kind.setdefault(identifier, []).append(value)
    emails = (tokens.of(Identifier.EMAIL, v) for v in by_kind.get(Identifier.EMAIL, ()))
    full_name = (tokens.of(Identifier.NAME, v) for v in by_kind.get(Identifier.NAME, ()))
    year = "".join(by_kind.get(Identifier.BIRTH_DATE, ()))[:4]
    return any((email,) in people for email in emails) or (*full_name, year) in people


def _erased(value: str, identifier: Identifier, tokens: Tokens) -> str:
    how = ERASURES.get(identifier)
    if how is None or not value:
        return value
    if how is Erasure.NOTHING:
        return ""
    born = _ISO_YEAR.fullmatch(value) if how is Erasure.FIRST_OF_YEAR else None
    return f"{born[1]}-01-01" if born else tokens.of(identifier, value)


def _as_csv(values: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(values)
    return written.getvalue()
