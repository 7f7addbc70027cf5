"""The page How to connect: each of its examples runs as an analyst and gives the same answer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from etl.access import logins
from etl.config import ROOT
from etl.synthetic.generate import generate
from tests.support.warehouse import Warehouse

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "connect.md").read_text(encoding="utf-8")
# The environment of the bench has the tools that the page is about.
TOOLS = ROOT / ".venv-peers" / "bin"
ANSWER = """
    select metal_tier, round(sum(paid_usd) / sum(member_months_day), 2)::text
    from mart.pmpm_month where claim_type = 'all' and is_complete group by metal_tier
"""


def fences(language: str) -> list[str]:
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def loaded(module_warehouse: Warehouse) -> Warehouse:
    subprocess.run([ROOT / "scripts" / "bench" / "peers" / "setup.sh"], check=True)
    generate(module_warehouse.inbox, members=500)
    module_warehouse.incremental()
    return module_warehouse


@pytest.fixture(scope="module")
def environment(loaded: Warehouse) -> Iterator[dict[str, str]]:
    """What the page asks for: the address of an analyst, and its parts."""
    role = logins.role_of("analyst")
    login, password = logins.trial(loaded.connection, role, [], None)
    parts = conninfo_to_dict(loaded.url)
    host, port, database = parts["host"], parts["port"], parts["dbname"]
    yield {
        "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}",
        "WAREHOUSE_URL": f"postgresql://{login}:{password}@{host}:{port}/{database}",
        "PGHOST": str(host),
        "PGPORT": str(port),
        "PGUSER": login,
        "PGPASSWORD": password,
        "PGDATABASE": str(database),
    }
    logins.drop(loaded.connection, login)


def assert_answered(loaded: Warehouse, said: str) -> None:
    """Each tier stands on a line with its amount, however many zeros the tool shows."""
    expected = dict(loaded.rows(ANSWER))
    assert len(expected) > 3
    shown = {
        tier: re.findall(rf"^[\W\d]*{re.escape(tier)}\b.*?([\d.]+)[^\d.\n]*$", said, re.MULTILINE)
        for tier in expected
    }
    assert {tier: [float(v) for v in values] for tier, values in shown.items()} == {
        tier: [float(value)] for tier, value in expected.items()
    }, said


def run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    ended = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("example", fences("python"), ids=lambda text: text.split("\n")[2])
def test_example_in_python(
    loaded: Warehouse, environment: dict[str, str], tmp_path: Path, example: str
) -> None:
    said = run([str(TOOLS / "python"), "-c", example], environment, tmp_path)
    assert_answered(loaded, said)


def test_example_of_psql(loaded: Warehouse, environment: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("psql") is None:
        pytest.skip("no psql is on the path")
    for example in fences("bash"):
        assert_answered(loaded, run(["bash", "-c", example], environment, tmp_path))


def test_example_of_dbt(loaded: Warehouse, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "dbt_project.yml").write_text("name: trial\nprofile: aca_warehouse\n")
    (tmp_path / "models").mkdir()
    for text in [*fences("yaml"), *fences("sql+jinja")]:
        name = re.match(r"(?:#|--) (\S+)", text)
        assert name is not None
        (tmp_path / name[1]).write_text(text, encoding="utf-8")
    show = ["dbt", "show", "--select", "pmpm_by_tier", "--limit", "20", "--profiles-dir", "."]
    environment = environment | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
    said = run([str(TOOLS / show[0]), *show[1:]], environment, tmp_path)
    assert_answered(loaded, said.replace("|", " "))
