"""What the warehouse contains: its dimensions, facts and cubes, each one entry.

Columns come from the feed that an entry names; only what the warehouse adds is said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields
from datetime import datetime
from typing import Any, LiteralString

from etl.contracts.column import Column
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.warehouse.deprecated import Deprecated


@dataclass(frozen=True, slots=True)
class Schemas:
    """Names of the schemas that one build of the warehouse lives in.

    A rebuild goes into schemas of its own and replaces the live ones when it is done
    and checked, so that readers never see half of it.
    """

    staging: str = "staging"
    warehouse: str = "warehouse"
    internal: str = "internal"
    cubes: str = "cubes"
    as_known: str = "as_known"
    mart: str = "mart"
    limited: str = "limited"
    limited_as_known: str = "limited_as_known"
    scoped: str = "scoped"
    safe_harbor: str = "safe_harbor"
    history: str = "history"
    # Whether slowly changing dimensions are kept in ``history`` and published in ``warehouse``.
    has_history: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The schemas that a rebuild replaces, each after those that it reads."""
        *read, history, has_history = astuple(self)
        return (*read, history) if has_history else tuple(read)

    @property
    def versions(self) -> str:
        """The schema in which loads change slowly changing dimensions."""
        return self.history if self.has_history else self.warehouse

    @property
    def masked(self) -> tuple[str, ...]:
        """The schemas whose columns have been masked."""
        return (self.limited, self.limited_as_known, self.scoped, self.safe_harbor)

    @classmethod
    def called(cls, form: str) -> Schemas:
        """The schemas of a build by the form of their names, such as ``{}_next``."""
        names: dict[str, Any] = {
            field.name: form.format(field.name) for field in fields(cls) if field.type == "str"
        }
        return cls(**names)

    @classmethod
    def of(cls, live_name: str, schema: str) -> Schemas:
        """The schemas of the build one of which is this one; ``live_name``: what it is called live.

        In the usual layout.
        """
        return cls.called(f"{{}}{schema.removeprefix(live_name)}")

    @property
    def path(self) -> list[str]:
        """The search path in which unqualified table names of ``sql/`` resolve.

        The first is where a stage makes tables, which only partitions are. Nobody reads these, rows
        of the past or earlier states by name, so people's tools list no schema ``internal``.
        """
        return [self.internal, self.warehouse, self.staging, self.cubes, *KEPT]

    @property
    def readers_path(self) -> list[str]:
        """The search path of whoever reads all of a build, in which the documented reports run.

        What somebody creates without a schema must not be among our tables: public comes first.
        """
        return ["public", self.warehouse, self.cubes, self.mart]


# The schemas that no rebuild replaces.
KEPT = ("ledger", "quality", "access", "audit")


@dataclass(frozen=True, slots=True)
class Build:
    """One build of the warehouse: where its tables are and which loads it consists of.

    ``statuses``: those of its loads in the ledger, loads that are still running among them.
    """

    schemas: Schemas
    statuses: tuple[str, ...]
    is_rebuild: bool

    @property
    def values(self) -> dict[str, Any]:
        """What statements bind to find the loads of the build."""
        return {"statuses": list(self.statuses), "is_rebuild": self.is_rebuild}


# What readers see, and the rebuild that is going to take its place.
LIVE = Build(Schemas(), ("running", "loaded"), is_rebuild=False)
NEXT = Build(
    Schemas.called("{}_next"),
    ("running", "rebuilt"),
    is_rebuild=True,
)
# What it took the place of, as long as somebody reads it.
RETIRED = Schemas.called("{}_retired")


# The first version of a key is valid from here on, so that facts from before anything was known of
# it find one. A version that nothing ends is valid until there. Both are UTC.
BEGINNING = datetime(1900, 1, 1)
OPEN_END = datetime(9999, 12, 31)


def past_of(table: str) -> str:
    """Name of the table that keeps a table's rows as they were before a load changed them."""
    return f"{table}_past"


