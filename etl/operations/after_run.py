"""What is noted at the end of every run, whatever it did. It never fails a run."""

from __future__ import annotations

import psycopg

from etl.db.statements import scalar
from etl.errors import ServerError
from etl.operations import report_plans, use
from etl.pipeline.session import RunContext


def note(context: RunContext) -> None:
    """Record the plans of the documented reports, and who read what since the run before.

    Plans wait until the cubes contain the latest load.
    """
    try:
        if not scalar(context.ledger, "ledger/ledger.cubes_are_due"):
            found = report_plans.record(context.ledger, sum(context.summary.seconds.values()))
            if found:
                context.log.info("report_plans", reports=len(found))
        use.collect(context.ledger)
    except psycopg.Error as error:
        # The next run records what this one could not.
        context.log.warning("not_noted", state=error.sqlstate)
    except ServerError as error:
        context.log.info("use_not_counted", why=error.message)
