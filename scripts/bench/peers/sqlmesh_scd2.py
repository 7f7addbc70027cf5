"""SQLMesh's model kind SCD_TYPE_2_BY_COLUMN over ``raw.members``."""

from __future__ import annotations

from psycopg.conninfo import conninfo_to_dict
from sqlmesh import Context
from sqlmesh.core.config import Config, GatewayConfig, ModelDefaultsConfig
from sqlmesh.core.config.connection import PostgresConnectionConfig
from step import HERE, Step, take

MODEL = "history.members"


def load(step: Step) -> str:
    """Plan and apply at first, and run what is due afterwards, as of the file's instant."""
    parts = conninfo_to_dict(step.url)
    connection = PostgresConnectionConfig(database=parts.pop("dbname"), **parts)
    context = Context(
        paths=str(HERE / "sqlmesh_project"),
        config=Config(
            gateways={"bench": GatewayConfig(connection=connection)},
            model_defaults=ModelDefaultsConfig(dialect="postgres"),
            cache_dir=str(step.folder / "cache"),
            disable_anonymized_analytics=True,
        ),
    )
    if step.is_first:
        context.plan(auto_apply=True, no_prompts=True, execution_time=step.as_of)
    else:
        context.run(execution_time=step.as_of)
    table = context.get_snapshot(MODEL, raise_if_missing=True).table_name()
    context.close()
    return table


if __name__ == "__main__":
    take(load)
