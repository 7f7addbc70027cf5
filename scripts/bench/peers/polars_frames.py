"""A slowly changing dimension by hand in polars, read and written through ADBC."""

from __future__ import annotations

import polars as pl
import psycopg
from adbc_driver_postgresql import dbapi
from step import Step, take

from etl.db.statements import names, run, statement

KEY = "member_id"


def load(step: Step) -> str:
    """Compare the file with the current versions; end the old ones and append the new ones."""
    rows = pl.read_csv(step.file, infer_schema=False)
    columns = [name for name in rows.columns if name != KEY]
    fresh = rows
    with psycopg.connect(step.url) as connection, dbapi.connect(step.url) as adbc:
        if not step.is_first:
            query = statement("bench/peers.current_versions", columns=names(rows.columns))
            held = pl.read_database(query.as_string(connection), adbc)
            both = held.join(rows, on=KEY, how="full", suffix="_new")
            differs = pl.any_horizontal(
                pl.col(name).ne_missing(pl.col(f"{name}_new")) for name in (KEY, *columns)
            )
            both = both.filter(differs)
            ended = both.filter(pl.col(KEY).is_not_null()).select(KEY)
            ended.write_database("ended", adbc, if_table_exists="replace", engine="adbc")
            run(connection, "bench/peers.end_versions", {"as_of": step.as_of})
            connection.commit()
            fresh = both.filter(pl.col(f"{KEY}_new").is_not_null()).select(
                pl.col(f"{name}_new").alias(name) for name in rows.columns
            )
        fresh.with_columns(
            valid_from=pl.lit(step.as_of), valid_to=pl.lit(None, pl.Datetime("us", "UTC"))
        ).write_database(
            "members",
            adbc,
            if_table_exists="replace" if step.is_first else "append",
            engine="adbc",
        )
    return "members"


if __name__ == "__main__":
    take(load)
