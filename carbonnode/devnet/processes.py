"""Node processes of a devnet: started detached, found again by id and start time, ended by that id only."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from carbonnode.errors import CarbonnodeError, ConfigError

STOP_S = 15.0
"""How long a node may take to stop gracefully before it is killed."""
PASSPHRASE_VARIABLE = "CARBONNODE_PASSPHRASE_FILE"  # noqa: S105  the name of a variable that names a file
_POLL_S = 0.05


class DevnetError(CarbonnodeError):
    """The devnet can't do what was asked; the message names the node and its log."""

    code = "devnet"


class ProcessId(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A process for certain: ids are used again by the system, the pair of id and start isn't."""

    pid: int
    started: str


def start_of(pid: int) -> str | None:
    """When a living process started, in the system's own words; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _start_by_ps(pid)
    except OSError:
        return None
    # The name in parentheses may hold anything; after it come the state and, 19 fields on, the start time in clock ticks since boot.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else fields[19].decode()


def _start_by_ps(pid: int) -> str | None:
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S607  where /proc is missing
    return found.stdout.strip() or None


def read_process(path: Path) -> ProcessId | None:
    """The living process that a pid file names, or None."""
    try:
        recorded = msgspec.json.decode(path.read_bytes(), type=ProcessId)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} can't be read: {error}: see with `ps` whether the node runs, end it, and remove the file") from None
    return recorded if start_of(recorded.pid) == recorded.started else None


def package_environment() -> dict[str, str]:
    """Our environment, with this very package first, whatever the folder a process runs in."""
    package = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


def environment(passphrase_path: Path) -> dict[str, str]:
    """`package_environment`, with where the keys' passphrase is."""
    return {**package_environment(), PASSPHRASE_VARIABLE: str(passphrase_path)}


def start(
    arguments: list[str], *, pid_path: Path, output_path: Path, passphrase_path: Path, extra: Mapping[str, str] | None = None
) -> ProcessId:
    """Start `python -m carbonnode ...` in a session of its own, with its output in a file and `extra` variables in its environment.

    Raises `DevnetError` if it is gone at once.
    """
    output_path.parent.mkdir(parents=True, exist_ok=True)
    with output_path.open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "carbonnode", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**environment(passphrase_path), **(extra or {})},
            close_fds=True,
        )
    started = start_of(child.pid)
    # The child outlives us on purpose: nobody waits for it here.
    child.returncode = 0
    if started is None:
        raise DevnetError(f"{' '.join(arguments)} ended at once: {last_lines(output_path)}")
    process = ProcessId(child.pid, started)
    pid_path.write_bytes(msgspec.json.encode(process))
    return process


def alive(process: ProcessId) -> bool:
    """Whether that very process lives."""
    with contextlib.suppress(ChildProcessError):
        # Our own child is a zombie until it is waited for.
        os.waitpid(process.pid, os.WNOHANG)
    return start_of(process.pid) == process.started


def children(process: ProcessId) -> set[int]:
    """Ids of its child processes; none where the system doesn't tell."""
    found: set[int] = set()
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
            found |= {int(pid) for pid in path.read_text().split()}
    return found


def signal_process(process: ProcessId, number: signal.Signals) -> None:
    """Send a signal to that very process; nothing if it is gone."""
    if alive(process):
        try:
            os.kill(process.pid, number)
        except ProcessLookupError:
            return


def end(processes: list[ProcessId], *, patience_s: float = STOP_S) -> list[ProcessId]:
    """Ask processes to stop, wait, kill those that don't. Returns those that had to be killed."""
    for process in processes:
        signal_process(process, signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and any(alive(process) for process in processes):
        time.sleep(_POLL_S)
    stubborn = [process for process in processes if alive(process)]
    for process in stubborn:
        signal_process(process, signal.SIGKILL)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and any(alive(process) for process in stubborn):
        time.sleep(_POLL_S)
    return stubborn


def last_lines(path: Path, count: int = 5) -> str:
    """The end of a file, for an error message."""
    try:
        lines = path.read_text("utf-8", errors="replace").strip().splitlines()
    except OSError:
        return f"{path} can't be read"
    return " | ".join(lines[-count:]) or f"{path} is empty"
