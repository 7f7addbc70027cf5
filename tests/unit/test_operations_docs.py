"""What is generated of service levels and metrics, and that each leads to a runbook."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from etl.config import ROOT
from etl.docs import report_queries
from etl.operations import alert_rules, pages
from etl.operations.metrics import METRICS
from etl.operations.objectives import OBJECTIVES

DOCS = ROOT / "docs"
NAMES = {metric.name for metric in METRICS}
LABELS = {metric.name: set(metric.labels) for metric in METRICS}
SELECTOR = re.compile(r"\b(aca_\w+)(?:\{([^}]*)\})?")


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(alert_rules.FILE.read_text("utf-8"))["groups"]
    return group["rules"]


def expressions() -> list[str]:
    """Every expression of the alert rules and of the dashboard."""
    dashboard = json.loads((DOCS / "operations" / "dashboard.json").read_text("utf-8"))
    targets = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(targets) > 8
    return [rule["expr"] for rule in rules()] + targets


@pytest.mark.parametrize("write", [pages.write_metrics, pages.write_levels, alert_rules.write])
def test_generated_file_is_not_stale(write: Any) -> None:
    assert write(check=True), "run make docs"


def test_alert_rules_and_dashboard_name_metrics_and_labels_that_there_are() -> None:
    used = [found.groups() for text in expressions() for found in SELECTOR.finditer(text)]
    assert {name for name, _ in used} <= NAMES
    for name, selected in used:
        assert set(re.findall(r"(\w+)=", selected or "")) <= LABELS[name], name
    # A metric that nothing shows or alerts on is one that nobody needs.
    assert {name for name, _ in used} == NAMES


def test_grouped_and_shown_labels_are_those_of_the_metric() -> None:
    dashboard = json.loads((DOCS / "operations" / "dashboard.json").read_text("utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            known = set().union(*(LABELS[n] for n, _ in SELECTOR.findall(target["expr"])))
            named = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
            named += re.findall(r"by \((\w+)\)", target["expr"])
            assert set(named) <= known, panel["title"]
    places = [
        (x, y)
        for panel in dashboard["panels"]
        for grid in [panel["gridPos"]]
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(places) == len(set(places)), "panels lie over each other"
    assert max(x for x, _ in places) < 24


def test_every_objective_has_an_alert_and_every_alert_a_runbook() -> None:
    alerted = "".join(rule["expr"] for rule in rules())
    for objective in OBJECTIVES:
        assert f'"{objective.name}"' in alerted
        assert (DOCS / "runbooks" / f"{objective.runbook}.md").exists(), objective.name
    for rule in rules():
        assert (ROOT / rule["annotations"]["runbook"]).exists(), rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "breach")


def test_every_exit_code_leads_to_a_runbook() -> None:
    page = DOCS / "runbooks" / "exit-codes.md"
    rows = [
        line for line in page.read_text("utf-8").splitlines() if re.match(r"\| [\d, ]+\|", line)
    ]
    assert len(rows) > 10
    for row in rows:
        code = row.split("|")[1].strip()
        linked = re.findall(r"\]\(([\w/.-]+\.md)", row)
        # The one code at which there is nothing to do.
        assert linked or code == "0", f"exit code {code} leads nowhere"
        assert all((page.parent / target).exists() for target in linked), code


def test_every_runbook_of_a_night_says_what_to_see_to_do_and_to_verify() -> None:
    named = {objective.runbook for objective in OBJECTIVES} | {"person-leaves", "breach-suspected"}
    for name in named:
        text = (DOCS / "runbooks" / f"{name}.md").read_text("utf-8")
        titles = re.findall(r"^## (.*)$", text, re.MULTILINE)
        steps = (r"See(?! that)", r"(.*\b)?[Dd]o$", r"Verify|See that it worked")
        places = [[n for n, t in enumerate(titles) if re.match(step, t)] for step in steps]
        assert all(places), f"{name} lacks a step: {titles}"
        assert places[0][0] < places[1][0] < places[2][-1], name
        assert f"({name}.md)" in (DOCS / "runbooks" / "index.md").read_text("utf-8")


def test_runbooks_name_reports_that_there_are() -> None:
    text = (DOCS / "runbooks" / "wrong-numbers.md").read_text("utf-8")
    named = re.findall(r"documented report (\w+)", text)
    assert named
    assert set(named) <= report_queries.reports().keys()
