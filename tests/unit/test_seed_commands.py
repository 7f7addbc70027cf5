"""The generator's entry points: the same bytes each time; killed, run twice, refused; commands."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xxhash

from etl.errors import AlreadyRunningError, UsageError
from etl.inbox.batch import find_batches
from etl.synthetic.feeds import fact_rows
from etl.synthetic.generate import generate, increment, simulate
from etl.synthetic.marker import is_synthetic
from tests.support.feed_reader import FEEDS, content, fingerprint, manifest, rows_of

ROOT = Path(__file__).parents[2]


def test_same_arguments_same_bytes_other_seed_other_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate(tmp_path / name / "inbox", members=60, years=1, seed=seed)
        increment(tmp_path / name / "inbox")
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    other = fingerprint(tmp_path / "c")
    for name in ("members", "providers", "enrollments", "claims"):
        path = f"inbox/2025-12-15/{name}.csv"
        assert fingerprint(tmp_path / "a")[path] != other[path]


def test_bytes_are_the_same_on_every_machine(tmp_path):
    """Fails when the same arguments give other bytes: then ``VERSION`` must be raised."""
    generate(tmp_path / "inbox", members=60, years=2, seed=3, dirty="0.02")
    simulate(tmp_path / "inbox", 18)
    every = json.dumps(fingerprint(tmp_path), sort_keys=True)
    assert xxhash.xxh3_128(every.encode()).hexdigest() == "72b631b88359906ed8dc963d38597760"


@pytest.mark.slow
def test_days_simulated_at_once_equal_days_one_by_one(tmp_path):
    for name in ("one by one", "at a stroke"):
        generate(tmp_path / name / "inbox", members=300, years=1, seed=4, dirty="0.02")
    simulate(tmp_path / "one by one" / "inbox", 14)
    for dirty in ("truncated", "", "", "", "bad_npi"):
        increment(tmp_path / "one by one" / "inbox", dirty=dirty)
    simulate(tmp_path / "at a stroke" / "inbox", 14)
    increment(tmp_path / "at a stroke" / "inbox", dirty="truncated")
    simulate(tmp_path / "at a stroke" / "inbox", 3)
    increment(tmp_path / "at a stroke" / "inbox", dirty="bad_npi")
    assert fingerprint(tmp_path / "one by one") == fingerprint(tmp_path / "at a stroke")


def test_lost_truth_is_written_again(tmp_path):
    """What facts named of unknown keys is then drawn again from the first batch on."""
    inbox = tmp_path / "inbox"
    generate(inbox, members=300, years=1, seed=4, dirty="0.02")
    simulate(inbox, 3)
    before = fingerprint(tmp_path / "truth")
    shutil.rmtree(inbox / "2025-12-18")
    shutil.rmtree(tmp_path / "truth")
    increment(inbox)
    again = fingerprint(tmp_path / "truth")
    of_day = ("2025-12-18.json", "2025-12-18.rows")
    assert again == {name: before[name] for name in of_day}


def test_gzip_feeds_have_the_same_bytes_unpacked(tmp_path):
    plain = generate(tmp_path / "plain", members=30, years=1, seed=5)
    packed = generate(tmp_path / "packed", members=30, years=1, seed=5, gzip=True)
    for name in FEEDS:
        path = packed / f"{name}.csv.gz"
        assert content(path) == (plain / f"{name}.csv").read_bytes()
        assert path.read_bytes()[4:8] == b"\0\0\0\0", "a time in the header"
        said = manifest(packed)["files"][path.name]
        assert said["xxh3_128"] == xxhash.xxh3_128(path.read_bytes()).hexdigest()
        assert said["rows"] == len(rows_of(path))
    assert increment(tmp_path / "packed").joinpath("claims.csv.gz").exists()


def test_a_filled_inbox_is_refused(tmp_path):
    generate(tmp_path, members=10, years=1, seed=1)
    before = fingerprint(tmp_path)
    with pytest.raises(UsageError, match="already contains") as refusal:
        generate(tmp_path, members=10, years=1, seed=2)
    assert "--increment" in refusal.value.hint
    assert fingerprint(tmp_path) == before


def test_an_inbox_of_someone_else_is_refused(tmp_path):
    (tmp_path / "2025-01-01").mkdir()
    assert not is_synthetic(tmp_path)
    with pytest.raises(UsageError, match="not a synthetic one"):
        increment(tmp_path)


def test_a_real_batch_in_a_synthetic_inbox_is_refused(tmp_path):
    generate(tmp_path, members=10, years=1, seed=1)
    assert is_synthetic(tmp_path)
    (tmp_path / "2026-01-01-resent").mkdir()
    with pytest.raises(UsageError, match="not made by the generator"):
        increment(tmp_path)


@pytest.mark.parametrize(
    "arguments", [{"members": 0}, {"years": 0}, {"seed": -1}, {"first_year": 1999}]
)
def test_arguments_out_of_range_are_refused(tmp_path, arguments):
    with pytest.raises(UsageError, match="which the generator cannot do"):
        generate(tmp_path / "inbox", **{"members": 10, "years": 1, "seed": 1, **arguments})
    assert not (tmp_path / "inbox").exists()


def test_a_failing_generator_leaves_no_batch(tmp_path, monkeypatch):
    blocks = fact_rows.claim_blocks

    def break_down(world, waiting):
        yield next(blocks(world, waiting))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fact_rows, "claim_blocks", break_down)
        with pytest.raises(KeyboardInterrupt):
            generate(tmp_path, members=10, years=1, seed=1)
    assert [p.name for p in tmp_path.iterdir()] == [".synthetic.json"]


def test_a_killed_generator_leaves_no_batch(tmp_path):
    """Killed for good (SIGKILL) while it writes claims; then run again."""
    code = (
        "import sys; from pathlib import Path; from etl.synthetic.generate import generate; "
        "generate(Path(sys.argv[1]), members=30_000, years=2, seed=1)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) as process:
        claims = tmp_path / ".2025-12-15.partial" / "claims.csv"
        while not claims.exists() and process.poll() is None:
            time.sleep(0.01)
        process.kill()
    assert claims.exists()
    assert find_batches(tmp_path) == []
    folder = generate(tmp_path, members=10, years=1, seed=1)
    assert [b.batch_id for b in find_batches(tmp_path)] == [folder.name]
    assert not claims.parent.exists()


@pytest.mark.slow
def test_a_killed_simulation_goes_on_where_it_was(tmp_path):
    """Killed for good in the middle of its days; then run again for the days that are left."""
    for name in ("killed", "untroubled"):
        generate(tmp_path / name / "inbox", members=2_000, years=1, seed=1)
    simulate(tmp_path / "untroubled" / "inbox", 18, dirty="0.01")
    inbox = tmp_path / "killed" / "inbox"
    code = (
        "import sys; from pathlib import Path; from etl.synthetic.generate import simulate; "
        "simulate(Path(sys.argv[1]), 18, dirty='0.01')"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(inbox)], cwd=ROOT) as process:
        while not (inbox / "2025-12-18").exists() and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    days = 18 - (len(find_batches(inbox)) - 1)
    assert 0 < days <= 15
    simulate(inbox, days, dirty="0.01")
    killed, untroubled = (fingerprint(tmp_path / n) for n in ("killed", "untroubled"))
    left = [p for p in killed.keys() - untroubled.keys() if not Path(p).parts[-2].startswith(".")]
    assert left == []
    assert {name: killed[name] for name in untroubled} == untroubled


def test_second_generator_at_once_is_refused(tmp_path):
    generate(tmp_path / "inbox", members=30, years=1, seed=1)
    before = fingerprint(tmp_path)
    folder = os.open(tmp_path / "inbox", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        with pytest.raises(AlreadyRunningError, match="Another run is writing feeds"):
            increment(tmp_path / "inbox", dirty="0.1")
    finally:
        os.close(folder)
    assert fingerprint(tmp_path) == before
    increment(tmp_path / "inbox")


def test_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "truth").write_text("a file in the place of the folder")
    with pytest.raises(UsageError, match="could not be written"):
        generate(tmp_path / "inbox", members=10, years=1, seed=1)
    assert find_batches(tmp_path / "inbox") == []


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "generate_seed_data.py"
    return subprocess.run(
        [sys.executable, str(script), *arguments], capture_output=True, text=True, check=False
    )


def test_generator_command_writes_or_refuses(tmp_path):
    inbox = str(tmp_path / "inbox")
    arguments = ("--inbox", inbox, "--members", "20", "--years", "1", "--seed", "4")
    first = command(*arguments)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.count("\n") == 1
    assert "20 members" in first.stdout
    assert fingerprint(tmp_path / "inbox" / "2025-12-15") == fingerprint(
        generate(tmp_path / "same", members=20, years=1, seed=4)
    )
    again = command(*arguments)
    assert (again.returncode, again.stdout) == (2, "")
    assert "already contains" in again.stderr
    assert "Traceback" not in again.stderr
    assert "2025-12-16" in command("--inbox", inbox, "--increment").stdout


def test_what_a_killed_generator_left_is_cleared(tmp_path):
    partial = tmp_path / ".2025-12-15.partial"
    partial.mkdir()
    (partial / "claims.csv").write_text("half a li")
    assert find_batches(tmp_path) == []
    folder = generate(tmp_path, members=10, years=1, seed=1)
    assert folder.name == "2025-12-15"
    assert not partial.exists()
