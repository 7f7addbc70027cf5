"""The measurements say what went wrong, and peers see the columns that we see."""

from __future__ import annotations

import re
import sys

import pytest

from etl.cli.guard import guarded
from etl.config import ROOT


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
