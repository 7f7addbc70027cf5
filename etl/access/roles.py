"""The roles of the warehouse and what each of them may read: one table.

A role is a group without login; ``make role-add`` gives it to people. What is not here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from etl.warehouse.tables import Schemas

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
        of_all = _OF_RELATION.get((schema, relation))
        right = self.relations.get((schema, relation), self.rights.get(schema, REFUSED))
        return of_all if of_all and (schema, relation) not in self.relations else right


# What every reader may see: which loads there were, and what checks found.
_COMMON = {"ledger": READ, "quality": MASKED, "access": READ}
_IDENTIFIED = dict.fromkeys((BUILD.staging, BUILD.warehouse, BUILD.cubes, BUILD.as_known), READ)
# Relations that no role sees that is not named for it: the codes of persons would undo the masking,
# and rows as files have them are for stewards.
_OF_RELATION = {
    ("access", "member_crosswalk"): REFUSED,
    ("access", "member_key"): REFUSED,
    ("access", "login_state"): REFUSED,
    ("access", "legal_hold"): REFUSED,
    ("access", "erased"): REFUSED,
    ("quality", "quarantined_line"): REFUSED,
    ("quality", "correction"): REFUSED,
    ("quality", "rejected_key"): REFUSED,
}

ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(
            "aca_analyst",
            "analyst",
            "Analysts: a limited data set (45 CFR 164.514(e)).",
            {**_COMMON, BUILD.limited: MASKED, BUILD.limited_as_known: MASKED},
            (BUILD.limited,),
        ),
        Role(
            SCOPED,
            "scoped",
            "Analysts of some states: the limited data set of members of these.",
            {**_COMMON, BUILD.scoped: MASKED},
            (BUILD.scoped,),
        ),
        Role(
            "aca_analyst_deid",
            "deid",
            "Analysts of de-identified data (45 CFR 164.514(b)(2)).",
            {**_COMMON, BUILD.safe_harbor: MASKED},
            (BUILD.safe_harbor,),
        ),
        Role(
            "aca_analyst_phi",
            "phi",
            "Analysts who may see who a person is; every read is recorded.",
            {**_COMMON, **_IDENTIFIED, "quality": READ},
            (BUILD.warehouse, BUILD.cubes),
            is_identified=True,
        ),
        Role(
            STEWARD,
            "steward",
            "Data stewards: rows as files have them, and what became of them.",
            {**_COMMON, **_IDENTIFIED, "quality": READ},
            (BUILD.warehouse, BUILD.cubes),
            relations={
                ("quality", "quarantined_line"): READ,
                ("quality", "correction"): READ,
                ("quality", "rejected_key"): READ,
            },
            is_identified=True,
        ),
        Role(
            AUDITOR,
            "auditor",
            "Auditors: who looked, what each role may see, and every report as it was known.",
            {**_COMMON, "audit": READ, BUILD.limited: MASKED, BUILD.limited_as_known: MASKED},
            (BUILD.limited,),
            relations={("access", "login_state"): READ},
            # What they see in the log names persons.
            is_identified=True,
        ),
    )
}


def named(short: str) -> Role | None:
    """The role that a command names: ``analyst`` or ``aca_analyst``."""
    return next((role for role in ROLES.values() if short in (role.short, role.name)), None)
