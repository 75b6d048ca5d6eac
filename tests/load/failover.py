"""kill -9 of the primary under load: how long until the others certify the next block."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.load.generator import POLL_S, Load

WAIT_S = 60.0


@dataclass(frozen=True)
class Failover:
    """One kill: time in ms to the first block after it that every remaining validator holds certified, and the height it happened at.

    `at_ms` is when (ms since 1970), `view` the one that the victim led.
    """

    ms: float
    height: int
    at_ms: float
    view: int


async def measure_kill(load: Load, pids: list[int], names: list[str]) -> tuple[Failover, int]:
    """Kill the current primary; return the fail-over and the index killed."""
    status = await load.status(0)
    victim = names.index(str(status["primary"]))
    load.down.add(victim)
    others = [i for i in range(len(names)) if i != victim]
    os.kill(pids[victim], signal.SIGKILL)
    killed, at_ms = time.monotonic(), time.time() * 1000
    # A block that was certified by messages under way at the kill isn't the fail-over: the first block proposed in a later view is what counts.
    view = int(str(status["view"]))
    while time.monotonic() - killed < WAIT_S:
        now = [await load.status(i) for i in others]
        if all(int(str(s["view"])) > view for s in now):
            height = max(int(str(s["height"])) for s in now)
            break
        await asyncio.sleep(POLL_S / 5)
    else:
        raise TimeoutError(f"no new view within {WAIT_S} s of killing {names[victim]}")
    while time.monotonic() - killed < WAIT_S:
        heights = [int(str((await load.status(i))["height"])) for i in others]
        if min(heights) > height:
            return Failover((time.monotonic() - killed) * 1000, height + 1, at_ms, view), victim
        await asyncio.sleep(POLL_S / 5)
    raise TimeoutError(f"no block within {WAIT_S} s of killing {names[victim]}")


async def rejoin(load: Load, victim: int, restart: Callable[[int], Awaitable[None]]) -> None:
    """Start the killed validator again and wait until it holds what the others do."""
    await restart(victim)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, ValueError):
            mine, other = await load.status(victim), await load.status((victim + 1) % len(load.urls))
            if int(str(mine["height"])) >= int(str(other["height"])) - 2 and not mine["syncing"]:
                load.down.discard(victim)
                return
        await asyncio.sleep(POLL_S)
    raise TimeoutError(f"validator {victim} did not catch up within {WAIT_S} s of its restart")
