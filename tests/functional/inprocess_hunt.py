"""Strikes at a network of real nodes in virtual time, hundreds in a minute; each time those who are left must make blocks, and who returns must catch up.

`scripts/hunt_nodes.py` runs as many as it is told to, `inprocess_strikes_test.py` a few in every run of the tests.
"""

from collections.abc import Callable
from pathlib import Path

from carbonnode.chain.genesis import ContractSource, Genesis, Parameters
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.storage.crashpoints import POINTS
from tests.functional.inprocess_links import Hub
from tests.functional.inprocess_loop import Killed, VirtualLoop, World
from tests.functional.inprocess_node import STOP_PATIENCE_S, Member
from tests.unit.node.chain_kit import CONTRACT

ROLES = ("super", "super", "coordination", "coordination", "super", "coordination", "coordination")
STALL_S = 60.0
"""Those who are left make no block for so long: the network stands still."""
SLOW_S = 12.0
"""Longer than any view change after one fault takes."""
BY_DESIGN = "(by design)"
"""Ends what is waited for where it may take long."""
PAY_EVERY_S = 0.1
VALID_BLOCKS = 900
RULES = '''"""Rules that obey anyone: what they decide begins an epoch."""

decided = Map(int, tuple)
submitted = Map(int, tuple)
count = Var(int)


@export
def decide(key: str, value: int) -> None:
    n = count.get(0)
    decided[n] = (0, "chain", "", key, value, "")
    count.set(n + 1)
'''
EPOCHS = Parameters(window=8, epoch_blocks=20)
EPOCHS_BY = 100
DECIDE_CHANCE = 0.03
DECISIONS = (("block_interval_ms", 150), ("block_interval_ms", 200), ("idle_block_ms", 1_500), ("base_timeout_ms", 900), ("max_block_transactions", 30))
EXECUTOR_POINTS = tuple(point for point in POINTS if point.startswith(("execute.", "finalise.", "flush.")))


class Standstill(AssertionError):
    """What was waited for didn't come."""


