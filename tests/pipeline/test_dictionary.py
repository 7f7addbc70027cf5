"""make dictionary: lineage against the database, pages in a browser, files by their tools."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from frictionless import Package
from openlineage.client.event_v2 import InputDataset, Job, JobEvent, OutputDataset
from openlineage.client.facet_v2 import column_lineage_dataset, schema_dataset
from openlineage.client.serde import Serde
from psycopg import sql

from etl.config import ROOT
from etl.db.connection import connect, reading
from etl.dictionary import profile, steps
from etl.dictionary.model import Dictionary, Profile
from etl.dictionary.read import SCHEMAS, read
from etl.dictionary.trace import ROWS, Node
from etl.dictionary.views import declared_graph
from etl.pipeline import commands
from etl.schema.warehouse_tables import all_tables
from etl.stages import bulk
from tests.support.browser import find_browser, text_of
from tests.support.page_parts import fetched_from_elsewhere
from tests.support.warehouse import Warehouse

# In every personal column, so that it is found wherever one is shown.
MARK = "Zzyzxmark"
BORN = "1961-07-23"


def member(n: int, **more: str) -> dict[str, str]:
    marked = dict.fromkeys(("first_name", "last_name", "street", "email", "phone"), MARK)
    return {"member_id": f"{MARK}{n}", "state": "TX", "dob": BORN, **marked, **more}


def claim(n: int, **more: str) -> dict[str, str]:
    known = {"member_id": f"{MARK}{n % 4}", "provider_id": "D1", "plan_id": "P1"}
    amounts = {"claim_amount": "100", "allowed_amount": "80", "paid_amount": "60"}
    codes = {
        "status": "approved",
        "diagnosis_code": "E119",
        "procedure_code": "99213",
        "ms_drg": "470",
    }
    return {"claim_id": f"C{n}", "service_date": "2025-01-05", **known, **amounts, **codes, **more}


def enrollment(n: int, **more: str) -> dict[str, str]:
    of = {"member_id": f"{MARK}{n % 4}", "plan_id": "P1", "start_date": "2025-01-01"}
    return {"enrollment_id": f"E{n}", "premium_paid": "100", "csr_variant": "04", **of, **more}


@dataclass(frozen=True)
class Made:
    warehouse: Warehouse
    folder: Path
    dictionary: Dictionary
    sent: list[str]


def plain(text: str) -> str:
    """A statement without what differs between a load and another one: targets and spaces."""
    text = re.sub(r"insert into \S+ \(", "insert into (", text)
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def made(module_warehouse: Warehouse) -> Made:
    """A full load, later batches of every kind, a late one; then the dictionary."""
    warehouse, sent = module_warehouse, []
    execute = psycopg.Connection.execute

    def note(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        text = query.as_string(self) if isinstance(query, sql.Composable) else str(query)
        sent.append(plain(text))
        return execute(self, query, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psycopg.Connection, "execute", note)
        patch.setattr(bulk, "ROWS", 3)
        warehouse.send(
            "2025-01-10",
            members=[member(n, call_count="1") for n in range(4)],
            plans=[
                {"plan_id": f"P{n}", "effective_year": "2025", "metal_tier": "Silver"}
                for n in range(1, 5)
            ],
            providers=[{"provider_id": f"D{n}", "name": "Clinic", "state": "TX"} for n in range(4)],
            enrollments=[enrollment(n) for n in range(4)],
            claims=[claim(n) for n in range(6)],
        )
        warehouse.run(commands.full_load)
        for batch, snapshots, changes in LATER:
            warehouse.send(batch, snapshots=snapshots, **changes)
            warehouse.run(commands.incremental)
    folder = warehouse.data / "dictionary"
    done = warehouse.command("dictionary")
    assert done.returncode == 0, done.stderr
    assert str(folder / "index.html") in done.stdout
    with connect(warehouse.url, "test") as connection, reading(connection):
        dictionary = read(connection)
    return Made(warehouse, folder, dictionary, sent)


# A claim of members and providers nobody knows, corrections, a marker, reversals, a snapshot, and
# at last a batch of before.
LATER: list[tuple[str, list[str], dict[str, Any]]] = [
    (
        "2025-02-10",
        [],
        {
            "members": [member(0, state="FL", call_count="2"), member(1, call_count="3")],
            "claims": [
                claim(0, paid_amount="50"),
                claim(1, is_deleted="true"),
                claim(2, claim_amount="-100", allowed_amount="-80", paid_amount="-60"),
                claim(20, member_id="unheard of", provider_id="D9", plan_id="P9"),
            ],
            "enrollments": [enrollment(0, premium_paid="120")],
        },
    ),
    (
        "2025-03-10",
        ["claims"],
        {
            "members": [member(5), {"member_id": "unheard of", "state": "TX"}],
            "providers": [
                {"provider_id": "D9", "name": "New", "state": "TX"},
                {"provider_id": "D1", "name": "Renamed", "state": "TX"},
                {"provider_id": "D2", "name": "Clinic", "state": "TX", "npi": "1003000126"},
            ],
            "plans": [
                {"plan_id": plan, "effective_year": "2025", "metal_tier": "Gold"}
                for plan in ("P1", "P9")
            ],
            "claims": [claim(n) for n in range(5)],
        },
    ),
    ("2025-02-20", [], {"claims": [claim(3, status="denied", paid_amount="0")]}),
]


@pytest.mark.slow
def test_every_statement_of_the_lineage_is_one_that_loads_send(made: Made) -> None:
    """Lineage is read from texts that are composed as stages compose them."""
    sent = "\n".join(made.sent)
    texts = {step.name: plain(step.text) for step in steps.all_steps()}
    assert len(texts) > 40
    # How arrivals differ from current versions depends on the columns of the file.
    texts = {n: t.split("classified as")[0] for n, t in texts.items()}
    missing = [name for name, text in texts.items() if text not in sent]
    assert missing == []


@pytest.mark.slow
def test_views_depend_on_no_column_that_the_catalog_does_not_know(made: Made) -> None:
    """PostgreSQL says on which columns a view depends, without saying which column of it does."""
    query = """
        select v.oid::regclass::text, t.oid::regclass::text, a.attname
        from pg_depend as d
        inner join pg_rewrite as w on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid
        inner join pg_class as v on w.ev_class = v.oid
        inner join pg_class as t on d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid
        inner join pg_attribute as a on t.oid = a.attrelid and d.refobjsubid = a.attnum
        where d.refobjsubid > 0 and v.relkind = 'v'
    """
    with connect(made.warehouse.url, "test") as connection:
        connection.execute("set search_path = pg_catalog")
        known = set(connection.execute(query).fetchall())
    graph = made.dictionary.graph
    views = {r.full_name: r for r in made.dictionary.relations if r.kind == "view"}
    # A function that returns the rows of a table is no dependency on its columns.
    checked, wrong = 0, []
    for name, view in views.items():
        if view.schema in ("as_known", "public"):
            continue
        for column in view.columns:
            for edge in graph.edges(view.node(column.name), values=False):
                if edge.source is None or edge.source.column == ROWS:
                    continue
                source = edge.source
                if not source.relation.startswith("pg_"):
                    checked += 1
                    if (name, source.relation, source.column) not in known:
                        wrong.append((name, str(source)))
    assert checked > 3000
    assert wrong == []


def test_declared_views_and_those_of_the_database_are_traced_alike(made: Made) -> None:
    """The one is read from sql/, the other as the server writes the views that it has."""
    declared, found = declared_graph(all_tables()), made.dictionary.graph
    marts = [r for r in made.dictionary.relations if r.schema in ("mart", "as_known")]
    assert len(marts) > 30
    for relation in marts:
        for column in relation.columns:
            node = relation.node(column.name)
            assert {e.source for e in declared.edges(node)} == {
                e.source for e in found.edges(node)
            }, node


def test_a_changed_value_changes_only_columns_that_lineage_leads_to(made: Made) -> None:
    """One amount of one claim is corrected; all else of the marts stays as it was."""
    warehouse = made.warehouse
    marts = [r for r in made.dictionary.relations if r.schema in ("mart", "cubes")]

    def contents() -> dict[Node, list[Any]]:
        return {
            relation.node(column.name): warehouse.column(
                f"select {column.name}::text as v from {relation.full_name} order by 1"
            )
            for relation in marts
            for column in relation.columns
        }

    before = contents()
    warehouse.send("2025-04-10", claims=[claim(4, paid_amount="61.23")])
    warehouse.run(commands.incremental)
    changed = {node for node, values in contents().items() if values != before[node]}
    graph = made.dictionary.graph
    amount = Node("claims.csv", "paid_amount")
    downstream = {node for node in before if amount in graph.upstream(node, values=False)}
    # The load itself is another one.
    by_load = {node for node in before if steps.LOAD in graph.upstream(node, values=False)}
    assert Node("mart.pmpm_month", "paid_pmpm_usd") in changed
    assert Node("mart.claim", "paid_usd") in changed
    assert changed <= downstream | by_load, changed - downstream - by_load


def test_every_column_that_people_may_read_is_described_in_the_catalog(made: Made) -> None:
    rows = made.warehouse.rows(
        "select n.nspname || '.' || r.relname || '.' || a.attname,"
        " coalesce(col_description(r.oid, a.attnum), ''),"
        " coalesce(obj_description(r.oid, 'pg_class'), '')"
        " from pg_class r join pg_namespace n on r.relnamespace = n.oid"
        " join pg_attribute a on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped"
        " where r.relkind in ('r', 'p', 'v', 'm') and not r.relispartition"
        f" and n.nspname in ({', '.join(repr(schema) for schema in SCHEMAS)})"
    )
    assert len(rows) > 4000
    assert [name for name, column, relation in rows if not (column and relation)] == []


def test_masked_views_say_what_is_withheld(made: Made) -> None:
    said = (
        "select col_description('{}'::regclass, attnum) from pg_attribute where attrelid = "
        "'{}'::regclass and attname = '{}'"
    )

    def comment(relation: str, column: str) -> str:
        return str(made.warehouse.value(said.format(relation, relation, column)))

    plain_name = comment("warehouse.dim_member", "last_name")
    assert comment("warehouse.dim_member_current", "last_name") == plain_name
    for relation in ("limited.dim_member", "scoped.dim_member", "safe_harbor.dim_member_as_is"):
        assert comment(relation, "last_name") == f"{plain_name} Empty here: it is withheld."
    assert comment("limited.claim", "paid_usd") == comment("mart.claim", "paid_usd")
    assert comment("safe_harbor.claim", "service_date").endswith("Here the year.")


def test_no_page_and_no_file_shows_a_value_of_a_person(made: Made) -> None:
    files = [path for path in made.folder.rglob("*") if path.is_file()]
    assert len(files) > 250
    shown = [path.name for path in files if re.search(f"{MARK}|{BORN}", path.read_text())]
    assert shown == []


@pytest.mark.slow
def test_numbers_of_columns_are_those_of_the_rows(made: Made) -> None:
    with connect(made.warehouse.url, "test") as connection, reading(connection):
        relations = {r.full_name: r for r in read(connection).relations}

    def profile_of(relation: str, column: str) -> Profile:
        (found,) = (c.profile for c in relations[relation].columns if c.name == column)
        assert found is not None
        return found

    for name in ("warehouse.fact_claim", "staging.claims_raw", "mart.claim"):
        query = f"select count(*), count(claim_id), count(distinct claim_id) from {name}"
        ((rows, filled, distinct),) = made.warehouse.rows(query)
        assert relations[name].rows == rows
        assert profile_of(name, "claim_id") == Profile(filled, distinct, False, None, None)
    amount = profile_of("warehouse.fact_claim", "paid_amount")
    ((low, high),) = made.warehouse.rows(
        "select min(paid_amount)::text, max(paid_amount)::text from warehouse.fact_claim"
    )
    assert (amount.low, amount.high) == (low, high)
    assert profile_of("warehouse.dim_member", "dob").low is None
    assert profile_of("warehouse.fact_claim", "service_date").low == "2025"


def test_values_of_large_relations_are_estimated_for_views_too(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile, "MOST_COUNTED", 0)
    with connect(made.warehouse.url, "test") as connection, reading(connection):
        connection.execute("analyze warehouse.fact_claim")
        relations = {r.full_name: r for r in read(connection).relations}
    found = {
        (name, column.name): column.profile
        for name in ("warehouse.fact_claim", "mart.claim")
        for column in relations[name].columns
    }
    assert all(one is not None and one.is_about for one in found.values())
    claims = made.warehouse.value("select count(distinct claim_id) from warehouse.fact_claim")
    for name in ("warehouse.fact_claim", "mart.claim"):
        assert relations[name].rows == claims
        shown = found[name, "claim_id"]
        assert shown is not None
        assert shown.distinct == claims
    month = found["mart.claim", "month"]
    assert month is not None
    assert month.distinct is None  # of no one column


def test_a_page_shows_steps_readers_and_an_example(made: Made) -> None:
    page = made.folder / "relations" / "mart.pmpm_month.html"
    text = text_of(page.read_text(encoding="utf-8"))
    assert (
        "cubes.cost_month.paid_usd from warehouse.fact_claim.paid_amount cubes: cost_month" in text
    )
    assert "staging.claims_raw.paid_amount from claims.csv: paid_amount stage: COPY" in text
    assert "Who may read analyst, phi, steward, auditor" in text
    assert "from mart.pmpm_month" in text
    claims = text_of((made.folder / "relations" / "warehouse.fact_claim.html").read_text())
    assert "Primary key claim_id, service_date" in claims
    assert "member_sk is member_sk of warehouse.dim_member" in claims
    assert "cubes.cost_month.paid_usd" in claims


def test_links_of_pages_lead_to_pages_and_nothing_is_fetched(made: Made) -> None:
    pages = sorted(made.folder.rglob("*.html"))
    for page in pages:
        html = page.read_text(encoding="utf-8")
        for target in re.findall(r'href="([^"#:]+)["#]', html):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    for page in (pages[0], made.folder / "index.html"):
        assert fetched_from_elsewhere(page.read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_pages_fit_a_phone_and_the_search_finds_by_meaning(made: Made) -> None:
    browser = find_browser()
    index = made.folder / "index.html"
    for page in (index, made.folder / "relations" / "mart.pmpm_month.html"):
        assert browser.excess_widths(page, 400, 1280) == {400: 0, 1280: 0}
    searched = index.with_name("searched.html")
    typed = (
        '<script>document.querySelector("#search input").value = "paid member month";'
        'document.getElementById("search").dispatchEvent(new Event("input"));</script></body>'
    )
    searched.write_text(index.read_text(encoding="utf-8").replace("</body>", typed))
    html, said = browser.dom(searched)
    searched.unlink()
    assert said == []
    hits = re.findall(r'<li><a href="relations/([^"]+)"', html)
    assert "mart.pmpm_month.html#paid_pmpm_usd" in hits


def test_data_package_is_read_by_frictionless(made: Made) -> None:
    package = Package(str(made.folder / "datapackage.json"))
    assert len(package.resources) == len(made.dictionary.relations)
    claims = package.get_resource("warehouse.fact-claim")
    assert claims.schema.primary_key == ["claim_id", "service_date"]
    assert {f.name: f.type for f in claims.schema.fields}["paid_amount"] == "number"
    assert claims.schema.get_field("service_date").type == "date"
    errors = Package.metadata_validate(json.loads((made.folder / "datapackage.json").read_text()))
    assert list(errors) == []


def test_events_are_those_that_openlineage_makes(made: Made) -> None:
    """Each is built again with the classes of OpenLineage, which refuse what they do not know."""
    events = json.loads((made.folder / "openlineage.json").read_text(encoding="utf-8"))
    assert len(events) > 200
    for event in events:
        again = json.loads(Serde.to_json(rebuilt(event)))
        for side in ("inputs", "outputs"):
            assert [d["name"] for d in again[side]] == [d["name"] for d in event[side]]
        for output, copy in zip(event["outputs"], again["outputs"], strict=True):
            fields = output["facets"]["columnLineage"]["fields"]
            assert copy["facets"]["columnLineage"]["fields"] == fields
        assert again["job"]["name"] == event["job"]["name"]
    (pmpm,) = (e for e in events if e["outputs"][0]["name"] == "mart.pmpm_month")
    paid = pmpm["outputs"][0]["facets"]["columnLineage"]["fields"]["paid_pmpm_usd"]["inputFields"]
    assert ("cubes.cost_month", "paid_usd") in {(i["name"], i["field"]) for i in paid}


def rebuilt(event: dict[str, Any]) -> JobEvent:
    return JobEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        job=Job(**event["job"]),
        inputs=[InputDataset(**dataset) for dataset in event["inputs"]],
        outputs=[
            OutputDataset(o["namespace"], o["name"], facets=dict(facets(o["facets"])))
            for o in event["outputs"]
        ],
    )


def facets(said: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    lineage = said["columnLineage"]["fields"]
    yield (
        "columnLineage",
        column_lineage_dataset.ColumnLineageDatasetFacet(
            fields={
                name: column_lineage_dataset.Fields(
                    inputFields=[
                        column_lineage_dataset.InputField(
                            **{
                                **given,
                                "transformations": [
                                    column_lineage_dataset.Transformation(**how)
                                    for how in given["transformations"]
                                ],
                            }
                        )
                        for given in entry["inputFields"]
                    ]
                )
                for name, entry in lineage.items()
            }
        ),
    )
    if "schema" in said:
        fields = [schema_dataset.SchemaDatasetFacetFields(**f) for f in said["schema"]["fields"]]
        yield "schema", schema_dataset.SchemaDatasetFacet(fields=fields)


def test_sources_name_every_relation_and_column(made: Made) -> None:
    sources = yaml.safe_load((made.folder / "sources.yml").read_text(encoding="utf-8"))["sources"]
    named = {
        (source["schema"], table["name"]): [column["name"] for column in table["columns"]]
        for source in sources
        for table in source["tables"]
    }
    relations = made.dictionary.relations
    assert named == {(r.schema, r.name): [c.name for c in r.columns] for r in relations}


@pytest.mark.slow
def test_sources_are_read_by_dbt(made: Made, tmp_path: Path) -> None:
    """Dbt in an environment of its own, at the versions that the bench locks."""
    environment = tmp_path / "dbt"
    uv = [str(Path(sys.executable).with_name("uv"))]
    lock = ROOT / "scripts" / "bench" / "peers" / "requirements.lock"
    for command in (
        ["venv", "--quiet", "--python", sys.executable, str(environment)],
        [
            "pip",
            "install",
            "--quiet",
            "--python",
            str(environment / "bin" / "python"),
            "--constraints",
            str(lock),
            "dbt-core",
            "dbt-postgres",
        ],
    ):
        subprocess.run([*uv, *command], check=True)
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    shutil.copy(made.folder / "sources.yml", project / "models" / "sources.yml")
    names = {"name": "aca", "version": "1.0", "profile": "aca", "model-paths": ["models"]}
    (project / "dbt_project.yml").write_text(yaml.safe_dump(names))
    (project / "models" / "paid.sql").write_text("select * from {{ source('mart', 'pmpm_month') }}")
    target = {
        "type": "postgres",
        "host": "127.0.0.1",
        "port": 1,
        "user": "u",
        "pass": "p",
        "dbname": "d",
        "schema": "s",
    }
    (project / "profiles.yml").write_text(
        yaml.safe_dump({"aca": {"target": "t", "outputs": {"t": target}}})
    )
    done = subprocess.run(
        [
            str(environment / "bin" / "dbt"),
            "--no-send-anonymous-usage-stats",
            "--warn-error",
            "parse",
            "--project-dir",
            str(project),
            "--profiles-dir",
            str(project),
        ],
        capture_output=True,
        text=True,
        cwd=project,
    )
    assert done.returncode == 0, done.stdout
    manifest = json.loads((project / "target" / "manifest.json").read_text())
    assert len(manifest["sources"]) == len(made.dictionary.relations)
    paid = manifest["sources"]["source.aca.mart.pmpm_month"]["columns"]["paid_pmpm_usd"]
    assert paid["description"]
    assert paid["data_type"] == "numeric"


def test_a_folder_of_something_else_is_left_alone(made: Made, tmp_path: Path) -> None:
    (tmp_path / "relations").mkdir()
    (tmp_path / "relations" / "mine.html").write_text("mine")
    done = made.warehouse.command("dictionary", "--to", str(tmp_path))
    assert done.returncode == 2
    assert "Name another folder: make dictionary TO=folder" in done.stderr
    assert (tmp_path / "relations" / "mine.html").read_text() == "mine"
