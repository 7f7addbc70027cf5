"""Amounts: what a file's money columns add up to, in cents, read from its bytes alone.

The server adds up what is in staging, and this adds up what came: neither depends on the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal

# An amount of more digits is not added up: it fits no column, and it is counted as unread.
MOST_DIGITS = 200
_EXACT = Context(prec=MOST_DIGITS + 10)

# Cents of an amount as a sender writes it; None where it cannot be read.
Reader = Callable[[bytes], int | None]


def to_cents(amount: str) -> int | None:
    """Dollars in cents, exactly; ``None`` where there are parts of a cent, or too many digits."""
    if len(amount) > MOST_DIGITS:
        return None
    exact = _EXACT.multiply(Decimal(amount), 100)
    return int(exact) if exact == exact.to_integral_value() else None


def to_dollars(cents: int) -> str:
    """Cents as dollars with two decimals."""
    dollars, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{dollars}.{rest:02}"


@dataclass(frozen=True, slots=True)
class MoneyField:
    """An amount in a record: the positions at which it may be, the preferred one first."""

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
        """Add a record's amounts; ``None`` where its fields cannot be distinguished."""
        for column, money in self.fields.items():
            cents = None if values is None else money.cents(values)
            if cents is None:
                self.unread[column] += 1
            else:
                self.cents[column] += cents
