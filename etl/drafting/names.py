"""Names of fields: which of our columns they are likely to mean.

Names are taken apart into words, and words that mean the same become one: BENE_BIRTH_DT is
``member birth date``. The noun of the feed itself says nothing in its own file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from etl.contracts.column import Column
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.drafting.profile import Profile

# How like our column's words those of a field must be.
ENOUGH = 0.7
_ALSO_CALLED = 0.95
# The same words but for the noun of the feed, which a field of something else may have left out.
_WITHOUT_NOUN = 0.98

# Words that senders use, and what they mean.
_WORDS = {
    "admission": "admit", "admsn": "admit", "addr": "street", "address": "street",
    "amt": "amount", "bene": "member", "beneficiary": "member", "bill": "claim",
    "billed": "charge", "business": "plan", "charges": "charge", "clm": "claim",
    "cvrg": "coverage", "dgns": "diagnosis", "diag": "diagnosis", "dx": "diagnosis",
    "dschrg": "discharge", "dt": "date", "eff": "effective", "enrollee": "member",
    "eligible": "allowed", "fname": "first name", "given": "first", "hcpcs": "procedure",
    "insured": "member", "lname": "last name", "family": "last", "surname": "last name",
    "insurer": "plan", "level": "tier", "max": "maximum", "moop": "oop max", "nbr": "number",
    "no": "number", "num": "number", "patient": "member", "payer": "plan", "payment": "paid",
    "person": "member",
    "pmt": "paid", "postal": "zip", "postcode": "zip", "prcdr": "procedure",
    "prem": "premium", "proc": "procedure", "prov": "provider", "prvdr": "provider",
    "sex": "gender", "speciality": "specialty", "srvc": "service", "stop": "end",
    "subscriber": "member", "svc": "service", "tel": "phone", "telephone": "phone",
    "term": "end", "termination": "end", "thru": "end", "through": "end",
}  # fmt: skip
# What says nothing of which column is meant; the first of several columns is the one to take.
_NOISE = {"ident", "code", "cd", "1", "the", "of", "nch", "sp"}
# What else a column is called, in the words above.
_ALSO = {
    "dob": ("birth date", "birth", "birthday", "date birth"),
    "first_name": ("first",),
    "last_name": ("last",),
    "street": ("street line",),
    "phone": ("phone number",),
    "fpl_ratio": ("fpl", "fpl percent", "poverty level"),
    "plan_metal": ("metal tier", "metal"),
    "metal_tier": ("metal",),
    "hios_id": ("hios",),
    "monthly_premium": ("premium", "premium amount"),
    "oop_max": ("out pocket maximum", "moop"),
    "coinsurance_rate": ("coinsurance",),
    "effective_year": ("year", "plan year"),
    "year": ("plan year", "coverage year"),
    "member_id": ("member", "member number"),
    "plan_id": ("plan", "plan number"),
    "provider_id": ("provider", "provider number"),
    "claim_id": ("claim number",),
    "enrollment_id": ("enrollment number", "policy number", "policy id"),
    "start_date": ("effective date", "start", "from date", "coverage start date", "start year"),
    "end_date": ("end", "coverage end date", "end year"),
    "premium_paid": ("premium", "premium amount"),
    "aptc_amount": ("aptc",),
    "service_date": ("from date", "service from date", "date service", "dos"),
    "claim_amount": ("charge amount", "charge", "total charge", "total amount"),
    "allowed_amount": ("allowed",),
    "paid_amount": ("paid", "plan paid"),
    "diagnosis_code": ("principal diagnosis", "primary diagnosis"),
    "procedure_code": ("procedure",),
    "discharge_date": ("member discharge date",),
    "line_number": ("line",),
    "line_billed": ("charge amount", "charge", "line charge"),
    "line_allowed": ("allowed amount", "allowed"),
    "line_paid": ("paid amount", "paid"),
    "source_updated_at": ("updated", "last updated", "updated date", "updated at"),
    "units": ("unit", "quantity"),
}
# Of the code system, which is no number of a column.
_REVISION = re.compile(r"icd[-_ ]?(9|10)(?![0-9])[-_ ]?(cm|pcs)?", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*\D)([0-9]{1,3})")


@cache
def _known_words() -> frozenset[str]:
    columns = (c.name for feed in FEEDS.values() for c in feed.staged)
    also = (word for names in _ALSO.values() for name in names for word in name.split())
    parts = (word for name in columns for word in name.split("_"))
    return frozenset(word for word in (*parts, *_WORDS, *also) if len(word) > 1)


def words_of(name: str, feed: Feed) -> frozenset[str]:
    """The words of a name that say something in a file of this feed."""
    kept = frozenset(_in_our_words(_apart(name))) - _NOISE
    return kept - {_noun(feed)} or kept


def _apart(name: str) -> str:
    """The words of a name with blanks between them."""
    plain = _REVISION.sub(" ", name)
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=\D)(?=\d)|[\W_]+", " ", plain).lower()


def _noun(feed: Feed) -> str:
    return feed.name.removesuffix("s")


def _in_our_words(apart: str) -> list[str]:
    return [meant for word in apart.split() for meant in _meant(word)]


def feed_of(file: str) -> Feed | None:
    """The feed whose rows a file's name says it has: by its last word, as ``payers`` are plans."""
    last = re.findall("[a-z]+", file.lower().partition(".")[0])[-1:]
    words = _in_our_words(" ".join(word.removesuffix("s") for word in last))
    nouns = {_noun(feed): feed for feed in FEEDS.values()}
    return nouns.get(words[0]) if len(words) == 1 else None


