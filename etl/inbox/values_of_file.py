"""What a batch says of a whole file, where a contract makes values of it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from etl.contracts.refusals import Refusal
from etl.contracts.sender import SenderContract
from etl.contracts.senders import contracts_for
from etl.contracts.value import OfFile
from etl.errors import BatchError, one_line
from etl.inbox.batch import Batch, FeedFile


def asked_for(contract: SenderContract) -> list[OfFile]:
    """What a contract asks of a file's batch, each once."""
    parts = (each for value in contract.all_values for each in value.each())
    found = (each for each in parts if isinstance(each, OfFile))
    return list(dict.fromkeys(found))


def may_differ(file: FeedFile) -> bool:
    """Whether the same bytes may be other rows in another batch, under another name or manifest."""
    return any(map(asked_for, contracts_for(file.feed, file.expected.contract)))


def of(batch: Batch, file: FeedFile, contract: SenderContract) -> Mapping[OfFile, str]:
    """What the batch says of a file; ``BatchError`` if it does not say what the contract asks."""
    return {asked: _said(batch, file, contract, asked) for asked in asked_for(contract)}


def as_findings(said: Mapping[OfFile, str]) -> dict[str, str]:
    """What the ledger keeps of it, so that rows of the file can be read once more."""
    return {asked.key: text for asked, text in said.items()}


def from_findings(contract: SenderContract, kept: Mapping[str, str]) -> dict[OfFile, str]:
    """What the ledger kept, as far as the contract still asks for it."""
    return {asked: kept[asked.key] for asked in asked_for(contract) if asked.key in kept}


def _said(batch: Batch, file: FeedFile, contract: SenderContract, asked: OfFile) -> str:
    where = f"{one_line(file.path.name)} of batch {batch.batch_id}"
    match asked.source:
        case "batch_date":
            return batch.as_of.date().isoformat()
        case "file_name":
            found = re.search(asked.pattern, file.path.name)
            if found is None:
                raise BatchError(
                    Refusal.CONTRACT_BROKEN,
                    f"The name of {where} has no part that matches {asked.pattern}, of which its "
                    f"contract {contract.name} makes a value.",
                    "Give the file the name that the sender gave it; nothing was loaded.",
                )
            return found[1]
        case "manifest":
            text = file.expected.values.get(asked.pattern)
            if text is None:
                raise BatchError(
                    Refusal.CONTRACT_BROKEN,
                    f"The manifest says no {asked.pattern} of {where}, of which its contract "
                    f"{contract.name} makes a value.",
                    f'Give the file\'s entry "values": {{"{asked.pattern}": "..."}} in '
                    "manifest.json; nothing was loaded.",
                )
            return text
