"""The dictionary in the forms that catalogs read: dbt, Frictionless, OpenLineage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from etl.dictionary.graph import Edge, Graph
from etl.dictionary.model import Column, Dictionary, Relation
from etl.dictionary.trace import ROWS

# What the warehouse is called where several are listed.
NAMESPACE = "aca-warehouse"
_PRODUCER = "https://github.com/OpenLineage/OpenLineage"
_SPEC = "https://openlineage.io/spec"
_EVENT = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/JobEvent"
_SCHEMA_FACET = f"{_SPEC}/facets/1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"
_LINEAGE_FACET = (
    f"{_SPEC}/facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet"
)
# Types of a Frictionless table schema by how PostgreSQL calls them.
_TYPES = (
    (("smallint", "integer", "bigint", "key_number"), "integer"),
    (("numeric", "double precision", "real", "money_usd", "finite_number"), "number"),
    (("boolean",), "boolean"),
    (("timestamp",), "datetime"),
    (("date", "calendar_date", "key_date", "open_date"), "date"),
    (("json",), "object"),
)


def dbt_sources(dictionary: Dictionary) -> dict[str, Any]:
    """A file of sources for a dbt project: each schema is a source."""
    schemas: dict[str, list[Relation]] = defaultdict(list)
    for relation in dictionary.relations:
        schemas[relation.schema].append(relation)
    return {
        "version": 2,
        "sources": [
            {"name": schema, "schema": schema, "tables": [_dbt_table(r) for r in relations]}
            for schema, relations in schemas.items()
        ],
    }


def _dbt_table(relation: Relation) -> dict[str, Any]:
    return {
        "name": relation.name,
        "description": relation.meaning,
        "config": {"meta": {"kind": relation.kind, "readers": dict(relation.readers)}},
        "columns": [_dbt_column(relation, column) for column in relation.columns],
    }


def _dbt_column(relation: Relation, column: Column) -> dict[str, Any]:
    said = {"unit": column.unit, "identifier": column.identifier, "personal_data": column.personal}
    meta = {name: value for name, value in said.items() if value not in ("", "none")}
    tests = ["not_null"] if column.is_mandatory else []
    if (column.name,) in (relation.primary_key, *relation.unique):
        tests.append("unique")
    return {
        "name": column.name,
        "description": column.meaning,
        "data_type": column.type,
        **({"config": {"meta": meta}} if meta else {}),
        **({"data_tests": tests} if tests else {}),
    }


def datapackage(dictionary: Dictionary) -> dict[str, Any]:
    """A Frictionless data package that describes every relation as a table of the database."""
    described = {relation.full_name for relation in dictionary.relations}
    return {
        "name": NAMESPACE,
        "title": "The ACA warehouse",
        "created": dictionary.made_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "resources": [_resource(relation, described) for relation in dictionary.relations],
    }


def _resource(relation: Relation, described: set[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"fields": [_field(column) for column in relation.columns]}
    if relation.primary_key:
        schema["primaryKey"] = list(relation.primary_key)
    keys = [
        {
            "fields": list(join.columns),
            "reference": {
                "resource": _resource_name(join.target),
                "fields": list(join.target_columns),
            },
        }
        for join in relation.joins
        if join.target in described
    ]
    return {
        "name": _resource_name(relation.full_name),
        "type": "table",
        "title": relation.full_name,
        "description": relation.meaning,
        # Of rows that somebody copies out; make export describes its own files in its manifest.
        "path": f"{relation.full_name}.csv",
        "scheme": "file",
        "format": "csv",
        "schema": {**schema, **({"foreignKeys": keys} if keys else {})},
    }


def _resource_name(full_name: str) -> str:
    """A name of the form that the standard asks for."""
    return full_name.replace("_", "-")


def _field(column: Column) -> dict[str, Any]:
    said = {"unit": column.unit, "identifier": column.identifier, "personal_data": column.personal}
    constraints: dict[str, Any] = {"required": True} if column.is_mandatory else {}
    return {
        "name": column.name,
        "type": _frictionless_type(column.type),
        "description": column.meaning,
        **({"constraints": constraints} if constraints else {}),
        **{name: value for name, value in said.items() if value not in ("", "none")},
    }


def _frictionless_type(kind: str) -> str:
    if kind.endswith("[]"):
        return "array"
    return next((name for begins, name in _TYPES if kind.startswith(begins)), "string")


def openlineage(dictionary: Dictionary) -> list[dict[str, Any]]:
    """An OpenLineage event for each step of each relation that it fills."""
    at = dictionary.made_at.isoformat()
    relations = {relation.full_name: relation for relation in dictionary.relations}
    return [
        {
            "eventTime": at,
            "producer": _PRODUCER,
            "schemaURL": _EVENT,
            "job": {"namespace": NAMESPACE, "name": step},
            "inputs": [{"namespace": NAMESPACE, "name": name} for name in _read(fields)],
            "outputs": [_output(target, fields, relations.get(target))],
        }
        for (step, target), fields in _steps(dictionary.graph).items()
    ]


Fields = dict[str, list[Edge]]


def _steps(graph: Graph) -> dict[tuple[str, str], Fields]:
    """What each step fills of a relation: columns, and what each is made of."""
    steps: dict[tuple[str, str], Fields] = defaultdict(dict)
    for target, edges in graph.made_of.items():
        if target.column != ROWS:
            for edge in edges:
                fields = steps[edge.step, target.relation].setdefault(target.column, [])
                if edge.source is not None and edge.source.column != ROWS:
                    fields.append(edge)
    return steps


def _read(fields: Fields) -> list[str]:
    return sorted({e.source.relation for edges in fields.values() for e in edges if e.source})


def _output(name: str, fields: Fields, relation: Relation | None) -> dict[str, Any]:
    lineage = {
        "_producer": _PRODUCER,
        "_schemaURL": _LINEAGE_FACET,
        "fields": {
            column: {"inputFields": list(_inputs(edges))} for column, edges in fields.items()
        },
    }
    facets: dict[str, Any] = {"columnLineage": lineage}
    if relation is not None:
        facets["schema"] = {
            "_producer": _PRODUCER,
            "_schemaURL": _SCHEMA_FACET,
            "fields": [
                {"name": c.name, "type": c.type, "description": c.meaning} for c in relation.columns
            ],
        }
    return {"namespace": NAMESPACE, "name": name, "facets": facets}


def _inputs(edges: list[Edge]) -> Iterator[dict[str, Any]]:
    for edge in edges:
        if edge.source is not None:
            yield {
                "namespace": NAMESPACE,
                "name": edge.source.relation,
                "field": edge.source.column,
                "transformations": [
                    {
                        "type": "DIRECT" if edge.is_value else "INDIRECT",
                        "subtype": "TRANSFORMATION" if edge.is_value else "CONDITIONAL",
                        "description": edge.step,
                        "masking": False,
                    }
                ],
            }
