"""The executor's confinement, tried from inside a confined process: threads work, everything else is refused."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

TRIES = """
import os, socket, subprocess, sys, threading
from pathlib import Path
from carbonnode.node.sandbox import confine
directory, outside = Path(sys.argv[1]), Path(sys.argv[2])
report = confine(directory)
if not all(": on" in line for line in report):
    print("off", report)
    raise SystemExit(0)
ran = []
thread = threading.Thread(target=lambda: ran.append(1))
thread.start()
thread.join()
assert ran == [1]
(directory / "inside").write_text("x")
def refused(action):
    try:
        action()
    except OSError as error:
        return True
    return False
wrong = [name for name, action in {
    "socket": lambda: socket.socket(),
    "fork": lambda: os.fork(),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "write outside": lambda: outside.write_text("x"),
    "read outside": lambda: Path("/etc/passwd").read_text(),
    "kill another": lambda: os.kill(os.getppid(), 0),
}.items() if not refused(action)]
print("done", wrong)
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}, reason="seccomp and Landlock are Linux's")
def test_a_confined_process_can_only_compute(tmp_path: Path) -> None:
    """LevelDB needs threads for its compactions; sockets, processes, programs and foreign files are out of reach."""
    (tmp_path / "state").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", TRIES, str(tmp_path / "state"), str(tmp_path / "outside")],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).resolve().parents[3],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if done.stdout.startswith("off"):
        pytest.skip(f"this kernel doesn't confine: {done.stdout.strip()}")
    assert done.stdout.strip() == "done []"
