"""Contracts with senders whose files differ from what a feed asks for, one module each.

A new sender is a module here that declares a ``SenderContract``, and no other code
(docs/runbooks/a-new-sender.md). A module that cannot be used is answered in one sentence when
contracts are asked for, and not with a traceback when they are read.
"""

from __future__ import annotations

import re
import traceback
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from etl.contracts.feed import Feed
from etl.contracts.sender import SenderContract
from etl.errors import UsageError

_FOLDER = Path(__file__).parent
_COLUMN = re.compile(r'\s*"(\w+)": ')
SENDERS: dict[str, SenderContract] = {}
# Why modules cannot be used, a sentence each.
FAULTS: list[str] = []


def contracts_of(feed: Feed) -> tuple[SenderContract, ...]:
    """The contracts under which a feed's file may come, the feed's own first."""
    own = SenderContract(feed.name, feed, feed.description)
    return (own, *senders_of(feed))


def senders_of(feed: Feed) -> tuple[SenderContract, ...]:
    """The contracts of senders of a feed; the feed's own is not among them."""
    ensure_sound()
    return tuple(sender for sender in SENDERS.values() if sender.feed is feed)


def contracts_for(feed: Feed, named: str | None) -> list[SenderContract]:
    """The contracts that a file of a feed may be read by, the feed's own first.

    ``named``: the one that its name or its manifest says. Without that a contract is found by the
    file's header, if it does not itself name its files and its files have one.
    """
    return [
        contract
        for contract in contracts_of(feed)
        if contract.name == named
        or (named is None and not contract.files and not contract.form.names)
    ]


def ensure_sound() -> None:
    """Raise ``UsageError`` if a contract cannot be used."""
    if FAULTS:
        raise UsageError(
            f"{FAULTS[0]}.",
            "Correct the contract (docs/runbooks/a-new-sender.md), then run again; nothing was "
            "changed.",
        )


def _declare(module: str) -> None:
    """Take in the contracts that a module declares, or note why it cannot be used."""
    where = f"The contract in etl/contracts/senders/{module}.py"
    try:
        declared = vars(import_module(f"{__name__}.{module}")).values()
    except (Exception, SystemExit) as error:  # a value, a name, the syntax, or it ends the program
        FAULTS.append(f"{where} cannot be used{_line(error, module)}: {error}")
        return
    for sender in declared:
        if not isinstance(sender, SenderContract):
            continue
        if sender.name in SENDERS or sender.name == sender.feed.name:
            FAULTS.append(f"{where} has the name {sender.name}, which another contract has")
        SENDERS.setdefault(sender.name, sender)


def _line(error: BaseException, module: str) -> str:
    """On which line of a module an error arose, and of which column."""
    if isinstance(error, SyntaxError):
        return ""  # its text says so
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename) == _FOLDER / f"{module}.py"
    ]
    if not frames:
        return ""
    column = _COLUMN.match(frames[-1].line or "")
    return f" (line {frames[-1].lineno}{f', {column[1]}' if column else ''})"


for _found in iter_modules([str(_FOLDER)]):
    _declare(_found.name)