# The member dimension as the limited standard shows it, for readers of the masked schemas.
MEMBER_LIMITED = "dim_member_limited"
# By state, of which versions in that copy it is: a bit for each surrogate key.
MEMBER_SCOPE = "member_scope"


@dataclass(frozen=True, slots=True)
class Lookup:
    """A key that a dimension row takes from another dimension by equal columns."""

    column: str
    table: str
    match: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dimension:
    """A slowly changing dimension (Type 2 for change drivers, Type 1 for other attributes).

    ``hash_version`` names the definition of ``attr_hash``: which drivers, in which order.
    """

    name: str
    feed: Feed
    description: str
    lookups: tuple[Lookup, ...] = ()
    hash_version: int = 2

    @property
    def table(self) -> str:
        """Name of the table."""
        return f"dim_{self.name}"

    @property
    def past(self) -> str:
        """Name of the table that keeps its rows as they were before a load changed them."""
        return past_of(self.table)

    @property
    def sk(self) -> str:
        """Name of the surrogate key."""
        return f"{self.name}_sk"

    @property
    def key(self) -> tuple[str, ...]:
        """The natural key."""
        return self.feed.key

    @property
    def attributes(self) -> tuple[Column, ...]:
        """Every column of the feed but the key, in declared order."""
        return tuple(c for c in self.feed.columns if c.name not in self.key)

    @property
    def drivers(self) -> tuple[str, ...]:
        """Names of the attributes whose change makes a version."""
        return tuple(c.name for c in self.attributes if c.driver)

    @property
    def type_1(self) -> tuple[str, ...]:
        """Names of the attributes that are corrected in place."""
        return tuple(c.name for c in self.attributes if not c.driver)


@dataclass(frozen=True, slots=True)
class Reference:
    """How a fact finds a dimension: by these staging columns or expressions, on its own date.

    ``key`` pairs each natural-key column of the dimension with the staging column that names
    it; a pair ``("effective_year", None)`` is the year of the fact's date.
    """

    dimension: Dimension
    key: tuple[tuple[str, str | None], ...]

    @property
    def sk(self) -> str:
        """The foreign key's column in the fact."""
        return self.dimension.sk


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact table.

    ``date``: the date on which its dimension versions must be in force. ``carried``: columns
    taken over from the feed as they are. ``states``: those of them that are kept for every state
    that the fact has been in, not only the latest; none where no history of states is kept.
    """

    name: str
    feed: Feed
    description: str
    date: str
    references: tuple[Reference, ...]
    carried: tuple[str, ...]
    states: tuple[str, ...] = ()

    @property
    def table(self) -> str:
        """Name of the table."""
        return f"fact_{self.name}"

    @property
    def past(self) -> str:
        """Name of the table that keeps its rows as they were before a load changed them."""
        return past_of(self.table)

    @property
    def state(self) -> str:
        """Name of the table of its states before the latest, where ``states`` are kept."""
        return f"{self.table}_state"

    @property
    def key(self) -> str:
        """The degenerate key: the feed's own identifier."""
        return self.feed.key[0]


# What a cube is in the database, as its statements name it.
TABLE: LiteralString = "table"
VIEW: LiteralString = "materialized view"


