"""How much came of each feed, how it is distributed, and when: against the loads before.

Each load's rows are profiled once (``quality.feed_profile``). The latest load of a feed is held
against earlier ones like it, by median and median absolute deviation, which a few odd loads do
not move. A check is silent until it has seen ``LEAST_LOADS`` of them
(``docs/decisions/0014-volume-and-distribution.md``).
"""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from etl.contracts.checks import MINOR, Check
from etl.contracts.column import Column, OneOf
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.types import Type
from etl.db.statements import Parts
from etl.quality.checks.sql import SqlCheck, rules

LEAST_LOADS, MOST_LOADS = 8, 60
# How many usual distances from the median are unusual. Of the values of a load there are many
# figures, of which one is far out by chance more often.
_Z_OF_VOLUME, _Z_OF_VALUES = 8.0, 12.0
_NUMBERS = (Type.MONEY, Type.RATIO, Type.INTEGER)


def arrival_checks() -> tuple[SqlCheck, ...]:
    """Every check of volume, distribution and freshness, feed by feed."""
    return (
        *(_unusual(feed) for feed in FEEDS.values()),
        *(
            _fresh(feed, feed.freshness_days)
            for feed in FEEDS.values()
            if feed.freshness_days is not None
        ),
        *(_agreed(feed) for feed in FEEDS.values() if feed.volume is not None),
    )


def _unusual(source: Feed) -> SqlCheck:
    checks = rules(
        source.table,
        (
            "usual_volume",
            "volume",
            MINOR,
            "the latest load brought far more or fewer rows than loads like it",
            "See quality.feed_arrival; ask the sender whether the file is whole, and not twice.",
        ),
        (
            "usual_values",
            "reasonableness",
            MINOR,
            "in the latest load a column is emptier or its values are other than in loads like it",
            "See quality.feed_profile for the columns; ask the sender what changed.",
        ),
    )
    limits = {"usual_volume": _Z_OF_VOLUME, "usual_values": _Z_OF_VALUES}
    return SqlCheck(
        "checks/arrivals.unusual",
        {},
        {r: replace(c, threshold=limits[r], unit="robust z") for r, c in checks.items()},
        feed=source.name,
        values={
            "rules": list(limits),
            "thresholds": list(limits.values()),
            "least_loads": LEAST_LOADS,
            "most_loads": MOST_LOADS,
        },
    )


def _fresh(source: Feed, days: int) -> SqlCheck:
    check = Check(
        f"{source.table}.fresh",
        source.table,
        None,
        "timeliness",
        MINOR,
        "the feed has not come for longer than it may",
        "Ask the sender for the batches that are missing.",
        threshold=days,
        unit="days",
    )
    return SqlCheck("checks/arrivals.fresh", {}, {"fresh": check}, feed=source.name)


def _agreed(source: Feed) -> SqlCheck:
    checks = rules(
        source.table,
        (
            "agreed_volume",
            "volume",
            MINOR,
            "the latest file holds fewer or more rows than the contract expects",
            "Ask the sender whether the file is whole; if so, change the volume in the contract.",
        ),
    )
    return SqlCheck("checks/arrivals.agreed", {}, checks, feed=source.name)


def profile_parts(feed: Feed) -> dict[str, Parts]:
    """What ``arrivals.profile`` is composed of for a feed: aggregates, and the figures of them.

    Rows; of each column the share that is empty; of each number the mean; of each word that the
    contract allows its share.
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
