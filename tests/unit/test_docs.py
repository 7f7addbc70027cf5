"""The hand-written pages say what the code does, as far as a program can check."""

from __future__ import annotations

import re
import struct
from hashlib import sha256
from itertools import chain
from pathlib import Path

import pytest

from etl import errors
from etl.config import ROOT
from etl.contracts.column import Pii
from etl.contracts.feeds import FEEDS
from etl.contracts.refusals import Refusal
from etl.dictionary import lineage_page
from etl.docs import data_dictionary, measures_page, report_queries
from etl.quality import checks_page

DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)])
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"^```[^\n]*\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def rows(page: Path) -> list[list[str]]:
    """The cells of every row of the page's tables."""
    lines = page.read_text(encoding="utf-8").splitlines()
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def codes_of(kind: type[errors.AcaError]) -> dict[int, str]:
    found = {kind.exit_code: kind.__name__}
    for child in kind.__subclasses__():
        found |= codes_of(child)
    return found


def test_exit_codes_page_lists_the_error_classes() -> None:
    listed = [row for row in rows(DOCS / "runbooks" / "exit-codes.md") if row[0].isdigit()]
    assert all(len(row) == 4 and all(row) for row in listed)
    expected = codes_of(errors.AcaError)
    defined = [c for c in vars(errors).values() if isinstance(c, type)]
    classes = [c for c in defined if issubclass(c, errors.AcaError)]
    assert len(expected) == len(classes), "two error classes share an exit code"
    assert {int(row[0]): row[1] for row in listed} == {0: "none", **expected, 130: "none"}
    assert len(listed) == len(expected) + 2


def test_the_runbook_says_what_to_do_about_every_refusal() -> None:
    table = rows(DOCS / "runbooks" / "a-batch-was-refused.md")
    coded = [row for row in table if row[0].startswith("`")]
    assert coded
    assert all(len(row) == 4 and all(row) for row in coded)
    codes = {code for row in coded for code in re.findall(r"`(\w+)`", row[0])}
    assert codes == set(Refusal)


def test_every_code_of_a_refusal_is_used() -> None:
    modules = (ROOT / "etl").rglob("*.py")
    used = set(re.findall(r"Refusal\.([A-Z_]+)", "".join(m.read_text("utf-8") for m in modules)))
    assert used == {refusal.name for refusal in Refusal}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def targets_named(page: Path) -> set[str]:
    """Targets after the word make, in code and in fences."""
    code = chain.from_iterable(_CODE.findall(page.read_text(encoding="utf-8")))
    lines = chain.from_iterable(piece.splitlines() for piece in code)
    return {
        found.group(1)
        for line in lines
        if (found := re.match(r"(?:[A-Z_]+=\S* )*make ([a-z][a-z-]*)", line.strip()))
    }


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_exist(page: Path) -> None:
    assert targets_named(page) <= targets()


def test_readme_lists_every_target_that_help_prints() -> None:
    printed = set(re.findall(r"^([a-z][a-z-]*):.*## ", MAKEFILE, re.MULTILINE))
    assert printed <= targets_named(ROOT / "README.md")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_relative_links_lead_to_files(page: Path) -> None:
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [t.partition("#")[0] for t in _LINK.findall(text) if "://" not in t]
    missing = [t for t in targets if t and not (page.parent / t).exists()]
    assert not missing


def test_readme_lists_every_setting() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    settings = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    listed = {row[0].strip("`") for row in rows(ROOT / "README.md") if row[0].strip("`").isupper()}
    assert listed == settings


def test_every_query_of_the_analysts_page_has_a_name_and_asks_one_question() -> None:
    reports = report_queries.reports()
    assert [r.text for r in reports.values()] == report_queries.queries(report_queries.PAGE)
    assert sum(r.question is not None for r in reports.values()) >= 10


def test_analysts_page_lists_personal_columns() -> None:
    personal = {
        (pii.value, feed.name): {c.name for c in feed.columns if c.pii is pii}
        for pii in Pii
        for feed in FEEDS.values()
        if pii is not Pii.NONE and any(c.pii is pii for c in feed.columns)
    }
    listed = {
        (row[0].partition(":")[0], row[1]): set(re.findall(r"`(\w+)`", row[2]))
        for row in rows(DOCS / "analysts.md")
        if len(row) == 3 and row[1] in FEEDS
    }
    assert listed == personal


def test_hash_example_of_the_architecture_page() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    # Type number, length and value of each field; the numbers are fixed in PostgreSQL.
    fields = [(25, b"AB"), (25, None), (25, b""), (16, b"\x01")]
    encoded = struct.pack(">i", len(fields)) + b"".join(
        struct.pack(">ii", oid, -1)
        if value is None
        else struct.pack(">ii", oid, len(value)) + value
        for oid, value in fields
    )
    assert encoded.hex() in re.sub(r"\s", "", text)
    assert sha256(encoded).hexdigest()[:32] in text.replace("-", "")


def test_data_dictionary_is_not_stale() -> None:
    assert data_dictionary.write(check=True), "run make docs"


def test_page_of_measures_is_not_stale() -> None:
    assert measures_page.write(check=True), "run make docs"


def test_page_of_lineage_is_not_stale() -> None:
    assert lineage_page.write(check=True), "run make docs"


def test_table_of_checks_is_not_stale() -> None:
    assert checks_page.write(check=True), "run make docs"
