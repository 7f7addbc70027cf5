"""Lines and diagnoses against a plain model, the batches loaded in every order."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

import pytest

from etl.pipeline import commands
from tests.support import details_model as model
from tests.support.warehouse import Warehouse, failed_critical

ORDERS = list(permutations(range(4)))
# Backwards; the others take longer.
QUICK = (23,)
LINES = """
    select claim_id, line_number, service_date, nullif(member_id, ''), procedure_code,
        billed_usd, allowed_usd, paid_usd, is_waiting, is_from_claim
    from mart.claim_line
"""
DIAGNOSES = """
    select claim_id, position, is_principal, service_date, nullif(member_id, ''), diagnosis_code,
        present_on_admission, is_waiting, is_from_claim
    from mart.claim_diagnosis
"""


def read(warehouse: Warehouse, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query; nobody is no member."""
    rows = warehouse.rows(query)
    return sorted(rows, key=repr)


@pytest.mark.parametrize(
    "number",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in range(len(ORDERS))],
)
def test_any_order_of_batches_gives_what_the_model_says(warehouse: Warehouse, number: int) -> None:
    batches = model.drawn_batches(random.Random(number))
    for place in ORDERS[number]:
        warehouse.send(batches[place].batch_id, **batches[place].feeds)
        warehouse.incremental()
    assert read(warehouse, LINES) == model.lines(batches)
    assert read(warehouse, DIAGNOSES) == model.diagnoses(batches)
    warehouse.run(commands.run_cubes)
    money = "sum(billed_usd), sum(allowed_usd), sum(paid_usd)"
    by_claim = "select claim_id, {} from mart.{} where {} group by 1 order by 1"
    assert warehouse.rows(by_claim.format(money, "claim_line", "not is_waiting")) == warehouse.rows(
        by_claim.format(money, "claim", "true")
    )
    (of_lines,) = warehouse.rows(f"select {money} from mart.claim_line")
    assert warehouse.rows(f"select {money} from mart.cost_month") == [of_lines]
    assert failed_critical(warehouse.connection) == set()
    in_this_order = warehouse.contents(keys=False)
    warehouse.rebuild()
    assert warehouse.contents(keys=False) == in_this_order
