"""The dictionary as pages: one with a search over all of it, and one a relation.

Pure functions. The pages need no network; the script only searches. Every value is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import jinja2

from etl.access.treatments import Standard, Treatment
from etl.dictionary.model import Dictionary, Relation
from etl.dictionary.page_parts import entries, shown, used_by
from etl.reports import frame
from etl.warehouse.tables import KEPT, LIVE

INDEX = "index.html"
RELATIONS = "relations"
_SAID = {
    "mart": "What people read: claims, coverage and cubes, each column said in words.",
    "cubes": "Numbers by month, plan, state and more, kept ready.",
    "warehouse": "Dimensions and facts: the star schema.",
    "staging": "The rows of files as they came, typed.",
    "as_known": "Dimensions and facts as they were known after a load.",
    "limited": "A limited data set (45 CFR 164.514(e)) of the same names.",
    "limited_as_known": "The limited data set as it was known after a load.",
    "scoped": "The limited data set of the members of some states.",
    "safe_harbor": "De-identified data (45 CFR 164.514(b)(2)) of the same names.",
    "ledger": "Loads, files, stages, runs and decisions.",
    "quality": "Checks, their results, and the quarantine.",
    "access": "Who may see what, and codes of persons.",
    "audit": "Who looked.",
}
_STANDARDS = {
    "limited": Standard.LIMITED.value,
    "limited_as_known": Standard.LIMITED.value,
    "scoped": Standard.LIMITED.value,
    "safe_harbor": Standard.SAFE_HARBOR.value,
}
_TREATED = {
    Treatment.WITHHOLD: "withheld",
    Treatment.MEMBER_REF: "a code of the person",
    Treatment.MEMBER_KEY: "a code of the key",
    Treatment.YEAR: "the year",
    Treatment.BIRTH_YEAR: "the year, of ages to 89",
    Treatment.AGE: "ages over 89 as 90",
    Treatment.ZIP3: "three digits, where more than 20,000 people live",
}


class Page(NamedTuple):
    """A page: its path in the folder, and its text."""

    path: str
    text: str


def pages(dictionary: Dictionary) -> Iterator[Page]:
    """All pages, the first one first."""
    yield Page(INDEX, _index(dictionary))
    names = {relation.full_name for relation in dictionary.relations}
    uses = dictionary.graph.uses()
    template = _environment().get_template("relation.html.j2")
    for relation in dictionary.relations:
        text = template.render(
            dictionary=dictionary,
            relation=relation,
            entries=entries(relation, dictionary.graph),
            used_by=used_by(relation, uses),
            pages=names,
        )
        yield Page(f"{RELATIONS}/{relation.full_name}.html", text)


def _index(dictionary: Dictionary) -> str:
    schemas: dict[str, list[Relation]] = {}
    for relation in dictionary.relations:
        schemas.setdefault(relation.schema, []).append(relation)
    return (
        _environment()
        .get_template("index.html.j2")
        .render(
            dictionary=dictionary,
            schemas=schemas,
            said=_SAID,
            columns=sum(len(relation.columns) for relation in dictionary.relations),
            index=list(_search_index(dictionary)),
        )
    )


def _search_index(dictionary: Dictionary) -> Iterator[tuple[str, str, str]]:
    """Relation, column and meaning; what shows another relation is found by that one's columns."""
    for relation in dictionary.relations:
        yield relation.full_name, "", relation.meaning
    for relation in dictionary.relations:
        if relation.schema in (*LIVE.schemas.names, *KEPT) and not relation.shows:
            for column in relation.columns:
                yield relation.full_name, column.name, column.meaning


@cache
def _environment() -> jinja2.Environment:
    environment = frame.environment("dictionary/page")
    environment.filters["shown"] = shown
    treated = {treatment.value: words for treatment, words in _TREATED.items()}
    environment.globals.update(standards=_STANDARDS, treated=treated)
    return environment
