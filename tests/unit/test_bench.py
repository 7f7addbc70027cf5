"""The measurements say what went wrong, and peers see the columns that we see."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

from etl.cli.guard import guarded
from etl.config import ROOT
from etl.errors import UsageError


def test_measurement_that_disagrees_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: sys.exit("the counts differ")) == 1
    assert "the counts differ" in capsys.readouterr().err


def test_model_of_sqlmesh_has_the_columns_of_the_members_file() -> None:
    bench = ROOT / "scripts" / "bench"
    written = (bench / "members_history.py").read_text(encoding="utf-8")
    declared = re.search(r"^COLUMNS = \((.*?)\)", written, re.MULTILINE | re.DOTALL)
    assert declared is not None
    model = bench / "peers" / "sqlmesh_project" / "models" / "members.sql"
    selected = re.findall(r"^    (\w+)::text,?$", model.read_text(encoding="utf-8"), re.MULTILINE)
    assert selected == re.findall(r"\w+", declared[1])


def test_growth_doubles_up_to_what_is_asked_and_refuses_what_the_disk_would_not_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts" / "bench"))
    growth = importlib.import_module("growth")
    assert growth.sizes(400_000, 100_000) == [100_000, 200_000, 400_000]
    assert growth.sizes(50_000, 100_000) == [50_000]
    growth.require_room(1, tmp_path)
    with pytest.raises(UsageError, match=r"claims need about [\d,]+ GB where .* GB are free"):
        growth.require_room(10**12, tmp_path)
