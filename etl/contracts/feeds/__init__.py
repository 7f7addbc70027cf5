"""The feeds, one module each. ``FEEDS`` has them in the order in which they load."""

from etl.contracts.feed import Feed
from etl.contracts.feeds.claim_diagnoses import claim_diagnoses
from etl.contracts.feeds.claim_lines import claim_lines
from etl.contracts.feeds.claims import claims
from etl.contracts.feeds.enrollments import enrollments
from etl.contracts.feeds.members import members
from etl.contracts.feeds.plans import plans
from etl.contracts.feeds.providers import providers

FEEDS: dict[str, Feed] = {
    feed.name: feed
    for feed in (
        members,
        plans,
        providers,
        enrollments,
        claims,
        claim_lines,
        claim_diagnoses,
    )
}
