"""What schemas are called in each build: the live one, a rebuild, and those that were replaced."""

from __future__ import annotations

from collections.abc import Iterable

from etl.warehouse.tables import GUARD_OF_HISTORY, LIVE

_FORMS = "(_(next|retired|kept|before).*)?$"


def named(schemas: Iterable[str]) -> str:
    """An expression for schemas by their live names in any build; the first group is that name."""
    return f"^({'|'.join(schemas)}){_FORMS}"


# How statements know which schemas ``history`` are of the warehouse: those in which loads change
# dimensions. Others are somebody's.
OF_HISTORY = {"histories": named([LIVE.schemas.history]), **GUARD_OF_HISTORY}
