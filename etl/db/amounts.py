"""Amounts: what a file's money columns add up to, in cents, told from its bytes alone.

The server adds up what it holds, and this adds up what came, so that neither depends on the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

# Cents of an amount as a sender writes it; None where it cannot be read.
Reader = Callable[[bytes], int | None]


@dataclass(frozen=True, slots=True)
class MoneyField:
    """An amount in a record: the positions at which it may stand, the one to prefer first."""

    positions: tuple[int, ...]
    read: Reader

    def cents(self, values: Sequence[bytes]) -> int | None:
        """What the first of its fields says that is not empty; 0 if all are."""
        return next((self.read(values[at]) for at in self.positions if values[at]), 0)


@dataclass(slots=True)
class Amounts:
    """Sums by column, and how many amounts could not be read."""

    fields: Mapping[str, MoneyField]
    cents: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)

    def add(self, values: Sequence[bytes] | None) -> None:
        """Add a record's amounts; ``None`` where its fields cannot be told apart."""
        for column, money in self.fields.items():
            cents = None if values is None else money.cents(values)
            if cents is None:
                self.unread[column] += 1
            else:
                self.cents[column] += cents
