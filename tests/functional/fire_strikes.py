"""Validators that kill themselves at named crash points, drawn at random, while payments go on."""

import random
import signal
import time

import httpx

from carbonnode.storage.crashpoints import POINTS, VARIABLE
from tests.functional.fire_kit import grows, others
from tests.functional.fire_load import Payer
from tests.functional.harness import HTTP, NodeHandle

EXECUTOR_POINTS = tuple(point for point in POINTS if point.startswith(("execute.", "finalise.", "flush.")))
"""They kill the executor process: the node lives on and starts another, which dies the same way, until the node gives up."""
MOST_HITS = 30
PATIENCE_S = 60.0


def executor_restarts(node: NodeHandle) -> int:
    """How often the daemon had to start its executor again, by its metrics."""
    try:
        text = HTTP.get(f"{node.url}/metrics", timeout=5.0).text
    except httpx.TransportError:
        return 0
    return next((int(float(line.split()[1])) for line in text.splitlines() if line.startswith("carbonnode_executor_restarts_total")), 0)


def strike(payer: Payer, victim: NodeHandle, point: str, hits: int) -> None:
    """Kill -9 at the moment when `point` is reached for the `hits`-th time, while the others go on; then the victim catches up."""
    net = payer.net
    rest = others(net, victim)
    victim.kill()
    victim.start({VARIABLE: f"{point}:{hits}"})
    process = victim.process
    assert process is not None
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and executor_restarts(victim) < 1:
        assert time.monotonic() < deadline, f"{victim.name} never reached {point} for the {hits}. time"
        time.sleep(0.05)
    if process.poll() is None:
        victim.kill()
    else:
        assert victim.ended() in (-signal.SIGKILL, 1), f"{victim.name} ended otherwise at {point}"
    grows(net, rest, 1)
    victim.start()
    net.wait(f"{victim.name} to answer", victim.answers)
    net.wait_height(max(node.height for node in rest), [victim.name])


def strike_at_random(payer: Payer, rng: random.Random, count: int) -> list[tuple[str, str, int]]:
    """So many strikes: any validator, any point, any hit; (validator, point, hit) of each."""
    struck = []
    for _ in range(count):
        point = rng.choice(POINTS)
        # Points of the executor come once a block, those of votes ten times as often.
        hits = rng.randint(1, 5 if point in EXECUTOR_POINTS else MOST_HITS)
        victim = rng.choice(payer.net.validators)
        strike(payer, victim, point, hits)
        struck.append((victim.name, point, hits))
    return struck
