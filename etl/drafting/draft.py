"""A draft: the feed of a sample, what each of its columns is made of, and what nobody could say."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from etl.contracts.column import Column
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.types import Type
from etl.contracts.value import numbered
from etl.drafting import names
from etl.drafting.guess import Guess, guess, parsing_of, quoted
from etl.drafting.profile import Profile, profiles
from etl.drafting.sample import Sample
from etl.errors import UsageError, one_line
from etl.inbox import encodings
from etl.inbox.folder import feed_and_part, meanings_of, names_unpacked
from etl.reports.text import plural

# So many columns have to be there, and others have to be behind by so much of a share.
_ENOUGH = 2
_AHEAD = 0.05
# So many different words are few.
_FEW = 10
# Feeds whose rows senders often write next to each other: the number, the code, a word of its name.
_REPEATED = {
    "claim_diagnoses": ("position", "diagnosis_code", "diagnosis"),
    "claim_lines": ("line_number", "procedure_code", "procedure"),
}


@dataclass(slots=True)
class Draft:
    """What a contract is written from. ``repeat``: the argument as text, empty without one.

    ``asks``: what could not be guessed, a sentence each. ``unused``: names of fields.
    """

    name: str
    feed: Feed
    sample: Sample
    columns: list[Guess] = field(default_factory=list)
    parsing: dict[str, Any] = field(default_factory=dict)
    not_sent: list[str] = field(default_factory=list)
    repeat: str = ""
    files: str = ""
    asks: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def make(sample: Sample, feed_name: str = "", name: str = "") -> Draft:
    """Draft a contract; ``UsageError`` where the feed or the name cannot be guessed."""
    fields = profiles(sample)
    feed = _feed(sample, fields, feed_name)
    draft = Draft(_name(sample, name), feed, sample, asks=[*sample.asks])
    matched = names.matched(feed, fields)
    repeated, in_series = _repeat(draft, matched)
    for name in repeated:
        matched.pop(name, None)
    _find_key(draft, matched, fields)
    by_column = {feed.column(name): profile for name, profile in matched.items()}
    draft.parsing, asks = parsing_of(by_column)
    draft.asks += asks
    if sample.encoding != encodings.UTF8:
        draft.parsing["encoding"] = sample.encoding
    _judge_rows(draft)
    draft.files = _files(draft)
    starts = {*matched["start_date"].values} if "start_date" in matched else set()
    for column in feed.staged:
        if column.name in matched:
            made = guess(column, matched[column.name], draft.parsing, starts)
            if column.type.names_a_thing:
                made.asks += _rivals(draft, column, matched, fields)
            _take(draft, made, column)
        elif column.required and column.name not in repeated:
            _without(draft, column, fields, {*matched.values()})
    _judge_key(draft, matched)
    used = {*in_series, *(profile.name for profile in matched.values())}
    draft.unused = [_described(f, sample) for f in fields if f.name not in used]
    return draft


def _described(field: Profile, sample: Sample) -> str:
    """A field by its name; where it has none, with what its values are."""
    if not sample.form.names:
        return field.name
    kinds = {
        "empty": not field.values,
        "dates": field.dates is not None,
        "numbers": field.numbers is not None,
        "another value in every row": field.is_unique,
        "the same few words": len(field.words) <= _FEW < len(field.values),
    }
    return f"{field.name} ({next((kind for kind, is_so in kinds.items() if is_so), 'text')})"


def _feed(sample: Sample, fields: list[Profile], wanted: str) -> Feed:
    if wanted:
        if wanted not in FEEDS:
            raise UsageError(f"There is no feed {wanted!r}.", f"Name one of {', '.join(FEEDS)}.")
        return FEEDS[wanted]
    found = {feed.name: names.matched(feed, fields) for feed in FEEDS.values()}
    most = max(map(len, found.values()))
    # How much of the file a feed explains, and how much of the feed is in the file.
    scores = {n: len(matched) / max(most, 1) + _share(n, matched) for n, matched in found.items()}
    first, second = sorted(scores, key=lambda n: scores[n], reverse=True)[:2]
    by_name = names.feed_of(names_unpacked(sample.path.name)[-1])
    is_at_odds = by_name is not None and by_name.name != first
    if is_at_odds or len(found[first]) < _ENOUGH or scores[first] - scores[second] < _AHEAD:
        raise UsageError(
            f"Which feed {one_line(sample.path.name)} is cannot be seen by its names.",
            f"Say it: make sender-draft FILE=... FEED=members (one of {', '.join(FEEDS)}).",
        )
    return FEEDS[first]


def _share(name: str, matched: dict[str, Profile]) -> float:
    """The share of required columns that fields look like, those of the key twice."""
    wanted = (*FEEDS[name].required, *FEEDS[name].key)
    return sum(column in matched for column in wanted) / len(wanted)


def _name(sample: Sample, wanted: str) -> str:
    stem = names_unpacked(sample.path.name)[-1].removesuffix(".csv").removesuffix(".xlsx")
    name = wanted or "_".join(re.findall("[a-z]+", stem)) or "sender"
    if not re.fullmatch("[a-z][a-z0-9_]{0,62}", name) or keyword.iskeyword(name):
        raise UsageError(
            f"{one_line(name)!r} cannot be the name of a contract.",
            "Name it in small letters, digits and underscores: NAME=county_members",
        )
    return f"sender_{name}" if name in FEEDS else name


def _repeat(
    draft: Draft, matched: Mapping[str, Profile]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Our columns that fields next to each other are rows of, and the names of these fields."""
    number, code, word = _REPEATED.get(draft.feed.name, ("", "", ""))
    if not number or number in matched:
        return (), ()
    stem, count = names.series(word, draft.feed, draft.sample.names)
    if not count:
        return (), ()
    draft.repeat = f'repeat("{number}", {code}=numbered({quoted(stem)}, {count}))'
    return (number, code), tuple(numbered(stem, count))


