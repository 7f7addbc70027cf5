"""The feeds, one module each. ``FEEDS`` holds them in the order in which they load."""

from etl.contract import Source
from etl.sources.claims import claims
from etl.sources.enrollments import enrollments
from etl.sources.members import members
from etl.sources.plans import plans
from etl.sources.providers import providers

FEEDS: dict[str, Source] = {
    source.name: source for source in (members, plans, providers, enrollments, claims)
}
