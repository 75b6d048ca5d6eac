"""What the machine did meanwhile: CPU time of processes, and the idle cost of one signature verification."""

import os
import time
from pathlib import Path
from statistics import median

from carbonnode.chain.signing import KeySigner, verify

TICKS = os.sysconf("SC_CLK_TCK")
MESSAGE = bytes(250)


def verify_us(rounds: int = 15, per_round: int = 400) -> float:
    """Microseconds for one Ed25519 verification of 250 bytes, alone on a core: the median of rounds."""
    signer = KeySigner(bytes(32))
    signature = signer.sign(MESSAGE)
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(per_round):
            verify(signer.public_key, MESSAGE, signature)
        samples.append((time.perf_counter() - start) / per_round * 1e6)
    return median(samples)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def children_of(pid: int) -> list[int]:
    """The process's children (its executor)."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [int(child) for child in task.read_text().split()]
    return found
