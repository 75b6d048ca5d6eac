"""Many seeds of the simulator; a seed that fails is named at once with the command that replays it.

    python scripts/sim_seeds.py [--first 0] [--count 500] [--jobs 2] [--state FILE]
    python scripts/sim_seeds.py --replicas 7 --byzantine 2 --steps 8000 [--reconfigure]

Without --replicas each seed runs in its standard configuration: 4 to 10 replicas, up to f Byzantine, 2,000 steps, changes of the validator set in
two of five. With --state the run can be ended at any time, and goes on from there when it is started again.

Exit status 1 if any seed broke a safety check or didn't converge after healing.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from carbonnode.sim import SimResult, simulate, standard  # noqa: E402  the package stands beside this script

EVERY_S = 10.0
CHUNK = 20


def configuration(seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `simulate` for a seed."""
    if arguments.replicas is None:
        return standard(seed) | ({"steps": arguments.steps} if arguments.steps else {})
    return {"replicas": arguments.replicas, "byzantine": arguments.byzantine, "steps": arguments.steps or 2_000, "reconfigure": arguments.reconfigure}


def one(job: tuple[int, dict[str, Any]]) -> tuple[SimResult, float]:
    """One run, and the processor's time for it in seconds."""
    began = time.process_time()
    return simulate(job[0], **job[1]), time.process_time() - began


def results(jobs: list[tuple[int, dict[str, Any]]], processes: int) -> Iterator[tuple[SimResult, float]]:
    """Results in the order of seeds."""
    if processes == 1:
        yield from map(one, jobs)
        return
    with ProcessPoolExecutor(processes) as pool:
        yield from pool.map(one, jobs, chunksize=CHUNK)


def replay(result: SimResult, config: dict[str, Any]) -> str:
    """The command that shows a run again."""
    more = " --reconfigure" if config["reconfigure"] else ""
    return f"carbonnode sim --seed {result.seed} --replicas {result.replicas} --byzantine {result.byzantine} --steps {config['steps']}{more} --trace"


def main() -> int:
    """Run them all; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in (("first", 0), ("count", 500), ("steps", 0), ("byzantine", 1), ("jobs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--replicas", type=int)
    parser.add_argument("--reconfigure", action="store_true")
    parser.add_argument("--state", type=Path)
    arguments = parser.parse_args()
    total: dict[str, Any] = {"next": arguments.first, "failed": [], "heights": 0, "transactions": 0, "crashes": 0, "views": 0, "steps": 0, "cpu_s": 0.0}
    if arguments.state is not None and arguments.state.exists():
        total = json.loads(arguments.state.read_text("utf-8"))
        print(f"goes on from seed {total['next']}", file=sys.stderr)
    seeds = range(total["next"], arguments.first + arguments.count)
    shown = time.monotonic()
    for result, cpu_s in results([(seed, configuration(seed, arguments)) for seed in seeds], arguments.jobs):
        total["next"] = result.seed + 1
        for key, value in (("heights", max(result.heights)), ("transactions", result.committed), ("crashes", result.crashes)):
            total[key] += value
        total["views"] += result.view_changes
        total["steps"] += result.steps
        total["cpu_s"] += cpu_s
        if not result.ok:
            total["failed"].append(result.seed)
            why = "; ".join(result.violations) or "did not converge after healing"
            print(f"seed {result.seed}: {why}   replay: {replay(result, configuration(result.seed, arguments))}", flush=True)
        if time.monotonic() - shown > EVERY_S or result.seed == seeds[-1]:
            shown = time.monotonic()
            print(f"  {total['next'] - arguments.first} of {arguments.count}, {len(total['failed'])} failed", file=sys.stderr, flush=True)
            if arguments.state is not None:
                arguments.state.parent.mkdir(parents=True, exist_ok=True)
                arguments.state.write_text(json.dumps(total), "utf-8")
    done = total["next"] - arguments.first
    print(
        f"{done} seeds, {len(total['failed'])} failed; {total['heights']} heights, {total['transactions']} transactions, {total['crashes']} crashes, "
        f"{total['views']} view changes, {total['steps']} steps, {1000 * total['cpu_s'] / max(done, 1):.0f} ms of processor a seed"
    )
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
