"""One simulated run: trouble first (safety), then healing, then convergence within a bound (liveness)."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from carbonnode.chain.hashing import tagged_hash
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.config import EpochConfig
from carbonnode.errors import ConfigError
from carbonnode.sim.byzantine import ByzantineNode
from carbonnode.sim.chain import SHORT_WINDOW, Execution, members, parameters
from carbonnode.sim.checks import Checks
from carbonnode.sim.faults import Faults
from carbonnode.sim.keys import SimSigner
from carbonnode.sim.node import SimNode
from carbonnode.sim.world import World

HEAL_BOUND_MS = 180_000
"""After healing, all honest replicas must have certified new blocks and every known transaction within this simulated time."""
_CONVERGE_HEIGHTS = 3
_SETTLE_MS = 10_000
_IDLE_MS = 8_000
_ADVERSARY = (10, 7)
"""Seeds that leave this remainder also have links that work against the protocol (`sim.adversary`)."""
_CALL = Call("cash", "note")


@dataclass(frozen=True, slots=True)
class SimResult:
    """What a run came to. `heights` per node, `committed` transactions, `violations` texts of failed checks, `digest` names the conversation."""

    seed: int
    replicas: int
    byzantine: int
    heights: tuple[int, ...]
    committed: int
    view_changes: int
    crashes: int
    violations: tuple[str, ...]
    converged: bool
    digest: str
    steps: int
    heal_ms: int
    """Simulated time from healing to convergence (or to giving up)."""
    simulated_ms: int
    transfers: int
    """States that nodes took over by snapshot."""
    alarms: dict[str, int]
    proven_faulty: tuple[int, ...]

    @property
    def ok(self) -> bool:
        """Safe and live."""
        return self.converged and not self.violations

    def to_json(self) -> dict[str, Any]:
        """The document of `carbonnode sim --json`."""
        data = asdict(self)
        data["heights"] = list(self.heights)
        data["violations"] = list(self.violations)
        data["proven_faulty"] = list(self.proven_faulty)
        return data


class Simulation:
    """N nodes, of which some are Byzantine, clients, and faults, under one seed."""

    def __init__(
        self,
        seed: int,
        *,
        replicas: int = 4,
        byzantine: int = 1,
        reconfigure: bool = False,
        faults: bool = True,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        if replicas < 1 or not 0 <= byzantine <= (replicas - 1) // 3:
            raise ConfigError(f"{byzantine} Byzantine of {replicas} replicas can't be tolerated: at most {(max(replicas, 1) - 1) // 3}")
        self.seed = seed
        self.replicas = replicas
        self.byzantine = byzantine
        spares = 2 if reconfigure else 0
        people = members(replicas + spares)
        first = EpochConfig(0, 1, ValidatorSet(tuple(people[number] for number in range(replicas))), parameters(SHORT_WINDOW) if reconfigure else parameters())
        self.world = World(seed, Execution(first, people, f"sim {seed}"), first, trace)
        # Half of the runs begin under a Byzantine primary.
        villains = set(range(byzantine)) if self.world.dice.chance(500) else set(self.world.dice.some(range(replicas), byzantine))
        self.nodes: dict[int, SimNode] = {}
        self.checks = Checks(self.world, lambda number: number not in villains)
        for number in range(replicas + spares):
            kind = ByzantineNode if number in villains else SimNode
            self.nodes[number] = kind(self.world, number, self.checks, self.nodes)
        self.faults = Faults(self.world, self.nodes, spare=(replicas - 1) // 3 - byzantine)
        self.clients_until: int | None = None
        self._client_key = SimSigner(0, b"client")
        self.sent = 0
        self.honest = [node for _, node in sorted(self.nodes.items()) if node.honest]
        if byzantine:
            self.world.invalid.add(tagged_hash(b"sim bad tx", str(seed).encode()))
        for node in self.nodes.values():
            node.start()
        self.world.at(10, self._client)
        if reconfigure:
            self.world.at(self.world.dice.between(100, 1_500), self._reconfigure)
        if faults:
            self.faults.begin(adversary=seed % _ADVERSARY[0] == _ADVERSARY[1])

    # ---- clients

    def _transaction(self) -> bytes:
        self.sent += 1
        body = Body(self.world.chain_id, self._client_key.public_key, self.sent.to_bytes(16, "big"), 1 << 32, 1, (_CALL,))
        return self.world.execution.send(Transaction.sign(body, self._client_key))

    def _client(self) -> None:
        dice = self.world.dice
        for _ in range(dice.between(1, 4)):
            self.nodes[dice.pick(sorted(self.nodes))].admit(self._transaction())
        if self.faults.active:
            self.world.at(dice.between(5, 400), self._client)

    def _reconfigure(self) -> None:
        """Another set of validators: some leave, some join; honest ones keep a quorum's majority."""
        dice = self.world.dice
        villains = [number for number in sorted(self.nodes) if not self.nodes[number].honest]
        candidates = [number for number in sorted(self.nodes) if self.nodes[number].honest]
        count = max(4, 3 * len(villains) + 1, self.replicas + dice.between(-1, 2))
        chosen = sorted([*villains, *dice.some(candidates, count - len(villains))])
        plan = self._transaction()
        self.world.execution.plans[plan] = tuple(chosen)
        self.world.note(f"a transaction proposes the validators {chosen}")
        self.honest[0].admit(plan)
        if self.faults.active:
            self.world.at(dice.between(3_000, 9_000), self._reconfigure)

    # ---- phases

    def run(self, steps: int) -> SimResult:
        """Trouble for so many steps, then healing."""
        world = self.world
        while world.steps < steps and not world.violations and world.step():
            pass
        if not world.violations:
            self.faults.heal()
        healed = world.now
        goal = self.checks.top + _CONVERGE_HEIGHTS
        owed = {h for node in self.honest if node.up for h in node.pool}
        converged = False
        while not world.violations and world.now - healed < HEAL_BOUND_MS:
            if not world.step():
                break
            if world.steps % 16 == 0 and self._converged(goal, owed):
                converged = True
                break
        heal_ms = world.now - healed
        if converged:
            self._watch_idle()
        return self._result(converged, heal_ms)

    def _watch_idle(self) -> None:
        """A healthy network without work changes no view (PBFT.md 41); looked at where nobody lies and nobody lost a disk."""
        if self.byzantine or self.checks.abstainers or self.checks.trusted_wrong:
            return
        # Not where an epoch begins: a joiner that leads its first view may learn of it later than an idle block is due.
        epoch = self.checks.chain[-1].following.epoch
        self._pass(_SETTLE_MS)
        views = len(self.checks.views)
        self._pass(_IDLE_MS)
        if len(self.checks.views) != views and self.checks.chain[-1].following.epoch == epoch:
            self.world.violation("a view changed in a healthy network without work")

    def _pass(self, duration_ms: int) -> None:
        end = self.world.now + duration_ms
        while self.world.now < end and not self.world.violations and self.world.step():
            pass

    def _converged(self, goal: int, owed: set[bytes]) -> bool:
        if any(not node.up or node.height < goal for node in self.honest):
            return False
        return all(owed <= node.tip.seen for node in self.honest)

    def _result(self, converged: bool, heal_ms: int) -> SimResult:
        world = self.world
        return SimResult(
            seed=self.seed,
            replicas=self.replicas,
            byzantine=self.byzantine,
            heights=tuple(self.nodes[number].height for number in sorted(self.nodes)),
            committed=len(self.checks.chain[-1].seen),
            view_changes=len(self.checks.views),
            crashes=sum(node.crashes for node in self.nodes.values()),
            violations=tuple(world.violations),
            converged=converged,
            digest=world.digest,
            steps=world.steps,
            heal_ms=heal_ms,
            simulated_ms=world.now,
            transfers=sum(node.transfers for node in self.nodes.values()),
            alarms=dict(sorted(self.checks.alarms.items())),
            proven_faulty=tuple(sorted(self.checks.proven_faulty)),
        )


def standard(seed: int) -> dict[str, Any]:
    """The suite's configuration of a seed, for `simulate`: half of them four replicas, the others four to ten, mostly with all the villains they tolerate."""
    replicas = 4 if seed % 2 else 4 + seed // 2 % 7
    most = (replicas - 1) // 3
    byzantine = most if seed % 3 else seed // 6 % (most + 1)
    return {"replicas": replicas, "byzantine": byzantine, "steps": 2_000, "reconfigure": seed % 5 < 2}


def simulate(
    seed: int,
    replicas: int = 4,
    byzantine: int = 1,
    steps: int = 2_000,
    *,
    reconfigure: bool = False,
    trace: Callable[[str], None] | None = None,
) -> SimResult:
    """Run one seed. The same arguments give the same result, digest included, on any machine. Raises `ConfigError` for impossible numbers."""
    return Simulation(seed, replicas=replicas, byzantine=byzantine, reconfigure=reconfigure, trace=trace).run(steps)
