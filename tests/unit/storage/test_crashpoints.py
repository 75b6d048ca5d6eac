import signal
import subprocess
import sys

import pytest

from carbonnode.errors import ConfigError
from carbonnode.storage.crashpoints import POINTS, CrashPoints

PROGRAM = """
import os
from carbonnode.storage.crashpoints import CrashPoints
crash = CrashPoints.from_environment(os.environ)
for number in range(5):
    print(number, flush=True)
    crash.reach("persist.before")
    crash.reach("persist.after")
"""


def run(value: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM], env={"CARBONNODE_CRASH_AT": value}, capture_output=True, text=True, check=False)


def test_the_process_is_killed_at_the_chosen_moment() -> None:
    done = run("persist.after:3")
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["0", "1", "2"]


def test_an_unarmed_process_runs_to_its_end() -> None:
    done = run("send.before:1")
    assert done.returncode == 0
    assert done.stdout.split() == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("text", ["persist.after", "persist.after:", "persist.after:0", "persist.after:x", "nowhere:1"])
def test_a_malformed_setting_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="CARBONNODE_CRASH_AT"):
        CrashPoints.from_environment({"CARBONNODE_CRASH_AT": text})


def test_no_setting_arms_nothing() -> None:
    crash = CrashPoints.from_environment({})
    assert not crash.armed
    for point in POINTS:
        crash.reach(point)
