"""The roles of the warehouse and what each of them may read: one table.

A role is a group without login; ``make role-add`` gives it to people. What is not here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from etl.access.classification import LIMITED_ROWS, identifies, mart_columns
from etl.warehouse.tables import CUBES, MARTS, MARTS_OF_CUBES, MEMBER_SCOPE, Schemas

LOADER = "aca_loader"
SCOPED = "aca_analyst_scoped"
STEWARD = "aca_data_steward"
AUDITOR = "aca_auditor"

BUILD = Schemas()


class Right(Enum):
    """What a role may see of a relation."""

    READ = "read"  # every value
    MASKED = "masked"  # what does not identify a person, or what a standard makes of it
    REFUSED = "refused"


READ, MASKED, REFUSED = Right.READ, Right.MASKED, Right.REFUSED


@dataclass(frozen=True, slots=True)
class Role:
    """A role: its name in commands (``ROLE=analyst``), and what it may read by schema.

    ``path``: where names without a schema are looked for. ``relations``: rights on single relations
    of these schemas. ``is_identified``: whether it sees who a person is, so that every statement of
    its logins is logged.
    """

    name: str
    short: str
    description: str
    rights: dict[str, Right]
    path: tuple[str, ...]
    relations: dict[tuple[str, str], Right] = field(default_factory=dict)
    is_identified: bool = False

    def right(self, schema: str, relation: str) -> Right:
        """What it may see of a relation of the live build or of a schema that is kept."""
        place = (schema, relation)
        unless_named = (
            REFUSED if place in (*_STEWARDS, *_OWNERS) else self.rights.get(schema, REFUSED)
        )
        return {**_DECLARED, **self.relations}.get(place, unless_named)


# What every reader may see: which loads there were, and what checks found.
_COMMON = {"ledger": READ, "quality": MASKED}
_DECLARED = {("access", "classification"): READ, ("access", "declared_right"): READ}
_IDENTIFIED = dict.fromkeys(
    (
        *(BUILD.staging, BUILD.warehouse, BUILD.cubes, BUILD.as_known, BUILD.mart),
        # Past rows, which functions of as_known read; partitions have no rights of their own.
        BUILD.internal,
    ),
    READ,
)
# Views for people that say of nobody who they are.
_OF_NOBODY = {
    (BUILD.mart, name): READ
    for name in (*MARTS, *MARTS_OF_CUBES, *CUBES)
    if not identifies(BUILD.mart, name, list(mart_columns(name)))
}
# Rows and keys as files have them are for stewards, whoever else may read the schema.
_STEWARDS = (
    ("quality", "quarantined_line"),
    ("quality", "correction"),
    ("quality", "rejected_key"),
)

# Rows that have a surrogate key and its code lead from one to the other; the states of keys are for
# views alone.
_OWNERS = tuple((BUILD.warehouse, name) for name in (*LIMITED_ROWS, MEMBER_SCOPE))

# What auditors see: who may see which states, whose data must be kept, what was erased.
_AUDITED = (("access", "login_state"), ("access", "legal_hold"), ("access", "erased"))

ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(
            "aca_analyst",
            "analyst",
            "Analysts: a limited data set (45 CFR 164.514(e)).",
            {**_COMMON, BUILD.limited: MASKED, BUILD.limited_as_known: MASKED},
            (BUILD.limited, "public"),
            relations=_OF_NOBODY,
        ),
        Role(
            SCOPED,
            "scoped",
            "Analysts of some states: the limited data set of members of these.",
            {**_COMMON, BUILD.scoped: MASKED},
            (BUILD.scoped, "public"),
        ),
        Role(
            "aca_analyst_deid",
            "deid",
            "Analysts of de-identified data (45 CFR 164.514(b)(2)).",
            {**_COMMON, BUILD.safe_harbor: MASKED},
            (BUILD.safe_harbor, "public"),
        ),
        Role(
            "aca_analyst_phi",
            "phi",
            "Analysts who may see who a person is; every read is recorded.",
            {**_COMMON, **_IDENTIFIED, "quality": READ},
            tuple(BUILD.readers_path),
            is_identified=True,
        ),
        Role(
            STEWARD,
            "steward",
            "Data stewards: rows as files have them, and what became of them.",
            {**_COMMON, **_IDENTIFIED, "quality": READ},
            tuple(BUILD.readers_path),
            relations=dict.fromkeys(_STEWARDS, READ),
            is_identified=True,
        ),
        Role(
            AUDITOR,
            "auditor",
            "Auditors: who looked, what each role may see, and every report as it was known.",
            {**_COMMON, "audit": READ, BUILD.limited: MASKED, BUILD.limited_as_known: MASKED},
            (BUILD.limited, "public"),
            relations=_OF_NOBODY | dict.fromkeys(_AUDITED, READ),
            # What they see in the log names persons.
            is_identified=True,
        ),
    )
}


def named(short: str) -> Role | None:
    """The role that a command names: ``analyst`` or ``aca_analyst``."""
    return next((role for role in ROLES.values() if short in (role.short, role.name)), None)
