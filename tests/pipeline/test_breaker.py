"""A sender whose files are refused one after the other: its later ones wait, and lose nothing."""

from __future__ import annotations

import random
import shutil
from contextlib import suppress
from typing import Any

import pytest

from etl.errors import BatchError, UsageError
from etl.pipeline import breaker, commands
from tests.support.warehouse import Warehouse

DAYS = [f"2025-01-{day:02d}" for day in range(1, 8)]
REFUSED = DAYS[2:5]  # the first files of claims that come without a column
Feeds = dict[str, list[dict[str, Any]]]


def drawn(seed: int) -> list[Feeds]:
    """Batches in which members change and claims are reported again, day after day."""
    dice = random.Random(seed)
    batches: list[Feeds] = []
    for day in DAYS:
        members = [
            {"member_id": f"M{n}", "last_name": f"{day} {n}", "state": dice.choice(["TX", "FL"])}
            for n in dice.sample(range(5), 2)
        ]
        claims = [
            {
                "claim_id": f"C{n}",
                "member_id": f"M{dice.randrange(7)}",
                "service_date": dice.choice(DAYS),
                "paid_amount": f"{dice.randrange(10)}.10",
                "status": dice.choice(["approved", "pending", "denied"]),
            }
            for n in dice.sample(range(8), 3)
        ]
        batches.append({"members": members, "claims": claims})
    return batches


def send(warehouse: Warehouse, day: str, feeds: Feeds, *, is_bad: bool = False) -> None:
    shutil.rmtree(warehouse.inbox / day, ignore_errors=True)
    warehouse.send(day, lacking=["status"] if is_bad else [], **feeds)


def load(warehouse: Warehouse, **choices: Any) -> list[str]:
    """Load what is pending; what was refused."""
    with warehouse.pipeline() as run:
        with suppress(BatchError):
            commands.incremental(run)
        return [error.folder or "" for error in run.problems.errors]


def claims_read(warehouse: Warehouse) -> set[str]:
    return set(
        warehouse.column(
            "select l.batch_id from ledger.load_file as f join ledger.load as l using (load_id) "
            "where f.feed = 'claims'"
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_held_files_wait_unread_and_load_late_as_if_they_had_never_waited(
    warehouse: Warehouse, other_warehouse: Warehouse, seed: int
) -> None:
    batches = drawn(seed)
    for day, feeds in zip(DAYS, batches, strict=True):
        send(warehouse, day, feeds, is_bad=day in REFUSED)
        send(other_warehouse, day, feeds)
    other_warehouse.incremental()

    assert load(warehouse) == REFUSED
    assert "3 files of claims of sender claims in a row were refused" in str(warehouse.watcher.said)
    assert claims_read(warehouse) == set(DAYS[:5])
    # Everything else loads: of later batches at once, of the refused ones with the next run.
    assert load(warehouse) == []
    assert warehouse.value("select count(*) from ledger.load where status = 'loaded'") == len(DAYS)
    assert claims_read(warehouse) == set(DAYS[:5])
    states = {batch.folder: batch.state for batch in warehouse.overview().held}
    assert states == {day: "refused" if day in REFUSED else "held" for day in DAYS[2:]}
    assert all("make sender-resume" in batch.advice for batch in warehouse.overview().held)

    before = warehouse.contents(keys=False)
    notes = warehouse.rebuild().notes
    assert warehouse.contents(keys=False) == before
    assert any(note.startswith("5 files of claims of sender claims held since") for note in notes)
    with pytest.raises(BatchError, match="not in the warehouse"):
        warehouse.run(commands.dq_check)

    for day, feeds in zip(DAYS, batches, strict=True):
        if day in REFUSED:
            send(warehouse, day, feeds)
    assert load(warehouse) == []
    warehouse.run(breaker.resume, "claims", "")
    assert load(warehouse) == []
    assert warehouse.overview().held == []
    assert warehouse.contents(keys=False) == other_warehouse.contents(keys=False)
    assert warehouse.value("select resumed_by from ledger.held_feed")


def test_only_different_files_refused_in_a_row_count_and_not_those_of_before_a_resumption(
    warehouse: Warehouse,
) -> None:
    one = {"claims": [{"claim_id": "C1", "member_id": "M1"}]}

    def is_held() -> bool:
        return bool(warehouse.rows("select 1 from ledger.held_feed where resumed_at is null"))

    send(warehouse, DAYS[0], one, is_bad=True)
    for _ in range(4):  # the same file again is still one file
        assert load(warehouse) == DAYS[:1]
    send(warehouse, DAYS[1], one)
    two = {"claims": [{"claim_id": "C2", "member_id": "M1"}]}
    send(warehouse, DAYS[2], two, is_bad=True)
    assert load(warehouse) == [DAYS[0], DAYS[2]]
    send(warehouse, DAYS[3], {"claims": [{"claim_id": "C3"}]}, is_bad=True)
    assert load(warehouse) == [DAYS[0], DAYS[2], DAYS[3]]
    assert not is_held()
    send(warehouse, DAYS[4], {"claims": [{"claim_id": "C4"}]}, is_bad=True)
    load(warehouse)
    assert is_held()
    with pytest.raises(UsageError, match="No file of sender members is held"):
        warehouse.run(breaker.resume, "members", "")
    warehouse.run(breaker.resume, "claims", "claims")
    assert load(warehouse) == [DAYS[0], DAYS[2], DAYS[3], DAYS[4]]
    assert not is_held()


def test_full_load_does_not_lose_a_loaded_file_in_whose_place_a_held_one_lies(
    warehouse: Warehouse,
) -> None:
    send(warehouse, DAYS[0], {"claims": [{"claim_id": "C0", "member_id": "M1"}]})
    load(warehouse)
    for number, day in enumerate(DAYS[1:4], 1):
        send(warehouse, day, {"claims": [{"claim_id": f"C{number}"}]}, is_bad=True)
    load(warehouse)
    send(warehouse, DAYS[0], {"claims": [{"claim_id": "C9", "member_id": "M1"}]})
    with pytest.raises(BatchError, match="would lose what came from a file") as found:
        warehouse.rebuild()
    assert "make sender-resume" in found.value.hint
    assert warehouse.column("select claim_id from warehouse.fact_claim") == ["C0"]