class Network:
    """Members, their links, and payments that go on all the time."""

    def __init__(self, directory: Path, seed: int, validators: int = 4, parameters: Parameters | None = None) -> None:
        self.world = World(seed)
        self.dice = self.world.dice
        self.hub = Hub(self.world)
        signers = [KeySigner(bytes([number + 1]) * 32) for number in range(validators)]
        counts: dict[str, int] = {}
        named = []
        for number, signer in enumerate(signers):
            role = ROLES[number]
            counts[role] = counts.get(role, 0) + 1
            named.append(Validator(f"{role}-{counts[role]}", role, signer.public_key, bytes([number + 101]) * 32))
        self.governed = parameters is None and seed % 2 == 1
        """Whether parameters change all the time, so that epochs do."""
        contracts = (ContractSource("notes", CONTRACT), *((ContractSource("rules", RULES),) if self.governed else ()))
        self.genesis = Genesis(
            network="hunt", time_ms=1_000_000, validators=tuple(named), ca_roots=("none",), contracts=contracts,
            parameters=EPOCHS if self.governed else parameters,
        )
        self.members = [Member(self.hub, self.genesis, number, signer, directory / named[number].name) for number, signer in enumerate(signers)]
        self.hub.hosts = {member.name: member for member in self.members}
        self.world.on_exit = self._exited
        self.stutter = self.world.stutter = (0.0, 0.0, 0.002, 0.02)[seed % 4]
        """How starved of processors the whole run is."""
        self.hub.bulk_loss = (0.0, 0.3, 0.05)[seed % 3]
        self.quorum = self.genesis.validators.quorum
        self.client = self.world.add("client")
        self.paid: dict[bytes, float] = {}
        self.paying = True
        self._nonce = 0
        self.patience_s = STALL_S
        self.slowest: list[tuple[float, str]] = []
        self.strikes = 0
        self.client.call_later(1.0, self._pay)

    def close(self) -> None:
        """Take everything down."""
        for member in self.members:
            member.kill()
        self.client.end()

    def _exited(self, loop: VirtualLoop, error: BaseException) -> None:
        if not isinstance(error, Killed):
            raise error
        for member in self.members:
            if member.loop is loop:
                member.bury()

    # -- payments

    def _pay(self) -> None:
        self.client.call_later(self.dice.uniform(0.2, 1.8) * PAY_EVERY_S, self._pay)
        able = [member for member in self.members if member.alive and member.started and not member.loop.paused]
        if not able or not self.paying:
            return
        member = self.dice.choice(able)
        for _ in range(self.dice.choice((1, 1, 2, 5))):
            self._nonce += 1
            signer = KeySigner(b"payer".ljust(32, b"\0"))
            call = Call("notes", "note", ("", f"payment {self._nonce}"))
            if self.governed and self.dice.random() < DECIDE_CHANCE:
                call = Call("rules", "decide", self.dice.choice(DECISIONS))
            body = Body(self.genesis.chain_id, signer.public_key, self._nonce.to_bytes(16, "big"), max(member.height, 0) + VALID_BLOCKS, 200_000, (call,))
            tx = Transaction.sign(body, signer)
            self.paid[tx.id] = self.world.now
            member.loop.call_soon(_submit, member, tx.raw)

    # -- waiting

    def live(self) -> list[Member]:
        """Those that run."""
        return [member for member in self.members if member.alive and not member.loop.paused]

    @property
    def top(self) -> int:
        """The greatest certified height."""
        return max((member.height for member in self.members), default=-1)

    def wait(self, what: str, condition: Callable[[], bool], timeout_s: float | None = None) -> float:
        """Let time pass until the condition holds; how long it took. Raises `Standstill`."""
        began = self.world.now
        if timeout_s is None:
            timeout_s = STALL_S if what.endswith(BY_DESIGN) else self.patience_s
        if not self.world.run(lambda: condition() or any(member.findings for member in self.members), timeout_s):
            raise Standstill(f"waited {timeout_s} s for {what}")
        self.check()
        took = self.world.now - began
        if not what.endswith(BY_DESIGN):
            self.slowest = sorted([*self.slowest, (took, f"strike {self.strikes}: {what}")], reverse=True)[:5]
        return took

    def check(self) -> None:
        """Nobody stopped by a fault, nothing unforeseen happened, nobody was blamed."""
        findings = [finding for member in self.members for finding in member.findings]
        if findings:
            raise AssertionError("\n".join(findings))
        assert not self.hub.blamed, self.hub.blamed

    def grow(self, blocks: int = 2) -> float:
        """Those who are left certify further blocks."""
        target = self.top + blocks
        return self.wait(f"height {target}", lambda: self.top >= target)

    def all_well(self) -> float:
        """Everybody runs and is where the others are."""
        for member in self.members:
            if not member.alive:
                member.start()
        began = self.top
        return self.wait("all to be level", lambda: all(member.height >= max(began + 2, self.top - 3) for member in self.members))

    def up(self) -> None:
        """Start all."""
        for member in self.members:
            member.start()
        self.wait("the first blocks", lambda: all(member.height >= 3 for member in self.members))

    def settle(self) -> None:
        """At the end: all level, one chain, and every payment that was taken in is final."""
        self.paying = False
        self.world.wait(1.0)
        self.all_well()
        known = [member for member in self.members if member.alive]
        self.wait("the last payments", lambda: not any(_waits(member, tx) for member in known for tx in self.paid))
        least = min(member.height for member in known)
        assert len({member.node.stores.blocks.header_hash(least) for member in known}) == 1
        if self.governed and least > EPOCHS_BY:
            assert all(member.node.tip_epoch.epoch > 0 for member in known), "no epoch began: the runs with epochs show nothing"

    def lines(self, last: int) -> str:
        """What the nodes said, in the order of time."""
        return "\n".join(sorted((line for member in self.members for line in member.lines), key=lambda line: float(line.split()[0]))[-last:])

    def states(self) -> str:
        """Where everybody stands."""
        told = []
        for member in self.members:
            if not member.alive or not member.started:
                told.append(f"{member.name}: down ({member.ended_by})")
                continue
            state, node = member.node.replica.state(), member.node
            told.append(
                f"{member.name}: epoch {state.epoch}, stored {member.height}, stable {state.stable}, ordered {state.ordered}, "
                f"view {state.view} active {state.active}, "
                f"suspicion {state.suspicion}, syncing {state.syncing} ({node.syncer.active}), abstaining {state.abstaining}, diverged {state.diverged}, "
                f"waiting {state.waiting_requests}, pool {len(node.pool)} free {node.pool.waiting}, pipeline {node.pipeline.state}, "
                f"resolving {list(node.resolver._tasks)}, verifying {node.admission.waiting}, links {sorted(member.port.links)}, "
                f"unwritten {len(node.persister._waiting)}, core {_core(member)}"
            )
        return "\n".join(told)


