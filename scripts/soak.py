"""The market year again and again while validators are killed (-9) and restarted: the year must end the same every time.

    python scripts/soak.py [--kills 200] [--seed 1] [--dir build/soak] [--base-port 27000]

Each round is a new network and a whole year. The first rounds strike at every named crash point (before and after each persist, send, execute, store,
finalise and flush), all of them at random moments too, one kill in ten takes two validators at once. Compared: balances, trades without
times, statuses (`outcome_digest`), one state root on all nodes. Exit status 1 at the first difference; the network's folder is kept then.
"""

import argparse
import asyncio
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402  the package stands beside this script

from carbonnode.devnet.chaos import Chaos, during  # noqa: E402
from carbonnode.devnet.demo import run_demo  # noqa: E402
from carbonnode.devnet.layout import Layout  # noqa: E402
from carbonnode.devnet.screen import Screen  # noqa: E402
from carbonnode.devnet.status import down  # noqa: E402
from carbonnode.devnet.up import up, wait_for_blocks  # noqa: E402
from carbonnode.storage.crashpoints import POINTS  # noqa: E402

POINTS_A_ROUND = 6


def say(text: str) -> None:
    """Progress, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def one_round(directory: Path, base_port: int | None, seed: int, points: list[str], *, calm: bool) -> tuple[str, Chaos | None]:
    """A new network, a year on it; its outcome digest. Raises what goes wrong."""
    shutil.rmtree(directory, ignore_errors=True)
    description = await up(directory, base_port=base_port, tell=say)
    layout = Layout(directory)
    chaos = None if calm else Chaos(layout, seed, say, points=points)
    with Screen(Console(stderr=True, force_terminal=False)) as screen:
        if chaos is None:
            data = await run_demo(directory, screen)
        else:
            async with during(chaos):
                await run_demo(directory, screen)
            await wait_for_blocks(layout, description)
            # Summed up again by all nodes alive: roots are compared on every one of them.
            data = await run_demo(directory, screen)
    if not data["chain"]["one_root"] or not data["conserved"] or not data["proof"]["verified"]:
        raise SystemExit(f"round with seed {seed}: {data['chain']} {data['proof']}: the network is kept in {directory}")
    down(directory)
    return data["outcome_digest"], chaos


async def soak(arguments: argparse.Namespace) -> int:
    """Rounds until there were enough kills and every crash point was reached; the exit status."""
    directory = Path(arguments.dir).absolute()
    expected, _ = await one_round(directory, arguments.base_port, 0, [], calm=True)
    say(f"undisturbed year: outcome {expected[:16]}")
    kills, seed, todo, reached = 0, arguments.seed, list(POINTS), dict.fromkeys(POINTS, 0)
    while kills < arguments.kills or todo:
        points, todo = todo[:POINTS_A_ROUND], todo[POINTS_A_ROUND:]
        digest, chaos = await one_round(directory, arguments.base_port, seed, points, calm=False)
        assert chaos is not None
        kills += chaos.kills
        for point, count in chaos.points.items():
            reached[point] += count
        todo += [point for point in points if not chaos.points[point]]
        say(f"round with seed {seed}: {chaos.kills} kills, {kills} in all; outcome {'equal' if digest == expected else 'DIFFERENT'}")
        if digest != expected:
            say(f"expected {expected}, got {digest}: the network is kept in {directory}")
            return 1
        seed += 1
    print(f"{kills} kills in {seed - arguments.seed} years; every year ended the same ({expected[:16]}); crash points: {reached}")
    shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", default="build/soak")
    parser.add_argument("--base-port", type=int, help="as of `carbonnode devnet up`")
    raise SystemExit(asyncio.run(soak(parser.parse_args())))
