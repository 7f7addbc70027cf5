"""The page on new senders has every word of the vocabulary, each with an example that is sound."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from etl.config import ROOT
from etl.contracts import value
from etl.contracts.file_form import FileForm
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import Repeat, Value, Where

PAGE = (ROOT / "docs" / "runbooks" / "a-new-sender.md").read_text(encoding="utf-8")
WORDS = {
    name: made
    for name, made in vars(value).items()
    if callable(made) and not isinstance(made, type) and made.__module__ == value.__name__
    if not name.startswith("_")
}
METHODS = {
    name
    for name, made in vars(Value).items()
    if callable(made) and not name.startswith("_") and name not in ("each", "is_in")
}


def cells() -> list[str]:
    """The first cells of all tables of the page."""
    lines = (re.split(r"(?<!\\)\|", line) for line in PAGE.splitlines() if line.startswith("| "))
    return [line[1].strip() for line in lines]


EXAMPLES = [
    code
    for cell in cells()
    for code in re.findall("`([^`]+)`", cell)
    if re.match(rf"({'|'.join(WORDS)})\(", code)
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_can_be_declared(code: str) -> None:
    made = eval(code, dict(WORDS))
    assert isinstance(made, Value | Where | Repeat)


def test_each_word_has_an_example() -> None:
    shown = " ".join(EXAMPLES)
    assert {word for word in WORDS if not re.search(rf"(?<![.\w]){word}\(", shown)} == set()
    assert {method for method in METHODS if f".{method}(" not in shown} == set()


def test_each_argument_of_a_contract_is_said() -> None:
    said = " ".join(cells()).replace("`, `", "`, `parsing.")
    needed = {"name", "feed", "description", "parsing"}
    contract = {field.name for field in fields(SenderContract) if field.init} - needed
    assert {name for name in contract if not re.search(rf"`(parsing\.)?{name}`", said)} == set()
    form = {field.name for field in fields(FileForm)}
    assert {name for name in form if not re.search(rf"`(parsing\.)?{name}`", said)} == set()
    parsing = {field.name for field in fields(Parsing)}
    assert {name for name in parsing if f"`parsing.{name}`" not in said} == set()