def _waits(member: Member, tx: bytes) -> bool:
    """Whether a node holds a payment that isn't final; one that a late proposal brought again may lie in its pool for a while."""
    return member.node.pool.find(tx) is not None and member.node.history.place(tx) is None


def _submit(member: Member, raw: bytes) -> None:
    member.loop.create_task(member.node.admission.submit([raw]), name="submit")


def _core(member: Member) -> str:
    core = member.node.replica._core
    slots = {h: f"{s.digest.hex()[:4] if s.digest else '-'}{'P' if s.prepared else ''}{'C' if s.committed else ''}" for h, s in sorted(core.slots.items())}
    known = {f"{h}:{d.hex()[:4]}": b.known.value for (h, d), b in core.batches.items()}
    return (
        f"awaiting {core.awaiting_batch} next {core.next_height} work {core.work} timers {core.timers} held {core.out.held} slots {slots} batches {known} "
        f"certificates {sorted(core.certificates)} headers {sorted(core.header_hashes)} hint {core.hint} unreachable {core.unreachable} "
        f"left {core.view_changes.keys()} pause {core.sync_pause_until - core.now}"
    )


class Strikes:
    """What goes wrong; one after another by the dice."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.dice = net.dice
        self.told: list[str] = []
        self._kinds: tuple[tuple[int, Callable[[], str]], ...] = (
            (4, self.crash_point), (3, self.kill_any_time), (4, self.second_after_first), (2, self.executor_dies), (1, self.executor_flaky), (2, self.pause),
            (2, self.pause_all), (3, self.cut), (3, self.replace), (2, self.deafen), (2, self.clean_restart), (1, self.kill_all), (2, self.slow_disks),
            (2, self.two_kinds), (2, self.disk_full),
        )

    def one(self) -> str:
        """A strike, and the proof that the network got over it; what it was."""
        net = self.net
        net.strikes += 1
        net.world.wait(self.dice.choice((0.0, 0.1, 0.5, 2.0)) * self.dice.random())
        kind = self.dice.choices([kind for _, kind in self._kinds], [weight for weight, _ in self._kinds])[0]
        what = kind()
        self._heal()
        if len(net.live()) >= net.quorum and self.dice.random() < 0.7:
            net.grow()
        if self.dice.random() < 0.75:  # else the next one strikes while this one is still being mended
            net.all_well()
        elif len(net.live()) < net.quorum + 1:
            for member in net.members:
                if not member.alive:
                    member.start()
            net.grow()
        self.told.append(what)
        return what

    def _heal(self) -> None:
        net = self.net
        net.world.slow = net.hub.slow = 1.0
        net.world.stutter = net.stutter
        for pair in list(net.hub.cuts):
            net.hub.mend(*sorted(pair))
        for member in net.members:
            member.loop.paused = False
            member.executor_dies = 0.0
            member.expects_fault = False

    def _victim(self) -> Member:
        running = [member for member in self.net.members if member.alive]
        if self.dice.random() < 0.4:  # the primary, as most see it
            names = [member.node.driver.primary_name for member in running if member.started]
            named = [member for member in running if names and member.name == max(set(names), key=names.count)]
            if named:
                return named[0]
        return self.dice.choice(running or self.net.members)

    def _level(self, *but: Member) -> None:
        """No more than one is away already."""
        if any(not member.alive or not member.started for member in self.net.members if member not in but):
            self.net.all_well()

    # -- kinds

    def _to_crash_point(self, victim: Member) -> str:
        net = self.net
        point = self.dice.choice(POINTS)
        hits = self.dice.randint(1, 6 if point in EXECUTOR_POINTS else 40)
        victim.kill()
        victim.expects_fault = True
        victim.start(point, hits)
        reached = lambda: not victim.alive or (hasattr(victim, "executor") and victim.executor.restarts >= 1)  # noqa: E731
        net.wait(f"{victim.name} to reach {point}:{hits} {BY_DESIGN}", reached)
        if victim.alive and self.dice.random() < 0.4:
            # Mostly the executor dies again and again, until the node gives up: that stop must come to an end too, or it is a finding.
            if not net.world.run(lambda: not victim.alive, 10.0) and victim.ending:
                net.world.run(lambda: not victim.alive, STOP_PATIENCE_S + 1.0)
            net.check()
        net.world.wait(self.dice.choice((0.0, 0.0, 0.3)) * self.dice.random())
        victim.kill()
        victim.expects_fault = False
        return f"{victim.name} dies at {point}:{hits}"

    def crash_point(self) -> str:
        victim = self._victim()
        self._level()
        told = self._to_crash_point(victim)
        self.net.grow()
        victim.start()
        return told

    def second_after_first(self) -> str:
        """One comes back, and the next one dies while it is at it."""
        first = self._victim()
        self._level()
        told = self._to_crash_point(first)
        if self.dice.random() < 0.7:
            self.net.grow(self.dice.randint(1, 20))
        first.start()
        if self.dice.random() < 0.6:
            self.net.wait(f"{first.name} to be back", lambda: first.height >= self.net.top)
        else:
            self.net.world.wait(self.dice.random() * 3)
        second = self.dice.choice([member for member in self.net.members if member is not first])
        if self.dice.random() < 0.5:
            second.kill()
            told += f", then {second.name} is killed"
        else:
            told += ", then " + self._to_crash_point(second)
        self.net.grow()
        second.start()
        return told

    def kill_any_time(self) -> str:
        victim = self._victim()
        self._level(victim)
        victim.kill()
        self.net.grow(self.dice.choice((1, 2, 40)))
        victim.start()
        self.net.world.wait(self.dice.random())
        return f"{victim.name} is killed"

    def kill_all(self) -> str:
        for member in self.net.members:
            member.kill()
            self.net.world.wait(self.dice.choice((0.0, 0.02)))
        for member in self.net.members:
            if not member.alive:
                member.start()
                self.net.world.wait(self.dice.choice((0.0, 0.5)))
        return "all are killed"

    def executor_dies(self) -> str:
        victim = self._victim()
        if not victim.started:
            return "nothing"
        if self.dice.random() < 0.3:
            victim.executor._process.hung = True  # type: ignore[union-attr]  # the one that is played
            told = "hangs"
        else:
            victim.executor.kill()
            told = "dies"
        self.net.world.wait(self.dice.choice((0.1, 1.0, 6.0)))
        return f"the executor of {victim.name} {told}"

    def executor_flaky(self) -> str:
        """Mostly it comes through; if it doesn't, and the node gives up, the node starts again."""
        victim = self._victim()
        victim.expects_fault = True
        victim.executor_dies = self.dice.choice((0.03, 0.1))
        self.net.world.wait(3.0)
        victim.executor_dies = 0.0
        self.net.world.wait(0.5)
        if victim.alive and not victim.ending:
            victim.expects_fault = False
        else:
            victim.kill()
            victim.start()
        return f"the executor of {victim.name} dies again and again"

    def pause(self) -> str:
        victim = self._victim()
        victim.loop.paused = True
        self.net.world.wait(self.dice.choice((0.3, 1.5, 5.0, 15.0)))
        victim.loop.paused = False
        return f"{victim.name} is paused"

    def pause_all(self) -> str:
        for member in self.net.members:
            member.loop.paused = True
        self.net.world.now += self.dice.choice((1.0, 4.0, 30.0))
        for member in self.net.members:
            member.loop.paused = False
        return "all are paused"

    def _pair(self) -> tuple[str, str]:
        one, other = self.dice.sample(self.net.members, 2)
        return one.name, other.name

    def cut(self) -> str:
        pairs = [self._pair() for _ in range(self.dice.choice((1, 1, 2, 3)))]
        for pair in pairs:
            self.net.hub.cut(*pair, told=self.dice.random() < 0.5)
        self.net.world.wait(self.dice.choice((0.5, 3.0, 8.0)))
        for pair in pairs:
            self.net.hub.mend(*pair)
        return f"cut {pairs}"

    def replace(self) -> str:
        pairs = [self._pair() for _ in range(self.dice.choice((1, 3, 10)))]
        for pair in pairs:
            if all(self.net.hub.hosts[name].listening for name in pair):
                self.net.hub.replace(*pair)
            self.net.world.wait(self.dice.choice((0.0, 0.05)))
        return f"replaced {pairs}"

    def deafen(self) -> str:
        pairs = [self._pair() for _ in range(self.dice.choice((1, 2)))]
        for pair in pairs:
            if all(self.net.hub.hosts[name].listening for name in pair):
                self.net.hub.deafen(*pair)
        self.net.world.wait(self.dice.choice((0.5, 7.0)))
        return f"deaf {pairs}"

    def clean_restart(self) -> str:
        victim = self._victim()
        if not victim.started:
            return "nothing"
        victim.stop()
        self.net.wait(f"{victim.name} to stop", lambda: not victim.alive, 70.0)
        if self.dice.random() < 0.5:
            self.net.world.wait(self.dice.random())
        victim.start()
        return f"{victim.name} is restarted"

    def disk_full(self) -> str:
        victim = self._victim()
        if not victim.started:
            return "nothing"
        victim.fill_disk(full=True)
        self.net.world.wait(self.dice.choice((0.1, 1.0, 4.0)))
        if victim.alive:
            victim.fill_disk(full=False)
        return f"the disk of {victim.name} is full"

    def slow_disks(self) -> str:
        self.net.world.slow = self.dice.choice((5.0, 30.0))
        self.net.hub.slow = self.dice.choice((1.0, 10.0))
        self.net.world.stutter = self.dice.choice((0.0, 0.01, 0.05))
        self.net.world.wait(4.0)
        return "slow disks and processors"

    def two_kinds(self) -> str:
        """A bad link or a slow machine while one dies."""
        victim = self._victim()
        self._level(victim)
        self.net.world.slow = self.dice.choice((1.0, 10.0))
        self.net.world.stutter = self.dice.choice((0.0, 0.05))
        self.net.hub.cut(*self._pair(), told=self.dice.random() < 0.3)
        victim.kill()
        self.net.world.wait(self.dice.random() * 4)
        self._heal()
        self.net.grow()
        victim.start()
        self.net.hub.replace(*self._pair()) if all(member.listening for member in self.net.members) else None
        return f"{victim.name} is killed on bad links"


def hunt(
    directory: Path, seed: int, strikes: int, validators: int, show: int = 0, patience_s: float = STALL_S
) -> tuple[list[tuple[float, str]], str]:
    """So many strikes at a new network; the slowest recoveries, and what went wrong ("" if nothing). Longer than `patience_s` is wrong."""
    net = Network(directory, seed, validators)
    net.patience_s = patience_s
    struck = Strikes(net)
    fault = ""
    try:
        net.up()
        for _ in range(strikes):
            struck.one()
        net.settle()
    except AssertionError as error:
        fault = f"seed {seed}, strike {net.strikes} after {struck.told[-3:]}: {error}\n{net.states()}\n{net.lines(show)}"
    finally:
        net.close()
    return net.slowest, fault
