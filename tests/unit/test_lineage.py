"""Where columns come from: statements are traced, and every column of marts has an origin."""

from __future__ import annotations

from functools import cache

import pytest

from etl.contracts.feeds import FEEDS
from etl.dictionary.graph import Graph, Step
from etl.dictionary.steps import REFERENCE, file_column
from etl.dictionary.trace import ROWS, Node
from etl.dictionary.views import declared_graph
from etl.schema.warehouse_tables import all_tables

# Columns of words that a statement chooses among, none of which comes from a file.
WORDS = {
    ("claims_by_month", "breakdown"),
    ("high_cost_member_tracking", "band"),
    ("high_cost_year", "band"),
    ("member_timeline", "what"),
}


@cache
def declared() -> Graph:
    return declared_graph(all_tables())


def traced(text: str, **more: object) -> tuple[Graph, dict[str, list[str]]]:
    """What the columns of ``out`` are made of; with a question mark what only decides."""
    columns = {"s.a": ["k", "x", "y"], "s.b": ["k", "z"], "s.out": ["p", "q"]}
    graph = Graph(dict(columns), ["s"])
    graph.add(Step("step", text, **{"target": "s.out", **more}))
    found = {}
    for node, edges in graph.made_of.items():
        if node.column != ROWS and edges:
            shown = [f"{e.source}{'' if e.is_value else '?'}" for e in edges if e.source]
            found[node.column] = sorted(shown)
    return graph, found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select a.x + 1 as p from a", {"p": ["s.a.x"]}),
        ("select case when a.y > 0 then a.x end as p from a", {"p": ["s.a.x", "s.a.y?"]}),
        ("select sum(x) filter (where y > 0) as p from a", {"p": ["s.a.x", "s.a.y?"]}),
        ("select count(*) as p from a", {"p": ["s.a.*"]}),
        ("select b.z as p from a inner join b on a.k = b.k", {"p": ["s.a.k?", "s.b.z"]}),
        ("select x as p from a union all select z from b", {"p": ["s.a.x", "s.b.z"]}),
        ("with c as (select x as w from a) select w as p from c", {"p": ["s.a.x"]}),
        ("select l.w as p from a cross join lateral (select a.x as w) as l", {"p": ["s.a.x"]}),
        ("select (select max(b.z) from b where b.k = a.k) as p from a", {"p": ["s.b.z"]}),
        (
            "select exists(select 1 from b where b.k = a.k) as p from a",
            {"p": ["s.a.k?", "s.b.k?"]},
        ),
        ("select rank() over (order by x) as p from a", {"p": ["s.a.x?"]}),
        ("select v.w as p from (values (1), (2)) as v (w)", {"p": []}),
        ("select 'word' as p, now() as q", {"p": [], "q": []}),
        (
            "with recursive c as (select x as w from a union all select w + 1 from c) "
            "select w as p from c",
            {"p": ["s.a.x"]},
        ),
    ],
)
def test_queries_are_traced_column_by_column(text: str, expected: dict[str, list[str]]) -> None:
    graph, found = traced(text)
    assert graph.not_traced == {}
    assert found == expected


def test_changes_are_traced_to_what_they_write() -> None:
    _, found = traced("insert into out (q, p) select x, y from a", target="")
    assert found == {"q": ["s.a.x"], "p": ["s.a.y"]}
    _, found = traced("update out set p = b.z from b where out.q = b.k", target="")
    assert found == {"p": ["s.b.z"]}
    _, found = traced(
        "with gone as (delete from a using b where a.k = b.k returning a.x, b.z) "
        "insert into out (p, q) select x, z from gone",
        target="",
    )
    assert found == {"p": ["s.a.x"], "q": ["s.b.z"]}
    _, found = traced(
        "with changed as (update a set x = b.z from b where a.k = b.k returning old.x) "
        "insert into out (p) select x from changed",
        target="",
    )
    assert found == {"p": ["s.a.x"], "x": ["s.b.z"]}


def test_values_that_a_statement_takes_are_constants_unless_somebody_says() -> None:
    text = "select %(known)s::bigint as p, %(other)s as q"
    _, found = traced(text, bound={"known": Node("s.a", "k")})
    assert found == {"p": ["s.a.k"], "q": []}


@pytest.mark.parametrize(
    "text", ["select nothing.x as p from a", "select a.nothing as p from a", "vacuum a", "select ("]
)
def test_what_cannot_be_read_is_named_and_not_guessed(text: str) -> None:
    graph, found = traced(text)
    assert list(graph.not_traced) == ["step: s.out"]
    assert found == {}


def test_every_statement_of_a_load_and_every_view_is_traced() -> None:
    assert declared().not_traced == {}


def test_paid_per_member_per_month_leads_to_the_paid_amount_of_claims() -> None:
    steps = []
    for target, edges in declared().upstream(Node("mart.pmpm_month", "paid_pmpm_usd")).items():
        steps += [(edge.step, str(target), str(edge.source)) for edge in edges]
    path = [
        ("view: mart.pmpm_month", "mart.pmpm_month.paid_pmpm_usd", "cubes.cost_month.paid_usd"),
        ("cubes: cost_month", "cubes.cost_month.paid_usd", "warehouse.fact_claim.paid_amount"),
        (
            "facts: new claims",
            "warehouse.fact_claim.paid_amount",
            "staging.claims_raw.paid_amount",
        ),
        ("stage: COPY", "staging.claims_raw.paid_amount", "claims.csv.paid_amount"),
    ]
    assert set(path) <= set(steps)


def test_every_column_of_marts_leads_to_a_file_the_reference_or_the_ledger() -> None:
    graph = declared()
    files = {feed.file_name for feed in FEEDS.values()}
    words = set()
    for relation in (name for name in graph.columns if name.startswith("mart.")):
        for column in graph.columns[relation]:
            node = Node(relation, column)
            assert node in graph.made_of, node
            # What is chosen among constants leads to what it is chosen by.
            origins = graph.origins(node) or graph.origins(node, values=False)
            if not origins:
                words.add((relation.removeprefix("mart."), column))
            for origin in origins:
                known = origin.relation in (*files, REFERENCE) or origin.relation == "ledger.load"
                assert known, f"{node} comes from {origin}"
    assert words == WORDS


def test_every_column_of_staging_dimensions_and_facts_is_filled() -> None:
    graph = declared()
    columns = [
        Node(relation, column)
        for relation in graph.columns
        if relation.startswith(("staging.", "warehouse."))
        for column in graph.columns[relation]
    ]
    assert len(columns) > 400
    assert [str(node) for node in columns if node not in graph.made_of] == []


def test_a_column_of_a_file_fills_the_column_of_its_name_in_staging() -> None:
    uses = declared().uses()
    for feed in FEEDS.values():
        for column in feed.staged:
            assert uses[file_column(feed, column.name)] == {
                Node(f"staging.{feed.table}", column.name): "stage: COPY"
            }
