"""A short storm over links (`network_storm.py`); `make storm` blows for longer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.functional, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


def test_after_any_kills_and_pauses_every_pair_talks_on_every_stream_in_both_directions() -> None:
    command = [sys.executable, "-m", "tests.functional.network_storm", "--seed", "3", "--rounds", "5"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONWARNINGS": "ignore"}, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
