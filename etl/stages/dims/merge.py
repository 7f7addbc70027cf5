"""Dims: from staging to the dimensions, slowly changing ones through one shared helper.

SQL (``sql/dims/scd2.sql``) does the work; Python composes it from a dimension's declaration and
decides which steps a load needs. Two paths lead to the same history:

- the simple path, for rows that are the latest word on their key: new versions are appended;
- the replay, for keys with a late or repeated row, a return, or a batch out of order: their
  history is made again from all that staging holds of them, and only what differs is changed.

A file need not have every column. One that it lacks is not said, which differs from empty: keys
whose rows say other columns than earlier ones did are replayed, where what was said fills the rest.

Facts of versions that gave up part of their time are re-keyed here, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from etl.contracts.column import IS_DELETED
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.db.statements import assign, differ, equal, names, run, scalar, statement, texts
from etl.render import hashing
from etl.render.values import is_open_end
from etl.stages import bulk, statistics
from etl.warehouse.tables import DIMENSIONS, FACTS, Dimension

_EARLIEST = datetime(1, 1, 1)
# The first version of a key begins here.
BEGINNING = datetime(1900, 1, 1)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A feed of the load in hand: its batch's ``as_of``, whether it is a snapshot, its build."""

    load_id: int
    as_of: datetime
    is_snapshot: bool
    statuses: tuple[str, ...]
    is_rebuild: bool


def run_calendar(
    connection: psycopg.Connection[Any],
    load_id: int,
    as_of: datetime,
    made_by: int | None = None,
) -> int:
    """Extend ``dim_date`` and ``dim_geography`` by what the load names; days and places added.

    ``made_by``: the load in whose name they come, where that is another one.
    """
    values = {"load_id": load_id, "as_of": as_of, "made_by": made_by or load_id}
    added = 0
    ends = {"is_open_end": is_open_end(FEEDS["enrollments"].column("end_date"))}
    for name, lists, parts in (
        ("date", ("years",), ends),
        ("geography", ("states", "regions"), {}),
    ):
        run(connection, f"dims/{name}.ensure_unknown")
        # A question of its own, for one that inserts at once would use one core.
        missing = run(connection, f"dims/{name}.missing", values, **parts).fetchall()
        if missing:
            columns = map(list, zip(*missing, strict=True))
            found = dict(zip(lists, columns, strict=True))
            added += run(connection, f"dims/{name}.extend", {**values, **found}).rowcount
            run(connection, f"dims/{name}.analyze")
    return added


def ensure_unknown(connection: psycopg.Connection[Any]) -> None:
    """Give every slowly changing dimension its row -1."""
    for dimension in DIMENSIONS.values():
        run(
            connection,
            "dims/scd2.ensure_unknown",
            {"hash_version": dimension.hash_version},
            hash_of_nothing=hashing.of_nothing(dimension),
            dim=sql.Identifier(dimension.table),
            sk=sql.Identifier(dimension.sk),
            keys=names(dimension.key),
            # No feed can bring an empty key or a year below 1900, so nothing meets this row.
            unknown_key=sql.SQL(", ").join(
                sql.SQL("''" if dimension.feed.column(k).type.stored == "text" else "-1")
                for k in dimension.key
            ),
        )


def analyze(connection: psycopg.Connection[Any], dimension: Dimension) -> None:
    """Refresh the planner's statistics of the columns by which versions are found."""
    own = ("validity_start_ts", "validity_end_ts", "current_flag")
    taken = (lookup.column for lookup in dimension.lookups)
    run(
        connection,
        "dims/scd2.analyze",
        dim=sql.Identifier(dimension.table),
        looked_up=names((dimension.sk, *dimension.key, *taken, *own)),
    )


def last_sk(connection: psycopg.Connection[Any], dimension: Dimension) -> int:
    """The highest surrogate key ever given; one that is taken away is not given again."""
    return int(
        scalar(
            connection,
            "dims/scd2.last_sk",
            dim=sql.Identifier(dimension.table),
            past=sql.Identifier(dimension.past),
            sk=sql.Identifier(dimension.sk),
        )
    )


def rehash(connection: psycopg.Connection[Any], dimension: Dimension) -> int:
    """Hash every version anew if the definition of the hash has changed; how many.

    No version is made: what was loaded is the same, only the witness is another.
    """
    parts = {"dim": sql.Identifier(dimension.table), "sk": sql.Identifier(dimension.sk)}
    held = scalar(connection, "dims/scd2.hash_version", **parts)
    if held in (None, dimension.hash_version):
        return 0
    return run(
        connection,
        "dims/scd2.rehash",
        {"hash_version": dimension.hash_version},
        **parts,
        hash_of_dim=hashing.of_columns(dimension, "d"),
    ).rowcount


