"""Runs in which f members are killed for good, in the midst of or just after other trouble: whoever is left must go on within a bound.

Links are reliable but for those of processes that die, and two that break for a while; parameters are those of a real network but for the window.
With f members dead all others are needed for every quorum, so nothing here may wait for somebody who doesn't come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from carbonnode.chain.genesis import Parameters
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.config import EpochConfig
from carbonnode.sim.chain import VALIDITY_BLOCKS, Execution, members
from carbonnode.sim.checks import Checks
from carbonnode.sim.dice import Dice
from carbonnode.sim.keys import SimSigner
from carbonnode.sim.links import LinkedNode, Links
from carbonnode.sim.node import SimNode
from carbonnode.sim.world import World

BLOCKS: Final = 4
"""So many must come after the loss: what was under way may bring the first ones without a new view."""
GIVE_UP_MS: Final = 240_000
_CALL: Final = Call("cash", "note")
_LOADS: Final = {"busy": (5, 60), "some": (100, 900), "burst": (2_000, 8_000), "idle": (0, 0)}
"""Pauses between a client's transactions, in ms."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What a run came to. `gaps_ms`: how long each block after the loss took."""

    seed: int
    replicas: int
    window: int
    load: str
    dead: tuple[int, ...]
    gaps_ms: tuple[int, ...]
    violations: tuple[str, ...]

    @property
    def longest_ms(self) -> int:
        """The longest time without a block, `GIVE_UP_MS` if one never came."""
        return max(self.gaps_ms) if len(self.gaps_ms) == BLOCKS else GIVE_UP_MS


class _Run:
    def __init__(self, seed: int, replicas: int, window: int, trace: Callable[[str], None] | None) -> None:
        dice = Dice(f"loss {seed}")
        self.load = dice.pick(sorted(_LOADS))
        parameters = Parameters(
            window=window, validity_blocks=VALIDITY_BLOCKS, max_block_transactions=dice.pick((20, 1_000)), epoch_blocks=dice.pick((50, 8))
        )
        people = members(replicas)
        first = EpochConfig(0, 1, ValidatorSet(tuple(people[number] for number in range(replicas))), parameters)
        self.world = World(seed, Execution(first, people, f"loss {seed}"), first, trace)
        self.checks = Checks(self.world, lambda _number: True)
        self.nodes: dict[int, LinkedNode] = {}
        peers: dict[int, SimNode] = {}
        links: Links = {}
        for number in range(replicas):
            node = self.nodes[number] = LinkedNode(self.world, number, self.checks, peers, links)
            peers[number] = node
            node.sync_every = min(node.sync_every, window)
        self.faults = (replicas - 1) // 3
        self.dead: list[int] = []
        self.left: list[int] = []
        self._key = SimSigner(0, b"client")
        self._sent = 0
        self.clients = self.load != "idle"
        for node in self.nodes.values():
            node.start()
        self.world.at(10, self._client)

    def _client(self) -> None:
        if not self.clients:
            return
        dice = self.world.dice
        up = [node for _, node in sorted(self.nodes.items()) if node.up]
        for _ in range(dice.between(1, 3)):
            self._sent += 1
            body = Body(self.world.chain_id, self._key.public_key, self._sent.to_bytes(16, "big"), 1 << 32, 1, (_CALL,))
            wire_hash = self.world.execution.send(Transaction.sign(body, self._key))
            if up:
                dice.pick(up).admit(wire_hash)
        self.world.at(dice.between(*_LOADS[self.load]), self._client)

    def pass_ms(self, duration_ms: int) -> None:
        """Let time pass."""
        over: list[int] = []
        self.world.at(duration_ms, lambda: over.append(1))
        while not over and not self.world.violations and self.world.step():
            pass

    def choose(self) -> None:
        """Who will die, and how quick disks and executors are."""
        dice = self.world.dice
        for _, node in sorted(self.nodes.items()):
            if dice.chance(150):
                node.speeds.fsync_ms = dice.between(10, 300)
            if dice.chance(150):
                node.speeds.execute_ms = dice.between(50, 1_500)
        numbers = sorted(self.nodes)
        self.dead = dice.some(numbers, self.faults)
        primary = next((n.number for _, n in sorted(self.nodes.items()) if n.memory is not None and _leads(n)), None)
        if primary is not None and primary not in self.dead and dice.chance(300):
            self.dead[0] = primary
        self.left = [number for number in numbers if number not in self.dead]

    def trouble(self) -> None:
        """Something short, at most f members at a time; sometimes one more."""
        dice, world = self.world.dice, self.world
        kind = dice.below(6)
        if kind <= 2:
            node = self.nodes[dice.pick(self.left if dice.chance(700) else self.dead)]
            down = sum(not each.up for each in self.nodes.values())
            if node.up and down < self.faults + dice.chance(200):
                node.crash(power=dice.chance(200))
                self._start_within(node, dice.pick((4_000, 12_000)))
        elif kind == 3:
            one, other = dice.some(sorted(self.nodes), 2)
            self.nodes[one].flap(self.nodes[other])
        elif kind == 4:
            # Its executor hangs: it votes on order, and for no header any more.
            self.nodes[dice.pick(self.dead)].speeds.hangs = True
        else:
            node = self.nodes[dice.pick(sorted(self.nodes))]
            node.asleep_until = world.now + dice.between(100, 3_000)
        # Longer than clocks may differ, or within one view change.
        self.pass_ms(dice.between(1, dice.pick((200, 3_000, 3_000, 9_000))))

    def _start_within(self, node: LinkedNode, limit_ms: int) -> None:
        def start() -> None:
            if not node.up and not node.gone:
                node.start()

        self.world.at(self.world.dice.between(30, limit_ms), start)

    def lose(self) -> None:
        """Kill them, one after another; the others are all up soon, and two of them may lose sight of each other once more."""
        dice = self.world.dice
        for number in self.dead:
            node = self.nodes[number]
            node.gone = True
            if node.up:
                node.crash(power=False)
            if dice.chance(500):
                self.pass_ms(dice.between(1, 1_500))
        for number in self.left:
            if not self.nodes[number].up:
                self._start_within(self.nodes[number], 1_500)
        if dice.chance(300):
            one, other = dice.some(self.left, 2)
            self.nodes[one].flap(self.nodes[other])
        if dice.chance(300):
            self.clients = False

    def gaps(self) -> list[int]:
        """How long the next blocks take."""
        world = self.world
        found: list[int] = []
        for _ in range(BLOCKS):
            since, top = world.now, self.checks.top
            while self.checks.top == top:
                if world.now - since >= GIVE_UP_MS or world.violations or not world.step():
                    return found
            found.append(world.now - since)
        return found


def _leads(node: SimNode) -> bool:
    state = node.memory.replica.state() if node.memory is not None else None
    return state is not None and state.active and state.index == state.primary


def lose(seed: int, replicas: int = 4, window: int = 32, trace: Callable[[str], None] | None = None) -> Loss:
    """One run. The same arguments give the same result."""
    run = _Run(seed, replicas, window, trace)
    dice = run.world.dice
    run.pass_ms(dice.between(500, 5_000))
    run.choose()
    for _ in range(dice.between(1, 3)):
        run.trouble()
    run.lose()
    return Loss(seed, replicas, window, run.load, tuple(run.dead), tuple(run.gaps()), tuple(run.world.violations))
