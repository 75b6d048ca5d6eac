"""Many seeds of the simulator, in several processes; a seed that fails is named with the command that replays it.

    python scripts/sim_seeds.py [--first 1] [--count 500] [--steps 2000] [--replicas 4] [--byzantine 1] [--jobs 2]

Exit status 1 if any seed broke a safety check or didn't converge after healing.
"""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.sim import SimResult, simulate  # noqa: E402  the package stands beside this script

EVERY_S = 5.0


def one(seed: int, arguments: argparse.Namespace) -> SimResult:
    """One run."""
    return simulate(seed, replicas=arguments.replicas, byzantine=arguments.byzantine, steps=arguments.steps)


def main() -> int:
    """Run them all; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("first", 1), ("count", 500), ("steps", 2000), ("replicas", 4), ("byzantine", 1), ("jobs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.count)
    bad: list[SimResult] = []
    done, committed, crashes, views, shown = 0, 0, 0, 0, time.monotonic()
    print(f"{len(seeds)} seeds of {arguments.steps} steps, {arguments.replicas} replicas, {arguments.byzantine} Byzantine", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for future in as_completed([pool.submit(one, seed, arguments) for seed in seeds]):
            result = future.result()
            done, committed, crashes, views = done + 1, committed + result.committed, crashes + result.crashes, views + result.view_changes
            if not result.ok:
                bad.append(result)
            if time.monotonic() - shown > EVERY_S or done == len(seeds):
                shown = time.monotonic()
                print(f"  {done} of {len(seeds)}, {len(bad)} failed", file=sys.stderr, flush=True)
    for result in sorted(bad, key=lambda r: r.seed):
        why = "; ".join(result.violations) or "did not converge after healing"
        more = f"--replicas {arguments.replicas} --byzantine {arguments.byzantine}"
        print(f"seed {result.seed}: {why}   replay: carbonnode sim --seed {result.seed} --steps {arguments.steps} {more}")
    print(f"{done} seeds, {len(bad)} failed; {committed} transactions, {crashes} crashes, {views} view changes")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
