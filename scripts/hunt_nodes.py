"""Strikes at networks of real nodes in one process and in virtual time, hundreds in a minute, in search of one that a network doesn't get over.

    python scripts/hunt_nodes.py [--seeds 20] [--first 1] [--strikes 30] [--validators 4] [--show 60] [--patience 60]

One line a seed, with every wait that took long. Exit status 1 if a network stood still, a node stopped by a fault, or a chain split; the last `--show` lines
of the nodes' logs are printed then, with where each of them stands. Longer than `--patience` (virtual seconds) counts as standing still. A seed gives the
same run each time.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.functional.inprocess_hunt import SLOW_S, STALL_S, hunt  # noqa: E402  the packages stand beside this script

MEMORY = Path("/dev/shm")  # noqa: S108 - journals of a few seconds: no disk needs to see them


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("seeds", 20), ("first", 1), ("strikes", 30), ("validators", 4), ("show", 60), ("patience", int(STALL_S))):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of names are walked through in the order of their hashes
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - this script again
    failed = 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        directory = Path(tempfile.mkdtemp(prefix="carbonnode-hunt-", dir=MEMORY if MEMORY.is_dir() else None))
        began = time.monotonic()
        try:
            slowest, fault = hunt(directory, seed, arguments.strikes, arguments.validators, arguments.show, arguments.patience)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        long = [f"{took:.0f} s for {what}" for took, what in slowest if took > SLOW_S]
        print(f"seed {seed}: {'FAILED' if fault else 'ok'}, {time.monotonic() - began:.0f} s; {'; '.join(long)}", flush=True)
        if fault:
            failed += 1
            print(fault, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
