"""Killing validators of a running devnet and starting them again, from a seed: for soak runs and functional tests."""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from carbonnode.client import Client
from carbonnode.devnet import processes
from carbonnode.devnet.layout import Layout, NodeEntry
from carbonnode.devnet.up import start_node
from carbonnode.errors import RemoteError

CRASH_VARIABLE = "CARBONNODE_CRASH_AT"
"""The variable of `storage.crashpoints`: `name:count` makes a node kill itself at that point."""
_POLL_S = 0.05
_READY_POLL_S = 0.3
_EXECUTOR_POINTS = frozenset(("execute", "finalise", "flush"))
"""Points that take the executor process: the node lives on and starts another."""
_BLOCK_POINTS = frozenset(("execute", "finalise", "blockstore"))
"""Points that are reached once a block; those of votes come ten times as often."""


class Habits(msgspec.Struct, frozen=True):
    """How the killer behaves; seconds."""

    pause_s: tuple[float, float] = (1.0, 4.0)
    """Between one restart and the next kill: the killed node needs some of it to catch up."""
    dead_s: tuple[float, float] = (0.1, 2.5)
    pairs: float = 0.1
    """Share of the kills that take two validators at once: of four, that stops the chain until one is back."""
    hasty: float = 0.2
    """Share of the kills that don't wait until the validators killed before serve again: they strike while those still recover."""
    ready_patience_s: float = 60.0
    point_patience_s: float = 30.0
    """How long a node armed with a crash point may live before it is killed from outside."""
    most_hits: int = 40
    """A crash point strikes when it is reached for the n-th time, n up to this."""
    most_block_hits: int = 8
    """The same for points that come once a block; a slow year has a block a second."""
    most_rare_hits: int = 1
    """The same for a flush of the state, which comes once in sixteen blocks only."""


class Chaos:
    """One killer. `kills` counts kills of any sort, `points` those at named crash points."""

    def __init__(self, layout: Layout, seed: int, tell: Callable[[str], None], *, points: Sequence[str] = (), habits: Habits | None = None) -> None:
        self._layout = layout
        self._nodes = [node for node in layout.describe().nodes if node.role != "user"]
        self._rng = random.Random(seed)
        self._tell = tell
        self._todo = list(points)
        self._habits = habits or Habits()
        self.kills = 0
        self.points: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()

    async def run(self) -> None:
        """Kill and restart until cancelled; whatever happens, every validator runs in the end."""
        try:
            while True:
                if self._rng.random() >= self._habits.hasty:
                    await self._until_ready()
                await asyncio.sleep(self._rng.uniform(*self._habits.pause_s))
                if self._todo:
                    await self._strike_at(self._todo.pop(0))
                else:
                    await self._strike()
        finally:
            self.restore()

    def restore(self) -> None:
        """Start every validator that doesn't run."""
        for node in self._nodes:
            if processes.read_process(self._layout.pid_path(node.name)) is None:
                start_node(self._layout, node)

    async def _until_ready(self) -> None:
        """Until every validator's API answers: on a slow machine a restart takes longer than a pause, and kills alone would stop the chain."""
        deadline = time.monotonic() + self._habits.ready_patience_s
        for node in self._nodes:
            async with Client(node.api, timeout_s=2) as client:
                while time.monotonic() < deadline:
                    with contextlib.suppress(RemoteError):
                        await client.status()
                        break
                    await asyncio.sleep(_READY_POLL_S)

    async def _strike(self) -> None:
        victims = self._rng.sample(self._nodes, 2 if self._rng.random() < self._habits.pairs else 1)
        for node in victims:
            await self._kill(node)
        self._tell(f"killed {' and '.join(node.name for node in victims)}")
        for node in victims:
            await asyncio.sleep(self._rng.uniform(*self._habits.dead_s))
            start_node(self._layout, node)

    async def _strike_at(self, point: str) -> None:
        """Restart a validator so that it kills itself at a named point, wait for that, start it again."""
        node = self._rng.choice(self._nodes)
        count = self._rng.randint(1, self._most_hits(point))
        await self._kill(node)
        process = start_node(self._layout, node, {CRASH_VARIABLE: f"{point}:{count}"})
        try:
            reached = await self._reached(process, point)
        finally:
            # Still armed, if it lives: cancelled, or it was its executor process that died. Nobody may run on with a death before it.
            await self._kill(node)
        if reached:
            self.points[point] += 1
            self.kills += 1
        else:
            self.missed[point] += 1
        self._tell(f"{node.name}: crash point {point} at hit {count}{'' if reached else ' not reached in time'}")
        start_node(self._layout, node)

    def _most_hits(self, point: str) -> int:
        where = point.partition(".")[0]
        if where == "flush":
            return self._habits.most_rare_hits
        return self._habits.most_block_hits if where in _BLOCK_POINTS else self._habits.most_hits

    async def _reached(self, process: processes.ProcessId, point: str) -> bool:
        """Whether the armed process died in time; for a point of the executor, whether that process was replaced."""
        deadline = time.monotonic() + self._habits.point_patience_s
        first: set[int] = set()
        while time.monotonic() < deadline:
            if not processes.alive(process):
                return True
            if point.partition(".")[0] in _EXECUTOR_POINTS:
                executors = processes.children(process)
                if first and executors and not executors & first:
                    return True
                first = first or executors
            await asyncio.sleep(_POLL_S)
        return False

    async def _kill(self, node: NodeEntry) -> None:
        process = processes.read_process(self._layout.pid_path(node.name))
        if process is None:
            return
        processes.signal_process(process, signal.SIGKILL)
        while processes.alive(process):
            await asyncio.sleep(_POLL_S)
        self.kills += 1


@contextlib.asynccontextmanager
async def during(chaos: Chaos) -> AsyncIterator[Chaos]:
    """Let it rage while the body runs. Its own failure comes out at the end."""
    task = asyncio.create_task(chaos.run())
    try:
        yield chaos
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
