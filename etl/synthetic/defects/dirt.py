"""Defects on request: which kinds there are, what has to become of each, and how to ask for them.

``DIRTY=0.01`` asks for a share of rows with defects of every kind, ``DIRTY=bad_npi,crlf`` for
these alone. ``etl.synthetic.defects.injector`` puts them into the feeds and records each with its
file and line, so that a pipeline can be compared with what was really put in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from etl.contracts.types import Type
from etl.errors import UsageError
from etl.synthetic.core.known_feeds import FEEDS

DEFAULT_SHARE = 0.01  # of a feed's rows, for each row defect that is asked for by name
HIGHEST_SHARE = 0.5

# What must happen to the record that a defect is in, or to the whole file.
REJECTED, DUPLICATE, LOADED, REFUSED = "rejected", "duplicate", "loaded", "refused"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of defect.

    ``columns``: the feeds that it can be in, each with the columns, none for the whole record or
    file. ``adds``: it is a record in addition to the row's own, which stays as it was. ``orphans``:
    the row loads under a key that nobody has. ``of_set``: it is a claim's whole set of lines or
    diagnoses, that waits for the next batch; it is counted there.
    """

    name: str
    outcome: str
    description: str
    columns: Mapping[str, tuple[str, ...]]
    whole_file: bool = False
    adds: bool = False
    orphans: bool = False
    of_set: bool = False

    @property
    def takes_row(self) -> bool:
        """Whether the row's own record is lost to whoever looks for it."""
        return self.orphans or (self.outcome == REJECTED and not self.adds)


def _typed(*types: Type) -> dict[str, tuple[str, ...]]:
    """The columns of these types, by feed."""
    found = {
        feed.name: tuple(c.name for c in feed.columns if c.type in types) for feed in FEEDS.values()
    }
    return {name: columns for name, columns in found.items() if columns}


_EVERY_COLUMN = {feed.name: tuple(c.name for c in feed.columns) for feed in FEEDS.values()}
_WHOLE = dict.fromkeys(FEEDS, ())
_LINES = {"claim_lines": ()}
_KEYS = {feed.name: feed.key[:1] for feed in FEEDS.values()}
# The sender's new column and its name, of which the contract knows nothing.
EXTRA_COLUMN = "export_run"
LATE_SET = "late_set"
# What the sender now calls the column that goes by another name in the contract.
NEW_NAME = {"paid_amount": "paid_amt"}

_ALL = (
    # Values that staging's types refuse.
    Kind(
        "bad_date",
        REJECTED,
        "a date that no calendar has, such as 2025-02-30",
        _typed(Type.DATE, Type.KEY_DATE),
    ),
    Kind(
        "bad_amount",
        REJECTED,
        "an amount that is no number, such as 12.3.4",
        _typed(Type.MONEY),
    ),
    Kind(
        "dollar_amount",
        REJECTED,
        "an amount with a dollar sign and commas between thousands",
        _typed(Type.MONEY),
    ),
    # Records out of shape.
    Kind("missing_field", REJECTED, "a record with one field too few", _WHOLE),
    Kind("extra_field", REJECTED, "a record with one field too many", _WHOLE),
    Kind(
        "bad_encoding",
        REJECTED,
        "bytes of another encoding than UTF-8 in a text",
        _typed(Type.TEXT, Type.REFERENCE),
    ),
    Kind(
        "line_feed",
        LOADED,
        "a quoted line feed inside a text",
        # Texts of which no new version follows; all of a provider's or a plan's make one.
        {
            "members": ("street",),
            "enrollments": ("enrollment_reason",),
            "claims": ("provider_group_name",),
        },
    ),
    Kind(
        "trailing_spaces",
        LOADED,
        "spaces after a value, which are trimmed on the way in",
        _EVERY_COLUMN,
    ),
    # Records that come twice.
    Kind("duplicate", DUPLICATE, "a record that comes twice, byte for byte", _KEYS, adds=True),
    Kind(
        "conflicting_duplicate",
        REJECTED,
        "another state of a row before it, with the same key and time; the last one is valid",
        {
            "members": ("last_name",),
            "plans": ("name",),
            "providers": ("name",),
            "enrollments": ("premium_paid",),
            "claims": ("paid_amount",),
            "claim_lines": ("line_paid",),
        },
        adds=True,
    ),
    # Relationships, amounts and dates that contradict one another.
    Kind(
        "orphan_member",
        LOADED,
        "a fact of a member whom no feed names",
        {"enrollments": ("member_id",), "claims": ("member_id",)},
        orphans=True,
    ),
    Kind(
        "orphan_provider",
        LOADED,
        "a claim of a provider whom no feed names",
        {"claims": ("provider_id",)},
        orphans=True,
    ),
    Kind(
        "paid_above_allowed",
        LOADED,
        "a claim that was paid more than it was allowed",
        {"claims": ("paid_amount",)},
    ),
    Kind(
        "end_before_start",
        REJECTED,
        "coverage that ends before it starts",
        {"enrollments": ("end_date",)},
    ),
    Kind(
        "service_outside_coverage",
        LOADED,
        "a service 28 years before its day",
        {"claims": ("service_date",)},
    ),
    Kind(
        "overlapping_enrollment",
        LOADED,
        "a second span of a member and plan inside the first, under an identifier of its own",
        {"enrollments": ("start_date",)},
        adds=True,
    ),
    # Lines and diagnoses that do not agree with their claim.
    Kind(
        "line_total",
        LOADED,
        "an amount of a claim's first line that is a cent too high",
        {"claim_lines": ("line_billed", "line_allowed", "line_paid")},
    ),
    Kind("missing_line", LOADED, "a claim's first of several lines that is missing", _LINES),
    Kind(
        "repeated_position",
        REJECTED,
        "another diagnosis before one, at the same position of the claim",
        {"claim_diagnoses": ("diagnosis_code",)},
        adds=True,
    ),
    Kind(
        LATE_SET,
        LOADED,
        "all lines and diagnoses of a claim, a batch later than the claim",
        {**_LINES, "claim_diagnoses": ()},
        of_set=True,
    ),
    # Codes that are none.
    Kind("bad_npi", LOADED, "an NPI whose check digit is wrong", {"providers": ("npi",)}),
    Kind(
        "bad_diagnosis",
        LOADED,
        "a diagnosis code that cannot exist",
        {"claims": ("diagnosis_code",)},
    ),
    Kind(
        "unknown_code",
        LOADED,
        "a further diagnosis or a procedure of a line that has the form of a code and is none",
        {"claim_lines": ("procedure_code",), "claim_diagnoses": ("diagnosis_code",)},
    ),
    # Whole files, harmless.
    Kind("byte_order_mark", LOADED, "a byte-order mark before the header", _WHOLE, whole_file=True),
    Kind(
        "crlf", LOADED, "lines that end in carriage return and line feed", _WHOLE, whole_file=True
    ),
    Kind(
        "extra_column",
        LOADED,
        "a column that the contract does not know, which is ignored",
        dict.fromkeys(FEEDS, (EXTRA_COLUMN,)),
        whole_file=True,
    ),
    # Whole files, fatal: one file of a batch is enough, since it refuses the batch.
    Kind("truncated", REFUSED, "a file cut in the middle", {"claims": ()}, whole_file=True),
    Kind(
        "renamed_column",
        REFUSED,
        "a required column under another name",
        {"claims": tuple(NEW_NAME)},
        whole_file=True,
    ),
    Kind(
        "missing_column",
        REFUSED,
        "a required column that is not there",
        {"claims": ("diagnosis_code",)},
        whole_file=True,
    ),
)
KINDS = {kind.name: kind for kind in _ALL}