@dataclass(frozen=True, slots=True)
class Cube:
    """The rows of a query, its definition in ``sql/cubes/<name>.sql``, kept for readers.

    A cube may read from the cubes before it. It is a materialized view, refreshed where what it
    reads has changed. ``is_followed``: it is a table instead that follows what changed in the
    claims (``etl/stages/cubes/follow.py``), for one whose definition costs too much to run daily.
    ``by_member``: such a one whose rows of a member are all made again where something of the
    member changed. ``sums_of``: such a one that adds up the rows of a cube by member, and follows
    what these were and are. ``claims_by``: where it counts every claim once, with all measures, the
    column with the date or month of service; its gate then compares it with the facts. ``persons``:
    the columns that count the persons of a row, each with the counts of what these persons had,
    some of which may be of more persons; a row is of few where there is anything and of 1 to 10.
    Member-months are no more than persons. Of a cube that neither has such a column nor a row a
    person nothing is shown de-identified. ``bytes_a_claim``: of a table whose definition may be
    restricted to claims of some months of service (``{of_months}``), the memory that the largest of
    its steps takes for a claim; it is then made in passes that fit into memory
    (``etl/stages/cubes/passes.py``). ``deprecated``: since when nobody should read it any more, and
    what to read in its place.

    A row about one person is shown to readers of some states by the person's state, in a column
    ``state`` or, without one, as it was on the day that is the second of the grain.
    """

    name: str
    grain: tuple[str, ...]
    description: str
    is_followed: bool = False
    by_member: bool = False
    sums_of: str = ""
    claims_by: str | None = None
    persons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    bytes_a_claim: int = 0
    deprecated: Deprecated | None = None

    def __post_init__(self) -> None:
        """Refuse a cube of persons as a materialized view, which cannot note who reads it."""
        if self.is_of_persons and not self.is_followed:
            raise ValueError(f"the cube {self.name} is of persons: declare is_followed=True")

    @property
    def comment(self) -> str:
        """What it is, for the catalog and the data dictionary."""
        said = f"{self.description} One row per {' and '.join(self.grain)}."
        return f"{said} {self.deprecated}" if self.deprecated else said

    @property
    def grain_index(self) -> str:
        """Name of the unique index on its grain."""
        return f"{self.name}_grain_idx"

    @property
    def touched(self) -> str:
        """Name of the temporary table of the members whose rows are made again."""
        return f"touched_{self.name}"

    @property
    def before(self) -> str:
        """Name of the temporary table of what touched members came to before."""
        return f"{self.name}_before"

    @property
    def is_of_persons(self) -> bool:
        """Whether each row is about one person."""
        return "member_id" in self.grain

    @property
    def kind(self) -> LiteralString:
        """What it is in the database."""
        return TABLE if self.is_followed else VIEW


DIM_MEMBER = Dimension(
    "member",
    FEEDS["members"],
    "Members through time, one row per version. Personal data: see the column comments.",
    lookups=(Lookup("geography_sk", "dim_geography", ("state", "region")),),
)
# What a schema has in which loads change dimensions, and none of its name that others made: a
# dimension, and a trigger of it.
GUARD_OF_HISTORY = {"guarded": DIM_MEMBER.table, "guard": f"{DIM_MEMBER.table}_guard_inserts"}
DIM_PLAN = Dimension(
    "plan", FEEDS["plans"], "Plans through time, one row per version of a plan in a plan year."
)
DIM_PROVIDER = Dimension(
    "provider", FEEDS["providers"], "Providers through time, one row per version."
)

DIMENSIONS: dict[str, Dimension] = {d.name: d for d in (DIM_PLAN, DIM_PROVIDER, DIM_MEMBER)}

_MEMBER = Reference(DIM_MEMBER, (("member_id", "member_id"),))
_PROVIDER = Reference(DIM_PROVIDER, (("provider_id", "provider_id"),))
_PLAN = Reference(DIM_PLAN, (("plan_id", "plan_id"), ("effective_year", None)))

FACT_CLAIM = Fact(
    "claim",
    FEEDS["claims"],
    "Claims, one row per claim in its latest state. Amounts in US dollars.",
    date="service_date",
    references=(_MEMBER, _PROVIDER, _PLAN),
    carried=(
        "status",
        "diagnosis_code",
        "procedure_code",
        "claim_amount",
        "allowed_amount",
        "paid_amount",
        "claim_type",
        "major_service_category",
        "detailed_service_category",
        "provider_specialty",
        "ms_drg",
        "channel",
        "drug_class",
        "is_oon",
        "utilization",
        "ccsr_system_description",
        "admit_date",
        "discharge_date",
        "paid_date",
    ),
    states=("status", "claim_amount", "allowed_amount", "paid_amount", "paid_date"),
)
FACT_ENROLLMENT = Fact(
    "enrollment",
    FEEDS["enrollments"],
    "Coverage, one row per member, plan and start. Premium and tax credit are US dollars a month.",
    date="start_date",
    references=(_MEMBER, _PLAN),
    carried=("premium_paid", "csr_variant", "aptc_amount", "enrollment_reason"),
)