def _find_key(draft: Draft, matched: dict[str, Profile], fields: list[Profile]) -> None:
    """Take the only field for the key that has another value in every row and is called an ID."""
    if len(draft.feed.key) > 1 or draft.feed.key[0] in matched:
        return
    used = {profile.name for profile in matched.values()}
    unique = [
        f
        for f in fields
        if f.is_unique and f.name not in used and "id" in names.words_of(f.name, draft.feed)
    ]
    if len(unique) == 1:
        matched[draft.feed.key[0]] = unique[0]


def _rivals(
    draft: Draft, column: Column, matched: Mapping[str, Profile], fields: list[Profile]
) -> list[str]:
    """What to ask where another field may be the key or the reference as well."""
    used = {profile.name for profile in matched.values()}
    others = names.rivals(column, draft.feed, matched[column.name], fields)
    return [f"{name} may be it as well. Compare both." for name in others if name not in used]


def _take(draft: Draft, made: Guess, column: Column) -> None:
    draft.asks += [f"{made.column}: {ask}" for ask in made.asks]
    is_named_so = made.source.lower() == f"of({quoted(column.name)})"
    if not (is_named_so and made.says_nothing):
        draft.columns.append(made)


def _without(
    draft: Draft, column: Column, fields: list[Profile], used: Collection[Profile]
) -> None:
    """A required column that no field looks like."""
    left = [field for field in fields if field not in used]
    if called := names.called_so(column, draft.feed, left):
        kind = column.type.name.lower().removeprefix("key_")
        draft.asks.append(
            f"{column.name}: the field {called[0]} is called so, but its values are not written as "
            f"one kind of {kind}. Say how they are to be read, or rows are rejected: "
            f'"{column.name}": of({quoted(called[0])})'
        )
        if not (column.type.mandatory or column.name in draft.feed.key):
            draft.not_sent.append(column.name)
        return
    if column.type in (Type.YEAR, Type.KEY_YEAR):
        draft.columns.append(_year_of_file(draft, column))
    elif column.type.mandatory or column.name in draft.feed.key:
        draft.asks.append(
            f"{column.name}: no field looks like it, and no row is loaded without it. Name it in "
            f'columns: "{column.name}": of("...")'
        )
    else:
        draft.not_sent.append(column.name)


def _year_of_file(draft: Draft, column: Column) -> Guess:
    years = re.findall(r"(?<![0-9])(20[0-9]{2})(?![0-9])", draft.sample.path.name)
    if draft.files and len(years) == 1:
        return Guess(
            column.name, 'file_name(r"(20[0-9]{2})")', why=["The year in the file's name."]
        )
    draft.asks.append(f"{column.name}: no field has it; the year of the batch's as_of is taken.")
    return Guess(column.name, "batch_date()", ".part(1, 4)")


def _files(draft: Draft) -> str:
    """A pattern of the file's name with anything for its numbers, where it is not the feed's."""
    name = draft.sample.path.name
    if feed_and_part(name):
        return ""
    known = [m.contract for m in meanings_of(name) if m.feed == draft.feed.name]
    if known:
        draft.asks.append(
            f"the file's name: files that are called so come under the contract {known[0]}."
        )
        return ""
    plain = names_unpacked(name)[-1]
    pattern = re.sub("[0-9]+", "*", plain)
    pattern = re.sub(r"[\[\]?\"\\]", "?", pattern)
    is_telling = len(re.findall("[a-z]", pattern.removesuffix(".csv").removesuffix(".xlsx"))) > 2
    if not is_telling or not fnmatchcase(plain, pattern):
        draft.asks.append(
            f"the file's name: it says nothing. Call the files {draft.feed.name}.csv, or add files."
        )
        return ""
    return pattern


def _judge_rows(draft: Draft) -> None:
    sample = draft.sample
    if sample.odd_rows:
        draft.asks.append(
            f"The sample has {plural(sample.odd_rows, 'row')} with another number of values than "
            "the header."
        )


def _judge_key(draft: Draft, matched: dict[str, Profile]) -> None:
    keys = [matched[key].name for key in draft.feed.key if key in matched]
    if draft.repeat or len(keys) < len(draft.feed.key):
        return
    positions = [draft.sample.names.index(name) for name in keys]
    rows = [tuple(row[at] for at in positions) for row in draft.sample.rows]
    if again := len(rows) - len(set(rows)):
        draft.asks.append(
            f"the key: {again:,} of {len(rows):,} rows repeat {' and '.join(draft.feed.key)} of "
            "another. Only the last row of a key counts."
        )
