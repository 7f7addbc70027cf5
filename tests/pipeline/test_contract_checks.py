"""A sender's own checks count wherever the feed's would, on the files of that sender alone."""

from __future__ import annotations

from typing import Any

import pytest

from etl.contracts import senders
from etl.contracts.column import Between, OneOf
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import SenderContract
from etl.pipeline import commands
from tests.support.warehouse import Warehouse

ENROLLMENTS, PROVIDERS, CLAIMS = FEEDS["enrollments"], FEEDS["providers"], FEEDS["claims"]
CONTRACTS = (
    SenderContract(
        "strict", ENROLLMENTS, "Sends small premiums.", checks={"premium_paid": Between(0, 5)}
    ),
    SenderContract(
        "wide", ENROLLMENTS, "Sends credits too.", checks={"premium_paid": Between(-50)}
    ),
    SenderContract("silent", PROVIDERS, "Sends no specialty.", not_sent=("specialty",)),
    SenderContract(
        "own_words", CLAIMS, "Says Paid.", checks={"status": OneOf(("Paid", "approved"))}
    ),
)
# Which batch comes under which contract, with the premium that it sends.
BATCHES = (
    ("2025-01-01", None, -1),
    ("2025-01-02", "strict", 6),
    ("2025-01-03", "wide", -40),
    ("2025-01-04", "wide", -60),
)


@pytest.fixture
def judged(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Warehouse:
    """A warehouse with a file under each contract, loaded and checked."""
    for contract in CONTRACTS:
        monkeypatch.setitem(senders.SENDERS, contract.name, contract)
    for batch, contract, premium in BATCHES:
        said = {} if contract is None else {"contract": contract}
        warehouse.send(
            batch,
            {"files": {"enrollments.csv": said}},
            enrollments=[{"enrollment_id": batch, "member_id": batch, "premium_paid": premium}],
        )
    for batch, said in (("2025-01-05", {}), ("2025-01-06", {"contract": "silent"})):
        warehouse.send(
            batch,
            {"files": {"providers.csv": said}},
            lacking=("specialty",) if said else (),
            providers=[{"provider_id": batch, "specialty": None}],
        )
    warehouse.send(
        "2025-01-07",
        {"files": {"claims.csv": {"contract": "own_words"}}},
        claims=[{"claim_id": word, "status": word} for word in ("Paid", "denied")],
    )
    warehouse.incremental()
    with warehouse.pipeline(checks=None) as pipeline:
        commands.run_checks(pipeline)
    return warehouse


def results(warehouse: Warehouse, gate: str) -> dict[str, tuple[Any, ...]]:
    """By check of what we sent: rows checked and failed, summed over runs of the kind."""
    rows = warehouse.rows(
        "select check_name, sum(rows_checked)::int, sum(rows_failed)::int, max(severity)"
        " from quality.check_result join quality.check_run using (check_run_id)"
        f" where {gate} and split_part(check_name, '.', 2) in ('premium_paid', 'specialty', "
        "'status') and split_part(check_name, '.', 3) <> 'usual' group by 1"
    )
    return {name: tuple(counts) for name, *counts in rows}


@pytest.mark.slow
def test_stricter_and_wider_checks_and_columns_not_sent_count_for_their_files(judged) -> None:
    expected = {
        # The feed's rule on the one file that came under the feed's own contract.
        "enrollments_raw.premium_paid.between": (1, 1, "minor"),
        "enrollments_raw.premium_paid.between.strict": (1, 1, "minor"),
        "enrollments_raw.premium_paid.between.wide": (2, 1, "minor"),
        "enrollments_raw.premium_paid.not_null": (4, 0, "major"),
        # A provider of the other file has no specialty and need have none.
        "providers_raw.specialty.not_null": (1, 1, "minor"),
        "claims_raw.status.one_of": (0, 0, "major"),
        "claims_raw.status.one_of.own_words": (2, 1, "major"),
        "claims_raw.status.not_null": (2, 0, "major"),
    }
    found = results(judged, "gate = 'stage'")
    assert {name: found[name] for name in expected} == expected
    found = results(judged, "gate is null")
    assert {name: found[name] for name in expected} == expected
    # The same in the facts, except that no contract can add a value to a closed list there.
    assert found["fact_enrollment.premium_paid.between"] == (1, 1, "minor")
    assert found["fact_enrollment.premium_paid.between.strict"] == (1, 1, "minor")
    assert found["fact_enrollment.premium_paid.between.wide"] == (2, 1, "minor")
    assert found["fact_claim.status.one_of"] == (2, 1, "major")
    assert "fact_claim.status.one_of.own_words" not in found
    # Rows that break a sender's check are named by their keys.
    rows = judged.rows(
        "select failing_keys from quality.failing_now"
        " where check_name = 'enrollments_raw.premium_paid.between.wide'"
    )
    assert [key["enrollment_id"] for (keys,) in rows for key in keys] == ["2025-01-04"]
    # No row has a variant, so the check judged nothing, and its result says so.
    said = judged.rows(
        "select check_name, rows_checked, rows_judged, passed, message from quality.check_result"
        " where check_run_id = (select max(check_run_id) from quality.check_run where gate is null)"
        " and column_name = 'csr_variant' and table_name = 'fact_enrollment'"
    )
    message = "The check judged 0 of 4 rows: none has the values it looks at."
    assert said == [("fact_enrollment.csr_variant.one_of", 4, 0, True, message)]
    assert judged.rows(
        "select check_name, rows_checked from quality.judged_nothing_now"
        " where table_name = 'fact_enrollment' order by 1"
    ) == [
        ("fact_enrollment.aptc_amount.between", 4),
        ("fact_enrollment.covered_after_birth", 4),
        ("fact_enrollment.csr_variant.one_of", 4),
        ("fact_enrollment.no_credit_on_catastrophic", 4),
        ("fact_enrollment.premium_as_rated", 4),
        ("fact_enrollment.reduction_fits_metal", 4),
        ("fact_enrollment.values_known_on_day", 4),
    ]
