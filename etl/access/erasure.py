"""Erasure: what becomes of each identifier of a person whom the warehouse is to forget.

Numbers and direct values become tokens: keyed hashes, the same for the same value, so that rows
still count, join and repeat as before. Who has the key can only try values, one by one. Who is
erased is known by the token of the number alone, which is all that the list of them contains.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from etl.contracts.column import Identifier


class Erasure(Enum):
    """What becomes of a value."""

    TOKEN = "token"
    FIRST_OF_YEAR = "first day of its year"
    NOTHING = "nothing"


# Of all other identifiers the value stays: facts, money and the dates of both, areas, and keys
# that nothing outside of the warehouse knows. A hash is made of the new values, and a whole row
# is erased value by value.
ERASURES = {
    Identifier.MEMBER_NUMBER: Erasure.TOKEN,
    Identifier.NAME: Erasure.TOKEN,
    Identifier.STREET: Erasure.TOKEN,
    Identifier.PHONE: Erasure.TOKEN,
    Identifier.EMAIL: Erasure.TOKEN,
    Identifier.BIRTH_DATE: Erasure.FIRST_OF_YEAR,
    Identifier.ZIP: Erasure.NOTHING,
}
# So many hexadecimal digits of the hash are in a token, which so fits into the narrowest column.
_DIGITS = 32
# What a key is recognized by; no value has a token of it, which says of which identifier it is.
_CONSTANT = b"key of erasures"

# What a row says of a person besides the number, in tokens: an e-mail address, or all names and
# the year of birth.
Said = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What makes tokens (HMAC-SHA256) with the key of a warehouse."""

    key: bytes = field(repr=False)

    def of(self, identifier: Identifier, value: str) -> str:
        """The token of a value; a name and a street of one text have different ones."""
        message = f"{identifier.value}\0{value}".encode()
        return f"erased-{hmac.digest(self.key, message, 'sha256').hex()[:_DIGITS]}"

    @property
    def key_check(self) -> str:
        """What shows that a key is another one; nobody can compute the key from it."""
        return hmac.digest(self.key, _CONSTANT, "sha256").hex()[:_DIGITS]

    def of_number(self, number: str) -> str:
        """The token of a member's number."""
        return self.of(Identifier.MEMBER_NUMBER, number)


@dataclass(frozen=True, slots=True)
class Door:
    """What rows of a load are compared with as they come in.

    ``erased``: tokens of the members who were erased. ``stripped``: of those among them whose rows
    also lose day of birth and ZIP now. ``tokens``: ``None`` where nobody was erased. ``people``:
    the members by what a row without a number says of them, in tokens. ``members``: tokens of
    numbers that are being erased, and are in no list yet.
    """

    tokens: Tokens | None = None
    erased: frozenset[str] = frozenset()
    stripped: frozenset[str] = frozenset()
    people: Mapping[Said, str] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)

    def token_of(self, number: str) -> str | None:
        """The token of an erased member's number; ``None`` for all others."""
        if number in self.members:
            return self.members[number]
        if self.tokens is None:
            return None
        token = self.tokens.of_number(number)
        return token if token in self.erased else None


@dataclass(frozen=True, slots=True)
class ErasedMembers:
    """The members who were erased; ``through``: by token the last load before that.

    ``people``: as a ``Door`` has them.
    """

    tokens: Tokens | None = None
    through: Mapping[str, int] = field(default_factory=dict)
    people: Mapping[Said, str] = field(default_factory=dict)

    def door(self, rebuilds_load_id: int | None = None) -> Door:
        """What rows of a load are compared with.

        ``rebuilds_load_id``: the load that it repeats. In a rebuild, versions that differed in
        nothing but day of birth or ZIP when they were made have to be made again, so that these go
        only at the place of the erasure among the loads.
        """
        if not self.through:
            return Door()
        stripped = frozenset(self.before(rebuilds_load_id))
        return Door(self.tokens, frozenset(self.through), stripped, self.people)

    def before(self, rebuilds_load_id: int | None) -> list[str]:
        """Tokens of those who were erased before a load that is repeated; of a new one, all."""
        return [
            token
            for token, through in self.through.items()
            if rebuilds_load_id is None or through < rebuilds_load_id
        ]
