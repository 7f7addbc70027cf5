"""The statements by which a load fills staging, dimensions, facts and cubes, in their order.

Each is composed as its stage composes it. What no statement does is declared: COPY fills a column
of staging from the column of its name, reference tables describe codes, and triggers keep rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from psycopg import sql
from sqlalchemy import MetaData

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.db.statements import statement
from etl.dictionary.graph import Graph, Step
from etl.dictionary.trace import ROWS, Node
from etl.stages.cubes import definitions
from etl.stages.dims import code_sets, fragments, versions
from etl.stages.facts import claims, details, enrollments
from etl.stages.facts.fact_loads import FactLoads
from etl.warehouse.code_sets import CODE_SETS, CodeSet
from etl.warehouse.details import DETAILS, Detail
from etl.warehouse.tables import (
    CUBES,
    DIMENSIONS,
    FACT_CLAIM,
    FACTS,
    LIVE,
    MEMBER_LIMITED,
    MEMBER_SCOPE,
    Dimension,
    Fact,
)

LOAD = Node("ledger.load", "load_id")
# The values that statements of a load take by name; others that they take are constants.
_BOUND = {
    **dict.fromkeys(("load_id", "made_by", "current_load_id"), LOAD),
    "as_of": Node("ledger.load", "as_of"),
}
REFERENCE = "reference tables"
# The load alone, and after a load that came late.
_LATEST = FactLoads(1, [(1, False)])
_LATE = FactLoads(1, [(1, False), (2, False)])


def warehouse_graph(metadata: MetaData) -> Graph:
    """Columns of staging, warehouse and cubes, each with what it is made of."""
    columns = {key: [c.name for c in table.columns] for key, table in metadata.tables.items()}
    graph = Graph(dict(columns), LIVE.schemas.path)
    for feed in FEEDS.values():
        _staging(graph, feed)
    for step in all_steps():
        graph.add(step)
    _declared(graph)
    for table in metadata.tables.values():
        for column in table.columns:
            node = Node(f"{table.schema}.{table.name}", column.name)
            # What a statement leaves out has its default: the clock, a number, a word.
            is_filled = table.schema in LIVE.schemas.names
            if is_filled and column.server_default is not None and node not in graph.made_of:
                graph.declare("default of the column", node)
    return graph


def all_steps() -> Iterator[Step]:
    """The statements of a load, in the order in which stages run them."""
    yield from (*_calendar(), *_geography(), *_code_sets())
    yield from (*_dimensions(), *_facts(), *_cubes())


def file_column(feed: Feed, column: str) -> Node:
    """A column of a feed's file."""
    return Node(feed.file_name, column)


def _staging(graph: Graph, feed: Feed) -> None:
    """COPY reads a file by the names of its header; a sender's contract says what it calls them."""
    table = f"staging.{feed.table}"
    for column in feed.staged:
        graph.declare("stage: COPY", Node(table, column.name), file_column(feed, column.name))
    graph.declare("stage: COPY", Node(table, "load_id"), LOAD)
    graph.declare("stage: line of the file", Node(table, "source_line"), file_column(feed, ROWS))
    graph.declare("stage: COPY", Node(table, ROWS), file_column(feed, ROWS))


def _step(
    name: str,
    text: sql.Composed,
    target: str = "",
    *,
    bound: Mapping[str, Node] = _BOUND,
    work: str = "",
) -> Step:
    return Step(name, text.as_string(), target, bound, work)


def _calendar() -> Iterator[Step]:
    """The calendar: all days of the years that a load names."""
    years = {"years": Node(REFERENCE, "calendar")}
    text = statement("dims/date.extend")
    yield _step("dims: days of the years of a load", text, bound=_BOUND | years)


def _geography() -> Iterator[Step]:
    yield _step(
        "dims: places that the load names",
        statement("dims/geography.missing"),
        "work_geography.missing",
    )
    places = {f"{name}s": Node("work_geography.missing", name) for name in ("state", "region")}
    yield _step("dims: new places", statement("dims/geography.extend"), bound=_BOUND | places)


def _code_sets() -> Iterator[Step]:
    for codes in CODE_SETS.values():
        parts, missing = code_sets.parts_of(codes), f"work_{codes.name}.missing"
        yield _step(
            f"dims: codes of {codes.name} that the load names",
            statement("dims/code_sets.missing", **parts),
            missing,
        )
        rows = {"rows": Node(missing, "code")}
        text = statement("dims/code_sets.extend", **parts)
        yield _step(f"dims: new codes of {codes.name}", text, bound=_BOUND | rows)


def _dimensions() -> Iterator[Step]:
    for dimension in DIMENSIONS.values():
        yield from _dimension(dimension)