def run_dimension(
    connection: psycopg.Connection[Any], dimension: Dimension, arrived: Arrived
) -> dict[str, int]:
    """Bring one dimension up to the load; counts of what changed, by kind."""
    helper = _Helper(connection, dimension, arrived)
    if helper.may_fill():
        return helper.fill()
    helper.classify()
    counts = helper.append()
    counts.update(helper.replay())
    counts["rekeyed"] = helper.rekey_facts()
    helper.analyze(sum(counts.values()))
    helper.drop_temporary()
    return counts


def restate(
    connection: psycopg.Connection[Any], dimension: Dimension, arrived: Arrived, since: datetime
) -> dict[str, int]:
    """Make a dimension's history again from staging, from an instant (UTC) on; what changed.

    What the dimension holds before ``since`` stays as it is. ``arrived`` is a load without files.
    """
    helper = _Helper(connection, dimension, arrived, reason="restated")
    helper.run("find_all", "key_to_rebuild")
    return helper.rebuild_history(since)


def correct(
    connection: psycopg.Connection[Any],
    dimension: Dimension,
    arrived: Arrived,
    loads: list[int],
    lines: list[int],
) -> dict[str, int]:
    """Make the history of keys again of which rows were corrected in staging; what changed.

    ``loads`` and ``lines`` say where the rows are; ``arrived`` is a load without files.
    """
    helper = _Helper(connection, dimension, arrived)
    helper.run("find_corrected", "key_to_rebuild", loads=loads, lines=lines)
    return helper.rebuild_history(BEGINNING)


