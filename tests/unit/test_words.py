"""Plain words: what the docs' glossary, the code, the SQL and the messages do not say, and why."""

from __future__ import annotations

import re
import subprocess

import pytest

from etl.config import ROOT

# A word, and what is used instead.
BANNED = {
    r"told|tells?|retell|tell_again": "it named ten things: say the thing, such as reported",
    r"anew": "again",
    r"beside": "next to, besides, while, in addition to",
    r"in hand": "current",
    r"heard": "detected",
    r"mend(s|ed|ing)?": "fix",
    r"set(s|ting)? aside": "rejected (a row), taken out (a load): the act has one name",
    r"taken? back at|TakenBack": "rolled back",
    r"strangers?": "orphans: keys that no feed has brought",
    r"bereft": "members without enrollment",
    r"[Ss]oil(ed|er|s)?|[Ss]poilt": "inject, corrupted",
    r"[Rr]oster": "member list",
    r"sift(s|ed|ing)?": "validate",
    r"one row an?": "one row per",
    r"held (against|by)|holds? up": "compared with, of, delays or stops",
    r"goes? on from": "continues from",
    r"words? for nothing": "a word for a missing value",
    r"came, went or moved": "added, removed or moved",
    r"slip of the hand": "typing error",
    r"all the same(?! (key|time|row|file|value|day))": "anyway, still",
    r"takes? the place of": "replaces",
    r"witness(es)? and never the judge": "change detection compares the columns",
    r"[Ee]nrolments?|colours?|favours?|behaviours?|cancell(ed|ing)|neighbours?": "US spelling",
}
# Where a banned word is allowed.
ALLOWED = {
    r'Dice\(span\.seed, "roster"\)': "names a stream of random numbers: another gives other feeds",
    r"\.tell\(\)": "a position in a file",
    r"\(`\w+`\)": "an earlier name of a check in the change log",
}
OWN_OR_GENERATED = ("tests/unit/test_words.py", "docs/data-dictionary.md", "docs/quality.md")
TEXTS = ("*.py", "*.sql", "*.md", "*.j2", "*.sh", "*.awk", "*.toml", "Makefile", ".env.example")


@pytest.mark.parametrize("folder", ["etl", "sql", "docs", "migrations", "scripts", "tests", "."])
def test_no_banned_word(folder: str) -> None:
    # The parts of names such as is_told count as words.
    words = "|".join(BANNED)
    banned = re.compile(rf"(?<![^\W_])({words})(?![^\W_])", re.IGNORECASE)
    allowed = re.compile("|".join(ALLOWED))
    found = [
        f"{path}:{number}: {match[0]}"
        for path in _tracked(folder)
        for number, line in enumerate((ROOT / path).read_text("utf-8").splitlines(), 1)
        if (match := banned.search(allowed.sub("", line)))
    ]
    assert found == []


def test_every_exception_is_needed() -> None:
    texts = "\n".join(
        (ROOT / path).read_text("utf-8") for path in [*_tracked("etl"), "CHANGELOG.md"]
    )
    assert [pattern for pattern in ALLOWED if not re.search(pattern, texts)] == []


def _tracked(folder: str) -> list[str]:
    """Texts under a folder; for ``.`` those at the top."""
    pattern = (
        [f"{folder}/{kind}" for kind in TEXTS] if folder != "." else [f":(glob){t}" for t in TEXTS]
    )
    listed = subprocess.run(
        ["git", "ls-files", "-z", *pattern], cwd=ROOT, capture_output=True, text=True, check=True
    )
    paths = [path for path in listed.stdout.split("\0") if path and (ROOT / path).exists()]
    return [path for path in paths if path not in OWN_OR_GENERATED]
