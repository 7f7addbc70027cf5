"""The Makefile: what its targets would run, without running it."""

from __future__ import annotations

import os
import subprocess

from etl.config import ROOT


def make(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``make -n``: prints the commands of a target and runs none of them."""
    env = {**os.environ, **environment}
    command = ["make", "-n", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=env)