class _Helper:
    """One run of the SCD2 statements for one dimension and load."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        dimension: Dimension,
        arrived: Arrived,
        reason: str = "spliced",
    ) -> None:
        self.connection = connection
        self.dimension = dimension
        self.arrived = arrived
        self.keys_to_rebuild = 0
        self.arrivals: dict[str, int] = {}
        self.temporary: list[str] = []
        self.common: dict[str, Any] = {
            "load_id": arrived.load_id,
            "as_of": arrived.as_of,
            "is_snapshot": arrived.is_snapshot,
            "statuses": list(arrived.statuses),
            "is_rebuild": arrived.is_rebuild,
            "feed": dimension.feed.name,
            "hash_version": dimension.hash_version,
            "reason": reason,
        }
        self.parts = _parts(dimension, arrived)
        self.run("tell_loads", "told")
        self.told = dict(self.run("columns_told").fetchall())
        self.lacking = _lacking(dimension, self.told)
        known_to, is_late, may_repeat, self.rows = self.run("watermark").fetchone()
        self.values: dict[str, Any] = {
            "known_to": known_to or _EARLIEST,
            "out_of_order": bool(is_late),
            "may_repeat": bool(may_repeat),
            "is_uneven": bool(self.lacking),
        }
        self.is_first = last_sk(connection, dimension) == 0
        # Only a snapshot says by its silence that a key is gone. A left join can go by an index
        # and, where nothing is held yet, uses both cores.
        full = arrived.is_snapshot and not self.is_first
        self.parts["left_or_full_join"] = sql.SQL("full join" if full else "left join")
        said = self.told.get(arrived.load_id, [])
        for kind, columns in (("drivers", dimension.drivers), ("type_1", dimension.type_1)):
            told_now = [c for c in columns if c in said]
            self.parts[f"{kind}_said_differ_a_c"] = differ(told_now, "a", "c")

    def run(
        self,
        name: str,
        makes: str | None = None,
        /,
        parts: dict[str, Any] | None = None,
        **values: Any,
    ) -> psycopg.Cursor[Any]:
        """Run a statement of the helper; ``makes`` names the temporary table that it leaves."""
        text = statement(f"dims/scd2.{name}", **self.parts, **(parts or {}))
        cursor = self.connection.execute(text, {**self.common, **values})
        if makes is not None:
            self.temporary.append(makes)
        return cursor

    def may_fill(self) -> bool:
        """Whether each row of the load is the first version of its key, and there are very many.

        So it is where nothing else was told of the dimension, nobody reads it yet, no key comes
        twice, and no row is a delete marker.
        """
        return (
            self.arrived.is_rebuild
            and self.is_first
            and len(self.told) == 1
            and not self.values["may_repeat"]
            and self.rows >= bulk.ROWS
            and not (
                IS_DELETED.name in self.told[self.arrived.load_id]
                and self.run("has_markers").fetchone()[0]
            )
        )

    def fill(self) -> dict[str, int]:
        """Make the dimension of the load, as a table in place of the empty one.

        CREATE TABLE AS works on both cores and writes page by page; INSERT does neither.
        """
        table = self.dimension.table
        columns = scalar(self.connection, "rebuild/bulk.columns", {"table": table})
        filled = f"{table}_filled"
        parts = {"filled": sql.Identifier(filled), "table_columns": names(columns)}
        self.run("fill", parts=parts)
        bulk.replace(self.connection, table, filled)
        analyze(self.connection, self.dimension)
        self.drop_temporary()
        return {"new_versions": self.rows}

    def classify(self) -> None:
        """Find out what each row of the load means and which keys need a replay."""
        self.run("classify", "arrival", **self.values)
        if self.arrived.is_snapshot and not self.is_first:
            self.run("leave_named")
        self.arrivals = dict(self.run("count_arrivals").fetchall())
        self.run("analyze_arrival")
        self.find_keys_to_rebuild()
        if self.keys_to_rebuild:
            self.run("leave_keys_to_rebuild")
            self.arrivals = dict(self.run("count_arrivals").fetchall())
        self.run("create_moved", "moved")
        if "changed" in self.arrivals:
            self.run("move_changed")
        self.run("move_rebuilt", moved_from_ts=BEGINNING)

    def find_keys_to_rebuild(self) -> None:
        """Find the keys that the simple path might get wrong; looks only where there may be any."""
        is_snapshot = self.arrived.is_snapshot
        out_of_order = self.values["out_of_order"]
        looks = {
            "late": out_of_order or bool({"late", "absent"} & self.arrivals.keys()),
            "repeated": self.values["may_repeat"],
            "returning": bool({"new", "inferred"} & self.arrivals.keys()),
            "marked": is_snapshot and not self.is_first,
            "all": is_snapshot and out_of_order,
        }
        self.run("create_suspect", "suspect")
        for kind, is_due in looks.items():
            if is_due:
                self.run(f"suspect_{kind}", **self.values)
        self.run("find_keys_to_rebuild", "key_to_rebuild")
        self.count_keys_to_rebuild()

    def append(self) -> dict[str, int]:
        """The simple path: what a class of arrivals asks for, where there are any of it."""
        steps = (
            ("completed", "complete_inferred", {"inferred"}),
            ("expired", "close_replaced", {"changed", "gone"}),
            ("expired", "close_absent", {"absent"}),
            ("corrected", "correct_type_1", {"same", "changed"}),
        )
        counts = {"completed": 0, "expired": 0, "new_versions": 0, "corrected": 0}
        for count, step, classes in steps:
            if classes & self.arrivals.keys() and (
                step != "correct_type_1" or self.dimension.type_1
            ):
                counts[count] += self.run(step).rowcount
        if {"new", "changed"} & self.arrivals.keys():
            last = last_sk(self.connection, self.dimension)
            with self.in_bulk() if self.outgrows(last) else nullcontext():
                counts["new_versions"] = self.run("insert_fresh", last_sk=last).rowcount
        return counts

    def outgrows(self, last: int) -> bool:
        """Whether the load brings most of what the dimension will hold, and nobody reads it yet."""
        new = self.arrivals.get("new", 0)
        return (
            self.arrived.is_rebuild
            and "changed" not in self.arrivals
            and new >= bulk.ROWS
            and new > last
        )

    @contextmanager
    def in_bulk(self) -> Iterator[None]:
        """Do without keys, indexes and the guard while very many rows come."""
        guard = {"guard": sql.Identifier(f"{self.dimension.table}_guard_inserts")}
        with bulk.without_indexes(self.connection, self.dimension.table):
            self.run("disable_overlap_guard", parts=guard)
            yield
            self.run("enable_overlap_guard", parts=guard)

    def replay(self) -> dict[str, int]:
        """The replay, for the keys that need it."""
        if not self.keys_to_rebuild:
            return {}
        self.lay_out_history()
        return {"replayed": self.keys_to_rebuild, **self.apply()}

    def rebuild_history(self, since: datetime) -> dict[str, int]:
        """Make the history of the keys to rebuild again, and facts follow; what changed."""
        counts = self.rebuild_versions(since)
        counts["rekeyed"] = self.rekey_facts()
        self.analyze(sum(counts.values()))
        self.drop_temporary()
        return counts

    def rebuild_versions(self, since: datetime) -> dict[str, int]:
        """Make histories again from an instant on, as staging tells them."""
        self.count_keys_to_rebuild()
        self.run("create_moved", "moved")
        if not self.keys_to_rebuild:
            return {}
        self.lay_out_history()
        if since > BEGINNING:
            self.run("keep_earlier", since=since)
            self.run("drop_temporary", parts={"name": sql.Identifier("replayed")})
            self.run("use_restated")
        self.analyze_temporary("replayed")
        # A table of its own, whose rows are counted before keys are looked up in it: guesses at how
        # many histories differ were so far off that each key was looked for among all.
        self.run("find_differing", "differing")
        self.analyze_temporary("differing")
        self.run("leave_unchanged")
        self.run("leave_their_versions")
        self.count_keys_to_rebuild()
        self.run("move_rebuilt", moved_from_ts=since)
        return {"replayed": self.keys_to_rebuild, **self.apply()}

    def count_keys_to_rebuild(self) -> None:
        """See how many keys have their history made again."""
        self.keys_to_rebuild = self.run("count_keys_to_rebuild").fetchone()[0]
        if self.keys_to_rebuild:
            self.analyze_temporary("key_to_rebuild")

    def lay_out_history(self) -> None:
        """Lay out what the history of the keys to rebuild has to be, as ``replayed``."""
        self.run("collect", "delivery")
        self.run("index_delivery")
        self.analyze_temporary("delivery")
        self.run("observe", "observation")
        self.run("index_observation")
        self.analyze_temporary("observation")
        for column, loads in self.lacking.items():
            kind = "driver" if column in self.dimension.drivers else "type_1"
            parts = {
                "filled": sql.Identifier(column),
                "typed_column": _typed(self.dimension.feed, column),
                "name": sql.Literal(column),
            }
            self.run(f"complete_{kind}", parts=parts, lacking=loads)
        self.run("leave_unobserved")
        self.run("find_gaps", "gap")
        self.run("reach_back")
        self.run("replay", "replayed")

    def apply(self) -> dict[str, int]:
        """Make the dimension agree with ``replayed``, changing only what differs."""
        self.run("defer_keys")
        dropped = self.run("drop_orphaned_versions").rowcount
        shortened = self.run("shorten").rowcount
        rewritten = self.run("rewrite").rowcount
        added = self.run(
            "insert_replayed", last_sk=last_sk(self.connection, self.dimension)
        ).rowcount
        return {
            "spliced_in": added,
            "merged": dropped,
            "shortened": shortened,
            "rewritten": rewritten,
        }

    def rekey_facts(self) -> int:
        """Point facts of moved versions at the version of their own date; how many."""
        versions, from_date = self.run("earliest_moved").fetchone()
        if not versions:
            return 0
        count = 0
        for fact in FACTS.values():
            if any(ref.dimension is self.dimension for ref in fact.references):
                rekeyed = self.run(
                    "rekey",
                    parts={
                        "fact": sql.Identifier(fact.table),
                        "date": sql.Identifier(fact.date),
                    },
                    from_date=from_date,
                    fact=fact.table,
                    dimension=self.dimension.table,
                )
                count += sum(facts for (facts,) in rekeyed)
        return count

    def analyze(self, changed: int) -> None:
        """Refresh the planner's statistics if enough has changed for it to matter."""
        if changed and statistics.are_stale(self.connection, self.dimension.table):
            analyze(self.connection, self.dimension)

    def analyze_temporary(self, name: str) -> None:
        self.run("analyze_temporary", parts={"name": sql.Identifier(name)})

    def drop_temporary(self) -> None:
        """Make room for the next dimension."""
        while self.temporary:
            name = sql.Identifier(self.temporary.pop())
            self.run("drop_temporary", parts={"name": name})


