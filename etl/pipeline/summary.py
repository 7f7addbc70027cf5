"""What a run is made of, apart from its work: who watches it, what it reports in the end."""

from __future__ import annotations

import os
import pwd
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from etl.quality.runner import CheckReport
from etl.quality.truth import Detection
from etl.retention.expire import Going
from etl.stages.stage.staged import Staged
from etl.warehouse.tables import Build


def os_user() -> str:
    """Who runs this process, by the name that its machine knows."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may know its user by number only
        return str(os.getuid())


class Watcher(Protocol):
    """Whoever shows a person how a run goes on."""

    def begin(self, stage: str, what: str, total: int | None = None) -> None:
        """A stage begins; ``total`` bytes or steps are ahead where that is known."""

    def advance(self, amount: int) -> None:
        """So much of the stage is done."""

    def end(self) -> None:
        """The stage is over."""

    def say(self, text: str) -> None:
        """Something that a person should read."""

    def agree(self, text: str) -> bool:
        """Something that is about to last: whether it may."""


@dataclass(slots=True)
class Summary:
    """What a run did, for its last words."""

    command: str
    counts: Counter[str] = field(default_factory=Counter)
    files: list[Staged] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    checks: CheckReport | None = None
    gates: list[CheckReport] = field(default_factory=list)
    detections: tuple[Detection, ...] = ()
    notes: list[str] = field(default_factory=list)
    going: list[Going] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Load:
    """A batch on its way: its ledger key, the build it goes into.

    ``rebuilds_load_id``: in a rebuild, the load of the live build that it rebuilds.
    """

    load_id: int
    batch_id: str
    as_of: datetime
    build: Build
    rebuilds_load_id: int | None = None
