"""docs/synthetic-feeds.md lists every kind of dirt and every field of the truth, and no other."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from etl.config import ROOT
from etl.synthetic.core.known_feeds import FEEDS
from etl.synthetic.defects.dirt import DEFAULT_SHARE, HIGHEST_SHARE, KINDS
from etl.synthetic.generate import generate, increment
from etl.synthetic.marker import VERSION

PAGE = (ROOT / "docs" / "synthetic-feeds.md").read_text(encoding="utf-8")
IMAGES = ROOT / "docs" / "images"
# Fields of the truth whose own fields are names, and the placeholder for these on the page.
NAMES = {
    "files": "FILE",
    "files.FILE.totals": "COLUMN",
    "keys": "FEED",
    "dimensions": "DIMENSION",
    "unknown": "DIMENSION",
}
# Those that are lists of records.
RECORDS = ("files.FILE.defects",)


def table(header: str) -> list[list[str]]:
    """The cells of the rows below the table header that begins with this."""
    _, _, rest = PAGE.partition(f"\n| {header} |")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def fields(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all values of a truth, as the page writes them."""
    if isinstance(value, dict) and (value or path in NAMES):
        for name, inner in value.items():
            yield from fields(inner, f"{path}.{NAMES.get(path, name)}".removeprefix("."))
    elif path in RECORDS:
        for inner in value:
            yield from fields(inner, f"{path}[]")
    else:
        yield path


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The fields of the truth of a first batch and of one after it, with dirt in every file."""
    inbox = tmp_path_factory.mktemp("docs") / "inbox"
    generate(inbox, members=60, years=1, dirty="duplicate,bad_date")
    increment(inbox)
    batches = [json.loads(p.read_text()) for p in sorted((inbox.parent / "truth").glob("*.json"))]
    assert len(batches) == 2
    return {path for one in batches for path in fields(one)}


def test_the_page_lists_the_kinds_of_dirt_and_their_outcomes() -> None:
    rows = table("kind")
    assert all(row[1] for row in rows)
    listed = {row[0].strip("`"): (row[3], row[2]) for row in rows}
    assert len(listed) == len(rows)

    def feeds(names: set[str]) -> str:
        return "every feed" if names == set(FEEDS) else ", ".join(n for n in FEEDS if n in names)

    assert listed == {k.name: (k.outcome, feeds(set(k.columns))) for k in KINDS.values()}


def test_the_page_says_what_each_outcome_means() -> None:
    said = re.findall(r"^- \*\*(\w+)\*\*:", PAGE, re.MULTILINE)
    assert sorted(said) == sorted({kind.outcome for kind in KINDS.values()})


def test_shares_are_those_of_the_code() -> None:
    assert f"each in {DEFAULT_SHARE:.0%}".replace("%", " %") in re.sub(r"\s+", " ", PAGE)
    assert f"The highest share is {HIGHEST_SHARE}." in re.sub(r"\s+", " ", PAGE)


def test_the_page_describes_every_field_of_the_truth(truth: set[str]) -> None:
    rows = table("field")
    assert all(row[1] for row in rows)
    listed = [row[0].strip("`") for row in rows]
    assert len(set(listed)) == len(listed)
    assert set(listed) == truth


def test_the_example_of_the_truth_has_fields_that_there_are(truth: set[str]) -> None:
    (example,) = re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert set(fields(json.loads(example))) <= truth


def test_figures_and_example_are_of_this_version() -> None:
    """After a change of the bytes, copy the figures of scripts/plot_feeds.py to the page."""
    assert re.findall(r"version (\d+) of the generator", PAGE) == [str(VERSION)]
    assert re.findall(r'"version": (\d+)', PAGE) == [str(VERSION)]


def test_the_page_shows_every_plot() -> None:
    shown = re.findall(r"^!\[[^]]+\]\(images/(.*?)\)$", PAGE, re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in IMAGES.glob("*.svg"))
    assert all(path.stat().st_size < 150_000 for path in IMAGES.glob("*.svg"))


@pytest.mark.slow
def test_the_script_draws_the_plots_alike_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("plot_feeds")
    printed = []
    for name in ("one", "two"):
        script.main(members=300, seed=3, out=tmp_path / name)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    drawn = [
        {p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("one", "two")
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0].keys() == {path.name for path in IMAGES.glob("*.svg")}
