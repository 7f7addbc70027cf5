"""What is noted at the end of every run, whatever it did. It never fails a run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import psycopg

from etl import log
from etl.config import Settings
from etl.db.statements import scalar
from etl.errors import ServerError
from etl.operations import health, report_plans, use
from etl.pipeline.session import RunContext
from etl.schema import loader
from etl.server import replicas


def judge(settings: Settings, is_synthetic: Callable[[], bool]) -> None:
    """Judge the service levels, as ``make health`` does: a run is what changes most of them.

    Costs five seconds at most where a receiver of alerts, or the database, does not answer.
    """
    try:
        found = health.look(settings, datetime.now(UTC), is_synthetic=is_synthetic())
        if found.broken or found.notes:
            broken = [judgment.title for judgment in found.broken]
            log.get().warning("health", state=found.state, broken=broken, notes=list(found.notes))
    except Exception as error:  # whatever it is: the run has ended as it has
        log.get().warning("health_not_judged", error=type(error).__name__)


def note(context: RunContext) -> None:
    """Record the plans of the documented reports, and who read what since the run before.

    Plans wait until the cubes contain the latest load.
    """
    try:
        if not scalar(context.ledger, "ledger/ledger.cubes_are_due"):
            found = report_plans.record(context.ledger, sum(context.summary.seconds.values()))
            if found:
                context.log.info("report_plans", reports=len(found))
        with loader.as_login(context.ledger), replicas.sessions(context.settings) as readers:
            use.collect(context.ledger, readers)
    except psycopg.Error as error:
        # The next run records what this one could not.
        context.log.warning("not_noted", state=error.sqlstate)
    except ServerError as error:
        context.log.info("use_not_counted", why=error.message)