def _dimension(dimension: Dimension) -> Iterator[Step]:
    file = [column.name for column in dimension.feed.staged]
    parts = {
        **fragments.of_dimension(dimension),
        **fragments.of_file(dimension, file),
        "left_or_full_join": sql.SQL("full join"),
        "can_differ": statement("dims/1_arrivals.any_row"),
    }
    work = f"work_{dimension.name}"

    def text(name: str) -> sql.Composed:
        return statement(f"dims/{name}", **parts)

    # The first versions of all keys come as a table in place of the empty one.
    first = versions.complete(dimension, text("3_simple_path.first_versions"))
    table = f"warehouse.{dimension.table}"
    yield _step(f"dims: first versions of {dimension.name}", first, table)
    yield _step(f"dims: arrivals of {dimension.name}", text("1_arrivals.classify"), work=work)
    new = versions.insertion(dimension, text("3_simple_path.arrived_versions"))
    yield _step(f"dims: new versions of {dimension.name}", new, work=work)
    for name, change in (
        ("inferred rows completed", "complete_inferred"),
        ("versions ended", "close_replaced"),
        ("Type 1 attributes corrected", "correct_type_1"),
    ):
        if change != "correct_type_1" or dimension.type_1:
            made = text(f"3_simple_path.{change}")
            yield _step(f"dims: {name} of {dimension.name}", made, work=work)


def _facts() -> Iterator[Step]:
    yield from _claims()
    yield from _enrollments()
    for detail in DETAILS:
        yield from _detail(detail)


def _claims() -> Iterator[Step]:
    of_claims = {
        "target": sql.Identifier(FACT_CLAIM.table),
        "of_existing": claims.among_existing(0),
    }
    file = "facts/6_claim_rows"
    for name, text in (
        ("work", "facts/2_claim_reversals.create_self_reversal"),
        ("work", "facts/3_claims_of_latest_load.create_withdrawn"),
        ("work", "facts/3_claims_of_latest_load.no_existing"),
        ("claims that are there", "facts/3_claims_of_latest_load.find_existing"),
        ("claims that a marker ends", "facts/3_claims_of_latest_load.find_marked"),
        ("claims that a snapshot lacks", "facts/3_claims_of_latest_load.find_absent"),
        ("claims that reverse themselves", "facts/2_claim_reversals.find_of_latest"),
        ("new claims", f"{file}.insert_new"),
        ("claims changed", f"{file}.update_existing"),
        ("states that ended", f"{file}.withdraw"),
    ):
        parts = {**claims.parts_of(_LATEST), **of_claims}
        yield _step(f"facts: {name}", statement(text, **parts), work="work_claim")
    late = {**claims.parts_of(_LATE), **of_claims}
    yield _step(
        "facts: states of claims of a late load",
        statement("facts/4_claims_of_late_load.find_states", **late),
        work="work_claim",
    )
    missing = statement("facts/4_claims_of_late_load.insert_missing_states", **late)
    yield _step("facts: earlier states of a late load", missing, work="work_claim")


def _enrollments() -> Iterator[Step]:
    parts = enrollments.parts_of(_LATEST)
    for name, text in (
        ("latest enrollments", "find_latest"),
        ("keys of enrollments", "key_rows"),
        ("new enrollments", "insert_new"),
        ("enrollments changed", "update_existing"),
    ):
        made = statement(f"facts/7_enrollments.{text}", **parts)
        yield _step(f"facts: {name}", made, work="work_enrollment")


def _detail(detail: Detail) -> Iterator[Step]:
    parts = details.parts_of(detail, _LATEST)
    made = statement(
        "facts/9_details.insert_all",
        **parts,
        **details.sources_of(parts, "all"),
        target=sql.Identifier(detail.table),
    )
    yield _step(f"facts: rows of {detail.table}", made)


def _cubes() -> Iterator[Step]:
    for cube in CUBES.values():
        yield _step(f"cubes: {cube.name}", definitions.definition(cube), f"cubes.{cube.name}")


def _declared(graph: Graph) -> None:
    """What is filled by other than the statements of stages."""
    for codes in CODE_SETS.values():
        _described(graph, codes)
    kept_of: tuple[Dimension | Fact | Detail, ...] = (
        *DIMENSIONS.values(),
        *FACTS.values(),
        *DETAILS,
    )
    for entry in kept_of:
        kept = f"internal.{entry.past}"
        for column in graph.columns[kept]:
            source = Node(f"warehouse.{entry.table}", column)
            own = column in graph.columns[source.relation]
            graph.declare(
                "trigger: row before a change", Node(kept, column), source if own else LOAD
            )
        graph.declare("trigger: row before a change", Node(kept, ROWS), Node(source.relation, ROWS))
    limited = f"warehouse.{MEMBER_LIMITED}"
    for column in (*graph.columns[limited], ROWS):
        source = Node(f"{limited}_rows", column)
        graph.declare("trigger: limited copy of members", Node(limited, column), source)
    for column in (*graph.columns[f"warehouse.{MEMBER_SCOPE}"], ROWS):
        source = Node(limited, column if column in ("state", ROWS) else "version_sk")
        node = Node(f"warehouse.{MEMBER_SCOPE}", column)
        graph.declare("trigger: states of members", node, source)


def _described(graph: Graph, codes: CodeSet) -> None:
    for column in codes.attributes:
        node = Node(f"warehouse.{codes.table}", column)
        graph.declare("dims: described by reference", node, Node(REFERENCE, codes.name))