def _lacking(dimension: Dimension, told: dict[int, list[str]]) -> dict[str, list[int]]:
    """Attributes that the files of some loads have and others lack, with the loads that lack them.

    Whether a row says since when it is true, or that it is gone, concerns that row alone.
    """
    found = {}
    for column in (*dimension.drivers, *dimension.type_1):
        loads = [load_id for load_id, columns in told.items() if column not in columns]
        if column != dimension.feed.effective and 0 < len(loads) < len(told):
            found[column] = loads
    return found


# Every pair of aliases by which the statements compare natural keys or attributes.
_KEY_PAIRS = (
    *("a_c", "a_s", "arrival_r", "d_arrival", "d_m", "d_r", "d_v", "earlier_o", "h_g"),
    *("o_g", "o_m", "o_p", "o_r", "r_v", "s_arrival", "s_m", "s_r", "t_e", "v_d", "v_r"),
)


def _parts(dimension: Dimension, arrived: Arrived) -> dict[str, sql.Composable]:
    """The identifiers and fragments that the shared statements take, for one dimension."""
    feed, key = dimension.feed, dimension.key
    columns = [c.name for c in feed.columns]
    rest = [c for c in columns if c not in key]
    parts: dict[str, sql.Composable] = {
        "dim": sql.Identifier(dimension.table),
        "past": sql.Identifier(dimension.past),
        "staging": sql.Identifier(feed.table),
        "sk": sql.Identifier(dimension.sk),
        "keys": names(key),
        "keys_of_arrival": names(key, "arrival"),
        "keys_of_dim": names(key, "d"),
        "keys_of_row": names(key, "s"),
        "keys_of_rebuilt": names(key, "r"),
        "keys_of_observation": names(key, "o"),
        "keys_of_event": names(key, "e"),
        "keys_of_marker": names(key, "m"),
        "key_texts_of_arrival": texts(key, "arrival"),
        "key_texts_of_rebuilt": texts(key, "r"),
        "columns": names(columns),
        "keys_of_either": sql.SQL(", ").join(
            sql.SQL("coalesce(a.{0}, c.{0}) as {0}").format(sql.Identifier(k)) for k in key
        ),
        "values_arrived": names(rest, "a"),
        "columns_of_dim": names(columns, "d"),
        "value_columns": names(columns, "v"),
        "keys_of_value": names(key, "v"),
        "observed_columns": names(columns, "o"),
        "typed_columns": sql.SQL(", ").join(
            sql.SQL("{} as {}").format(_typed(feed, c), sql.Identifier(c)) for c in columns
        ),
        "hash_of_judged": hashing.of_columns(dimension, "j"),
        "hash_of_value": hashing.of_columns(dimension, "v"),
        "driver_row": sql.SQL("row({})").format(names(dimension.drivers, "e")),
        # A replayed version has its own drivers and the latest word on Type 1.
        "version_columns": sql.SQL(", ").join(
            sql.Identifier("t" if c in dimension.type_1 else "e", c) for c in columns
        ),
        "effective": _effective(feed, sql.SQL("%(as_of)s::timestamptz at time zone 'UTC'")),
        "effective_of_load": _effective(feed, sql.SQL("t.as_of_ts")),
        "marked": sql.Identifier("s", IS_DELETED.name) if feed.deletable else sql.SQL("false"),
        "assign_all": assign(rest, "v"),
        "assign_type_1": assign(dimension.type_1, "v"),
        **_lookup_parts(dimension),
    }
    for pair in _KEY_PAIRS:
        parts[f"key_{pair}"] = equal(key, *pair.split("_"))
    for pair in ("a_c", "d_v"):
        aliases = pair.split("_")
        parts[f"drivers_differ_{pair}"] = differ(dimension.drivers, *aliases)
        parts[f"type_1_differ_{pair}"] = differ(dimension.type_1, *aliases)
    return parts


