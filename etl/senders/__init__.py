"""Contracts with senders whose files differ from what a feed asks for, one module each.

A new sender is a declaration here and no code (docs/runbooks/a-new-sender.md).
"""

from etl.contract import Sender, Source
from etl.senders.cms_plan_attributes import cms_plan_attributes

SENDERS: dict[str, Sender] = {sender.name: sender for sender in (cms_plan_attributes,)}


def contracts_of(source: Source) -> tuple[Sender, ...]:
    """The contracts under which a feed's file may come, the feed's own first."""
    own = Sender(source.name, source, source.description)
    return (own, *(sender for sender in SENDERS.values() if sender.source is source))
