"""What each standard of masking makes of each identifier: one table, and the words for it.

Two standards of the Privacy Rule, each a schema in which analysts read:

- ``limited``: a limited data set (45 CFR 164.514(e)(2)). Names, street, phone, e-mail and member
  number go; dates, city and ZIP stay.
- ``safe_harbor``: de-identified (45 CFR 164.514(b)(2)(i)). Of dates the year stays, of ZIP codes
  three digits, nothing below state, no number; ages over 89 are 90. The load that a row came with
  goes: the ledger says its day, and a claim is some days older.

What is derived from a person identifies like the person (164.514(c)): hashes go, and persons and
surrogate keys are codes of a crosswalk, others in each schema.
"""

from __future__ import annotations

from enum import Enum

from etl.contracts.column import Identifier


class Standard(Enum):
    """A standard of masking; the value is its schema, and its prefix in the crosswalk."""

    LIMITED = "limited"
    SAFE_HARBOR = "safe_harbor"


class Treatment(Enum):
    """What becomes of a value: a statement of ``sql/access/treatments.sql``, and what it does."""

    KEEP = "keep"
    WITHHOLD = "withhold"
    MEMBER_REF = "member_ref"
    MEMBER_KEY = "member_key"
    YEAR = "year"
    BIRTH_YEAR = "birth_year"
    AGE = "age"
    ZIP3 = "zip3"


_LIMITED = {
    Identifier.NONE: Treatment.KEEP,
    Identifier.NAME: Treatment.WITHHOLD,
    Identifier.STREET: Treatment.WITHHOLD,
    Identifier.PHONE: Treatment.WITHHOLD,
    Identifier.EMAIL: Treatment.WITHHOLD,
    Identifier.CITY: Treatment.KEEP,
    Identifier.ZIP: Treatment.KEEP,
    Identifier.AREA: Treatment.KEEP,
    Identifier.MEMBER_NUMBER: Treatment.MEMBER_REF,
    Identifier.RECORD_NUMBER: Treatment.KEEP,
    Identifier.BIRTH_DATE: Treatment.KEEP,
    Identifier.AGE: Treatment.KEEP,
    Identifier.DATE: Treatment.KEEP,
    Identifier.DURATION: Treatment.KEEP,
    Identifier.WITHIN_YEAR: Treatment.KEEP,
    Identifier.ARRIVAL: Treatment.KEEP,
    Identifier.SURROGATE_KEY: Treatment.MEMBER_KEY,
    Identifier.HASH: Treatment.WITHHOLD,
    Identifier.WHOLE_ROW: Treatment.WITHHOLD,
}
_SAFE_HARBOR = _LIMITED | {
    Identifier.CITY: Treatment.WITHHOLD,
    Identifier.ZIP: Treatment.ZIP3,
    Identifier.AREA: Treatment.WITHHOLD,
    Identifier.RECORD_NUMBER: Treatment.WITHHOLD,
    Identifier.BIRTH_DATE: Treatment.BIRTH_YEAR,
    Identifier.AGE: Treatment.AGE,
    Identifier.DATE: Treatment.YEAR,
    Identifier.DURATION: Treatment.WITHHOLD,
    Identifier.WITHIN_YEAR: Treatment.WITHHOLD,
    Identifier.ARRIVAL: Treatment.WITHHOLD,
}
TREATMENTS: dict[Standard, dict[Identifier, Treatment]] = {
    Standard.LIMITED: _LIMITED,
    Standard.SAFE_HARBOR: _SAFE_HARBOR,
}


def treatment_of(identifier: Identifier, standard: Standard) -> Treatment:
    """What a standard makes of an identifier; nothing is shown of one that it does not know."""
    return TREATMENTS[standard].get(identifier, Treatment.WITHHOLD)
