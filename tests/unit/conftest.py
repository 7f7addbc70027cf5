"""The generated sample that several tests of the synthetic feeds look at."""

from __future__ import annotations

import pytest

from etl.synthetic.generate import generate
from tests.support.feed_sample import Sample
from tests.support.once import made_once

MEMBERS, YEARS, SEED = 40_000, 2, 20_250_101


@pytest.fixture(scope="session")
def sample(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    def generated() -> Sample:
        inbox = tmp_path_factory.mktemp("realism") / "inbox"
        folder = generate(inbox, members=MEMBERS, years=YEARS, seed=SEED)
        try:
            return Sample(folder)
        finally:
            # The largest file of the tests, no longer needed.
            (folder / "claims.csv").unlink()

    return made_once(pytestconfig, tmp_path_factory, "sample", generated)
