"""A file of a sender is tried in a database of its own, of which nothing stays."""

from __future__ import annotations

import fcntl
import json
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from etl import log
from etl.config import Settings
from etl.contracts.feeds.members import members
from etl.contracts.reasons import Reason
from etl.contracts.sender import SenderContract
from etl.contracts.senders import SENDERS
from etl.contracts.value import constant, manifest, of
from etl.drafting.trial import DATABASE, attempt, manifest_of
from etl.errors import AlreadyRunningError, UsageError
from etl.pipeline import commands, console
from tests.support.watching import Silent
from tests.support.workbooks import archive, workbook

COUNTY = SenderContract(
    "county",
    members,
    "A county.",
    columns={
        "member_id": of("Person"),
        "dob": of("Born"),
        "gender": of("Sex").map({"Male": "M", "Female": "F"}),
        "year": constant("2025"),
    },
    not_sent=tuple(
        name for name in members.required if name not in ("member_id", "dob", "gender", "year")
    ),
)
ROWS = "Person,Born,Sex\nP1,1980-01-01,Male\nP2,1980-13-01,female\nP3,1980-01-01,Q\nP4,,Female\n"


@pytest.fixture
def county(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(SENDERS, COUNTY.name, COUNTY)
    monkeypatch.setattr(log, "configure", lambda _: None)
    # All the checks take seconds, and have tests of their own.
    monkeypatch.setattr(commands, "run_checks", lambda context: context.summary)
    path = tmp_path / "anything.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "ending",
    [".csv", *(pytest.param(ending, marks=pytest.mark.slow) for ending in (".zip", ".xlsx"))],
)
def test_a_trial_says_what_became_of_each_row_and_leaves_nothing(
    county: Path, server_settings: Settings, admin_url: str, ending: str
) -> None:
    rows = [line.split(",") for line in ROWS.splitlines()]
    packed = {".zip": archive({"x.csv": ROWS.encode()}), ".xlsx": workbook({"Any": [*rows]})}
    if ending in packed:
        county = county.with_suffix(ending)
        county.write_bytes(packed[ending])
    # DATABASE_URL leads to the warehouse, which is none of its business.
    chosen = replace(server_settings, database_url="postgresql://nobody@127.0.0.1:1/none")
    trial = attempt(chosen, county, "county", Silent())
    (staged,) = trial.summary.files
    counts = staged.counts()
    assert [counts[f"rows_{name}"] for name in ("read", "loaded", "rejected")] == [4, 2, 2]
    assert trial.stopped is None
    # (reason, column, rows, first line)
    assert {(row[3], row[4], row[5], row[6]) for row in trial.rejected} == {
        (Reason.NOT_A_DATE.text, "dob", 1, 3),
        (Reason.NOT_LISTED.text, "gender", 1, 4),
    }
    with psycopg.connect(admin_url) as connection:
        there = [name for (name,) in connection.execute("select datname from pg_database")]
    assert DATABASE not in there
    assert [path.name for path in (chosen.data / "sender-try").iterdir()] == ["lock"]


@pytest.mark.slow
def test_a_trial_obeys_the_manifest_next_to_its_file(
    county: Path, server_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = replace(COUNTY, name="asking", columns={**COUNTY.columns, "year": manifest("year")})
    monkeypatch.setitem(SENDERS, asking.name, asking)
    trial = attempt(server_settings, county, "asking", Silent(), manifest_of(county))
    assert trial.stopped is not None
    assert "manifest says no year" in str(trial.stopped)
    said = {"contract": "asking", "values": {"year": "2024"}, "rows": 4}
    text = json.dumps({"files": {county.name: said}})
    county.with_name("manifest.json").write_text(text, encoding="utf-8")
    trial = attempt(server_settings, county, "", Silent(), manifest_of(county))
    assert trial.stopped is None
    assert trial.summary.files[0].loaded == 2
    with pytest.raises(UsageError, match="no manifest"):
        manifest_of(county, str(county.with_name("another.json")))


@pytest.mark.slow
def test_a_trial_without_amounts_shows_no_table_of_them(
    county: Path, server_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = attempt(server_settings, county, "county", Silent())
    console.show_trial(trial.summary, trial.rejected, trial.failures, trial.other_failures)
    shown = capsys.readouterr().out
    assert "Rejected" in shown
    assert "US dollars" not in shown


def test_one_trial_at_a_time(county: Path, server_settings: Settings) -> None:
    folder = server_settings.data / "sender-try"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(AlreadyRunningError, match="Another trial"):
            attempt(server_settings, county, "county", Silent())


@pytest.mark.parametrize(
    ("contract", "said"), [("", "No contract names its files"), ("nobody", "no contract 'nobody'")]
)
def test_a_contract_has_to_be_known(
    county: Path, server_settings: Settings, contract: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        attempt(server_settings, county, contract, Silent())