def _meant(word: str) -> Iterator[str]:
    for part in _segments(word) or [word]:
        yield from _WORDS.get(part, part).split()


@cache
def _segments(word: str) -> list[str]:
    """A word that is several words without a mark between them, such as PATIENTID."""
    if not word or word in _known_words():
        return [word]
    for size in range(len(word) - 2, 1, -1):
        if word[:size] in _known_words() and (rest := _segments(word[size:])):
            return [word[:size], *rest]
    return []


def likeness(column: Column, name: str, feed: Feed) -> float:
    """How likely it is by its name that a field is this column, 0 to 1."""
    words, wanted = words_of(name, feed), words_of(column.name, feed)
    if words == wanted:
        has_noun = [_noun(feed) in _in_our_words(_apart(n)) for n in (name, column.name)]
        return 1.0 if has_noun[0] == has_noun[1] else _WITHOUT_NOUN
    if any(words == words_of(other, feed) for other in _ALSO.get(column.name, ())):
        return _ALSO_CALLED
    return len(words & wanted) / len(words | wanted)


def _rank(column: Column, score: float) -> tuple[bool, float]:
    """What is matched first: of names that say enough those of required columns.

    The feed has other columns for what a sender's mart repeats, such as billed amounts.
    """
    return (column.required and score >= _ALSO_CALLED, score)


def called_so(column: Column, feed: Feed, fields: list[Profile]) -> list[str]:
    """Names of fields that are called as a column is, whatever their values are."""
    return [f.name for f in fields if likeness(column, f.name, feed) >= _ALSO_CALLED]


def matched(feed: Feed, fields: list[Profile]) -> dict[str, Profile]:
    """Our columns with the fields that they are likely to be, each field once, the best first."""
    scored = [
        (*_rank(column, likeness(column, field.name, feed)), -column_at, -field_at)
        for column_at, column in enumerate(feed.staged)
        for field_at, field in enumerate(fields)
        if field.fits(column)
    ]
    found: dict[str, Profile] = {}
    used: set[int] = set()
    for _, score, column_at, field_at in sorted(scored, reverse=True):
        column = feed.staged[-column_at]
        if score >= ENOUGH and column.name not in found and -field_at not in used:
            found[column.name] = fields[-field_at]
            used.add(-field_at)
    return found


def rivals(column: Column, feed: Feed, taken: Profile, fields: list[Profile]) -> list[str]:
    """Names of other fields that may be a column as well as the one that was taken for it."""
    return [
        field.name
        for field in fields
        if field is not taken
        and field.fits(column)
        and likeness(column, field.name, feed) >= _ALSO_CALLED
    ]


def series(word: str, feed: Feed, names: tuple[str, ...]) -> tuple[str, int]:
    """The longest run of names that differ in a number from 1 up, of which a word is part.

    As ``DX_{}`` and how many there are; 0 where there are not two.
    """
    counts: dict[str, list[int]] = {}
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found and word in words_of(found[1], feed) and "{" not in name:
            counts.setdefault(found[1], []).append(int(found[2]))
    runs = {f"{stem}{{}}": len(n) for stem, n in counts.items() if n == [*range(1, len(n) + 1)]}
    best = max(runs, key=lambda stem: runs[stem], default="")
    return (best, runs[best]) if best and runs[best] > 1 else ("", 0)
