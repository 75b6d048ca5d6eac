"""Virtual time for whole nodes: each node has an event loop of its own, and one scheduler turns them in the order of their deadlines.

Nothing waits: when no loop has anything to do, the clock jumps. A node whose loop isn't turned any more is a process that was killed or stopped,
whatever it was at. Threads are played by callbacks that run a while later. One seed gives one run, as far as Python's sets of strings allow.
"""

import asyncio
import random
import selectors
from asyncio import events
from collections.abc import Callable
from typing import Any

STEPS_WITHOUT_TIME = 200_000
"""So many turns in one instant are a busy loop."""


class Killed(SystemExit):
    """Thrown at a crash point: a `SystemExit` isn't held up by tasks and callbacks, so it ends the turn at once."""


class _NoSelector(selectors.SelectSelector):
    """Nothing ever happens on a file: all events are timers and callbacks."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop of one node. `run_in_executor` runs the work inside, after a while; work for one thread stays in order."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self.name = name
        self.paused = False
        self.busy_until = 0.0
        """Until then it has no processor."""
        self._free_at: dict[int, float] = {}
        super().__init__(_NoSelector())
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._world.now

    def due(self) -> float | None:
        """When it has something to do; None: never."""
        earliest = max(self._world.now, self.busy_until)
        if self._ready:  # type: ignore[attr-defined]  # asyncio's own
            return earliest
        scheduled = self._scheduled  # type: ignore[attr-defined]
        return max(scheduled[0].when(), earliest) if scheduled else None

    def turn(self) -> None:
        """Run what is due now."""
        events._set_running_loop(self)
        try:
            self._run_once()  # type: ignore[attr-defined]
        finally:
            events._set_running_loop(None)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()

        def tell(result: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        def run() -> None:
            result, fault = None, None
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - as a thread pool does
                fault = error
            # The work is done, and for a moment the loop doesn't know: others may look at what it did, or the process may die.
            self.call_later(self._world.dice.uniform(0.0, 0.001), tell, result, fault)

        at = self._world.now + self._world.work_s()
        if executor is not None and getattr(executor, "_max_workers", 0) == 1:
            at = max(at, self._free_at.get(id(executor), 0.0) + 1e-6)
            self._free_at[id(executor)] = at
        self.call_at(at, run)
        return future

    def end(self) -> None:
        """Let everything on it fall: its tasks are cancelled in an instant, and whatever they still want to do comes to nothing."""
        self.set_exception_handler(lambda _loop, _context: None)
        for _ in range(50):
            for task in asyncio.all_tasks(self):
                task.cancel()
            if not self._ready:  # type: ignore[attr-defined]
                break
            try:
                self.turn()
            except SystemExit:
                continue
        self.close()


class World:
    """The clock, the dice, and all loops."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 1_000.0
        self.loops: list[VirtualLoop] = []
        self.on_exit: Callable[[VirtualLoop, BaseException], None] = lambda _loop, _error: None
        """Told of a loop that was ended by `Killed` or another `SystemExit`."""
        self.slow = 1.0
        """How much slower disks and threads are than usual."""
        self.stutter = 0.0
        """The chance that a loop gets no processor for a while after a turn."""

    def work_s(self) -> float:
        """How long a thread needs for a piece of work: as a rule short."""
        return self.slow * (self.dice.uniform(0.0002, 0.002) if self.dice.random() < 0.95 else self.dice.uniform(0.002, 0.03))

    def add(self, name: str) -> VirtualLoop:
        """A new loop."""
        loop = VirtualLoop(self, name)
        self.loops.append(loop)
        return loop

    def remove(self, loop: VirtualLoop) -> None:
        """Turn it no more."""
        if loop in self.loops:
            self.loops.remove(loop)

    def run(self, until: Callable[[], bool], timeout_s: float) -> bool:
        """Turn the loops until the condition holds or so much time has passed; whether it holds."""
        deadline = self.now + timeout_s
        idle_turns = 0
        while not until():
            due = [(at, loop) for loop in self.loops if not loop.paused and (at := loop.due()) is not None]
            first = min((at for at, _ in due), default=float("inf"))
            if first > deadline:
                self.now = max(self.now, deadline)
                return until()
            idle_turns = idle_turns + 1 if first <= self.now else 0
            if idle_turns > STEPS_WITHOUT_TIME:
                raise AssertionError(f"busy loop at {self.now:.3f} s: {[loop.name for at, loop in due if at <= self.now]}")
            self.now = max(self.now, first)
            loop = self.dice.choice([loop for at, loop in due if at <= self.now])
            if self.dice.random() < self.stutter:
                loop.busy_until = self.now + self.dice.choice((0.01, 0.05, 0.3)) * self.dice.random()
            try:
                loop.turn()
            except SystemExit as error:
                self.on_exit(loop, error)
        return True

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.run(lambda: False, seconds)
