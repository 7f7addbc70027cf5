"""The profile of a load's rows: how many, how empty each column is, and how its values spread.

Each load is profiled once (``quality.feed_profile``); ``sql/checks/arrivals.sql`` compares the
latest one with those before it (``docs/decisions/0014-volume-and-distribution.md``).
"""

from __future__ import annotations

from psycopg import sql

from etl.contracts.column import Column, OneOf
from etl.contracts.feed import Feed
from etl.contracts.types import Type
from etl.db.statements import Parts

# How large amounts are in general: large ones count no more than others.
_MEAN_LOG = "avg(ln(1 + abs({column}::double precision)))"
_NUMBERS = (Type.MONEY, Type.RATIO, Type.INTEGER)


def profile_parts(feed: Feed) -> dict[str, Parts]:
    """What ``arrivals.profile`` is composed of for a feed: aggregates, and the figures of them.

    Rows; of each column the share that is empty; of each number the mean, and of an amount that of
    its logarithm; of each word that the contract allows its share.
    """
    aggregates: list[sql.Composable] = [sql.SQL("count(*)::double precision as row_count")]
    figures = [_figure("rows", "", "", sql.SQL("coalesce(m.row_count, 0)"))]
    for at, column in enumerate(feed.columns):
        aggregates.append(_named("count({column})", column, "filled", at))
        empty = sql.SQL("1 - {} / m.row_count").format(sql.Identifier("m", f"filled_{at}"))
        figures.append(_figure("null_share", column.name, "", empty))
        if column.type in _NUMBERS:
            aggregates.append(_named("avg({column})::double precision", column, "mean", at))
            mean = sql.Identifier("m", f"mean_{at}")
            figures.append(_figure("mean", column.name, "", mean))
        if column.type is Type.MONEY:
            aggregates.append(_named(_MEAN_LOG, column, "mean_log", at))
            figures.append(
                _figure("mean_log", column.name, "", sql.Identifier("m", f"mean_log_{at}"))
            )
        if isinstance(column.check, OneOf):
            for place, word in enumerate(column.check.values):
                name = f"{at}_{place}"
                aggregates.append(
                    sql.SQL("count(*) filter (where lower({}) = lower({})) as {}").format(
                        sql.Identifier(column.name),
                        sql.Literal(word),
                        sql.Identifier(f"share_{name}"),
                    )
                )
                share = sql.SQL("{} / m.row_count").format(sql.Identifier("m", f"share_{name}"))
                figures.append(_figure("share_of", column.name, word, share))
    return {
        "staging": sql.Identifier(feed.table),
        "aggregates": sql.SQL(",\n").join(aggregates),
        "figures": sql.SQL(",\n").join(figures),
    }


def _named(aggregate: str, column: Column, name: str, at: int) -> sql.Composed:
    return sql.SQL("{} as {}").format(
        sql.SQL(aggregate).format(column=sql.Identifier(column.name)),
        sql.Identifier(f"{name}_{at}"),
    )


def _figure(metric: str, column: str, member: str, value: sql.Composable) -> sql.Composed:
    return sql.SQL("({}, {}, {}, {})").format(
        sql.Literal(metric), sql.Literal(column), sql.Literal(member), value
    )
