"""The truth of synthetic feeds as a run of the warehouse takes it: ``etl.quality.truth.Truth``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from etl.contracts.checks import Check, Finding
from etl.quality.truth import Detection
from etl.synthetic.evaluate import detection, truth_checks
from etl.warehouse.tables import Build


@dataclass(frozen=True, slots=True)
class TruthFolder:
    """A folder in which the generator wrote the truth of each batch."""

    folder: Path

    def run_checks(
        self, connection: psycopg.Connection[Any], build: Build
    ) -> Iterator[tuple[Check, Finding | None]]:
        """Each check with what it found."""
        return truth_checks.run_truth_checks(connection, build, self.folder)

    def detections(
        self, connection: psycopg.Connection[Any], build: Build
    ) -> tuple[Detection, ...]:
        """Each kind of defect with what was put in and what was detected."""
        return detection.detections(connection, build, self.folder)
