"""The first and the last instant of validity, as statements write them."""

from __future__ import annotations

from psycopg import sql

from etl.warehouse.tables import BEGINNING, OPEN_END

BOUNDS: dict[str, sql.Composable] = {
    "beginning": sql.Literal(BEGINNING),
    "open_end": sql.Literal(OPEN_END),
}
