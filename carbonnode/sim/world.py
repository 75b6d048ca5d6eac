"""The simulated world: a heap clock, one source of chance, links, nodes, clients, and the record of what happened."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.messages import Message, decode_message, encode_message
from carbonnode.sim.chain import Execution
from carbonnode.sim.dice import Dice
from carbonnode.sim.keys import KeyRing

WALL_START_MS = 1_700_000_000_000


@dataclass
class Weather:
    """What links do to messages at present. Delays in ms, chances in a thousand."""

    delay_min: int = 1
    delay_max: int = 10
    loss: int = 0
    duplicate: int = 0
    blocked: set[tuple[int, int]] = field(default_factory=set)
    """Directed pairs that drop everything: a partition is a set of them, a one-way fault a single one."""
    clogged: dict[tuple[int, int], int] = field(default_factory=dict)
    """Directed pairs with extra delay."""
    muted: dict[type, int | None] = field(default_factory=dict)
    """Kinds of messages that nobody hears, or one node alone."""
    cut_off: int | None = None
    """A node that no link reaches."""

    def hears(self, source: int, target: int, message: Message) -> bool:
        """Whether nothing that is aimed at this message keeps it from its target."""
        if self.cut_off is not None and self.cut_off in (source, target):
            return False
        return type(message) not in self.muted or self.muted[type(message)] == target


class World:
    """Time in ms since the start. Everything that happens is an entry of the heap: (time, number, action)."""

    def __init__(self, seed: int | str, execution: Execution, first: EpochConfig, trace: Callable[[str], None] | None = None) -> None:
        self.dice = Dice(seed)
        self.execution = execution
        self.first = first
        self.chain_id = execution.founding.chain_id
        self.ring = KeyRing()
        self.weather = Weather()
        self.now = 0
        self.steps = 0
        self.violations: list[str] = []
        self.invalid: set[bytes] = set()
        """Transactions with a bad signature: no honest replica may help them into a block."""
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._digest = blake2b(digest_size=16)
        self._trace = trace
        self._decoded: dict[bytes, Message] = {}

    def at(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Let something happen after a delay."""
        self._number += 1
        heapq.heappush(self._heap, (self.now + delay_ms, self._number, action))

    def step(self) -> bool:
        """Let the next thing happen; False if nothing is left."""
        if not self._heap:
            return False
        time, _, action = heapq.heappop(self._heap)
        self.now = max(self.now, time)
        self.steps += 1
        action()
        return True

    def pause(self, duration_ms: int) -> None:
        """The whole network sleeps: clocks go on, nothing is processed, then everything overdue comes at once."""
        self.now += duration_ms

    def note(self, text: str) -> None:
        """A line of the conversation: part of the run's digest, printed if asked for."""
        self._digest.update(f"{self.now} {text}\n".encode())
        if self._trace is not None:
            self._trace(f"{self.now:>9} ms  {text}")

    @property
    def digest(self) -> str:
        """Names the run: equal digests, equal conversations."""
        return self._digest.hexdigest()

    def violation(self, text: str) -> None:
        """A check failed."""
        self.violations.append(f"{self.now} ms, step {self.steps}: {text}")
        self.note(f"VIOLATION {text}")

    def carry(self, source: int, target: int, message: Message, deliver: Callable[[Message], None]) -> None:
        """Bring a message from node to node, or not, once or twice, early or late. It travels as bytes."""
        arrived = self._over_the_wire(message)
        if not self.weather.hears(source, target, message):
            return
        self.cross(source, target, lambda: deliver(arrived))

    def cross(self, source: int, target: int, arrive: Callable[[], None]) -> None:
        """Let something come across a link, or not, once or twice, early or late."""
        weather, dice = self.weather, self.dice
        if (source, target) in weather.blocked or dice.chance(weather.loss):
            return
        extra = weather.clogged.get((source, target), 0)
        for _ in range(2 if dice.chance(weather.duplicate) else 1):
            self.at(dice.between(weather.delay_min, weather.delay_max) + extra, arrive)

    def _over_the_wire(self, message: Message) -> Message:
        data = encode_message(message)
        decoded = self._decoded.get(data)
        if decoded is None:
            if len(self._decoded) > 4_096:
                self._decoded.clear()
            decoded = self._decoded[data] = decode_message(data)
        return decoded