FACTS: dict[str, Fact] = {f.name: f for f in (FACT_ENROLLMENT, FACT_CLAIM)}

_CLAIMS: dict[str, tuple[str, ...]] = {
    "members": ("claims", "pending_claims", "unknown_status_claims")
}
_COVERAGE: dict[str, tuple[str, ...]] = {"member_months": ("member_months",)}

CUBES: dict[str, Cube] = {
    c.name: c
    for c in (
        Cube(
            "claims_daily_member",
            ("member_id", "service_date"),
            "Claims and money by member and day of service.",
            is_followed=True,
            claims_by="service_date",
        ),
        Cube(
            "claims_by_month",
            ("breakdown", "category", "month"),
            "Claims, members and money by month of service, once by metal tier and once by "
            "specialty.",
            is_followed=True,
            persons=_CLAIMS,
            bytes_a_claim=360,
        ),
        Cube(
            "member_month",
            ("member_id", "month", "plan_id"),
            "Coverage by member, month and plan: days, member-months and premium.",
            is_followed=True,
            by_member=True,
        ),
        Cube(
            "exposure_month",
            ("month", "state", "metal_tier", "csr_variant"),
            "Members, member-months and premium by month, state, metal tier and cost sharing.",
            is_followed=True,
            sums_of="member_month",
        ),
        Cube(
            "claims_by_plan_metal_month",
            ("metal_tier", "month"),
            "Claims, member-months and paid PMPM by metal tier and month of service.",
            claims_by="month",
            persons=_CLAIMS | _COVERAGE,
        ),
        Cube(
            "high_cost_member_tracking",
            ("member_id", "month"),
            "Members whose paid claims over twelve months pass $50k, by month.",
            is_followed=True,
        ),
        Cube(
            "utilization_by_specialty",
            ("specialty", "month"),
            "Claims and money by specialty of the provider, per 1,000 member-months.",
            claims_by="month",
            persons=_CLAIMS | _COVERAGE,
        ),
        Cube(
            "cost_month",
            ("month", "state", "metal_tier", "claim_type"),
            "Claims and money by month of service, state, metal tier and type of claim.",
            is_followed=True,
            claims_by="month",
        ),
        Cube(
            "enrollment_flow_month",
            ("month", "state", "metal_tier"),
            "Members at the start and end of a month, new, returned and ended.",
            is_followed=True,
            sums_of="member_month",
        ),
        Cube(
            "inpatient_stay",
            ("member_id", "stay_id"),
            "Stays in hospital: claims that overlap or touch are one, with its readmission.",
            is_followed=True,
            by_member=True,
        ),
        Cube(
            "readmission_month",
            ("month",),
            "Stays, index stays and readmissions within 30 days, by month of discharge.",
        ),
        Cube(
            "high_cost_year",
            ("member_id", "benefit_year"),
            "Members whose paid claims of a benefit year pass $100k, and what a risk pool pays.",
            is_followed=True,
            by_member=True,
        ),
    )
}

# Views for people over facts and dimensions, each ``sql/mart/<name>.sql``. With the cubes they are
# what schema ``mart`` shows.
MARTS: tuple[LiteralString, ...] = (
    *("claim", "claim_line", "claim_diagnosis"),
    *("enrollment", "member_timeline"),
)
# Views over cubes, likewise, which say of nobody who they are.
MARTS_OF_CUBES: tuple[LiteralString, ...] = ("pmpm_month",)
