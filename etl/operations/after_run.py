"""What is noted at the end of every run, whatever it did. It never fails a run."""

from __future__ import annotations

import psycopg

from etl.db.statements import scalar
from etl.operations import report_plans
from etl.pipeline.session import RunContext


def note(context: RunContext) -> None:
    """Record the plans of the documented reports once the cubes contain the latest load."""
    try:
        if not scalar(context.ledger, "ledger/ledger.cubes_are_due"):
            found = report_plans.record(context.ledger, sum(context.summary.seconds.values()))
            if found:
                context.log.info("report_plans", reports=len(found))
    except psycopg.Error as error:
        # The next run records what this one could not.
        context.log.warning("not_noted", state=error.sqlstate)
