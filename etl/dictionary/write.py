"""The dictionary as a folder: pages that open without a network, and the forms for catalogs."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from etl.db.connection import connect, reading
from etl.dictionary import catalogs
from etl.dictionary.model import Dictionary
from etl.dictionary.pages import INDEX, RELATIONS, pages
from etl.dictionary.read import OnRelation, read
from etl.errors import UsageError
from etl.schema import revisions

SOURCES = "sources.yml"
PACKAGE = "datapackage.json"
EVENTS = "openlineage.json"
# What says that the folder of pages is ours to replace.
_OURS = ".made-by-dictionary"


def write_dictionary(
    url: str, folder: Path, on_relation: OnRelation = lambda name, total: None
) -> Path:
    """Write the dictionary of a warehouse into a folder; where its first page is.

    Raises ``UsageError`` if the folder cannot be written, or has pages of somebody else,
    ``SchemaError`` if the database is of another version of the code.
    """
    try:
        _make_room(folder)
        with connect(url, "aca-warehouse dictionary") as connection:
            revisions.refuse_of_before(connection)
            with reading(connection):
                dictionary = read(connection, on_relation)
        write_files(dictionary, folder)
    except OSError as error:
        raise UsageError(
            f"The dictionary cannot be written into {folder}: "
            f"{error.strerror or 'it is no folder'}.",
            "Name a folder that can be written: make dictionary TO=folder",
        ) from error
    return folder / INDEX


def write_files(dictionary: Dictionary, folder: Path) -> None:
    """Write pages and forms, without pages of relations that are there no more.

    The first page comes last, so that it never leads to what is not there.
    """
    first, *others = pages(dictionary)
    forms = {
        SOURCES: yaml.safe_dump(
            catalogs.dbt_sources(dictionary), sort_keys=False, allow_unicode=True, width=100
        ),
        PACKAGE: _json(catalogs.datapackage(dictionary)),
        EVENTS: _json(catalogs.openlineage(dictionary)),
    }
    for page in (folder / RELATIONS).glob("*.html"):
        page.unlink()
    for path, text in (*others, *forms.items(), first):
        (folder / path).write_text(text, encoding="utf-8")


def _make_room(folder: Path) -> None:
    """Make the folder, which may be one of ours."""
    place = folder / RELATIONS
    if place.exists() and any(place.iterdir()) and not (folder / _OURS).exists():
        raise UsageError(
            f"{place} has files that are no dictionary.",
            "Name another folder: make dictionary TO=folder",
        )
    place.mkdir(parents=True, exist_ok=True)
    (folder / _OURS).touch()


def _json(content: object) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