@dataclass(frozen=True, slots=True)
class Defect:
    """A defect that was put into a file.

    ``line``: the line of the file, counted by line feeds and the header being the first, on which
    the record begins; 1 if the defect is the whole file's. ``column``: the one that it is in,
    ``None`` for the whole record. ``outcome``: what must happen to that record or file.
    """

    kind: str
    feed: str
    line: int
    column: str | None
    outcome: str


@dataclass(frozen=True, slots=True)
class Dirt:
    """What was asked for: a share of the rows, and the kinds, none for all but the fatal ones.

    With kinds, ``share`` is that of each of them in the feeds that it applies to.
    """

    share: float
    kinds: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The text that ``parse`` makes this of."""
        if self.kinds and self.share == DEFAULT_SHARE:
            return ",".join(self.kinds)
        return ",".join([*self.kinds, repr(self.share)])

    def of(self, feed: str) -> list[Kind]:
        """The kinds that were asked for and can be in a feed, in the registry's order."""
        return [
            kind
            for kind in KINDS.values()
            if feed in kind.columns
            and (kind.name in self.kinds if self.kinds else kind.outcome != REFUSED)
        ]

    @property
    def is_fatal(self) -> bool:
        """Whether a file of the batch is to be refused, and the batch with it."""
        return any(KINDS[name].outcome == REFUSED for name in self.kinds)

    @property
    def waiting(self) -> float:
        """The share of claims whose lines and diagnoses come a batch after them."""
        kinds = self.of("claim_lines")
        if self.is_fatal or KINDS[LATE_SET] not in kinds:
            return 0.0
        return self.share if self.kinds else self.share / len(kinds)


def parse(text: str) -> Dirt | None:
    """The request that a text such as ``0.01`` or ``bad_npi,crlf,0.02`` makes; ``None`` if none.

    ``UsageError`` if a word of it is neither a defect nor a share.
    """
    words = [word.strip().lower() for word in text.split(",")]
    names = [word for word in words if word in KINDS]
    shares = [_share(word, text) for word in words if word not in KINDS] if any(words) else [0.0]
    if len(shares) > 1 or (names and 0.0 in shares):
        raise _unknown(text)
    kinds = tuple(name for name in KINDS if name in names)
    share = shares[0] if shares else DEFAULT_SHARE
    return Dirt(share, kinds) if share else None


def _share(word: str, text: str) -> float:
    try:
        share = float(word)
    except ValueError:
        raise _unknown(text) from None
    if not 0 <= share <= HIGHEST_SHARE:
        raise _unknown(text)
    return share


def _unknown(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is neither a share of rows from 0 to {HIGHEST_SHARE} nor a list of known "
        f"defects ({', '.join(KINDS)}).",
        "Give a share such as 0.01, defects by name, or both (bad_npi,0.02).",
    )