def _typed(feed: Feed, column: str) -> sql.Composed:
    """A staging column in the type that the warehouse stores."""
    stored = feed.column(column).type.stored
    return sql.SQL("s.{}::{}").format(sql.Identifier(column), sql.SQL(stored))


def _effective(feed: Feed, as_of: sql.SQL) -> sql.Composable:
    """Since when a staging row is true, as a UTC timestamp."""
    if feed.effective is None:
        return as_of
    return sql.SQL("coalesce(s.{} at time zone 'UTC', {})").format(
        sql.Identifier(feed.effective), as_of
    )


def _lookup_parts(dimension: Dimension) -> dict[str, sql.Composable]:
    """Fragments that fetch the keys a dimension row takes from other dimensions."""
    columns, values, named, assigned, joins = [], [], [], [], []
    for number, lookup in enumerate(dimension.lookups):
        alias = f"lookup_{number}"
        column = sql.Identifier(lookup.column)
        value = sql.SQL("coalesce({}, -1)").format(sql.Identifier(alias, lookup.column))
        columns.append(sql.SQL("{}, ").format(column))
        values.append(sql.SQL("{}, ").format(value))
        named.append(sql.SQL("{} as {}, ").format(value, column))
        assigned.append(sql.SQL("{} = {}, ").format(column, value))
        joins.append(
            sql.SQL("left join {} as {} on {} ").format(
                sql.Identifier(lookup.table),
                sql.Identifier(alias),
                equal(lookup.match, alias, "v"),
            )
        )
    return {
        "lookup_columns": sql.Composed(columns),
        "lookup_values": sql.Composed(values),
        "lookup_named": sql.Composed(named),
        "lookup_assign": sql.Composed(assigned),
        "lookup_joins": sql.Composed(joins),
    }
