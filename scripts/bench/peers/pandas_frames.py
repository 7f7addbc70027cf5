"""A slowly changing dimension by hand in pandas, written with COPY, in one transaction."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Any

import pandas as pd
from psycopg import sql
from sqlalchemy import Connection, create_engine
from step import Step, take

from etl.db.statements import names, run, statement

KEY = "member_id"


def load(step: Step) -> str:
    """Compare the file with the current versions; end the old ones and append the new ones."""
    rows = pd.read_csv(step.file, dtype=str, keep_default_na=False)
    engine = create_engine(step.url.replace("postgresql:", "postgresql+psycopg:", 1))
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        if not step.is_first:
            query = statement("bench/peers.current_versions", columns=names(rows.columns))
            held = pd.read_sql_query(query.as_string(driver), connection)
            both = held.merge(rows, on=KEY, how="outer", suffixes=("_held", ""), indicator=True)
            columns = [name for name in rows.columns if name != KEY]
            differs = (
                both[[f"{name}_held" for name in columns]].to_numpy() != both[columns].to_numpy()
            ).any(axis=1)
            side = both["_merge"]
            ended = both.loc[(side != "right_only") & differs, [KEY]]
            ended.to_sql("ended", connection, if_exists="replace", index=False, method=_copy)
            run(driver, "bench/peers.end_versions", {"as_of": step.as_of})
            rows = both.loc[(side != "left_only") & differs, rows.columns]
        rows = rows.assign(
            valid_from=step.as_of, valid_to=pd.Series(pd.NaT, rows.index, "datetime64[ns, UTC]")
        )
        rows.to_sql("members", connection, if_exists="append", index=False, method=_copy)
    return "members"


def _copy(table: Any, connection: Connection, keys: list[str], rows: Iterable[Any]) -> None:
    """Write rows by COPY in place of INSERT."""
    driver: Any = connection.connection.driver_connection
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    command = statement(
        "bench/peers.copy_rows", table=sql.Identifier(table.name), columns=names(keys)
    )
    with driver.cursor().copy(command) as copy:
        copy.write(lines.getvalue())


if __name__ == "__main__":
    take(load)
