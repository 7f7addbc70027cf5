"""Every fault of the incident drill is noticed, and quiet days give no alert about plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from etl.config import ROOT, Settings
from etl.operations import after_run, incident_drill, report_plans
from etl.pipeline import commands
from etl.synthetic.generate import generate, simulate
from tests.support.warehouse import Warehouse


@pytest.mark.slow
def test_every_fault_is_noticed_and_leads_to_a_runbook(tmp_path: Path) -> None:
    lines = list(incident_drill.drill(Settings("", tmp_path / "inbox", tmp_path, 0.05), 300))
    shown = "\n".join(lines)
    for fault in incident_drill.FAULTS:
        assert f"{fault.name}: noticed after" in shown
    named = {line.split()[1] for line in lines if line.startswith("  runbook")}
    assert named
    assert all((ROOT / page).exists() for page in named)
    assert not (tmp_path / "incident-drill").exists()


@pytest.mark.slow
def test_thirty_quiet_days_give_no_alert_about_plans(warehouse: Warehouse) -> None:
    generate(warehouse.inbox, members=150)
    with warehouse.pipeline() as context:
        commands.full_load(context)
        after_run.note(context)
    for _ in range(30):
        simulate(warehouse.inbox, 1)
        with warehouse.pipeline() as context:
            commands.incremental(context)
            after_run.note(context)
            assert report_plans.breaches(context.ledger) == []
    loads = warehouse.value("select count(distinct load_id) from ledger.report_plan")
    assert loads == 31
