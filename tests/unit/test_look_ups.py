"""Look-ups in facts are written so that a cluster takes them too."""

from __future__ import annotations

import re

import pytest

from etl.db.statements import FOLDER, read_file
from etl.warehouse.places import PLACES

SPREAD = {name for name, lies in PLACES.items() if lies.on == "workers"}
# What stands for such a table in a text.
GAPS = {"{detail}", "{fact}", "{table}"}
FILES = sorted(f"{path.parent.name}/{path.stem}" for path in FOLDER.glob("*/*.sql"))


def lateral_bodies(text: str) -> list[str]:
    """What stands in brackets after each ``lateral``."""
    found = []
    for begins in re.finditer(r"lateral\s*\(", text):
        depth = 1
        for place in range(begins.end(), len(text)):
            depth += {"(": 1, ")": -1}.get(text[place], 0)
            if not depth:
                found.append(text[begins.end() : place])
                break
    return found


@pytest.mark.parametrize("file", FILES)
def test_look_up_in_facts_is_fenced_by_its_order_alone(file: str) -> None:
    for name, text in read_file(file).items():
        for body in lateral_bodies(re.sub(r"--[^\n]*", "", text)):
            read = set(re.findall(r"\b(?:from|join)\s+(\{?\w+\}?)", body))
            if read & (SPREAD | GAPS):
                # Citus would have to put the rows of all nodes together for each row outside.
                assert not re.search(r"\b(offset|limit|group by)\b", body), name
