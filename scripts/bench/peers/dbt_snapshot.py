"""dbt snapshots of ``raw.members``, by the check strategy or the timestamp strategy."""

from __future__ import annotations

import os

from dbt.cli.main import dbtRunner
from psycopg.conninfo import conninfo_to_dict
from step import HERE, Step, take


def load(step: Step) -> str:
    """Run the snapshot named by the variant; ``SystemExit`` where dbt says that it failed."""
    for name, value in conninfo_to_dict(step.url).items():
        os.environ[f"PEER_{name.upper()}"] = str(value)
    project = str(HERE / "dbt_project")
    done = dbtRunner().invoke(
        [
            *("snapshot", "--select", step.variant),
            *("--project-dir", project, "--profiles-dir", project),
            *("--target-path", str(step.folder / "target")),
            *("--log-path", str(step.folder / "logs")),
            "--no-send-anonymous-usage-stats",
        ]
    )
    if not done.success:
        raise SystemExit(f"dbt: {done.exception or done.result}")
    return f"dbt.{step.variant}"


if __name__ == "__main__":
    take(load)
