"""Whom the sender's extracts show: who vanishes from a full snapshot, and who comes back."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from etl.synthetic.core.rng import Dice, Ints, below, chance

NOBODY = np.zeros(0, dtype=np.int64)
# Most of those whom a snapshot lacks by mistake are back by a delta so many days later, the
# others in the next snapshot.
_BACK_SOON, _BACK_FROM, _BACK_WIDTH = 800, 3, 7


class Extract:
    """Of one feed. ``shown``: whether the last file that could have shown each row did.

    ``missed``: how many, per mille, a snapshot lacks although they are still there.
    """

    def __init__(self, seed: int, feed: str, shown: NDArray[np.bool_], missed: int) -> None:
        self.shown = shown
        self._words = (seed, "extract", feed)
        self._missed = missed
        self._back: dict[int, list[Ints]] = defaultdict(list)

    def returning(self, today: int) -> Ints:
        """Who comes back by the delta of a day."""
        return np.concatenate([NOBODY, *self._back.pop(today, [])])

    def snapshot(self, today: int, there: NDArray[np.bool_], changed: Ints) -> Ints:
        """A full snapshot of those there, but for a few (at least one) who have not changed.

        Returns who is in it. Who is not there is no longer shown.
        """
        dice = Dice(*self._words, today)
        lacking = chance(dice("missed", len(there)), self._missed) & there
        listed = np.flatnonzero(there)
        lacking[listed[below(dice("one", 1), len(listed))]] = True
        lacking[changed] = False
        missed = np.flatnonzero(lacking)
        soon = chance(dice("soon", len(missed)), _BACK_SOON)
        days = _BACK_FROM + below(dice("back", len(missed)), _BACK_WIDTH)
        for wait in np.unique(days[soon]):
            self._back[today + int(wait)].append(missed[soon & (days == wait)])
        self.shown = there & ~lacking
        return np.flatnonzero(self.shown)
