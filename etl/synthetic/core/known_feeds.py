"""The feeds that the generator writes: it need not know every one that is declared."""

from __future__ import annotations

from dataclasses import replace

from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS as DECLARED
from etl.synthetic.core.encode import Block

_KNOWN = (
    *("members", "plans", "providers", "enrollments", "claims"),
    *("claim_lines", "claim_diagnoses"),
)
FEEDS = {name: feed for name, feed in DECLARED.items() if name in _KNOWN}


def as_written(block: Block) -> Feed:
    """The feed with the columns that the generator has for it."""
    known = tuple(c for c in block.feed.columns if c.name in block.columns)
    return replace(block.feed, columns=known)
