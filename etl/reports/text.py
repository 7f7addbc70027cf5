"""Numbers, instants and counts as the report on data quality writes them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal


def share(value: float) -> str:
    """A share, 0 to 1, in percent. Only all is 100 % and only nothing is 0 %."""
    if value in (0, 1):
        return f"{value:.0%}".replace("%", "\u00a0%")
    # As the server rounds what it is asked for, so that page and views say the same.
    percent = min(max(Decimal(repr(value)) * 100, Decimal("0.01")), Decimal("99.99"))
    places = Decimal("0.1") if Decimal("0.1") <= percent <= Decimal("99.9") else Decimal("0.01")
    return f"{percent.quantize(places, ROUND_HALF_UP)}\u00a0%"


def number(value: float) -> str:
    """A number with marks at the thousands, and no more digits than mean something."""
    if not math.isfinite(value):
        return str(value)
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:,.4g}"


def instant(value: datetime | None) -> str:
    """An instant as ISO date and time of day, UTC."""
    return "" if value is None else f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(value: datetime) -> str:
    """The day of an instant, UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d}"


def span(seconds: float | None) -> str:
    """A duration in its two largest units."""
    if seconds is None:
        return "not known"
    units = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
    left = round(max(seconds, 0))
    said = []
    for name, size in units:
        if left >= size:
            said.append(f"{left // size:,}\u00a0{name}")
            left %= size
        elif said:
            break
    return " ".join(said[:2]) or "0\u00a0s"


def plural(count: int, word: str, words: str = "") -> str:
    """A count with its noun; ``words``: more than one, where that is not formed with an s."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {words or word + 's'}"
