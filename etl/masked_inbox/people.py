"""Invented values in place of those that name a person.

A value follows from a keyed hash of the real one: equal values have equal ones in every file and
batch, different values different ones. The key is random and kept nowhere, so that nobody can
compute from the copy who was who (45 CFR 164.514(c)).

The values are words that nobody is called by, with so many possibilities that two real values do
not meet in one (a list of names would be too short for that, and some member has each of them).
"""

from __future__ import annotations

import secrets
import string
import unicodedata
from collections.abc import Callable
from hashlib import blake2b

from etl.access.treatments import Standard, Treatment, treatment_of
from etl.contracts.column import Column, Identifier
from etl.contracts.sender import Parsing
from etl.contracts.types import NULL_WORDS, SHOWN_FOR_NO_KEY

_KEY_BYTES = 32
_HASH_BYTES = 16
_SYLLABLES = [c + v for c in "bcdfghjklmnprstvwxyz" for v in "aeiou"]
_SYLLABLES_OF_WORD = 8
# A control character, which no key may have and every encoding has.
_ODD = "\x01"
_PADDING = "x"


def _word(number: int) -> str:
    """A word of eight syllables: 10 ** 16 of them."""
    syllables = []
    for _ in range(_SYLLABLES_OF_WORD):
        number, at = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[at])
    return "".join(syllables)


# 555-0100 is reserved for fiction, example.com by RFC 2606.
_INVENTED: dict[Identifier, Callable[[int], str]] = {
    Identifier.NAME: lambda number: _word(number).title(),
    Identifier.STREET: lambda number: f"{1 + number % 999} {_word(number // 999).title()} Street",
    Identifier.PHONE: lambda number: f"555-0100 x{number % 10**15:015d}",
    Identifier.EMAIL: lambda number: f"{_word(number)}@example.com",
    Identifier.MEMBER_NUMBER: lambda number: f"M{number % 10**20:020d}",
    Identifier.RECORD_NUMBER: lambda number: f"R{number % 10**20:020d}",
}
# Without vowels no word comes out.
_SIGNS = string.digits + "BCDFGHJKLMNPQRSTVWXY"
# Of 30 ** 10 codes a million people share one in one case of a thousand.
_LENGTH_NEVER_TAKEN = 11
_TRIES = 1000
_NUMBERS = (Identifier.PHONE, Identifier.MEMBER_NUMBER, Identifier.RECORD_NUMBER)


def is_replaced(column: Column) -> bool:
    """Whether the copy has other values of a column.

    What a limited data set is without (45 CFR 164.514(e)(2)), and numbers of claims and
    enrollments, which it may have: some senders make them of the member's number.
    """
    kept = treatment_of(column.identifier, Standard.LIMITED) is Treatment.KEEP
    return not kept or column.identifier is Identifier.RECORD_NUMBER


class People:
    """The invented people of one copy."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(_KEY_BYTES)
        # Whose a short code is, in this process alone.
        self._taken: dict[tuple[Identifier, str], str] = {}
        # By the name of a key, how one that other files join is replaced; nothing if they do not.
        self.taken_apart: dict[str, Callable[[str], str | None]] = {}

    def replacing(self, column: Column, parsing: Parsing) -> Callable[[bytes], bytes]:
        """A function from a value of a column, trimmed and without quotes, to the invented one.

        Words that say that there is no value stay; a value that is too long, or a key with
        characters that none may have, becomes one with the same fault.
        """
        nothing = {word.lower() for word in parsing.null_words}
        if column.type.names_a_thing:
            nothing |= {*NULL_WORDS, SHOWN_FOR_NO_KEY}

        def replaced(value: bytes) -> bytes:
            text = value.decode()
            if text.lower() in nothing:
                return value
            invented = self._joined(column, text) or self._invented(column.identifier, text)
            if column.type.names_a_thing and is_odd(text):
                invented += _ODD
            longest = column.most_characters
            if longest is not None and len(text) > longest:
                invented = invented.ljust(longest + 1, _PADDING)
            # Where a value has several lines, those after it keep their numbers.
            return (invented + "\n" * text.count("\n")).encode()

        return replaced

    def code(self, column: Column, text: str, length: int) -> str | None:
        """A letter and digits or consonants, so many in all, for where no longer text fits.

        Short ones that are taken are passed over; ``None`` where hardly any is left.
        """
        number = self._number(column.identifier, text)
        for _ in range(_TRIES):
            code = column.identifier.name[0] + _signs(number, length - 1)
            if length >= _LENGTH_NEVER_TAKEN:
                return code
            if self._taken.setdefault((column.identifier, code), text) == text:
                return code
            number = self._number(column.identifier, f"{text} {number}")
        return None

    def number(self, column: Column, text: str) -> str:
        """A number of 20 digits."""
        return f"{self._number(column.identifier, text) % 10**20:020d}"

    def _joined(self, column: Column, text: str) -> str | None:
        joined = self.taken_apart.get(column.name)
        return joined(text) if joined else None

    def _invented(self, identifier: Identifier, text: str) -> str:
        invent = _INVENTED[identifier]
        if identifier in _NUMBERS:
            return invent(self._number(identifier, text))
        # A name in capitals is the same name in capitals.
        lower = text.lower()
        for style in (str.title, str.lower, str.upper):
            if style(lower) == text:
                return style(invent(self._number(identifier, lower)))
        return invent(self._number(identifier, text))

    def _number(self, identifier: Identifier, text: str) -> int:
        person = identifier.name.encode()[: blake2b.PERSON_SIZE]
        digest = blake2b(text.encode(), key=self._key, digest_size=_HASH_BYTES, person=person)
        return int.from_bytes(digest.digest(), "big")


def _signs(number: int, count: int) -> str:
    """The last digits of a number to the base of 36, zeros before it."""
    signs = []
    for _ in range(count):
        number, at = divmod(number, len(_SIGNS))
        signs.append(_SIGNS[at])
    return "".join(signs)


def is_odd(key: str) -> bool:
    """Whether staging refuses a key for its characters (``etl.render.values.is_odd_key``)."""
    others = [sign for sign in key if not " " <= sign <= "~"]
    if not others:
        return False
    is_spelled = all(map(str.isalpha, others))
    return not (is_spelled and unicodedata.is_normalized("NFKC", key))
