"""What the dictionary says: relations with their columns, keys, joins, readers and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from etl.dictionary.graph import Graph
from etl.dictionary.trace import Node

# What kinds of relations are called.
KINDS = {"r": "table", "p": "partitioned table", "v": "view", "m": "materialized view"}


@dataclass(frozen=True, slots=True)
class Profile:
    """Numbers of a column: rows with a value, different values, least and greatest where shown.

    ``is_about``: the different values are the planner's estimate; ``None`` if nobody knows them.
    """

    filled: int
    distinct: int | None
    is_about: bool
    low: str | None
    high: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    ``identifier``: which identifier of a person it is. ``personal``: the class that its feed
    declares. ``shown``: what each standard of masking makes of it.
    """

    name: str
    type: str
    is_mandatory: bool
    meaning: str
    identifier: str = "none"
    personal: str = "none"
    unit: str = ""
    allowed: str = ""
    shown: Mapping[str, str] = field(default_factory=dict)
    profile: Profile | None = None


@dataclass(frozen=True, slots=True)
class Join:
    """Columns by which a relation is joined to columns of another one."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, view or cube.

    ``readers``: roles with what each may see. ``rows``: none where nobody counted. ``shows``: the
    relation of which a masked one is the masked form.
    """

    schema: str
    name: str
    kind: str
    meaning: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    joins: tuple[Join, ...] = ()
    readers: Mapping[str, str] = field(default_factory=dict)
    example: str = ""
    shows: str = ""
    rows: int | None = None

    @property
    def full_name(self) -> str:
        """Schema and name."""
        return f"{self.schema}.{self.name}"

    def node(self, column: str) -> Node:
        """A column of it in the graph of lineage."""
        return Node(self.full_name, column)


@dataclass(frozen=True, slots=True)
class Dictionary:
    """All relations that people may read. ``load``: the latest load and when it became true."""

    relations: tuple[Relation, ...]
    graph: Graph
    load: str
    as_of: datetime | None
    made_at: datetime
