"""Members killed for good, in many seeds: whoever is left must go on within a bound.

    python scripts/sim_losses.py [--first 0] [--count 1000] [--replicas 4] [--window 32] [--bound 15000] [--trace]

Exit status 1 if a check failed or a block took longer than the bound (ms); such a seed is named at once.
"""

import argparse
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.sim.losses import lose  # noqa: E402  the package stands beside this script


def main() -> int:
    """Run them all; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, value in (("first", 0), ("count", 1_000), ("replicas", 4), ("window", 32), ("bound", 15_000)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--trace", action="store_true")
    arguments = parser.parse_args()
    began, failed, longest = time.process_time(), 0, []
    for seed in range(arguments.first, arguments.first + arguments.count):
        loss = lose(seed, arguments.replicas, arguments.window, trace=print if arguments.trace else None)
        longest.append(loss.longest_ms)
        if loss.violations or loss.longest_ms > arguments.bound:
            failed += 1
            sys.stdout.write(f"{loss}\n")
            sys.stdout.flush()
    longest.sort()
    shares = ", ".join(f"p{share} {longest[len(longest) * share // 100]}" for share in (50, 90, 99))
    sys.stdout.write(f"{len(longest)} losses, {failed} failed; longest time without a block: {shares}, most {longest[-1]} ms; ")
    sys.stdout.write(f"{time.process_time() - began:.0f} s of processor\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
